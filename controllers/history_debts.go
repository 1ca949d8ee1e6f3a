package controllers

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/waybill-dev/waybill/history"
)

// debts counts what is owed to the history, and leaves a store that failed alone
// for a while.
type debts struct {
	mu     *sync.Mutex
	owed   map[types.NamespacedName]int
	closed time.Time

	queue                     prometheus.Gauge
	failures, written, pruned prometheus.Counter
}

func newDebts(kind string) debts {
	labels := prometheus.Labels{"kind": kind}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help, ConstLabels: labels})
	}
	return debts{
		mu: &sync.Mutex{}, owed: map[types.NamespacedName]int{},
		queue: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "waybill_history_queue", Help: "Records that are not written to the history store yet.", ConstLabels: labels,
		}),
		failures: counter("waybill_history_failures_total", "Times that the history store did not take what it was given."),
		written:  counter("waybill_history_written_total", "Records that were written to the history store."),
		pruned:   counter("waybill_history_pruned_total", "Objects that were deleted because the history store has their records."),
	}
}

func (d *debts) collectors() []prometheus.Collector {
	return []prometheus.Collector{d.queue, d.failures, d.written, d.pruned}
}

// owe says how many records of one Stage or Project are not written.
func (d *debts) owe(of types.NamespacedName, n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.owed[of] = n
	if n == 0 {
		delete(d.owed, of)
	}
	all := 0
	for _, n := range d.owed {
		all += n
	}
	d.queue.Set(float64(all))
}

// closedUntil returns when the store may be asked again; zero for now.
func (d *debts) closedUntil(now time.Time) time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	if now.Before(d.closed) {
		return d.closed
	}
	return time.Time{}
}

// settle is the end of a Reconcile that wrote until err: a store that does not answer
// is left alone for a while.
func (d *debts) settle(ctx context.Context, now time.Time, err error) (ctrl.Result, error) {
	if errors.Is(err, history.ErrUnavailable) {
		log.FromContext(ctx).Info("the history waits for its store", "error", err.Error())
		return lookAgain(now, d.failed(now)), nil
	}
	if err == nil {
		d.worked()
	}
	return settle(ctrl.Result{}, err)
}

// failed leaves the store alone and returns until when.
func (d *debts) failed(now time.Time) time.Time {
	d.failures.Inc()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = now.Add(storeRetry)
	return d.closed
}

func (d *debts) worked() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = time.Time{}
}

func (d *debts) wrote() { d.written.Inc() }

func (d *debts) prunedOne() { d.pruned.Inc() }
