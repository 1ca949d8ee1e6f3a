package identity_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/internal/identity"
)

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestAsServiceAccount: the account is in the header, and nothing else is.
func TestAsServiceAccount(t *testing.T) {
	t.Parallel()
	var sent http.Header
	base := roundTrip(func(r *http.Request) (*http.Response, error) {
		sent = r.Header
		return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
	})
	through, err := identity.AsServiceAccount(base, "guestbook", "deployer")
	if err != nil {
		t.Fatal(err)
	}
	q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://cluster.example/", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := through.RoundTrip(q)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if got := sent.Values("Impersonate-User"); !slices.Equal(got, []string{"system:serviceaccount:guestbook:deployer"}) {
		t.Errorf("%v", got)
	}
	for name := range sent {
		if strings.HasPrefix(name, "Impersonate-") && name != "Impersonate-User" {
			t.Errorf("%s: %v", name, sent.Values(name))
		}
	}
}

// TestNoServiceAccount: what would name somebody else is refused.
func TestNoServiceAccount(t *testing.T) {
	t.Parallel()
	for _, c := range [][2]string{{"", "a"}, {"a", ""}, {"a:b", "c"}, {"a", "b:c"}, {"a", "b\r\nImpersonate-Group: system:masters"}, {"A", "b"}, {strings.Repeat("a", 64), "b"}, {"a", "../b"}} {
		if _, err := identity.AsServiceAccount(http.DefaultTransport, c[0], c[1]); err == nil {
			t.Errorf("%q in %q is accepted", c[1], c[0])
		}
	}
}
