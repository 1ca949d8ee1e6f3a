package checkpoint_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/waybill-dev/waybill/history"
	"github.com/waybill-dev/waybill/history/checkpoint"
	"github.com/waybill-dev/waybill/history/historytest"
	"github.com/waybill-dev/waybill/history/sqlite"
	"github.com/waybill-dev/waybill/internal/chain"
)

// lines is a log that may be read while it is written.
type lines struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(p)
}

// heads returns the heads of all lines with this message.
func (l *lines) heads(t *testing.T, message string) (out []string) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.all.String()) {
		var said struct{ Msg, Head string }
		if err := json.Unmarshal([]byte(line), &said); err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(said.Msg, message) {
			out = append(out, said.Head)
		}
	}
	return out
}

func value(t *testing.T, c prometheus.Collector) float64 {
	t.Helper()
	got, into := make(chan prometheus.Metric, 1), dto.Metric{}
	c.Collect(got)
	if err := (<-got).Write(&into); err != nil {
		t.Fatal(err)
	}
	return into.GetGauge().GetValue() + into.GetCounter().GetValue()
}

// TestNote: each new head is noted once, and a row that was noted and is gone is
// said to be.
func TestNote(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.db")
	s, err := sqlite.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // the test ends
	var out lines
	l := checkpoint.New(s, clocktesting.NewFakeClock(time.Now()), slog.New(slog.NewJSONHandler(&out, nil)))
	l.Note(t.Context())
	if got := out.heads(t, ""); len(got) != 0 {
		t.Errorf("an empty chain: %v", got)
	}
	put := func(n int) {
		if err := s.PutEntry(t.Context(), historytest.Entry("guestbook", "prod", n)); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 5 {
		put(n)
		if n != 1 { // which nobody looked at
			l.Note(t.Context())
			l.Note(t.Context())
		}
	}
	head, err := s.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	noted := out.heads(t, "audit checkpoint")
	if len(noted) != 4 || noted[3] != head.String() || value(t, l.Collectors()[0]) != 5 || value(t, l.Collectors()[1]) != 0 {
		t.Errorf("noted %v, want 4 and at last %v", noted, head)
	}
	for _, text := range noted { // as people hand them to verify
		h, err := chain.ParseHead(text)
		if err != nil {
			t.Fatal(err)
		}
		if v, err := s.Verify(t.Context(), history.Part{After: chain.Start(), Noted: h}); err != nil || len(v.Breaks) != 0 {
			t.Errorf("%s: %v %v", text, v.Breaks, err)
		}
	}
	raw, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close() //nolint:errcheck // the test ends
	for _, statement := range []string{"DROP TRIGGER entries_stay_here", "DELETE FROM entries WHERE seq > 3"} {
		if _, err := raw.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	put(9) // a new end, to hide it
	put(10)
	l.Note(t.Context())
	if got := out.heads(t, "the audit trail was changed"); len(got) != 1 || got[0] != head.String() || value(t, l.Collectors()[1]) != 1 {
		t.Errorf("a cut-off end: %v", got)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	l.Note(t.Context()) // a store that does not answer is no reason for anything
}

// TestRun notes at the start and at intervals until the end.
func TestRun(t *testing.T) {
	s, err := sqlite.Open(filepath.Join(t.TempDir(), "history.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // the test ends
	var out lines
	clk := clocktesting.NewFakeClock(time.Now())
	l := checkpoint.New(s, clk, slog.New(slog.NewJSONHandler(&out, nil)))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wg sync.WaitGroup
	for n := range 3 {
		if err := s.PutEntry(t.Context(), historytest.Entry("guestbook", "prod", n)); err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			wg.Go(func() {
				if err := l.Run(ctx); err != nil {
					t.Error(err)
				}
			})
		} else {
			clk.Step(time.Hour)
		}
		for deadline := time.Now().Add(time.Minute); len(out.heads(t, "audit checkpoint")) <= n && time.Now().Before(deadline); {
			select {
			case <-ctx.Done():
			case <-time.After(5 * time.Millisecond):
			}
		}
	}
	cancel()
	wg.Wait()
	if got := out.heads(t, "audit checkpoint"); len(got) != 3 {
		t.Errorf("noted %v, want 3 heads", got)
	}
}
