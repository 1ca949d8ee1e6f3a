package rest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/credentials/secretstore"
	"github.com/waybill-dev/waybill/internal/hook"
	"github.com/waybill-dev/waybill/internal/identity"
)

// Limits of webhooks.
const (
	// hookRate and hookBurst are messages one receiver takes, per second and at
	// once. A push is a few; a flood is not read.
	hookRate  = 10
	hookBurst = 100
	// hooksAtATime bounds how many bodies are in memory at a time, and
	// hooksOfReceiver how many of them are one receiver's: who is slow holds up
	// no other.
	hooksAtATime    = 16
	hooksOfReceiver = 4
	// hookReadTime is how long a sender may take for its body.
	hookReadTime = 10 * time.Second
	// maxDeliveries are remembered of each receiver.
	maxDeliveries = 50
)

// Waker wakes what follows repositories that were pushed to, and names it.
type Waker interface {
	Wake(ctx context.Context, project string, repositories []hook.Repository) ([]string, error)
}

// hooks knows the receivers of all Projects, and what they were sent.
type hooks struct {
	reader client.Reader
	now    func() time.Time
	slots  chan struct{}
	// deliveries counts what came, by sender and result.
	deliveries *prometheus.CounterVec

	mu sync.Mutex
	// isStale: a Project or a Secret changed since the table was made.
	isStale bool
	byID    map[string]*receiver
	// logs are kept while a receiver of that Project and name exists.
	logs map[receiverName]*hookLog
}

type receiverName struct{ project, name string }

// receiver is one that listens, with its budget.
type receiver struct {
	*hook.Receiver
	limit *rate.Limiter
	slots chan struct{}
	log   *hookLog
}

// hookLog is what a receiver was sent. Its fields are guarded by hooks.mu.
type hookLog struct {
	counts model.WebhookCounts
	last   []model.WebhookDelivery // oldest first
	seen   seen
}

func newHooks(reader client.Reader, now func() time.Time) *hooks {
	return &hooks{
		reader: reader, now: now, slots: make(chan struct{}, hooksAtATime), isStale: true,
		byID: map[string]*receiver{}, logs: map[receiverName]*hookLog{},
		deliveries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "waybill_webhook_deliveries_total", Help: "Messages webhook receivers were sent, by sender and result.",
		}, []string{"sender", "result"}),
	}
}

// watch makes the table anew after a change of a Project or of a Secret that the
// cache holds.
func (h *hooks) watch(ctx context.Context, c cache.Cache) error {
	stale := func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.isStale = true
	}
	for _, o := range []client.Object{&v1alpha1.Project{}, &corev1.Secret{}} {
		informer, err := c.GetInformer(ctx, o)
		if err != nil {
			return fmt.Errorf("watch %T: %w", o, err)
		}
		_, err = informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
			AddFunc: func(any) { stale() }, UpdateFunc: func(any, any) { stale() }, DeleteFunc: func(any) { stale() },
		})
		if err != nil {
			return fmt.Errorf("watch %T: %w", o, err)
		}
	}
	return nil
}

// find returns the receiver with that path, or nil. It reads the cache only
// after a change: nothing a sender does makes it.
func (h *hooks) find(ctx context.Context, id string) (*receiver, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.isStale {
		if err := h.load(ctx); err != nil {
			return nil, err
		}
		h.isStale = false
	}
	return h.byID[id], nil
}

// load reads all receivers. h.mu is held.
func (h *hooks) load(ctx context.Context) error {
	var projects v1alpha1.ProjectList
	if err := h.reader.List(ctx, &projects); err != nil {
		return fmt.Errorf("list Projects: %w", err)
	}
	byID, logs := map[string]*receiver{}, map[receiverName]*hookLog{}
	for i := range projects.Items {
		p := &projects.Items[i]
		all, err := secretstore.Receivers(ctx, h.reader, p)
		if err != nil {
			return err //nolint:wrapcheck // names the Secret already
		}
		for _, one := range all {
			name := receiverName{p.Name, one.Name}
			if logs[name] = h.logs[name]; logs[name] == nil {
				logs[name] = &hookLog{}
			}
			if one.Receiver == nil || p.DeletionTimestamp != nil {
				continue
			}
			r := h.byID[one.Receiver.ID()]
			if r == nil {
				r = &receiver{limit: rate.NewLimiter(hookRate, hookBurst), slots: make(chan struct{}, hooksOfReceiver)}
			}
			// A budget outlives changes of other things.
			byID[one.Receiver.ID()] = &receiver{Receiver: one.Receiver, limit: r.limit, slots: r.slots, log: logs[name]}
		}
	}
	h.byID, h.logs = byID, logs
	return nil
}

// record remembers a delivery.
func (h *hooks) record(r *receiver, d model.WebhookDelivery) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch d.Result {
	case model.Woke:
		r.log.counts.Woke++
	case model.Ignored:
		r.log.counts.Ignored++
	case model.Refused:
		r.log.counts.Refused++
	case model.Malformed:
		r.log.counts.Malformed++
	}
	h.deliveries.WithLabelValues(string(r.Sender), string(d.Result)).Inc()
	d.At = h.now().UTC()
	if len(r.log.last) == maxDeliveries {
		r.log.last = append(r.log.last[:0], r.log.last[1:]...)
	}
	r.log.last = append(r.log.last, d)
}

func (h *hooks) recordLimited(r *receiver) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r.log.counts.Limited++
	h.deliveries.WithLabelValues(string(r.Sender), "Limited").Inc()
}

// Collectors returns the metrics of the API.
func (s *Server) Collectors() []prometheus.Collector {
	return []prometheus.Collector{s.hooks.deliveries}
}

// tooMany refuses without reading.
func (h *hooks) tooMany(r *receiver) error {
	h.recordLimited(r)
	out := refuse(model.TooManyRequests, "too many messages at a time")
	out.retryAfter = time.Second
	return out
}

// ReceiveHook takes a message of a Git server or registry.
//
// Nothing is read of a message before its receiver is known and within its
// budget; nothing is done before it is proven. What it wakes is asked what is
// true.
func (s *Server) ReceiveHook(ctx context.Context, request ReceiveHookRequestObject) (ReceiveHookResponseObject, error) {
	if s.opts.Waker == nil {
		return nil, refuse(model.NotFound, "there is no such webhook receiver")
	}
	r, err := s.hooks.find(ctx, request.Receiver)
	if err != nil {
		return nil, err
	}
	if r == nil {
		return nil, refuse(model.NotFound, "there is no such webhook receiver").withHint("the path changes with the secret; waybill get webhooks shows it")
	}
	if !r.limit.AllowN(s.opts.Clock.Now(), 1) {
		return nil, s.hooks.tooMany(r)
	}
	for _, slots := range []chan struct{}{r.slots, s.hooks.slots} {
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
		default:
			return nil, s.hooks.tooMany(r)
		}
	}
	in := requestOf(ctx)
	body, err := io.ReadAll(in.Body) // bounded by outer and by the deadline of hookReadTime
	if err != nil {
		s.hooks.record(r, model.WebhookDelivery{Result: model.Malformed, Detail: "the body is too large, too slow or cut off"})
		return nil, fmt.Errorf("read the message: %w", err)
	}
	e, err := r.Read(in.Header.Get, body)
	d := model.WebhookDelivery{ID: e.ID, Event: e.Kind, Result: model.Ignored}
	switch {
	case errors.Is(err, hook.ErrUnverified):
		d.Result, d.Detail = model.Refused, err.Error()
		s.hooks.record(r, d)
		return nil, refuse(model.NotSignedIn, "the %s", err).withHint("the secret of the sender and of the receiver must be the same")
	case err != nil:
		d.Result, d.Detail = model.Malformed, err.Error()
		s.hooks.record(r, d)
		return nil, refuse(model.InvalidRequest, "%s", err)
	}
	for _, repo := range e.Repositories {
		d.Repositories = append(d.Repositories, repo.URL)
	}
	if s.hooks.isRepeated(r, e, body) {
		d.Detail = "it was delivered before"
		s.hooks.record(r, d)
		return ReceiveHook202JSONResponse{}, nil
	}
	if d.Woken, err = s.opts.Waker.Wake(ctx, r.Project, e.Repositories); err != nil {
		return nil, err
	}
	switch {
	case len(d.Woken) > 0:
		d.Result = model.Woke
		s.hooks.remember(r, e, body)
	case len(e.Repositories) == 0:
		d.Detail = "nothing was pushed"
	default:
		d.Detail = "nothing in the Project follows it"
	}
	s.hooks.record(r, d)
	return ReceiveHook202JSONResponse{Woken: len(d.Woken)}, nil
}

// ListWebhooks returns a Project's receivers with their last deliveries.
func (s *Server) ListWebhooks(ctx context.Context, request ListWebhooksRequestObject) (ListWebhooksResponseObject, error) {
	var p v1alpha1.Project
	if err := s.opts.Cache.Get(ctx, client.ObjectKey{Name: request.Project}, &p); err != nil {
		return nil, fromKube(fmt.Sprintf("read Project %q", request.Project), err)
	}
	showsPath, err := s.may(ctx, identity.Action{Verb: "list", Resource: "secrets", Namespace: request.Project})
	if err != nil {
		return nil, err
	}
	all, err := secretstore.Receivers(ctx, s.opts.Cache, &p)
	if err != nil {
		return nil, err //nolint:wrapcheck // names the Secret already
	}
	out := ListWebhooks200JSONResponse{Items: []model.Webhook{}}
	for _, one := range all {
		m := model.Webhook{Name: one.Name, Sender: string(one.Sender), Ready: one.Receiver != nil, Message: one.Problem, Deliveries: []model.WebhookDelivery{}}
		if one.Receiver != nil {
			m.Signed = one.Receiver.IsSigned()
			if showsPath {
				m.Path = one.Receiver.Path()
				if s.opts.PublicURL != "" {
					m.URL = strings.TrimRight(s.opts.PublicURL, "/") + m.Path
				}
			}
		}
		s.hooks.fill(receiverName{p.Name, one.Name}, &m)
		out.Items = append(out.Items, m)
	}
	return out, nil
}

// fill adds what a receiver was sent, newest first.
func (h *hooks) fill(name receiverName, m *model.Webhook) {
	h.mu.Lock()
	defer h.mu.Unlock()
	log := h.logs[name]
	if log == nil {
		return
	}
	m.Counts = log.counts
	for i := len(log.last) - 1; i >= 0; i-- {
		m.Deliveries = append(m.Deliveries, log.last[i])
	}
}
