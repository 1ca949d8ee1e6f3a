package fence_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/internal/fence"
)

func TestTransport(t *testing.T) {
	arrived := 0
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { arrived++ }))
	defer server.Close()
	client := http.Client{Transport: fence.Transport(http.DefaultTransport)}
	post := func(ctx context.Context) error {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL, strings.NewReader("body"))
		if err != nil {
			t.Fatal(err)
		}
		answer, err := client.Do(r)
		if err == nil {
			_ = answer.Body.Close()
		}
		return err
	}
	lost := errors.New("lost")
	var now error
	fenced, cancel := context.WithCancel(fence.With(t.Context(), func() error { return now }))
	defer cancel()
	for _, row := range []struct {
		why  string
		ctx  context.Context
		is   error
		want error
	}{
		{"a context without a fence passes", t.Context(), lost, nil},
		{"it may be sent", fenced, nil, nil},
		{"it may not any more", fenced, lost, lost},
		{"it may again", fenced, nil, nil},
	} {
		before := arrived
		now = row.is
		if err := post(row.ctx); !errors.Is(err, row.want) {
			t.Errorf("%s: %v, want %v", row.why, err, row.want)
		}
		if sent := arrived > before; sent != (row.want == nil) {
			t.Errorf("%s: sent %v", row.why, sent)
		}
	}
}
