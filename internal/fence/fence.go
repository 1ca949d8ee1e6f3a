// Package fence keeps requests back that a process has lost the right to send.
//
// Who may lose it while it works (a replica whose Lease others may have seen end) works
// under a context that knows how to find out. The transport asks right before a request
// goes out, so that it does not matter which code sends it, nor how long the process
// was paused in between.
package fence

import (
	"context"
	"net/http"
)

// Check returns why nothing may be sent any more; nil while it may.
type Check func() error

type key struct{}

// With returns a context whose requests are sent only while check returns nil.
func With(ctx context.Context, check Check) context.Context {
	return context.WithValue(ctx, key{}, check)
}

// Err is what the check of ctx returns, nil when it has none.
func Err(ctx context.Context) error {
	if check, fenced := ctx.Value(key{}).(Check); fenced {
		return check()
	}
	return nil
}

// Transport returns next behind the fence. Requests whose context has no check pass.
func Transport(next http.RoundTripper) http.RoundTripper { return transport{next} }

type transport struct{ next http.RoundTripper }

// RoundTrip is http.RoundTripper.
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := Err(r.Context()); err != nil {
		if r.Body != nil {
			_ = r.Body.Close()
		}
		return nil, err
	}
	return t.next.RoundTrip(r) //nolint:wrapcheck // a transport between others
}

// WrappedRoundTripper tells client-go what is below.
func (t transport) WrappedRoundTripper() http.RoundTripper { return t.next }
