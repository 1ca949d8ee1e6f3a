package demoregistry

import (
	"maps"
	"net/http"
	"strconv"
	"sync"
)

// Kind sorts requests for counters and faults.
type Kind string

// The kinds of requests.
const (
	KindPing         Kind = "ping"
	KindToken        Kind = "token"
	KindTags         Kind = "tags"
	KindManifestGet  Kind = "manifest-get"
	KindManifestHead Kind = "manifest-head"
	KindBlob         Kind = "blob"
	KindPush         Kind = "push" // everything that writes
	KindOther        Kind = "other"
)

func kindOf(r *http.Request) Kind {
	if r.URL.Path == tokenPath {
		return KindToken
	}
	if r.URL.Path == "/v2/" || r.URL.Path == "/v2" {
		return KindPing
	}
	_, noun, _, ok := route(r.URL.Path)
	isRead := r.Method == http.MethodGet || r.Method == http.MethodHead
	switch {
	case !ok:
		return KindOther
	case !isRead:
		return KindPush
	case noun == "tags":
		return KindTags
	case noun == "blobs":
		return KindBlob
	case r.Method == http.MethodHead:
		return KindManifestHead
	}
	return KindManifestGet
}

type counts struct {
	mu sync.Mutex
	n  map[Kind]int
}

func (c *counts) add(k Kind) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = map[Kind]int{}
	}
	c.n[k]++
}

// Requests returns how many requests of each kind came since the start or the
// last ResetRequests, refused and broken ones included.
func (s *Server) Requests() map[Kind]int {
	s.counts.mu.Lock()
	defer s.counts.mu.Unlock()
	return maps.Clone(s.counts.n)
}

// ResetRequests starts counting anew.
func (s *Server) ResetRequests() {
	s.counts.mu.Lock()
	defer s.counts.mu.Unlock()
	clear(s.counts.n)
}

// Fault is a wrong answer. The zero Fault is a 200 without a body.
type Fault struct {
	Status int // 200 when 0
	Header http.Header
	Body   string
	// Hang sends nothing until the client or the registry goes away.
	Hang bool
	// CutAfter sends that many bytes of Body, promises all of it, and cuts the
	// connection.
	CutAfter int
}

type faults struct {
	mu     sync.Mutex
	choose func(*http.Request, Kind) *Fault
}

// SetFault makes choose decide about every request: nil lets it pass. A nil
// choose ends all faults.
func (s *Server) SetFault(choose func(*http.Request, Kind) *Fault) {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.choose = choose
}

// play answers with a fault, or returns false.
func (f *faults) play(w http.ResponseWriter, r *http.Request, kind Kind, stop <-chan struct{}) bool {
	f.mu.Lock()
	choose := f.choose
	f.mu.Unlock()
	if choose == nil {
		return false
	}
	fault := choose(r, kind)
	if fault == nil {
		return false
	}
	if fault.Hang {
		select {
		case <-r.Context().Done():
		case <-stop:
		}
		panic(http.ErrAbortHandler)
	}
	for k, v := range fault.Header {
		w.Header()[k] = v
	}
	body := fault.Body
	if fault.CutAfter > 0 {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		body = body[:min(fault.CutAfter, len(body))]
	}
	w.WriteHeader(max(fault.Status, http.StatusOK))
	_, _ = w.Write([]byte(body)) // the client may be gone
	if fault.CutAfter > 0 {
		if fl, ok := w.(http.Flusher); ok {
			fl.Flush()
		}
		panic(http.ErrAbortHandler)
	}
	return true
}
