package rest

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
	ctrlcache "sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// Times and limits of the hub.
const (
	// coalesce gathers the events of one change, such as a rollout, into one
	// model.
	coalesce = 75 * time.Millisecond
	// look again this often, for what no event tells (ages, freezes that end).
	lookAgain = 15 * time.Second
	// keepWarm a topic after its last reader, so that the stream that follows a
	// page load finds it.
	keepWarm = time.Minute
	// maxTopics are warm at a time.
	maxTopics = 2000
	// buildTime of one model.
	buildTime = 20 * time.Second
)

// Topics that are narrowed to the person who reads them.
const (
	topicProjects = "projects"
	topicInbox    = "inbox"
)

func topicPipeline(project string) string { return "pipeline:" + project }

func topicPromotion(project, name string) string { return "promotion:" + project + "/" + name }

// parseTopic returns the kind of topic, its Project and its Promotion.
func parseTopic(topic string) (kind, project, name string, err error) {
	kind, rest, _ := strings.Cut(topic, ":")
	switch kind {
	case "projects":
		if rest == "" && topic == topicProjects {
			return kind, "", "", nil
		}
	case "inbox":
		if rest == "" && topic == topicInbox {
			return kind, "", "", nil
		}
	case "pipeline":
		if isName(rest) {
			return kind, rest, "", nil
		}
	case "promotion":
		project, name, _ := strings.Cut(rest, "/")
		if isName(project) && isName(name) {
			return kind, project, name, nil
		}
	}
	return "", "", "", refuse(model.InvalidRequest, "unknown topic %q", topic).withHint("topics are projects, inbox, pipeline:PROJECT and promotion:PROJECT/NAME")
}

// isName accepts what Kubernetes accepts as a name.
func isName(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		alnum := c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
		if !alnum && (i == 0 || i == len(s)-1 || c != '-' && c != '.') {
			return false
		}
	}
	return true
}

// page is a model as it was at an id. It is never changed.
type page struct {
	id    string
	model any
	data  []byte // encoded, with its cursor
	plain []byte // encoded without cursor, to see whether something changed
}

// builder returns the model of a topic and when it changes by itself (zero:
// only by events). A refusal with code not-found means that the topic is gone.
type builder func(ctx context.Context, topic string) (any, time.Time, error)

// hub keeps page models current while somebody looks at them.
//
// A model is the whole page, so the newest one is all a reader needs: a topic
// keeps one, a slow reader skips those in between, and a reader that comes back
// gets the present one if it is newer than what it saw. Ids are decimal numbers
// that grow over all topics; the last six digits tell server processes apart.
type hub struct {
	clock clock.WithTicker
	log   *slog.Logger
	build builder
	nonce uint32

	mu      sync.Mutex
	counter uint64
	topics  map[string]*topicState
	ready   bool
	wake    chan struct{}
}

type topicState struct {
	// building is held while the model is made, so that it is made once.
	building sync.Mutex

	// The rest is guarded by hub.mu.
	page     *page
	gone     bool
	dirty    bool
	changeAt time.Time
	usedAt   time.Time
	readers  map[*reader]struct{}
}

// reader is woken when one of its topics has a new page.
type reader struct{ wake chan struct{} }

func newHub(clock clock.WithTicker, log *slog.Logger, build builder) (*hub, error) {
	var random [4]byte
	if _, err := rand.Read(random[:]); err != nil {
		return nil, fmt.Errorf("read random number: %w", err)
	}
	return &hub{
		clock: clock, log: log, build: build, nonce: binary.BigEndian.Uint32(random[:]) % 1_000_000,
		// Above every id of an earlier process, whatever it counted to.
		counter: uint64(clock.Now().UnixMicro()), //nolint:gosec // after 1970
		topics:  map[string]*topicState{}, wake: make(chan struct{}, 1),
	}, nil
}

// idLocked returns the next id.
func (h *hub) idLocked() string {
	h.counter++
	return fmt.Sprintf("%d%06d", h.counter, h.nonce)
}

// isOurs reports whether an id was given by this process.
func (h *hub) isOurs(id string) bool {
	return len(id) > 6 && strings.HasSuffix(id, fmt.Sprintf("%06d", h.nonce))
}

// isBefore compares two ids.
func isBefore(a, b string) bool {
	if len(a) != len(b) {
		return len(a) < len(b)
	}
	return a < b
}

func (h *hub) isReady() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ready
}

// run watches the cache and rebuilds what changed until ctx ends.
func (h *hub) run(ctx context.Context, c ctrlcache.Cache) error {
	remove, err := h.listen(ctx, c)
	if err != nil {
		return err
	}
	defer remove()
	if !c.WaitForCacheSync(ctx) {
		return nil // ctx ended
	}
	h.mu.Lock()
	h.ready = true
	h.mu.Unlock()
	timer := h.clock.NewTimer(lookAgain)
	defer timer.Stop()
	looked := h.clock.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C():
		case <-h.wake:
			wait := h.clock.NewTimer(coalesce)
			select {
			case <-ctx.Done():
				wait.Stop()
				return nil
			case <-wait.C():
			}
		}
		now := h.clock.Now()
		all := now.Sub(looked) >= lookAgain
		if all {
			looked = now
		}
		next := h.refresh(ctx, now, all)
		timer.Stop()
		timer = h.clock.NewTimer(min(lookAgain, max(next.Sub(now), time.Millisecond)))
	}
}

// listen marks topics when an object changes.
func (h *hub) listen(ctx context.Context, c ctrlcache.Cache) (remove func(), err error) {
	var removers []func()
	remove = func() {
		for _, r := range removers {
			r()
		}
	}
	for _, obj := range []client.Object{
		&v1alpha1.Project{}, &v1alpha1.Warehouse{}, &v1alpha1.Freight{}, &v1alpha1.Stage{},
		&v1alpha1.Promotion{}, &v1alpha1.Application{}, &v1alpha1.Freeze{}, &v1alpha1.Approval{},
	} {
		informer, err := c.GetInformer(ctx, obj)
		if err != nil {
			remove()
			return nil, fmt.Errorf("watch %T: %w", obj, err)
		}
		registration, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    func(o any) { h.changed(o) },
			UpdateFunc: func(_, o any) { h.changed(o) },
			DeleteFunc: func(o any) { h.changed(o) },
		})
		if err != nil {
			remove()
			return nil, fmt.Errorf("watch %T: %w", obj, err)
		}
		removers = append(removers, func() { _ = informer.RemoveEventHandler(registration) })
	}
	return remove, nil
}

// changed marks the topics an object is shown in.
func (h *hub) changed(o any) {
	if d, ok := o.(cache.DeletedFinalStateUnknown); ok {
		o = d.Obj
	}
	obj, ok := o.(client.Object)
	if !ok {
		return
	}
	project := obj.GetNamespace()
	if project == "" {
		project = obj.GetName()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	any := false
	for topic, st := range h.topics {
		_, of, name, _ := parseTopic(topic)
		if of != "" && of != project {
			continue
		}
		// A Promotion page shows its Promotion and the status of the Stage.
		if p, isPromotion := o.(*v1alpha1.Promotion); isPromotion && name != "" && name != p.Name {
			continue
		}
		st.dirty, any = true, true
	}
	if any {
		select {
		case h.wake <- struct{}{}:
		default:
		}
	}
}

// refresh rebuilds dirty topics, drops unused ones, and returns when to look
// again.
func (h *hub) refresh(ctx context.Context, now time.Time, all bool) time.Time {
	h.mu.Lock()
	var due []string
	for topic, st := range h.topics {
		if len(st.readers) == 0 && now.Sub(st.usedAt) > keepWarm {
			delete(h.topics, topic)
			continue
		}
		if all || (!st.changeAt.IsZero() && !now.Before(st.changeAt)) {
			st.dirty = true
		}
		if st.dirty {
			due = append(due, topic)
		}
	}
	h.mu.Unlock()
	for _, topic := range due {
		if _, err := h.update(ctx, topic); err != nil && ctx.Err() == nil && refusalOf(err).code != model.NotFound {
			h.log.Error("a page model could not be made", "topic", topic, "error", err)
		}
	}
	next := now.Add(lookAgain)
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, st := range h.topics {
		if !st.changeAt.IsZero() && st.changeAt.After(now) && st.changeAt.Before(next) {
			next = st.changeAt
		}
	}
	return next
}

// current returns the present page of a topic; what changed a moment ago is in
// it. The topic stays warm for a while.
func (h *hub) current(ctx context.Context, topic string) (*page, error) {
	h.mu.Lock()
	if !h.ready {
		h.mu.Unlock()
		return nil, refuse(model.Unavailable, "the server is starting").withHint("try again in a moment")
	}
	st := h.topics[topic]
	if st == nil {
		if len(h.topics) >= maxTopics {
			h.mu.Unlock()
			return nil, refuse(model.TooManyRequests, "too many pages are being watched")
		}
		st = &topicState{dirty: true, readers: map[*reader]struct{}{}}
		h.topics[topic] = st
	}
	st.usedAt = h.clock.Now()
	fresh := !st.dirty && st.page != nil
	p := st.page
	h.mu.Unlock()
	if fresh {
		return p, nil
	}
	return h.update(ctx, topic)
}

// update makes the model of a topic anew if it is dirty, and wakes its readers
// when it changed.
func (h *hub) update(ctx context.Context, topic string) (*page, error) {
	h.mu.Lock()
	st := h.topics[topic]
	h.mu.Unlock()
	if st == nil {
		return nil, errors.New("topic was dropped meanwhile")
	}
	st.building.Lock()
	defer st.building.Unlock()

	h.mu.Lock()
	if !st.dirty && st.page != nil {
		p := st.page
		h.mu.Unlock()
		return p, nil // somebody else just made it
	}
	st.dirty = false // events from now on count again
	h.mu.Unlock()

	ctx, cancel := context.WithTimeout(ctx, buildTime)
	defer cancel()
	m, changeAt, err := h.build(ctx, topic)
	if err == nil {
		return h.publish(st, m, changeAt)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	st.dirty = true
	if refusalOf(err).code == model.NotFound {
		st.gone, st.page = true, nil
		st.dirty = false
		wakeAll(st)
		if len(st.readers) == 0 {
			delete(h.topics, topic)
		}
	}
	return nil, err
}

// publish keeps the model if it differs from the one before.
func (h *hub) publish(st *topicState, m any, changeAt time.Time) (*page, error) {
	plain, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode page model: %w", err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	st.changeAt, st.gone = changeAt, false
	if st.page != nil && bytes.Equal(st.page.plain, plain) {
		return st.page, nil
	}
	p := &page{id: h.idLocked(), plain: plain}
	p.model = withCursor(m, p.id)
	if p.data, err = json.Marshal(p.model); err != nil {
		return nil, fmt.Errorf("encode page model: %w", err)
	}
	st.page = p
	wakeAll(st)
	return p, nil
}

func withCursor(m any, id string) any {
	switch m := m.(type) {
	case model.Pipeline:
		m.Cursor = id
		return m
	case model.Projects:
		m.Cursor = id
		return m
	case model.Promotion:
		m.Cursor = id
		return m
	}
	return m
}

func wakeAll(st *topicState) {
	for r := range st.readers {
		select {
		case r.wake <- struct{}{}:
		default: // it is going to look anyway
		}
	}
}

// subscribe adds a reader to topics that are warm; leave removes it.
func (h *hub) subscribe(topics []string) (r *reader, leave func()) {
	r = &reader{wake: make(chan struct{}, 1)}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, topic := range topics {
		st := h.topics[topic]
		if st == nil {
			st = &topicState{dirty: true, readers: map[*reader]struct{}{}}
			h.topics[topic] = st
		}
		st.readers[r] = struct{}{}
	}
	return r, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		for _, topic := range topics {
			if st := h.topics[topic]; st != nil {
				delete(st.readers, r)
				st.usedAt = h.clock.Now()
				if st.gone && len(st.readers) == 0 {
					delete(h.topics, topic)
				}
			}
		}
	}
}

// peek returns the newest page of a topic and whether the topic is gone.
func (h *hub) peek(topic string) (p *page, gone bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if st := h.topics[topic]; st != nil {
		return st.page, st.gone
	}
	return nil, true
}
