package chart

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// maxKeptBytes bounds the archives that are kept.
const maxKeptBytes = 256 << 20

// kept holds archives in a folder, those that were used last. What is in it is
// checked again when it is read; a folder that cannot be written costs downloads
// and nothing else.
type kept struct {
	dir      string
	maxBytes int64

	mu    sync.Mutex // guards what follows, and the writing of files
	turns map[keptKey]*turn
}

// turn lets one at a time download an archive; the others find it.
type turn struct {
	held    chan struct{}
	waiting int
}

// enter waits for the turn of an archive; leave gives it on.
func (s *kept) enter(ctx context.Context, key keptKey) (leave func(), err error) {
	s.mu.Lock()
	if s.turns == nil {
		s.turns = map[keptKey]*turn{}
	}
	t := s.turns[key]
	if t == nil {
		t = &turn{held: make(chan struct{}, 1)}
		s.turns[key] = t
	}
	t.waiting++
	s.mu.Unlock()
	done := func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if t.waiting--; t.waiting == 0 {
			delete(s.turns, key)
		}
	}
	select {
	case t.held <- struct{}{}:
		return func() { <-t.held; done() }, nil
	case <-ctx.Done():
		done()
		return nil, ctx.Err()
	}
}

// keptKey names an archive: who may read a repository is part of it, so that one
// Project's archive answers no other Project's question.
type keptKey struct {
	repository indexKey
	name       string
	digest     string
}

func (k keptKey) file() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %x %v %q %q", k.repository.url, k.repository.credential, k.repository.isInsecure, k.name, k.digest))
	return hex.EncodeToString(sum[:])
}

const digestLength = len("sha256:") + 64

// get returns an archive that was kept, and notes that it was used.
func (s *kept) get(key keptKey, now time.Time) ([]byte, bool) {
	if s.dir == "" || key.digest == "" {
		return nil, false
	}
	at := filepath.Join(s.dir, key.file())
	content, err := os.ReadFile(at)
	if err != nil || len(content) < digestLength {
		return nil, false
	}
	raw := content[digestLength:]
	if digestOf(raw) != string(content[:digestLength]) {
		_ = os.Remove(at) // damaged
		return nil, false
	}
	_ = os.Chtimes(at, now, now)
	return raw, true
}

// put keeps an archive, and lets those go that were not used for longest.
func (s *kept) put(key keptKey, raw []byte) error {
	if s.dir == "" || key.digest == "" {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return fmt.Errorf("keep a chart: %w", err)
	}
	f, err := os.CreateTemp(s.dir, "new-")
	if err != nil {
		return fmt.Errorf("keep a chart: %w", err)
	}
	_, err = f.Write(append([]byte(digestOf(raw)), raw...))
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(s.dir, key.file()))
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("keep a chart: %w", err)
	}
	return s.evict()
}

// evict removes the archives used longest ago until the rest is within the bound.
// s.mu is held.
func (s *kept) evict() error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return fmt.Errorf("keep a chart: %w", err)
	}
	var files []fs.FileInfo
	total := int64(0)
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			continue // it went meanwhile
		}
		files = append(files, info)
		total += info.Size()
	}
	slices.SortFunc(files, func(a, b fs.FileInfo) int {
		if c := a.ModTime().Compare(b.ModTime()); c != 0 {
			return c
		}
		return strings.Compare(a.Name(), b.Name())
	})
	for _, f := range files {
		if total <= s.maxBytes {
			return nil
		}
		if err := os.Remove(filepath.Join(s.dir, f.Name())); err != nil {
			return fmt.Errorf("keep a chart: %w", err)
		}
		total -= f.Size()
	}
	return nil
}
