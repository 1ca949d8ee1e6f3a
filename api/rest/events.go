package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/identity"
)

// Times and limits of a stream.
const (
	// pingEvery keeps proxies from closing the stream, and is how often rights
	// and session are looked at again.
	pingEvery = 15 * time.Second
	// writeTime of one event; a client that does not read for so long is dropped.
	writeTime = 10 * time.Second
	// maxTopicsPerStream bounds one stream.
	maxTopicsPerStream = 20
)

// streamTimes are pingEvery and writeTime; tests shorten them.
type streamTimes struct{ ping, write time.Duration }

// buildTopic makes the model of a topic.
func (s *Server) buildTopic(ctx context.Context, topic string) (any, time.Time, error) {
	kind, project, name, err := parseTopic(topic)
	if err != nil {
		return nil, time.Time{}, err
	}
	switch kind {
	case "projects":
		m, err := s.buildProjects(ctx)
		return m, time.Time{}, err
	case "inbox":
		m, err := s.buildInboxMark(ctx)
		return m, time.Time{}, err
	case "pipeline":
		m, at, err := s.buildPipeline(ctx, project)
		return m, at, err
	default:
		m, err := s.buildPromotion(ctx, project, name)
		return m, time.Time{}, err
	}
}

// Events opens a stream.
func (s *Server) Events(ctx context.Context, request EventsRequestObject) (EventsResponseObject, error) {
	who, err := whoIs(ctx)
	if err != nil {
		return nil, err
	}
	topics := strings.Split(request.Params.Topics, ",")
	slices.Sort(topics)
	topics = slices.Compact(topics)
	if len(topics) > maxTopicsPerStream {
		return nil, refuse(model.InvalidRequest, "a stream carries at most %d topics", maxTopicsPerStream)
	}
	for _, topic := range topics {
		if err := s.permitTopic(ctx, topic); err != nil {
			return nil, err
		}
		// A topic that cannot be made is an error now rather than silence later.
		if _, err := s.hub.current(ctx, topic); err != nil {
			return nil, err
		}
	}
	since := request.Params.LastEventID
	if since == "" {
		since = request.Params.Since
	}
	return &stream{
		s: s, ctx: ctx, who: who, topics: topics, since: since,
		isNDJSON: strings.Contains(requestOf(ctx).Header.Get("Accept"), "application/x-ndjson"),
	}, nil
}

// permitTopic asks whether the person may read a topic.
func (s *Server) permitTopic(ctx context.Context, topic string) error {
	kind, project, name, err := parseTopic(topic)
	if err != nil {
		return err
	}
	switch kind {
	case "pipeline":
		return s.permit(ctx, identity.Action{Verb: "list", Group: v1alpha1.Group, Resource: "stages", Namespace: project}, project)
	case "promotion":
		return s.permit(ctx, identity.Action{Verb: "get", Group: v1alpha1.Group, Resource: "promotions", Namespace: project, Name: name}, project)
	}
	return nil // projectsFor narrows it
}

// projectsFor narrows the projects page to what a person may see.
func (s *Server) projectsFor(ctx context.Context, person identity.Person, p *page) ([]byte, error) {
	all, ok := p.model.(model.Projects)
	if !ok {
		return nil, fmt.Errorf("projects page is a %T", p.model)
	}
	out := model.Projects{Cursor: all.Cursor, Items: []model.ProjectSummary{}}
	for _, item := range all.Items {
		visible, err := s.reviewer.May(ctx, person, identity.Action{Verb: "list", Group: v1alpha1.Group, Resource: "stages", Namespace: item.Name})
		if err != nil {
			return nil, err
		}
		if visible {
			out.Items = append(out.Items, item)
		}
	}
	out.Counts = countWords(out.Items)
	return json.Marshal(out)
}

// stream is one open event stream. It runs in the request's goroutine and
// starts no other.
type stream struct {
	s        *Server
	ctx      context.Context //nolint:containedctx // the stream is the request
	who      signedIn
	topics   []string
	since    string
	isNDJSON bool

	w    http.ResponseWriter
	rc   *http.ResponseController
	seen map[string]string // id of the last page sent, by topic
	last map[string][]byte // of narrowed pages, without cursor: what was sent last
}

// VisitEventsResponse writes events until the client leaves, the session ends,
// or no topic is left.
func (st *stream) VisitEventsResponse(w http.ResponseWriter) error {
	st.w, st.rc = w, http.NewResponseController(w)
	st.seen, st.last = map[string]string{}, map[string][]byte{}
	r, leave := st.s.hub.subscribe(st.topics)
	defer leave()

	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	if st.isNDJSON {
		h.Set("Content-Type", "application/x-ndjson")
	}
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	// The connection's read deadline is for requests; this one stays open.
	_ = st.rc.SetReadDeadline(time.Time{})
	w.WriteHeader(http.StatusOK)
	if err := st.begin(); err != nil {
		return nil //nolint:nilerr // the client is gone
	}
	ping := st.s.opts.Clock.NewTicker(st.s.times.ping)
	defer ping.Stop()
	for {
		if err := st.sendNew(); err != nil {
			return nil //nolint:nilerr // the client is gone, or may no longer read
		}
		if len(st.topics) == 0 {
			return nil
		}
		select {
		case <-st.ctx.Done():
			return nil
		case <-r.wake:
		case <-ping.C():
			if err := st.checkAgain(); err != nil {
				return nil //nolint:nilerr // the session has ended
			}
		}
	}
}

// begin decides from where to go on.
func (st *stream) begin() error {
	if !st.isNDJSON {
		if err := st.write([]byte("retry: 2000\n\n")); err != nil {
			return err
		}
	}
	if st.since == "" {
		return nil
	}
	if !st.s.hub.isOurs(st.since) {
		// Another process gave the id: nobody knows what was missed.
		return st.event("", "reset", []byte("{}"))
	}
	for _, topic := range st.topics {
		st.seen[topic] = st.since
	}
	return nil
}

// sendNew sends each topic whose page is newer than what the client has.
func (st *stream) sendNew() error {
	for _, topic := range slices.Clone(st.topics) {
		p, gone := st.s.hub.peek(topic)
		if gone {
			if err := st.drop(topic); err != nil {
				return err
			}
			continue
		}
		if p == nil || (st.seen[topic] != "" && !isBefore(st.seen[topic], p.id)) {
			continue
		}
		if err := st.permitted(topic); err != nil {
			if isHidden(err) {
				if err := st.drop(topic); err != nil {
					return err
				}
				continue
			}
			return err
		}
		if err := st.send(topic, p); err != nil {
			return err
		}
	}
	return nil
}

func (st *stream) send(topic string, p *page) error {
	data := p.data
	if topic == topicProjects || topic == topicInbox {
		narrow := st.s.projectsFor
		if topic == topicInbox {
			narrow = st.s.inboxFor
		}
		var err error
		if data, err = narrow(st.ctx, st.who.person, p); err != nil {
			return err
		}
		// What is somebody else's may be all that changed.
		same := bytes.Replace(data, []byte(p.id), nil, 1)
		if bytes.Equal(same, st.last[topic]) {
			st.seen[topic] = p.id
			return nil
		}
		st.last[topic] = same
	}
	st.seen[topic] = p.id
	return st.event(p.id, topic, data)
}

// permitted asks again before each page; the answer is remembered for seconds.
func (st *stream) permitted(topic string) error { return st.s.permitTopic(st.ctx, topic) }

func isHidden(err error) bool {
	var r *refusal
	return errors.As(err, &r) && (r.code == model.NotFound || r.code == model.Forbidden)
}

// drop tells the client that a topic ends, and why it need not know.
func (st *stream) drop(topic string) error {
	st.topics = slices.DeleteFunc(st.topics, func(t string) bool { return t == topic })
	data, err := json.Marshal(topic)
	if err != nil {
		return err
	}
	return st.event("", "gone", data)
}

// errEnded ends a stream whose session or rights have ended.
var errEnded = errors.New("session has ended")

// checkAgain pings, and looks whether the person is still signed in and may
// still read.
func (st *stream) checkAgain() error {
	if _, _, err := st.s.users.Authenticate(st.ctx, st.who.kind, st.who.value); err != nil {
		return errEnded
	}
	for _, topic := range slices.Clone(st.topics) {
		if err := st.permitted(topic); err != nil {
			if !isHidden(err) {
				return err
			}
			if err := st.drop(topic); err != nil {
				return err
			}
		}
	}
	if p, _ := st.s.hub.peek(topicProjects); p != nil && slices.Contains(st.topics, topicProjects) && st.last[topicProjects] != nil {
		// Rights may have changed without any Project changing.
		if err := st.send(topicProjects, p); err != nil {
			return err
		}
	}
	if st.isNDJSON {
		return st.event("", "ping", nil)
	}
	return st.write([]byte(": ping\n\n"))
}

// event writes one event. JSON has no line breaks, so one data line holds it.
func (st *stream) event(id, name string, data []byte) error {
	var b bytes.Buffer
	if st.isNDJSON {
		line := map[string]any{"event": name}
		if id != "" {
			line["id"] = id
		}
		if data != nil {
			line["data"] = json.RawMessage(data)
		}
		if err := json.NewEncoder(&b).Encode(line); err != nil {
			return err
		}
		return st.write(b.Bytes())
	}
	if id != "" {
		fmt.Fprintf(&b, "id: %s\n", id)
	}
	fmt.Fprintf(&b, "event: %s\ndata: %s\n\n", name, data)
	return st.write(b.Bytes())
}

// write has a deadline: a client that does not read is dropped.
func (st *stream) write(data []byte) error {
	if err := st.rc.SetWriteDeadline(time.Now().Add(st.s.times.write)); err != nil { //nolint:forbidigo // a deadline of the operating system
		return fmt.Errorf("set deadline of stream: %w", err)
	}
	if _, err := st.w.Write(data); err != nil {
		return err
	}
	return st.rc.Flush()
}
