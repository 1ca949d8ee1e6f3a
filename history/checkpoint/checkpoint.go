// Package checkpoint notes the head of the audit trail's chain outside its
// store, in the server's log and as a metric, so that an end that is cut off, or
// a chain that is written anew, shows.
//
//	at the start, every 10 minutes, at the end: a line "audit checkpoint" with
//	the head, unless it is the one that was noted last
package checkpoint

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"

	"github.com/waybill-dev/waybill/internal/chain"
)

// Store has a chain.
type Store interface {
	Head(ctx context.Context) (chain.Head, error)
	Links(ctx context.Context, after int64, limit int) ([]chain.Link, error)
}

// interval is how often the head is noted; what is written and cut off again
// within one is not seen.
const interval = 10 * time.Minute

// Log notes heads. It is used by one goroutine at a time.
type Log struct {
	store Store
	clock clock.WithTicker
	log   *slog.Logger
	// noted is the head that was noted last; zero before the first.
	noted chain.Head

	head   prometheus.Gauge
	broken prometheus.Counter
}

// New returns a Log that has noted nothing yet.
func New(store Store, clk clock.WithTicker, log *slog.Logger) *Log {
	return &Log{
		store: store, clock: clk, log: log,
		head: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "waybill_audit_head", Help: "Number of the last row of the audit trail when it was noted last; it never falls.",
		}),
		broken: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "waybill_audit_broken_total", Help: "Times that a row of the audit trail that this server had noted was gone, or another.",
		}),
	}
}

// Collectors returns the metrics.
func (l *Log) Collectors() []prometheus.Collector { return []prometheus.Collector{l.head, l.broken} }

// Run notes the head now and at intervals until ctx ends.
func (l *Log) Run(ctx context.Context) error {
	ticker := l.clock.NewTicker(interval)
	defer ticker.Stop()
	for {
		l.Note(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C():
		}
	}
}

// Note notes the head, after a look whether the one noted before is still there.
// A store that does not answer is asked again the next time.
func (l *Log) Note(ctx context.Context) {
	if l.noted.Seq > 0 {
		rows, err := l.store.Links(ctx, l.noted.Seq-1, 1)
		if err != nil {
			return
		}
		if len(rows) == 0 || rows[0].Seq != l.noted.Seq || rows[0].Hash != l.noted.Hash {
			l.broken.Inc()
			l.log.Error("the audit trail was changed: a row that this server noted is not there any more", "head", l.noted.String(), "hint", "waybill audit verify --head "+l.noted.String())
		}
	}
	head, err := l.store.Head(ctx)
	if err != nil || head == l.noted || head.Seq == 0 {
		return
	}
	l.noted = head
	l.head.Set(float64(head.Seq))
	l.log.Info("audit checkpoint", "seq", head.Seq, "head", head.String())
}
