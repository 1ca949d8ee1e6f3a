package shadow

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"k8s.io/client-go/rest"
)

// TestReadOnly: nothing but GET reaches the server.
func TestReadOnly(t *testing.T) {
	reached := 0
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached++ }))
	defer server.Close()
	count := &Requests{}
	c, err := rest.HTTPClientFor(ReadOnly(&rest.Config{Host: server.URL}, count))
	if err != nil {
		t.Fatal(err)
	}
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		r, err := http.NewRequestWithContext(t.Context(), method, server.URL, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := c.Do(r)
		if err == nil {
			_ = answer.Body.Close()
		}
		if isRead := method == http.MethodGet; isRead != (err == nil) || !isRead && !errors.Is(err, ErrReadOnly) {
			t.Errorf("%s: %v", method, err)
		}
	}
	if reached != 1 || count.Sent() != 1 {
		t.Errorf("%d requests reached the server, %d were counted", reached, count.Sent())
	}
}
