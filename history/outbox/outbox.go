// Package outbox gives entries to a history store, and keeps in a file those
// that the store does not take: what only the API knows, such as who lifted a
// freeze, cannot be read from objects later.
//
//	Add: store takes it -> done
//	     else           -> a line in the file, on disk before Add returns
//	Run: every drainTime, the oldest lines first; an empty file is cut to nothing
//
// An entry may be written twice after a crash: its key makes that harmless.
package outbox

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"

	"github.com/waybill-dev/waybill/history"
)

// Store takes entries.
type Store interface {
	PutEntry(ctx context.Context, e history.Entry) error
}

// Times and sizes.
const (
	// addTime is how long Add waits for the store: somebody waits for the answer.
	addTime = 2 * time.Second
	// drainTime is how often a store that failed is tried again.
	drainTime = 10 * time.Second
	// maxWaiting bounds the entries that wait, maxLine one of them.
	maxWaiting = 20_000
	maxLine    = 64 << 10
)

// ErrFull: as many entries wait as may.
var ErrFull = errors.New("the history's outbox is full")

// Outbox is safe for use by several goroutines.
type Outbox struct {
	store Store
	clock clock.WithTicker
	gauge prometheus.Gauge

	mu      sync.Mutex // guards what follows
	file    *os.File
	waiting []history.Entry
}

// Open returns the outbox in the file at path, with what a process before left
// there. A last line that was not written whole is dropped.
func Open(path string, store Store, clk clock.WithTicker) (*Outbox, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("open the history's outbox: %w", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the history's outbox: %w", err)
	}
	o := &Outbox{store: store, clock: clk, file: f, gauge: prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "waybill_history_outbox", Help: "Entries that wait in a file until the history store takes them.",
	})}
	lines := bufio.NewReaderSize(f, maxLine)
	for len(o.waiting) < maxWaiting {
		line, err := lines.ReadSlice('\n')
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return nil, errors.Join(fmt.Errorf("read the history's outbox: %w", err), f.Close())
		}
		var e history.Entry
		if json.Unmarshal(line, &e) == nil && e.Key != "" {
			o.waiting = append(o.waiting, e)
		}
	}
	o.gauge.Set(float64(len(o.waiting)))
	return o, nil
}

// Collector returns the outbox's metric.
func (o *Outbox) Collector() prometheus.Collector { return o.gauge }

// Waiting returns how many entries wait.
func (o *Outbox) Waiting() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.waiting)
}

// Add gives an entry to the store, or keeps it. It does not end with ctx: what
// happened has happened. An error means that the entry is lost.
func (o *Outbox) Add(ctx context.Context, e history.Entry) error {
	if o.Waiting() == 0 {
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), addTime)
		defer cancel()
		if o.store.PutEntry(limited, e) == nil {
			return nil
		}
	}
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encode entry %q: %w", e.Key, err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.waiting) >= maxWaiting || len(line) >= maxLine {
		return ErrFull
	}
	// A line that a crash cut off must not swallow this one.
	_, err = o.file.Write(append(append([]byte{'\n'}, line...), '\n'))
	if err == nil {
		err = o.file.Sync()
	}
	o.waiting = append(o.waiting, e) // while this process lives, memory has it in any case
	o.gauge.Set(float64(len(o.waiting)))
	if err != nil {
		return fmt.Errorf("keep entry %q in the history's outbox: %w", e.Key, err)
	}
	return nil
}

// Run gives what waits to the store until ctx ends.
func (o *Outbox) Run(ctx context.Context) error {
	ticker := o.clock.NewTicker(drainTime)
	defer ticker.Stop()
	for {
		_ = o.Drain(ctx) // what the store does not take waits
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C():
		}
	}
}

// Drain gives what waits to the store, the oldest first. It returns the store's
// error when some is left.
func (o *Outbox) Drain(ctx context.Context) error {
	for {
		o.mu.Lock()
		if len(o.waiting) == 0 {
			o.mu.Unlock()
			return nil
		}
		next := o.waiting[0]
		o.mu.Unlock()
		if err := o.store.PutEntry(ctx, next); err != nil {
			return err //nolint:wrapcheck // one of history's own
		}
		o.mu.Lock()
		o.waiting = o.waiting[1:]
		o.gauge.Set(float64(len(o.waiting)))
		var err error
		if len(o.waiting) == 0 {
			o.waiting = nil
			err = o.file.Truncate(0)
		}
		o.mu.Unlock()
		if err != nil {
			return fmt.Errorf("empty the history's outbox: %w", err)
		}
	}
}

// Close closes the file.
func (o *Outbox) Close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.file.Close(); err != nil {
		return fmt.Errorf("close the history's outbox: %w", err)
	}
	return nil
}
