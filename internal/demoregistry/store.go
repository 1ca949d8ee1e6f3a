package demoregistry

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"sync"

	"github.com/google/go-containerregistry/pkg/registry"

	"github.com/waybill-dev/waybill/internal/outbound"
)

const (
	// maxManifestBytes is the size every registry must at least accept (OCI
	// distribution specification, "Pushing Manifests").
	maxManifestBytes = 4 << 20
	// maxUploadBytes bounds one blob upload, which is held in memory.
	maxUploadBytes = 256 << 20
)

// store is go-containerregistry's registry with manifests that last.
type store struct {
	inner http.Handler
	mu    sync.Mutex // makes the order of the log the order of effects; guards log
	log   *os.File   // nil: memory only
}

// change is one line of the log.
type change struct {
	Method      string `json:"method"` // PUT or DELETE
	Path        string `json:"path"`
	ContentType string `json:"contentType,omitempty"`
	Body        []byte `json:"body,omitempty"`
}

func openStore(dir string, hasReferrers bool) (*store, error) {
	if dir != "" {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
	}
	blobs, err := blobHandler(dir)
	if err != nil {
		return nil, err
	}
	s := &store{inner: registry.New(registry.Logger(log.New(io.Discard, "", 0)), registry.WithBlobHandler(blobs), registry.WithReferrersSupport(hasReferrers))}
	if dir == "" {
		return s, nil
	}
	path := filepath.Join(dir, "manifests.jsonl")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	end, err := s.replay(f)
	if err == nil {
		err = f.Truncate(end)
	}
	if err == nil {
		_, err = f.Seek(end, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("replay %q: %w", path, err), f.Close())
	}
	s.log = f
	return s, nil
}

// replay applies every whole line and returns where the last one ends.
func (s *store) replay(f *os.File) (end int64, err error) {
	r := bufio.NewReader(f)
	for n := 1; ; n++ {
		line, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return end, nil // an unfinished line was never confirmed to the client
		}
		if err != nil {
			return 0, err
		}
		var c change
		if err := json.Unmarshal(line, &c); err != nil {
			return 0, fmt.Errorf("line %d: %w", n, err)
		}
		if status, body := s.apply(c); status >= 300 {
			return 0, fmt.Errorf("line %d: %s %s: status %d: %s", n, c.Method, c.Path, status, body)
		}
		end += int64(len(line))
	}
}

// apply performs c without recording it.
func (s *store) apply(c change) (status int, body []byte) {
	req, err := http.NewRequest(c.Method, c.Path, bytes.NewReader(c.Body))
	if err != nil {
		return http.StatusBadRequest, []byte(err.Error())
	}
	if c.ContentType != "" {
		req.Header.Set("Content-Type", c.ContentType)
	}
	w := newRecorder()
	s.inner.ServeHTTP(w, req)
	return w.status, w.body.Bytes()
}

func (s *store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, noun, _, ok := route(r.URL.Path)
	isChange := r.Method == http.MethodPut || r.Method == http.MethodDelete
	if !ok || noun != "manifests" || !isChange {
		r.Body = http.MaxBytesReader(w, r.Body, maxUploadBytes)
		s.inner.ServeHTTP(w, r)
		return
	}
	body, err := outbound.ReadAll(r.Body, maxManifestBytes)
	if err != nil {
		writeError(w, http.StatusRequestEntityTooLarge, "SIZE_INVALID", "the manifest could not be read or is larger than 4 MiB")
		return
	}
	s.change(w, change{Method: r.Method, Path: r.URL.Path, ContentType: r.Header.Get("Content-Type"), Body: body})
}

// change applies c, records it, and only then answers.
func (s *store) change(w http.ResponseWriter, c change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	req, err := http.NewRequest(c.Method, c.Path, bytes.NewReader(c.Body))
	if err != nil {
		writeError(w, http.StatusBadRequest, "NAME_INVALID", "the path is not valid")
		return
	}
	req.Header.Set("Content-Type", c.ContentType)
	answer := newRecorder()
	s.inner.ServeHTTP(answer, req)
	if answer.status < 300 {
		if err := s.record(c); err != nil {
			writeError(w, http.StatusInternalServerError, "UNKNOWN", "the manifest could not be stored")
			return
		}
	}
	answer.copyTo(w)
}

func (s *store) record(c change) error {
	if s.log == nil {
		return nil
	}
	line, err := json.Marshal(c)
	if err != nil {
		return err
	}
	if _, err := s.log.Write(append(line, '\n')); err != nil {
		return err
	}
	return s.log.Sync()
}

func (s *store) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.log == nil {
		return nil
	}
	err := s.log.Close()
	s.log = nil
	return err
}

// recorder is an http.ResponseWriter in memory.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func newRecorder() *recorder { return &recorder{header: http.Header{}, status: http.StatusOK} }

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(status int)      { r.status = status }
func (r *recorder) Write(b []byte) (int, error) { return r.body.Write(b) }

func (r *recorder) copyTo(w http.ResponseWriter) {
	for k, v := range r.header {
		w.Header()[k] = v
	}
	w.WriteHeader(r.status)
	_, _ = w.Write(r.body.Bytes()) // the client is gone if this fails
}
