// Package observe reads what the pure rules of package promotion look at.
//
// Controllers, API and CLI server side all make their Observation here, so
// that the same Stage is seen the same way everywhere.
package observe

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/promotion"
)

// Index names of the field indexes Stage needs on a cache-backed reader.
const (
	PromotionByStage = "spec.stage"
	FreightByOrigin  = "origin.name"
	ApprovalByStage  = "spec.stage"
)

// RegisterIndexes adds the field indexes of this package to a cache.
func RegisterIndexes(ctx context.Context, indexer client.FieldIndexer) error {
	err := indexer.IndexField(ctx, &v1alpha1.Promotion{}, PromotionByStage, func(o client.Object) []string {
		return []string{o.(*v1alpha1.Promotion).Spec.Stage}
	})
	if err != nil {
		return fmt.Errorf("index Promotions by Stage: %w", err)
	}
	err = indexer.IndexField(ctx, &v1alpha1.Freight{}, FreightByOrigin, func(o client.Object) []string {
		return []string{o.(*v1alpha1.Freight).Origin.Name}
	})
	if err != nil {
		return fmt.Errorf("index Freight by origin: %w", err)
	}
	err = indexer.IndexField(ctx, &v1alpha1.Approval{}, ApprovalByStage, func(o client.Object) []string {
		return []string{o.(*v1alpha1.Approval).Spec.Stage}
	})
	if err != nil {
		return fmt.Errorf("index Approvals by Stage: %w", err)
	}
	return nil
}

// Stage returns the Observation of one Stage at now. It returns the API
// server's not-found error when there is no such Stage.
func Stage(ctx context.Context, r client.Reader, key client.ObjectKey, now time.Time) (*promotion.Observation, error) {
	o := &promotion.Observation{Now: now, Stage: &v1alpha1.Stage{}}
	if err := r.Get(ctx, key, o.Stage); err != nil {
		return nil, err //nolint:wrapcheck // callers test for not found
	}
	if err := expand(ctx, r, o.Stage); err != nil {
		return nil, err
	}
	in := client.InNamespace(key.Namespace)
	var stages v1alpha1.StageList
	var err error
	if err = r.List(ctx, &stages, in); err != nil {
		return nil, fmt.Errorf("list Stages of %q: %w", key.Namespace, err)
	}
	o.Stages = stages.Items
	for _, req := range o.Stage.Spec.RequestedFreight {
		var freight v1alpha1.FreightList
		if err := r.List(ctx, &freight, in, client.MatchingFields{FreightByOrigin: req.Origin.Name}); err != nil {
			return nil, fmt.Errorf("list Freight of %q: %w", req.Origin.Name, err)
		}
		o.Freight = append(o.Freight, freight.Items...)
		wanted, err := signatures(ctx, r, client.ObjectKey{Namespace: key.Namespace, Name: req.Origin.Name})
		if err != nil {
			return nil, err
		}
		o.Signatures = append(o.Signatures, wanted...)
	}
	var freezes v1alpha1.FreezeList
	if err := r.List(ctx, &freezes, in); err != nil {
		return nil, fmt.Errorf("list Freezes of %q: %w", key.Namespace, err)
	}
	o.Freezes = freezes.Items
	if o.Windows, err = windows(ctx, r, key.Namespace, now); err != nil {
		return nil, err
	}
	if o.Stage.Spec.PromotionTemplate != nil {
		var tasks v1alpha1.PromotionTaskList
		if err := r.List(ctx, &tasks, in); err != nil {
			return nil, fmt.Errorf("list PromotionTasks of %q: %w", key.Namespace, err)
		}
		o.Tasks = tasks.Items
	}
	var promotions v1alpha1.PromotionList
	if err := r.List(ctx, &promotions, in, client.MatchingFields{PromotionByStage: key.Name}); err != nil {
		return nil, fmt.Errorf("list Promotions of %q: %w", key.Name, err)
	}
	o.Promotions = promotions.Items
	var approvals v1alpha1.ApprovalList
	if err := r.List(ctx, &approvals, in, client.MatchingFields{ApprovalByStage: key.Name}); err != nil {
		return nil, fmt.Errorf("list Approvals of %q: %w", key.Name, err)
	}
	o.Approvals = approvals.Items
	return o, nil
}

// expand makes one deploy entry of each destination that a forEach stands for.
func expand(ctx context.Context, r client.Reader, stage *v1alpha1.Stage) error {
	var clusters v1alpha1.ClusterList
	if promotion.SelectsClusters(stage) {
		if err := r.List(ctx, &clusters); err != nil {
			return fmt.Errorf("list Clusters: %w", err)
		}
	}
	promotion.ExpandDeploy(stage, clusters.Items)
	return nil
}

// signatures returns what a Warehouse wants signed. One that is gone wants nothing.
func signatures(ctx context.Context, r client.Reader, key client.ObjectKey) ([]promotion.WantedSignature, error) {
	var w v1alpha1.Warehouse
	// Only read: what it found need not be copied at every look at a Stage.
	if err := r.Get(ctx, key, &w, client.UnsafeDisableDeepCopy); err != nil {
		if apierrors.IsNotFound(err) {
			return nil, nil
		}
		return nil, fmt.Errorf("read Warehouse %q: %w", key.Name, err)
	}
	return promotion.WantedSignatures(&w), nil
}

// windows returns how the windows of a Project stand. A Namespace whose Project
// is gone has none.
func windows(ctx context.Context, r client.Reader, project string, now time.Time) ([]promotion.Window, error) {
	var p v1alpha1.Project
	if err := r.Get(ctx, client.ObjectKey{Name: project}, &p); err != nil {
		if apierrors.IsNotFound(err) {
			return nil, nil
		}
		return nil, fmt.Errorf("read Project %q: %w", project, err)
	}
	return promotion.Windows(p.Spec.Windows, now), nil
}

// LivePromotions replaces the Promotions of o by those the API server has now,
// read without the cache.
func LivePromotions(ctx context.Context, live client.Reader, o *promotion.Observation) error {
	var all v1alpha1.PromotionList
	if err := live.List(ctx, &all, client.InNamespace(o.Stage.Namespace)); err != nil {
		return fmt.Errorf("list Promotions of %q: %w", o.Stage.Namespace, err)
	}
	o.Promotions = o.Promotions[:0:0]
	for i := range all.Items {
		if all.Items[i].Spec.Stage == o.Stage.Name {
			o.Promotions = append(o.Promotions, all.Items[i])
		}
	}
	return nil
}

// Live replaces what o says about the Stage, the Project's Freezes and windows, and,
// where the Stage asks for any, the Approvals, by what the API server has now: what a
// person was answered for holds when a Promotion starts. It returns the API server's
// not-found error when the Stage is gone.
func Live(ctx context.Context, live client.Reader, o *promotion.Observation) error {
	var stage v1alpha1.Stage
	if err := live.Get(ctx, client.ObjectKeyFromObject(o.Stage), &stage); err != nil {
		return err //nolint:wrapcheck // callers test for not found
	}
	if err := expand(ctx, live, &stage); err != nil {
		return err
	}
	o.Stage = &stage
	var freezes v1alpha1.FreezeList
	if err := live.List(ctx, &freezes, client.InNamespace(stage.Namespace)); err != nil {
		return fmt.Errorf("list Freezes of %q: %w", stage.Namespace, err)
	}
	o.Freezes = freezes.Items
	var err error
	if o.Windows, err = windows(ctx, live, stage.Namespace, o.Now); err != nil {
		return err
	}
	if stage.Spec.Approval == nil && stage.Spec.Rollback.Approval == nil {
		return nil // nobody's approval or rejection counts
	}
	var approvals v1alpha1.ApprovalList
	if err := live.List(ctx, &approvals, client.InNamespace(stage.Namespace)); err != nil {
		return fmt.Errorf("list Approvals of %q: %w", stage.Namespace, err)
	}
	o.Approvals = o.Approvals[:0:0]
	for _, a := range approvals.Items {
		if a.Spec.Stage == stage.Name {
			o.Approvals = append(o.Approvals, a)
		}
	}
	return nil
}
