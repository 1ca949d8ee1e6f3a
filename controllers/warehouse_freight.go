package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/promotion"
	"github.com/waybill-dev/waybill/warehouse"
)

// makeFreight creates the Freight that the candidates call for, unless it exists,
// and removes what is neither kept nor needed. It returns all Freight of w, which
// the cache may not show yet.
func (r *WarehouseReconciler) makeFreight(ctx context.Context, w *v1alpha1.Warehouse, criteria *warehouse.Criteria) (warehouse.Assembly, []v1alpha1.Freight, error) {
	var existing v1alpha1.FreightList
	if err := r.Client.List(ctx, &existing, client.InNamespace(w.Namespace)); err != nil {
		return warehouse.Assembly{}, nil, fmt.Errorf("list Freight of %q: %w", w.Namespace, err)
	}
	if err := r.labelAliases(ctx, w, existing.Items); err != nil {
		return warehouse.Assembly{}, nil, err
	}
	assembly, err := warehouse.Assemble(w, criteria, existing.Items)
	if err != nil {
		return assembly, nil, err //nolint:wrapcheck // names the field already
	}
	until, err := r.awaitsRecords(ctx, w, existing.Items)
	if err != nil {
		return assembly, nil, err
	}
	if len(assembly.Sets) > 0 && !until.IsZero() {
		return assembly, nil, &recordsError{until: until}
	}
	for _, set := range assembly.Sets {
		f, err := warehouse.BuildFreight(w, set, existing.Items)
		if err != nil {
			return assembly, nil, err //nolint:wrapcheck // names the subscriptions already
		}
		if f == nil {
			continue
		}
		if err := r.Client.Create(ctx, f); err != nil && !apierrors.IsAlreadyExists(err) {
			return assembly, nil, fmt.Errorf("create Freight %q: %w", f.Name, err)
		}
		existing.Items = append(existing.Items, *f)
	}
	for i := range existing.Items {
		if f := &existing.Items[i]; warehouse.IsFrom(f, w) && f.Order >= w.Status.LastOrder {
			w.Status.LastOrder, w.Status.LatestFreight = f.Order, f.Name
		}
	}
	own := slices.DeleteFunc(slices.Clone(existing.Items), func(f v1alpha1.Freight) bool { return !warehouse.IsFrom(&f, w) })
	return assembly, own, r.prune(ctx, w, existing.Items)
}

// labelAliases lets the label follow an alias that somebody changed by kubectl.
func (r *WarehouseReconciler) labelAliases(ctx context.Context, w *v1alpha1.Warehouse, all []v1alpha1.Freight) error {
	for i := range all {
		f := &all[i]
		if !warehouse.IsFrom(f, w) || f.Alias == "" || f.Labels[v1alpha1.LabelAlias] == f.Alias {
			continue
		}
		before := f.DeepCopy()
		warehouse.SetAlias(f, f.Alias)
		if err := r.Client.Patch(ctx, f, client.MergeFrom(before)); err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("label Freight %q with its alias: %w", f.Name, err)
		}
	}
	return nil
}

// prune removes Freight that is neither kept nor needed. What needs it is read
// after the Freight, so that nothing is missed that came before.
func (r *WarehouseReconciler) prune(ctx context.Context, w *v1alpha1.Warehouse, freight []v1alpha1.Freight) error {
	if len(warehouse.Prune(w, freight, warehouse.Uses{})) == 0 {
		return nil
	}
	var stages v1alpha1.StageList
	var promotions v1alpha1.PromotionList
	in := client.InNamespace(w.Namespace)
	if err := errors.Join(r.Client.List(ctx, &stages, in), r.Client.List(ctx, &promotions, in)); err != nil {
		return fmt.Errorf("find out which Freight of %q is needed: %w", w.Namespace, err)
	}
	for _, f := range warehouse.Prune(w, freight, warehouse.Uses{Stages: stages.Items, Promotions: promotions.Items}) {
		// A Stage that enters it meanwhile changes it: then it stays.
		unchanged := client.Preconditions{UID: &f.UID, ResourceVersion: &f.ResourceVersion}
		if err := r.Client.Delete(ctx, f, unchanged); err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			return fmt.Errorf("remove Freight %q: %w", f.Name, err)
		}
	}
	return nil
}

// freshWarehouse is how long after its creation a Warehouse that nobody requests
// waits for Stages: definitions arrive one after the other.
const freshWarehouse = 2 * time.Second

// reasonReadingRecord is that of a Warehouse whose first Freight waits.
const reasonReadingRecord = "ReadingRecord"

// awaitedRecords reports whether the Warehouse has candidates that waited for
// the records of Stages.
func awaitedRecords(w *v1alpha1.Warehouse) bool {
	c := meta.FindStatusCondition(w.Status.Conditions, "Ready")
	return c != nil && c.Reason == reasonReadingRecord
}

// ofRecord wakes the Warehouses that a Stage requests, when its branch was read.
func (r *WarehouseReconciler) ofRecord(_ context.Context, o client.Object) []ctrl.Request {
	s := o.(*v1alpha1.Stage)
	out := make([]ctrl.Request, 0, len(s.Spec.RequestedFreight))
	for _, f := range s.Spec.RequestedFreight {
		out = append(out, ctrl.Request{NamespacedName: client.ObjectKey{Namespace: s.Namespace, Name: f.Origin.Name}})
	}
	return out
}

// recordsError says that Freight cannot be numbered yet, because a branch may
// still tell of higher numbers.
type recordsError struct{ until time.Time }

// Error says what is waited for.
func (e *recordsError) Error() string {
	return "the branches of the Stages are being read, for the numbers that Freight had before"
}

// awaitsRecords returns until when the first Freight of a Warehouse waits for
// the Stages that request it; zero when it does not.
func (r *WarehouseReconciler) awaitsRecords(ctx context.Context, w *v1alpha1.Warehouse, existing []v1alpha1.Freight) (time.Time, error) {
	if w.Status.LastOrder > 0 {
		return time.Time{}, nil
	}
	now := r.Clock.Now()
	var stages v1alpha1.StageList
	if err := r.Client.List(ctx, &stages, client.InNamespace(w.Namespace)); err != nil {
		return time.Time{}, fmt.Errorf("list Stages of %q: %w", w.Namespace, err)
	}
	var until time.Time
	requested := false
	for i := range stages.Items {
		s := &stages.Items[i]
		if promotion.Request(s, w.Name) == nil {
			continue
		}
		requested = true
		if at := awaitsRecord(s, now); at.After(until) {
			until = at
		}
		// The cache may not show the Freight yet that a record made again.
		if s.Status.Record != nil {
			for _, f := range s.Status.Record.Freight {
				if f.Origin == w.Name {
					w.Status.LastOrder = max(w.Status.LastOrder, f.Order)
				}
			}
		}
	}
	age := now.Sub(w.CreationTimestamp.Time)
	if !requested && age >= 0 && age < freshWarehouse {
		until = w.CreationTimestamp.Add(freshWarehouse)
	}
	return until, nil
}
