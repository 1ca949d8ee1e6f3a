package delivery

import (
	"time"

	"github.com/waybill-dev/waybill/history"
	"github.com/waybill-dev/waybill/promotion"
	"github.com/waybill-dev/waybill/promotion/notify"
)

// How much one channel gets.
const (
	// burst messages go out at once, then one each pace.
	burst = 10
	pace  = 6 * time.Second
	// summarised is how many rows may wait for their turn before they go out as one.
	summarised = 3
	// maxTogether bounds the rows of one message.
	maxTogether = 500
	// maxWaiting bounds the rows of one channel: what comes on top is given up.
	maxWaiting = 5000
)

// channelKey names a channel of a Project.
type channelKey struct{ project, name string }

// queue is what one channel is to send, in order.
type queue struct {
	key  channelKey
	rows []history.Notice
	// isBusy while a message is on its way, or its record is not written.
	isBusy bool
	// sent are rows that went out; what became of them is not recorded yet.
	sent    []string
	outcome history.Outcome
	batch   string

	attempts  int32
	notBefore time.Time
	// full is when the channel has had its share, were messages to come at pace.
	full time.Time
	// isThronged: something had to wait for its turn.
	isThronged bool
}

// due returns when the next message may go.
func (q *queue) due() time.Time {
	at := q.full.Add(-(burst - 1) * pace)
	if q.notBefore.After(at) {
		at = q.notBefore
	}
	return at
}

// next returns the rows that go out next as one message; isNew says that they have
// not gone together before.
func (q *queue) next() (rows []history.Notice, isNew bool) {
	n := 1
	switch batch := q.rows[0].Batch; {
	case batch != "":
		for n < len(q.rows) && q.rows[n].Batch == batch {
			n++
		}
	case q.isThronged && len(q.rows) > summarised:
		for n < len(q.rows) && n < maxTogether && q.rows[n].Batch == "" {
			n++
		}
		isNew = n > 1
	}
	return append([]history.Notice(nil), q.rows[:n]...), isNew
}

// took notes that the other side has a message of the first n rows.
func (q *queue) took(n int, now time.Time) {
	q.rows, q.attempts, q.notBefore, q.isThronged = q.rows[n:], 0, time.Time{}, false
	if q.full.Before(now) {
		q.full = now
	}
	q.full = q.full.Add(pace)
}

// failed notes that an attempt failed.
func (q *queue) failed(now time.Time) {
	q.attempts++
	q.notBefore = now.Add(promotion.RetryDelay(q.attempts))
}

// expired takes out what happened too long ago to be tried again.
func (q *queue) expired(now time.Time) (ids []string) {
	n := 0
	for n < len(q.rows) && notify.IsTooOld(q.rows[n].At, now) {
		ids = append(ids, q.rows[n].ID)
		n++
	}
	q.rows = q.rows[n:]
	return ids
}

// names are the notifications that wait.
func (q *queue) names() map[string]int32 {
	out := map[string]int32{}
	for i := range q.rows {
		out[q.rows[i].Notification]++
	}
	return out
}
