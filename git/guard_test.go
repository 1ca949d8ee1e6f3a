package git_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/internal/outbound"
)

// TestGuardedTransport uses the transport the server uses.
func TestGuardedTransport(t *testing.T) {
	for _, c := range []struct {
		why    string
		policy outbound.Policy
		want   error
		text   string
	}{
		{"local mode", outbound.Policy{AllowLoopback: true}, nil, ""},
		{"in a cluster, loopback is nobody's repository", outbound.Policy{AllowPlainHTTP: true}, git.ErrInvalidRemote, "is not allowed"},
		{"plain http", outbound.Policy{}, git.ErrInvalidRemote, "plain http"},
	} {
		guarded, err := outbound.New(c.policy)
		must(t, err)
		r := newRig(t, func(o *git.Options) { o.Transport = guarded })
		url := r.server.CreateRepo("app", map[string]string{"a": "1"})
		m := r.open(url)
		refs, err := m.Fetch(t.Context(), "main")
		if c.want == nil {
			must(t, err)
			main := refs.Branches["main"]
			must(t, m.Push(t.Context(), git.Update{Branch: "stage/test", New: write(t, m, main, "x", nil, main)}))
			continue
		}
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) || strings.Contains(err.Error(), "info/refs") {
			t.Errorf("%s: %v", c.why, err)
		}
		guarded.CloseIdleConnections()
	}
}
