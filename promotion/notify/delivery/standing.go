package delivery

import (
	"errors"
	"time"

	"github.com/waybill-dev/waybill/history"
	"github.com/waybill-dev/waybill/promotion/steps/step"
)

// Standing is how telling people goes with one notification.
type Standing struct {
	LastSent time.Time
	// Reason, Message and Since of a failure that lasts; empty when there is none.
	Reason, Message string
	Since           time.Time
	Waiting         int32
	// GivenUp since messages last went out.
	GivenUp int32
}

// ReasonOf returns the word for programs of an error of a Sender.
func ReasonOf(err error) string {
	var terminal *step.TerminalError
	var reasoned *step.ReasonedError
	switch {
	case errors.As(err, &terminal):
		return terminal.Reason
	case errors.As(err, &reasoned):
		return reasoned.Reason
	default:
		return "RequestFailed"
	}
}

// givenUp counts rows that nobody gets. d.mu is held.
func (d *Delivery) givenUp(project, name string, n int32) {
	if n > 0 {
		d.standing(project, name).GivenUp += n
		d.attempts.WithLabelValues(string(history.NoticeGivenUp)).Add(float64(n))
	}
}

// standing is how it goes with one notification. d.mu is held.
func (d *Delivery) standing(project, name string) *Standing {
	of := d.standings[project]
	if of == nil {
		of = map[string]*Standing{}
		d.standings[project] = of
	}
	if of[name] == nil {
		of[name] = &Standing{}
	}
	return of[name]
}

// Standing returns how telling people goes with a notification, since this process
// has sent anything.
func (d *Delivery) Standing(project, name string) (Standing, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.standings[project][name]
	if s == nil {
		return Standing{}, false
	}
	out := *s
	out.Waiting = 0
	for key, q := range d.queues {
		if key.project == project && s.Reason != "" {
			out.Waiting += q.names()[name]
		}
	}
	return out, true
}

// Forget drops what is known of a Project that is gone, or has no notifications any
// more, and gives up what waits for it but for what is on its way.
func (d *Delivery) Forget(project string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.standings, project)
	for key, q := range d.queues {
		if key.project == project && !q.isBusy && len(q.sent) == 0 && len(q.rows) > 0 {
			q.sent, q.outcome, q.batch = idsOf(q.rows), history.NoticeGivenUp, ""
			q.rows, q.notBefore = nil, time.Time{}
			d.attempts.WithLabelValues(string(history.NoticeGivenUp)).Add(float64(len(q.sent)))
		}
	}
	d.count()
	d.wake()
}
