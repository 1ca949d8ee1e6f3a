package identity

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/clock"
)

// How long an answer is believed. Writes are decided again by Kubernetes, with
// the person's identity; a read may be allowed this much too long.
const (
	believeYes = 10 * time.Second
	believeNo  = 2 * time.Second
	maxAnswers = 20_000
	// reviewTimeout of one question.
	reviewTimeout = 5 * time.Second
)

// Action is what a person wants to do. Group is waybill.dev's objects unless
// said otherwise.
type Action struct {
	Verb, Group, Resource, Namespace, Name string
}

// Reviewer asks the cluster's authorizer what people may do and remembers the
// answers for seconds.
type Reviewer struct {
	kube  kubernetes.Interface
	clock clock.PassiveClock
	calls singleflight.Group

	mu      sync.Mutex
	answers map[string]answer
}

type answer struct {
	allowed bool
	until   time.Time
}

// NewReviewer returns a Reviewer that asks with the server's own client.
func NewReviewer(kube kubernetes.Interface, clock clock.PassiveClock) *Reviewer {
	return &Reviewer{kube: kube, clock: clock, answers: map[string]answer{}}
}

// May reports whether the cluster's RBAC allows p to do a. An error means that
// nobody knows; treat it as no.
func (r *Reviewer) May(ctx context.Context, p Person, a Action) (bool, error) {
	if err := p.validate(); err != nil {
		return false, fmt.Errorf("review: %w", err)
	}
	key := p.Key() + "\x01" + a.Verb + "\x00" + a.Group + "\x00" + a.Resource + "\x00" + a.Namespace + "\x00" + a.Name
	now := r.clock.Now()
	r.mu.Lock()
	known, ok := r.answers[key]
	r.mu.Unlock()
	if ok && now.Before(known.until) {
		return known.allowed, nil
	}
	// One caller that leaves must not fail the others: the question outlives it.
	ch := r.calls.DoChan(key, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), reviewTimeout)
		defer cancel()
		return r.ask(ctx, p, a)
	})
	select {
	case <-ctx.Done():
		return false, context.Cause(ctx)
	case res := <-ch:
		if res.Err != nil {
			return false, res.Err
		}
		allowed := res.Val.(bool) //nolint:forcetypeassert // ask returns bool
		r.remember(key, allowed)
		return allowed, nil
	}
}

func (r *Reviewer) ask(ctx context.Context, p Person, a Action) (bool, error) {
	sar := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: p.User, Groups: append(append([]string(nil), p.Groups...), authenticatedGroup),
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Verb: a.Verb, Group: a.Group, Resource: a.Resource, Namespace: a.Namespace, Name: a.Name,
		},
	}}
	out, err := r.kube.AuthorizationV1().SubjectAccessReviews().Create(ctx, sar, metav1.CreateOptions{})
	if err != nil {
		return false, fmt.Errorf("ask whether %q may %s %s: %w", p.User, a.Verb, a.Resource, err)
	}
	if out.Status.EvaluationError != "" && !out.Status.Allowed {
		// Unknown parts of RBAC may be reported beside a valid "no".
		return false, nil
	}
	if out.Status.Denied && out.Status.Allowed {
		return false, errors.New("the authorizer says allowed and denied")
	}
	return out.Status.Allowed, nil
}

func (r *Reviewer) remember(key string, allowed bool) {
	now := r.clock.Now()
	life := believeNo
	if allowed {
		life = believeYes
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.answers) >= maxAnswers {
		for k, a := range r.answers {
			if !now.Before(a.until) {
				delete(r.answers, k)
			}
		}
		if len(r.answers) >= maxAnswers {
			clear(r.answers)
		}
	}
	r.answers[key] = answer{allowed, now.Add(life)}
}
