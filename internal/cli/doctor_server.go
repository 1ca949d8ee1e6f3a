package cli

import (
	"context"
	"errors"
	"time"

	"github.com/waybill-dev/waybill/api/client"
	"github.com/waybill-dev/waybill/api/rest/model"
)

// When something is worth a line.
const (
	// skewWarns and skewFails are how far two clocks may be apart.
	skewWarns = 30 * time.Second
	skewFails = 5 * time.Minute
	// sessionEnds and certificateEnds are how long before its end each is told of.
	sessionEnds     = time.Hour
	certificateEnds = 14 * 24 * time.Hour
	// doctorPatience bounds one question to the server.
	doctorPatience = 20 * time.Second
)

// examineServer looks at what the server shows to anybody. It returns whether more
// can be asked.
func (a *App) examineServer(ctx context.Context, e *examination, c *client.Client) bool {
	ctx, cancel := context.WithTimeout(ctx, doctorPatience)
	defer cancel()
	probe, err := c.Probe(ctx)
	if err != nil {
		f := a.explain(err)
		e.code = client.ExitUsage // as for every verb, unreachable
		next := ""
		if len(f.next) > 0 {
			next = f.next[len(f.next)-1]
		}
		e.add("server", model.FindingFail, next, "%s", f.what)
		return false
	}
	switch v := probe.Version; {
	case v.Version != a.Version:
		e.add("server", model.FindingWarn, "waybill version", "%s answers, but it is %s and this program %s", c.Server(), v.Version, a.Version)
	default:
		e.add("server", model.FindingOK, "", "%s answers, %s as this program", c.Server(), v.Version)
	}
	a.examineClock(e, probe.Date)
	if until := probe.CertificateUntil; !until.IsZero() {
		state := model.FindingOK
		if until.Sub(a.Now()) < certificateEnds { // one that has ended is not answered to
			state = model.FindingWarn
		}
		e.add("certificate", state, "", "ends %s", day(until))
	}
	if err := c.Ready(ctx); err != nil {
		e.add("ready", model.FindingFail, "", "%v", err)
		return true
	}
	e.add("ready", model.FindingOK, "", "the server can answer")
	return true
}

func (a *App) examineClock(e *examination, server time.Time) {
	if server.IsZero() {
		e.add("clock", model.FindingUnknown, "", "the server does not say what time it is")
		return
	}
	skew := a.Now().Sub(server)
	how := "behind"
	if skew < 0 {
		how = "ahead of"
	}
	const next = "timedatectl status   # here and on the server: is the time synchronised?"
	switch apart := skew.Abs(); {
	case apart >= skewFails:
		e.add("clock", model.FindingFail, next, "the server is %s %s this machine: sessions, soak times and windows are judged by its clock", span(apart), how)
	case apart >= skewWarns:
		e.add("clock", model.FindingWarn, next, "the server is %s %s this machine", span(apart), how)
	default:
		e.add("clock", model.FindingOK, "", "the server's is as here")
	}
}

// examineSession says who is signed in and until when. It returns whether anybody is.
func (a *App) examineSession(ctx context.Context, e *examination, c *client.Client) bool {
	ctx, cancel := context.WithTimeout(ctx, doctorPatience)
	defer cancel()
	me, err := c.Me(ctx)
	if err != nil {
		e.code = client.ExitCode(err)
		if client.Code(err) == model.NotSignedIn {
			e.add("session", model.FindingFail, "waybill login "+c.Server(), "you are not signed in, or your session has ended")
		} else {
			e.addError("session", err)
		}
		return false
	}
	left := me.ExpiresAt.Sub(a.Now())
	switch {
	case me.ExpiresAt.IsZero():
		e.add("session", model.FindingOK, "", "signed in as %s", me.Name)
	case left < sessionEnds:
		e.add("session", model.FindingWarn, "waybill login "+c.Server(), "signed in as %s until %s", me.Name, day(me.ExpiresAt))
	default:
		e.add("session", model.FindingOK, "", "signed in as %s until %s", me.Name, day(me.ExpiresAt))
	}
	return true
}

// examineParts adds what the server tells of itself.
func (a *App) examineParts(ctx context.Context, e *examination, c *client.Client) {
	ctx, cancel := context.WithTimeout(ctx, doctorPatience)
	defer cancel()
	found, err := c.Doctor(ctx)
	if err != nil {
		e.addError("server's parts", err)
		return
	}
	for _, f := range found.Items {
		e.add(f.Name, f.State, f.Next, "%s", f.Message)
	}
}

// examineClusters looks whether the destinations answered when they were asked last.
func (a *App) examineClusters(ctx context.Context, e *examination, c *client.Client) {
	ctx, cancel := context.WithTimeout(ctx, doctorPatience)
	defer cancel()
	list, err := c.Clusters(ctx)
	if err != nil {
		if !errors.Is(err, context.Canceled) {
			e.addError("clusters", err)
		}
		return
	}
	bad := 0
	for _, k := range list.Items {
		if k.Ready {
			continue
		}
		bad++
		what := firstOf(k.Message, k.Reason, "nothing is known of it yet")
		if k.Applications > 0 {
			what += "; it is the destination of " + counted(k.Applications, "Application")
		}
		e.add("cluster "+k.Name, model.FindingFail, "waybill cluster test "+k.Name, "%s", what)
	}
	if bad == 0 {
		e.add("clusters", model.FindingOK, "", "every one answers: %d", len(list.Items))
	}
}
