package faultproxy_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/internal/faultproxy"
)

// rig is a server that counts POSTs, behind a proxy.
type rig struct {
	proxy *faultproxy.Proxy
	posts atomic.Int64
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		_, _ = io.Copy(io.Discard, req.Body)
		if req.Method == http.MethodPost {
			r.posts.Add(1)
		}
		_, _ = io.WriteString(w, strings.Repeat("x", 100))
	}))
	t.Cleanup(server.Close)
	var err error
	if r.proxy, err = faultproxy.Start(strings.TrimPrefix(server.URL, "http://")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.proxy.Close() })
	return r
}

// call makes one request on its own connection and returns how much of the
// answer's body arrived.
func (r *rig) call(t *testing.T, method string, timeout time.Duration) (int, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+r.proxy.Addr()+"/", strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	return len(body), err
}

func TestPass(t *testing.T) {
	r := newRig(t)
	if n, err := r.call(t, http.MethodPost, time.Minute); err != nil || n != 100 {
		t.Fatalf("got %d bytes, %v", n, err)
	}
	if r.proxy.Acted() != 0 || r.proxy.Accepted() != 1 {
		t.Fatalf("acted %d, accepted %d", r.proxy.Acted(), r.proxy.Accepted())
	}
}

func TestCutAnswerAfterTheServerActed(t *testing.T) {
	r := newRig(t)
	r.proxy.Set(faultproxy.Fault{After: []byte("POST /"), Cut: true, Times: 1})
	if _, err := r.call(t, http.MethodGet, time.Minute); err != nil {
		t.Fatalf("a request without the trigger must pass: %v", err)
	}
	if _, err := r.call(t, http.MethodPost, time.Minute); err == nil {
		t.Fatal("the answer should have been cut")
	}
	if got := r.posts.Load(); got != 1 {
		t.Fatalf("the server handled %d POSTs, want 1: the request itself must arrive", got)
	}
	if _, err := r.call(t, http.MethodPost, time.Minute); err != nil {
		t.Fatalf("Times: 1 is used up, yet: %v", err)
	}
	if r.proxy.Acted() != 1 {
		t.Fatalf("acted %d times", r.proxy.Acted())
	}
}

func TestCutInTheMiddle(t *testing.T) {
	r := newRig(t)
	r.proxy.Set(faultproxy.Fault{Cut: true, CutAfter: 20})
	if n, err := r.call(t, http.MethodPost, time.Minute); err == nil {
		t.Fatalf("got %d bytes and no error", n)
	}
}

func TestRefuse(t *testing.T) {
	r := newRig(t)
	r.proxy.Set(faultproxy.Fault{Refuse: true, Times: 1})
	if _, err := r.call(t, http.MethodPost, time.Minute); err == nil || r.posts.Load() != 0 {
		t.Fatalf("refused: %v, posts %d", err, r.posts.Load())
	}
	if _, err := r.call(t, http.MethodPost, time.Minute); err != nil {
		t.Fatal(err)
	}
}

func TestBlackholeAndDelay(t *testing.T) {
	r := newRig(t)
	r.proxy.Set(faultproxy.Fault{Blackhole: true})
	if _, err := r.call(t, http.MethodPost, 50*time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("blackhole: %v", err)
	}
	const pause = 30 * time.Millisecond
	r.proxy.Set(faultproxy.Fault{Delay: pause})
	start := time.Now()
	if n, err := r.call(t, http.MethodPost, time.Minute); err != nil || n != 100 {
		t.Fatalf("delay: %d bytes, %v", n, err)
	}
	if took := time.Since(start); took < pause {
		t.Fatalf("answered after %s, want %s at least", took, pause)
	}
}
