package controllers

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/gitops/render"
	"github.com/waybill-dev/waybill/warehouse"
	"github.com/waybill-dev/waybill/warehouse/chart"
	"github.com/waybill-dev/waybill/warehouse/registry"
)

// An Application of a chart is one of a branch in all but two questions: what its
// revision should be (the newest version in the range, for the head of the branch),
// and what the files of a revision are (those of the archive). Its revision is a
// version, and what a tree hash is for a commit is the digest of the archive.

// lookups are questions to a repository that are asked again and again.
type lookups interface {
	// ask asks now; isFresh reports whether that was answered.
	ask(app types.NamespacedName)
	isFresh(app types.NamespacedName) bool
}

func (r *ApplicationReconciler) lookups(app *v1alpha1.Application) lookups {
	if app.Spec.Source.Chart != "" {
		return r.versions
	}
	return r.heads
}

// headOf returns the head of the branch, or the newest version of the chart.
func (r *ApplicationReconciler) headOf(ctx context.Context, s *appState, o *observation) (head string, answered bool, err error) {
	source := o.app.Spec.Source
	if source.Chart != "" {
		r.heads.forget(s.name)
		newest, answered, err := r.versions.newest(s.name, source)
		o.chart = newest
		return newest.Version, answered, err
	}
	r.versions.forget(s.name)
	remote, err := r.opts.Remote(ctx, o.app.Namespace, source.RepoURL)
	if err != nil {
		o.problem = &problem{reason: "CredentialsInvalid", message: err.Error()}
		return "", false, nil //nolint:nilerr // told as the problem
	}
	return r.heads.head(s.name, remote, source.TargetRevision)
}

// observeChart renders version o.revision of the chart. It returns nil and sets a
// problem when there is nothing to apply.
func (r *ApplicationReconciler) observeChart(ctx context.Context, o *observation) []*unstructured.Unstructured {
	wanted := chart.At(o.app.Spec.Source.RepoURL, o.app.Spec.Source.Chart)
	wanted.Version = o.revision
	switch {
	case o.chart.Version == o.revision && o.chart.Digest != "":
		wanted.Digest = o.chart.Digest
	case o.app.Status.Sync.Revision == o.revision:
		wanted.Digest = o.app.Status.Sync.Tree // what runs
	}
	if r.opts.Charts == nil {
		o.problem = lookupProblem(o.app, errNoCharts)
		return nil
	}
	bounded, cancel := context.WithTimeout(ctx, chartTimeout)
	defer cancel()
	archive, err := r.opts.Charts.Fetch(bounded, o.app.Namespace, wanted)
	if err != nil {
		if ctx.Err() != nil {
			o.superseded = ctx.Err()
			return nil
		}
		p := lookupProblem(o.app, err)
		p.retry = o.now.Add(r.pause(o))
		if o.problem == nil {
			o.problem = p
		}
		return nil
	}
	return r.renderFiles(ctx, o, render.Files(archive.Files), archive.Digest, archive.Digest)
}

// lookupProblem gives the failures of a repository their reasons.
func lookupProblem(app *v1alpha1.Application, err error) *problem {
	if app.Spec.Source.Chart == "" {
		return gitProblem(err)
	}
	switch {
	case errors.Is(err, errNoCharts):
		return &problem{reason: reasonInvalidSpec, message: err.Error()}
	case errors.Is(err, warehouse.ErrInvalid):
		return &problem{reason: reasonInvalidSpec, message: err.Error() + "; correct spec.source"}
	case errors.Is(err, chart.ErrCredential):
		return &problem{reason: "CredentialsInvalid", message: err.Error()}
	case errors.Is(err, chart.ErrNoVersion):
		return &problem{reason: warehouse.ReasonNoMatchingVersion, message: err.Error() + "; correct spec.source.targetRevision or publish one. What runs stays as it is"}
	case errors.Is(err, chart.ErrArchive):
		return &problem{reason: reasonChartInvalid, message: err.Error() + "; publish it again under another version. What runs stays as it is"}
	case errors.Is(err, chart.ErrChanged):
		return &problem{reason: reasonChartChanged, message: fmt.Sprintf("%v; find out who published the version again", err)}
	default:
		return &problem{reason: registry.Reason(err), message: err.Error()}
	}
}
