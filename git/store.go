package git

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"sync"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/storage/filesystem"
)

const (
	// completeFile is written last when a mirror is made: one without it is
	// not used.
	completeFile = "waybill-mirror"
	layout       = "1\n"
	// tipsFile remembers where branches were, to tell a server what we have.
	tipsFile = "waybill-tips.json"
	// maxIdleReaders is how many opened readers are kept for the next user.
	maxIdleReaders = 4
	// maxLooseObjects is how many single-object files a mirror may hold; above
	// it is built anew, which is how it is compacted.
	maxLooseObjects = 60_000
)

// store is the copy of one repository on disk, shared by all its Mirrors.
//
// go-git's storage is for one goroutine, so each reader opens its own on the
// same directory. Object files only ever appear, whole, by rename; what must
// not overlap is storing packs, compacting and rebuilding: the holder of the
// writer slot does those.
type store struct {
	dir    string
	limits Limits
	slots  chan struct{} // one per reader at work
	writer chan struct{} // one: held by the fetch that stores

	mu         sync.Mutex
	idle       []*reader
	generation int // counts what makes opened readers stale
	damaged    bool
	tips       map[string]Hash
	batches    map[credentials]*batch // of waiting fetches
}

// reader is an opened storage in the hands of one goroutine.
type reader struct {
	*filesystem.Storage
	store      *store
	generation int
	limits     Limits
}

func newStore(dir string, limits Limits) *store {
	s := &store{
		dir: dir, limits: limits,
		slots: make(chan struct{}, limits.Readers), writer: make(chan struct{}, 1),
		batches: map[credentials]*batch{},
	}
	s.tips = readTips(dir)
	// What a killed process was writing. Nobody uses this store yet.
	leftovers, _ := os.ReadDir(s.tmpDir())
	for _, f := range leftovers {
		path := filepath.Join(s.tmpDir(), f.Name())
		_ = os.Remove(path)
	}
	return s
}

// read gives fn a reader. fn must not call read again: it would wait for
// itself. An error that matches ErrDamaged condemns the mirror.
func (s *store) read(fn func(*reader) error) error {
	s.slots <- struct{}{}
	defer func() { <-s.slots }()
	r := s.take()
	err := fn(r)
	s.give(r, err)
	return err
}

func (s *store) take() *reader {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.idle); n > 0 {
		r := s.idle[n-1]
		s.idle = s.idle[:n-1]
		return r
	}
	return s.openLocked()
}

func (s *store) openLocked() *reader {
	storage := filesystem.NewStorageWithOptions(osfs.New(s.dir), cache.NewObjectLRU(cache.FileSize(s.limits.CacheBytes)),
		filesystem.Options{KeepDescriptors: true})
	return &reader{Storage: storage, store: s, generation: s.generation, limits: s.limits}
}

func (s *store) give(r *reader, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	current := r.generation == s.generation
	if current && errors.Is(err, ErrDamaged) {
		s.damaged = true
	}
	if current && len(s.idle) < maxIdleReaders && !s.damaged {
		s.idle = append(s.idle, r)
		return
	}
	r.close()
}

func (r *reader) close() { _ = r.ObjectStorage.Close() }

// refresh makes every opened reader stale: there is a new pack to know of.
func (s *store) refresh() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.generation++
	for _, r := range s.idle {
		r.close()
	}
	s.idle = nil
}

func (s *store) close() { s.refresh() }

// prepare makes the directory a usable mirror: an empty new one when there is
// none, or when the one there was found damaged or has grown too many files.
// The caller holds the writer slot.
func (s *store) prepare() error {
	s.mu.Lock()
	damaged := s.damaged
	s.mu.Unlock()
	if !damaged && s.complete() && !s.overgrown() {
		return nil
	}
	if err := os.RemoveAll(s.dir); err != nil {
		return s.diskError(err)
	}
	s.mu.Lock()
	r := s.openLocked()
	s.mu.Unlock()
	defer r.close()
	if err := r.Init(); err != nil {
		return s.diskError(err)
	}
	if err := os.Mkdir(s.tmpDir(), 0o700); err != nil {
		return s.diskError(err)
	}
	if err := os.WriteFile(filepath.Join(s.dir, completeFile), []byte(layout), 0o600); err != nil {
		return s.diskError(err)
	}
	s.mu.Lock()
	s.damaged, s.tips = false, map[string]Hash{}
	s.mu.Unlock()
	s.refresh()
	return nil
}

// complete reports whether the directory is a mirror made to the end.
func (s *store) complete() bool {
	mark, err := os.ReadFile(filepath.Join(s.dir, completeFile))
	if err != nil || string(mark) != layout {
		return false
	}
	for _, dir := range []string{s.packDir(), s.tmpDir()} {
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			return false
		}
	}
	return true
}

// packDir holds packs and their indexes.
func (s *store) packDir() string { return filepath.Join(s.dir, "objects", "pack") }

// overgrown estimates the number of loose objects from one of the 256
// directories they are spread over evenly, as git gc --auto does.
func (s *store) overgrown() bool {
	entries, err := os.ReadDir(filepath.Join(s.dir, "objects", "17"))
	return err == nil && len(entries) > maxLooseObjects/256
}

// diskError wraps an error of the own disk: not the remote's fault, and
// transient.
func (s *store) diskError(err error) error {
	return fmt.Errorf("git mirror: %w", err)
}

// damage returns the error for an object that is there and cannot be read, or
// is not there and must be.
func damage(what string, err error) error {
	return fmt.Errorf("%w: %s: %v", ErrDamaged, what, err) //nolint:errorlint // One kind per error.
}

// tipHashes returns where branches were last seen.
func (s *store) tipHashes() map[string]Hash {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.tips)
}

// setTips remembers where branches are; a zero Hash forgets one. The file is a
// hint, so failing to write it is no failure.
func (s *store) setTips(changed map[string]Hash) {
	s.mu.Lock()
	defer s.mu.Unlock()
	dirty := false
	for branch, h := range changed {
		switch {
		case s.tips[branch] == h:
		case h.IsZero():
			delete(s.tips, branch)
			dirty = true
		default:
			s.tips[branch] = h
			dirty = true
		}
	}
	if !dirty {
		return
	}
	text, err := json.Marshal(s.tips)
	if err != nil {
		return
	}
	_ = s.writeFile(filepath.Join(s.dir, tipsFile), false, func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	})
}

func readTips(dir string) map[string]Hash {
	tips := map[string]Hash{}
	text, err := os.ReadFile(filepath.Join(dir, tipsFile))
	if err != nil || json.Unmarshal(text, &tips) != nil || tips == nil {
		return map[string]Hash{}
	}
	return tips
}

// has reports whether an object is stored; ErrDamaged when that cannot be told.
func (r *reader) has(h Hash) (bool, error) {
	switch err := r.HasEncodedObject(h.plumbing()); {
	case err == nil:
		return true, nil
	case errors.Is(err, plumbing.ErrObjectNotFound):
		return false, nil
	default:
		return false, damage("look up "+h.Short(), err)
	}
}

// orUnknown returns err, or when there is none that h is not stored.
func orUnknown(err error, op string, h Hash) error {
	if err != nil {
		return err
	}
	return fmt.Errorf("%s: %w: %s", op, ErrUnknownObject, h.Short())
}

// object loads an object that must be there.
func (r *reader) object(t plumbing.ObjectType, h Hash) (plumbing.EncodedObject, error) {
	o, err := r.EncodedObject(t, h.plumbing())
	if err != nil {
		return nil, damage(fmt.Sprintf("%s %s", t, h.Short()), err)
	}
	return o, nil
}
