package controllers

import (
	"context"
	"errors"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/internal/credentials"
	"github.com/waybill-dev/waybill/warehouse"
	"github.com/waybill-dev/waybill/warehouse/registry"
)

// subscription is one of a Warehouse, compiled: what to ask, and how to tell.
type subscription interface {
	identity() warehouse.Identity
	// poll asks for the candidates; what was asked after notBefore is good enough.
	poll(ctx context.Context, project string, old v1alpha1.SubscriptionStatus, notBefore time.Time) warehouse.Poll
	merge(old v1alpha1.SubscriptionStatus, poll warehouse.Poll) v1alpha1.SubscriptionStatus
}

// compile checks the spec of a Warehouse. Its error wraps warehouse.ErrInvalid.
func (r *WarehouseReconciler) compile(w *v1alpha1.Warehouse) ([]subscription, *warehouse.Criteria, error) {
	subscriptions := make([]subscription, len(w.Spec.Subscriptions))
	for i, sub := range w.Spec.Subscriptions {
		var err error
		kind := warehouse.TypeImage
		switch {
		case sub.Git != nil:
			kind = warehouse.TypeGit
			var p *warehouse.CommitPolicy
			p, err = warehouse.CompileCommits(*sub.Git)
			subscriptions[i] = gitSubscription{r, p}
		case sub.Chart != nil:
			kind = warehouse.TypeChart
			var p *warehouse.ChartPolicy
			p, err = warehouse.CompileChart(*sub.Chart)
			subscriptions[i] = chartSubscription{r, sub.Chart, p}
		case sub.Image != nil:
			var p *warehouse.Policy
			p, err = warehouse.Compile(*sub.Image)
			subscriptions[i] = imageSubscription{r, sub.Image, p}
		default:
			err = fmt.Errorf("%w: set one of image, git and chart", warehouse.ErrInvalid)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("spec.subscriptions[%d].%s: %w", i, kind, err)
		}
	}
	criteria, err := warehouse.CompileCriteria(w.Spec.FreightCreationCriteria)
	if err != nil {
		return nil, nil, fmt.Errorf("spec.%w", err)
	}
	return subscriptions, criteria, nil
}

type imageSubscription struct {
	r   *WarehouseReconciler
	sub *v1alpha1.ImageSubscription
	p   *warehouse.Policy
}

func (s imageSubscription) identity() warehouse.Identity { return s.p.Identity() }

func (s imageSubscription) merge(old v1alpha1.SubscriptionStatus, poll warehouse.Poll) v1alpha1.SubscriptionStatus {
	return s.p.Merge(old, poll)
}

func (s imageSubscription) poll(ctx context.Context, project string, _ v1alpha1.SubscriptionStatus, notBefore time.Time) warehouse.Poll {
	credential, err := s.r.Credentials(ctx, credentials.Image, project, s.sub.RepoURL)
	if err != nil {
		return s.r.noCredential(err)
	}
	repository := registry.Repository{URL: s.sub.RepoURL, Credential: credential, InsecureSkipTLSVerify: s.sub.InsecureSkipTLSVerify}
	result, _ := s.r.Registry.Poll(ctx, repository, s.p, notBefore) // the result says what failed
	return result
}

type chartSubscription struct {
	r   *WarehouseReconciler
	sub *v1alpha1.ChartSubscription
	p   *warehouse.ChartPolicy
}

func (s chartSubscription) identity() warehouse.Identity { return s.p.Identity() }

func (s chartSubscription) merge(old v1alpha1.SubscriptionStatus, poll warehouse.Poll) v1alpha1.SubscriptionStatus {
	return s.p.Merge(old, poll)
}

func (s chartSubscription) poll(ctx context.Context, project string, _ v1alpha1.SubscriptionStatus, notBefore time.Time) warehouse.Poll {
	credential, err := s.r.Credentials(ctx, credentials.Chart, project, s.sub.RepoURL)
	if err != nil {
		return s.r.noCredential(err)
	}
	result, _ := s.r.Charts.Poll(ctx, credential, s.p, s.sub.InsecureSkipTLSVerify, notBefore) // the result says what failed
	return result
}

type gitSubscription struct {
	r *WarehouseReconciler
	p *warehouse.CommitPolicy
}

func (s gitSubscription) identity() warehouse.Identity { return s.p.Identity() }

func (s gitSubscription) merge(old v1alpha1.SubscriptionStatus, poll warehouse.Poll) v1alpha1.SubscriptionStatus {
	return s.p.Merge(old, poll)
}

func (s gitSubscription) poll(ctx context.Context, project string, old v1alpha1.SubscriptionStatus, notBefore time.Time) warehouse.Poll {
	remote, err := s.r.Remote(ctx, project, s.p.RepoURL())
	if err != nil {
		return s.r.noCredential(err)
	}
	result, err := s.r.Git.Poll(ctx, remote, s.p, old, notBefore)
	switch {
	case errors.Is(err, warehouse.ErrInvalid):
		result.Reason = "InvalidSubscription"
	case err != nil:
		result.Reason = "PollFailed"
		if word := reasonOf(err); word != "StepFailed" && !errors.Is(err, git.ErrRejected) {
			result.Reason = word
		}
	}
	return result
}

// noCredential is the poll of a subscription whose credential cannot be read.
func (r *WarehouseReconciler) noCredential(err error) warehouse.Poll {
	return warehouse.Poll{At: metav1.Time{Time: r.Clock.Now()}, IsFailed: true, Reason: "InvalidCredential", Error: err.Error()}
}
