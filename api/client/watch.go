package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/api/rest/model"
)

// Times and limits of a watch.
const (
	// silence without any line after which the connection counts as dead; the
	// server pings every 15 s.
	silence = 50 * time.Second
	// firstRetry and lastRetry bound the wait between two connections.
	firstRetry = 250 * time.Millisecond
	lastRetry  = 10 * time.Second
	// maxEventBytes is the largest event that is read.
	maxEventBytes = 32 << 20
)

// ErrStop returned by a handler ends a watch without an error.
var ErrStop = errors.New("stop watching")

// Event is one line of the event stream.
type Event struct {
	// ID to go on from; empty for ping.
	ID string `json:"id"`
	// Name is a topic, reset, gone or ping.
	Name string `json:"event"`
	// Data is the page model of the topic, or the name of the topic that is gone.
	Data json.RawMessage `json:"data"`
}

// TopicProjects, TopicPipeline and TopicPromotion name the topics of Watch.
const TopicProjects = "projects"

// TopicPipeline returns the topic of a Project's pipeline page.
func TopicPipeline(project string) string { return "pipeline:" + project }

// TopicPromotion returns the topic of one Promotion.
func TopicPromotion(project, name string) string { return "promotion:" + project + "/" + name }

// Watch delivers the events of topics to handle, pings excepted, until handle
// returns an error (ErrStop: nil is returned), ctx ends, or the server refuses.
//
// since is the cursor of a page model, or empty to start with the present
// models. A lost connection is made again and goes on where it was;
// reconnecting (may be nil) is told the cause each time.
func (c *Client) Watch(ctx context.Context, topics []string, since string, reconnecting func(error), handle func(Event) error) error {
	wait := firstRetry
	for {
		heard, err := c.watchOnce(ctx, topics, &since, handle)
		var h handlerError
		switch {
		case errors.As(err, &h):
			if errors.Is(h.err, ErrStop) {
				return nil
			}
			return h.err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case isRefusal(err):
			return err
		}
		if reconnecting != nil {
			reconnecting(err)
		}
		if heard {
			wait = firstRetry
		}
		jittered := wait/2 + time.Duration(rand.Int64N(int64(wait/2)+1)) //nolint:gosec // spreads reconnects, guards nothing
		timer := time.NewTimer(jittered)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
		wait = min(2*wait, lastRetry)
	}
}

// handlerError carries an error of the handler out of watchOnce.
type handlerError struct{ err error }

func (h handlerError) Error() string { return h.err.Error() }

// isRefusal reports whether asking again would give the same answer.
func isRefusal(err error) bool {
	var p *Problem
	return errors.As(err, &p) && p.Status >= 400 && p.Status < 500 && p.Status != http.StatusTooManyRequests
}

// errQuiet ends a connection on which nothing arrived for too long.
var errQuiet = fmt.Errorf("nothing heard for %s", silence)

// watchOnce reads one connection to its end. heard says that lines arrived.
func (c *Client) watchOnce(ctx context.Context, topics []string, since *string, handle func(Event) error) (heard bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	dead := time.AfterFunc(silence, func() { cancel(errQuiet) })
	defer dead.Stop()

	k := call{method: http.MethodGet, path: v1("events"), query: values("topics", strings.Join(topics, ",")), header: http.Header{}}
	if *since != "" {
		k.header.Set("Last-Event-ID", *since)
	}
	resp, err := c.send(ctx, k, "application/x-ndjson")
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return false, readProblem(resp)
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(make([]byte, 0, 64<<10), maxEventBytes)
	for lines.Scan() {
		dead.Reset(silence)
		heard = true
		if len(lines.Bytes()) == 0 {
			continue
		}
		var e Event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return heard, fmt.Errorf("event stream: %w", err)
		}
		if e.ID != "" {
			*since = e.ID
		}
		if e.Name == "ping" {
			continue
		}
		if err := handle(e); err != nil {
			return heard, handlerError{err}
		}
	}
	if err := lines.Err(); err != nil {
		return heard, &UnreachableError{Server: c.base.Redacted(), Err: err}
	}
	return heard, &UnreachableError{Server: c.base.Redacted(), Err: errors.New("the server ended the event stream")}
}

// ErrGone means that what is watched was deleted, or may no longer be read.
var ErrGone = errors.New("it is gone, or you may no longer see it")

// WatchPipeline calls handle with the pipeline page now and after every change;
// otherwise as Watch. It returns ErrGone when the Project disappears.
func (c *Client) WatchPipeline(ctx context.Context, project string, reconnecting func(error), handle func(*model.Pipeline) error) error {
	return watchTopic(ctx, c, TopicPipeline(project), reconnecting, handle)
}

// WatchPromotion calls handle with the Promotion now and after every change;
// otherwise as Watch. It returns ErrGone when the Promotion disappears.
func (c *Client) WatchPromotion(ctx context.Context, project, name string, reconnecting func(error), handle func(*model.Promotion) error) error {
	return watchTopic(ctx, c, TopicPromotion(project, name), reconnecting, handle)
}

// WatchProjects calls handle with the projects page now and after every change;
// otherwise as Watch.
func (c *Client) WatchProjects(ctx context.Context, reconnecting func(error), handle func(*model.Projects) error) error {
	return watchTopic(ctx, c, TopicProjects, reconnecting, handle)
}

func watchTopic[T any](ctx context.Context, c *Client, topic string, reconnecting func(error), handle func(*T) error) error {
	return c.Watch(ctx, []string{topic}, "", reconnecting, func(e Event) error {
		switch e.Name {
		case topic:
			var m T
			if err := json.Unmarshal(e.Data, &m); err != nil {
				return fmt.Errorf("event of %q is not what this version of waybill expects: %w", topic, err)
			}
			return handle(&m)
		case "gone":
			return fmt.Errorf("%s: %w", topic, ErrGone)
		default:
			return nil
		}
	})
}
