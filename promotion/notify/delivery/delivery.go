// Package delivery sends what notifications tell, from an outbox in the history's
// store: channel by channel, in order, at least once and each time with the same ID.
//
//	Put: rows on disk -> a queue per channel -> message.Sender -> recorded as sent
//	                          ^-- tried again, for a day --'
//
// A receiver that is down or slow keeps nothing but its own channel waiting. What
// comes faster than a channel's pace is told together in one message. After a crash
// what has no record is sent again: once more at most, with the ID it had.
package delivery

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/utils/clock"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/waybill-dev/waybill/history"
	"github.com/waybill-dev/waybill/internal/failpoint"
	"github.com/waybill-dev/waybill/promotion"
	"github.com/waybill-dev/waybill/promotion/message"
	"github.com/waybill-dev/waybill/promotion/notify"
	"github.com/waybill-dev/waybill/promotion/steps/step"
)

const (
	// FailAfterSend is the failpoint between the sending and its record.
	FailAfterSend = "notify.sent"
	// sendsAtOnce bounds the messages that are on their way.
	sendsAtOnce = 32
	// sendTime bounds one of them.
	sendTime = 90 * time.Second
	// storeRetry is how long a store that failed is left alone.
	storeRetry = 10 * time.Second
	// cleanTime is how often what is over is forgotten; rows are kept for keepTime,
	// those of topics for keepTopics.
	cleanTime  = time.Hour
	keepTime   = 72 * time.Hour
	keepTopics = 90 * 24 * time.Hour
	// maxShown bounds what is shown of an error.
	maxShown = 1024
)

// Failpoints are where a test may stop it.
func Failpoints() []string { return []string{FailAfterSend} }

// Sender sends one message.
type Sender interface {
	Send(ctx context.Context, project, channel string, m message.Message) error
}

// Options are what a Delivery needs; Failpoints may be nil.
type Options struct {
	Store      history.Notices
	Sender     Sender
	Clock      clock.WithTicker
	Failpoints *failpoint.Set
	// Changed is told of a Project whose Standing has changed; it does not block.
	Changed func(project string)
}

// Delivery is safe for use by several goroutines. Run has to run for anything to be
// sent.
type Delivery struct {
	opts Options
	kick chan struct{}

	waiting  prometheus.Gauge
	attempts *prometheus.CounterVec

	mu        sync.Mutex // guards what follows
	isLoaded  bool
	queues    map[channelKey]*queue
	standings map[string]map[string]*Standing
	cleaned   time.Time
}

// New returns a Delivery.
func New(o Options) *Delivery {
	return &Delivery{
		opts: o, kick: make(chan struct{}, 1), queues: map[channelKey]*queue{}, standings: map[string]map[string]*Standing{},
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{Name: "waybill_notifications_waiting", Help: "Notifications that are not sent yet."}),
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "waybill_notifications_total", Help: "Notifications that were sent, attempts that failed, and notifications that were given up.",
		}, []string{"outcome"}),
	}
}

// Collectors returns its metrics.
func (d *Delivery) Collectors() []prometheus.Collector {
	return []prometheus.Collector{d.waiting, d.attempts}
}

// Put keeps rows in the outbox and sends those that have no outcome yet. It returns
// when they are on disk; after an error all of them are to be put again, else none.
func (d *Delivery) Put(ctx context.Context, rows []history.Notice) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.load(ctx); err != nil {
		return err
	}
	room := map[channelKey]int{}
	for i := range rows {
		key := channelKey{rows[i].Project, rows[i].Channel}
		if _, isKnown := room[key]; !isKnown {
			room[key] = maxWaiting
			if q := d.queues[key]; q != nil {
				room[key] -= len(q.rows)
			}
		}
		if rows[i].Outcome != "" {
			continue
		}
		if room[key]--; room[key] < 0 {
			rows[i].Outcome = history.NoticeGivenUp
			d.givenUp(rows[i].Project, rows[i].Notification, 1)
		}
	}
	if err := d.opts.Store.AddNotices(ctx, rows); err != nil {
		return err //nolint:wrapcheck // one of history's own
	}
	d.enqueue(rows)
	return nil
}

// load reads once what a process before left waiting. d.mu is held.
func (d *Delivery) load(ctx context.Context) error {
	if d.isLoaded {
		return nil
	}
	rows, err := d.opts.Store.Notices(ctx, history.NoticeFilter{IsWaiting: true})
	if err != nil {
		return err //nolint:wrapcheck // one of history's own
	}
	d.isLoaded = true
	d.enqueue(rows)
	return nil
}

// enqueue takes up rows that wait. d.mu is held.
func (d *Delivery) enqueue(rows []history.Notice) {
	for i := range rows {
		if rows[i].Outcome != "" {
			continue
		}
		key := channelKey{rows[i].Project, rows[i].Channel}
		if d.queues[key] == nil {
			d.queues[key] = &queue{key: key}
		}
		d.queues[key].rows = append(d.queues[key].rows, rows[i])
	}
	d.count()
	d.wake()
}

// count sets the gauge. d.mu is held.
func (d *Delivery) count() {
	n := 0
	for _, q := range d.queues {
		n += len(q.rows)
	}
	d.waiting.Set(float64(n))
}

func (d *Delivery) wake() {
	select {
	case d.kick <- struct{}{}:
	default: // it is awake
	}
}

// Run sends until ctx ends.
func (d *Delivery) Run(ctx context.Context) error {
	var group errgroup.Group
	group.SetLimit(sendsAtOnce)
	for ctx.Err() == nil {
		at := d.clean(ctx)
		for _, q := range d.take(&at) {
			if !group.TryGo(func() error { d.send(ctx, q); return nil }) {
				d.release(q) // another ends, and wakes us
			}
		}
		d.wait(ctx, at)
	}
	return group.Wait() //nolint:wrapcheck // there are none
}

// wait returns when something is to be done.
func (d *Delivery) wait(ctx context.Context, at time.Time) {
	timer := d.opts.Clock.NewTimer(max(at.Sub(d.opts.Clock.Now()), 0))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-d.kick:
	case <-timer.C():
	}
}

// clean loads what waits, forgets what is over, and returns when to look again.
func (d *Delivery) clean(ctx context.Context) time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.opts.Clock.Now()
	if d.load(ctx) != nil {
		return now.Add(storeRetry)
	}
	if at := d.cleaned.Add(cleanTime); now.Before(at) {
		return at
	}
	if d.opts.Store.DropNotices(ctx, now.Add(-keepTime), now.Add(-keepTopics)) == nil {
		d.cleaned = now
		return now.Add(cleanTime)
	}
	return now.Add(storeRetry)
}

// take marks the queues busy of which a message may go now, and brings at forward
// to when the next may.
func (d *Delivery) take(at *time.Time) []*queue {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.opts.Clock.Now()
	var out []*queue
	for key, q := range d.queues {
		switch due := q.due(); {
		case q.isBusy:
		case len(q.rows) == 0 && len(q.sent) == 0:
			if !now.Before(q.full) {
				delete(d.queues, key) // it has had nothing for a while
			} else if q.full.Before(*at) {
				*at = q.full
			}
		case now.Before(due):
			q.isThronged = q.isThronged || q.attempts == 0
			if due.Before(*at) {
				*at = due
			}
		default:
			q.isBusy = true
			out = append(out, q)
		}
	}
	return out
}

func (d *Delivery) release(q *queue) {
	d.mu.Lock()
	defer d.mu.Unlock()
	q.isBusy = false
}

// send sends the next message of a queue and records it.
func (d *Delivery) send(ctx context.Context, q *queue) {
	defer d.wake()
	defer d.release(q)
	if !d.record(ctx, q) {
		return
	}
	d.mu.Lock()
	if len(q.rows) == 0 {
		d.mu.Unlock()
		return
	}
	rows, isNew := q.next()
	d.mu.Unlock()
	if isNew && !d.join(ctx, q, rows) {
		return
	}
	err := d.post(ctx, rows)
	if err != nil && ctx.Err() != nil {
		return // it is not the other side's fault
	}
	now := d.opts.Clock.Now()
	if err != nil {
		d.refused(q, err, now)
	} else {
		if d.opts.Failpoints.Hit(ctx, FailAfterSend) != nil {
			return
		}
		d.delivered(q, rows, now)
	}
	d.record(ctx, q)
	d.opts.Changed(q.key.project)
}

// join writes down that rows go out as one message, so that after a crash the same
// go again, with the same ID.
func (d *Delivery) join(ctx context.Context, q *queue, rows []history.Notice) bool {
	batch := notify.SummaryID(rows)
	err := d.opts.Store.SetNotices(ctx, idsOf(rows), batch, "")
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil {
		q.notBefore = d.opts.Clock.Now().Add(storeRetry)
		return false
	}
	for i := range rows {
		rows[i].Batch, q.rows[i].Batch = batch, batch
	}
	return true
}

func idsOf(rows []history.Notice) []string {
	ids := make([]string, len(rows))
	for i := range rows {
		ids[i] = rows[i].ID
	}
	return ids
}

// post sends rows as one message.
func (d *Delivery) post(ctx context.Context, rows []history.Notice) error {
	l, err := notify.Write(rows)
	if err != nil {
		return step.Terminal("MessageRefused", err)
	}
	ctx, cancel := context.WithTimeout(ctx, sendTime)
	defer cancel()
	return d.opts.Sender.Send(ctx, rows[0].Project, rows[0].Channel, Message(l)) //nolint:wrapcheck // names the channel
}

// Message is a letter as it is sent.
func Message(l notify.Letter) message.Message {
	return message.Message{ID: l.ID, Subject: l.Subject, Text: l.Text, Body: l.Body, ContentType: notify.ContentType, Date: l.Date}
}

// delivered notes that the other side has rows.
func (d *Delivery) delivered(q *queue, rows []history.Notice, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	q.took(len(rows), now)
	q.sent, q.outcome, q.batch = idsOf(rows), history.NoticeSent, rows[0].Batch
	d.attempts.WithLabelValues(string(history.NoticeSent)).Add(float64(len(rows)))
	for i := range rows {
		*d.standing(rows[i].Project, rows[i].Notification) = Standing{LastSent: now}
	}
	for name := range q.names() { // they go by the same channel, which works
		if s := d.standing(q.key.project, name); s.Reason != "" {
			*s = Standing{LastSent: s.LastSent}
		}
	}
	d.count()
}

// refused notes that an attempt failed, and gives up what is too old.
func (d *Delivery) refused(q *queue, cause error, now time.Time) {
	reason := ReasonOf(cause)
	d.mu.Lock()
	defer d.mu.Unlock()
	q.failed(now)
	d.attempts.WithLabelValues("failed").Inc()
	before := q.names()
	if ids := q.expired(now); len(ids) > 0 {
		q.sent, q.outcome, q.batch = ids, history.NoticeGivenUp, ""
	}
	left := q.names()
	for name, n := range before {
		s := d.standing(q.key.project, name)
		if s.Reason == "" {
			s.Since = now
		}
		s.Reason, s.Message = reason, promotion.OneLine(cause.Error(), maxShown)
		d.givenUp(q.key.project, name, n-left[name])
	}
	d.count()
}

// record writes what became of rows; until it is written nothing else is sent by
// that channel.
func (d *Delivery) record(ctx context.Context, q *queue) bool {
	d.mu.Lock()
	ids, batch, outcome := q.sent, q.batch, q.outcome
	d.mu.Unlock()
	if len(ids) == 0 {
		return true
	}
	err := d.opts.Store.SetNotices(ctx, ids, batch, outcome)
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil {
		q.notBefore = d.opts.Clock.Now().Add(storeRetry)
		return false
	}
	q.sent = nil
	return true
}
