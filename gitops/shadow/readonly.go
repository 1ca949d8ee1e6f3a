package shadow

import (
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"

	"k8s.io/client-go/rest"
)

// ErrReadOnly is returned for a request that would not only read.
var ErrReadOnly = errors.New("this connection only reads")

// Requests counts what went over read-only connections.
type Requests struct{ sent atomic.Int64 }

// Sent is how many requests were sent.
func (r *Requests) Sent() int64 { return r.sent.Load() }

// ReadOnly returns a copy of config whose connections refuse every request but GET,
// whatever the credentials allow, and count the others.
func ReadOnly(config *rest.Config, count *Requests) *rest.Config {
	out := rest.CopyConfig(config)
	out.Wrap(func(next http.RoundTripper) http.RoundTripper { return readOnly{next, count} })
	return out
}

type readOnly struct {
	next  http.RoundTripper
	count *Requests
}

// RoundTrip is http.RoundTripper.
func (t readOnly) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodGet {
		return nil, fmt.Errorf("%w: refused %s %s", ErrReadOnly, r.Method, r.URL.Path)
	}
	t.count.sent.Add(1)
	return t.next.RoundTrip(r) //nolint:wrapcheck // is a transport itself
}
