package controllers

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/promotion"
)

// stageManager is the field manager of what a Stage owns.
const stageManager = "waybill-stage"

// applications returns the Applications the Stage owns.
func (r *StageReconciler) applications(ctx context.Context, stage *v1alpha1.Stage) ([]v1alpha1.Application, error) {
	var list v1alpha1.ApplicationList
	err := r.Client.List(ctx, &list, client.InNamespace(stage.Namespace), client.MatchingLabels{v1alpha1.LabelStage: stage.Name})
	if err != nil {
		return nil, fmt.Errorf("list Applications of Stage %q: %w", stage.Name, err)
	}
	return slices.DeleteFunc(list.Items, func(a v1alpha1.Application) bool { return !metav1.IsControlledBy(&a, stage) }), nil
}

// takenRecheck is how often a Stage looks whether the name of its Application
// has become free; nothing wakes it then.
const takenRecheck = 10 * time.Second

// ensureApplications makes the Stage's Applications equal to its deploy
// entries. An Application whose entry is gone is deleted; its own
// deletionPolicy says what happens to what it deployed. One that is somebody
// else's is left alone, and is a problem: with another owner it would be sent
// elsewhere, and what it deployed would be pruned.
func (r *StageReconciler) ensureApplications(ctx context.Context, stage *v1alpha1.Stage, have []v1alpha1.Application) ([]promotion.Problem, error) {
	var taken []promotion.Problem
	wanted := map[string]bool{}
	for i := range stage.Spec.Deploy {
		if promotion.IsUnexpanded(&stage.Spec.Deploy[i]) {
			continue // CheckStage says what is missing
		}
		want := stageApplication(stage, &stage.Spec.Deploy[i])
		wanted[want.Name] = true
		if want.Spec.Source.RepoURL == "" {
			continue // CheckStage says what is missing
		}
		at := slices.IndexFunc(have, func(a v1alpha1.Application) bool { return a.Name == want.Name })
		if at >= 0 && reflect.DeepEqual(have[at].Spec, want.Spec) {
			continue
		}
		if at < 0 {
			owner, err := r.ownerOf(ctx, stage, want.Name)
			if err != nil {
				return nil, err
			}
			if owner != "" {
				taken = append(taken, promotion.Problem{Reason: "ApplicationNameTaken", Message: fmt.Sprintf(
					"Application %q belongs to %s; delete that, or rename the Stage or its deploy entry", want.Name, owner)})
				continue
			}
		}
		raw, err := json.Marshal(want)
		if err != nil {
			return nil, fmt.Errorf("encode Application %q: %w", want.Name, err)
		}
		err = r.Client.Patch(ctx, want, client.RawPatch(types.ApplyPatchType, raw), client.FieldOwner(stageManager), client.ForceOwnership)
		if err != nil {
			return nil, fmt.Errorf("apply Application %q: %w", want.Name, err)
		}
	}
	for i := range have {
		if wanted[have[i].Name] || have[i].DeletionTimestamp != nil {
			continue
		}
		if err := r.Client.Delete(ctx, &have[i], client.Preconditions{UID: &have[i].UID}); err != nil && !apierrors.IsNotFound(err) {
			return nil, fmt.Errorf("delete Application %q: %w", have[i].Name, err)
		}
	}
	return taken, nil
}

// ownerOf says whose the Application of that name is, in words: "" when there is
// none, or one that may become the Stage's, because it was left behind by a
// Stage of this name.
func (r *StageReconciler) ownerOf(ctx context.Context, stage *v1alpha1.Stage, name string) (string, error) {
	var there v1alpha1.Application
	err := r.Client.Get(ctx, client.ObjectKey{Namespace: stage.Namespace, Name: name}, &there)
	if apierrors.IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read Application %q: %w", name, err)
	}
	owner := metav1.GetControllerOf(&there)
	switch {
	case owner == nil && there.Labels[v1alpha1.LabelStage] == stage.Name:
		return "", nil
	case owner == nil:
		return "nobody's Stage", nil
	case owner.Kind == "Stage" && owner.Name == stage.Name && owner.UID != stage.UID:
		return "an earlier Stage of this name and is being deleted", nil
	case owner.UID == stage.UID:
		return "", nil
	default:
		return fmt.Sprintf("%s %q", owner.Kind, owner.Name), nil
	}
}

// stageApplication returns the Application of one deploy entry.
func stageApplication(stage *v1alpha1.Stage, d *v1alpha1.Deployment) *v1alpha1.Application {
	destination := d.Destination
	if destination.Cluster == "" {
		destination.Cluster = v1alpha1.InCluster
	}
	deletion := d.DeletionPolicy
	if deletion == "" {
		deletion = "Orphan"
	}
	isController, blocks := true, true
	return &v1alpha1.Application{
		TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion().String(), Kind: "Application"},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: stage.Namespace, Name: promotion.ApplicationName(stage, d), Labels: map[string]string{v1alpha1.LabelStage: stage.Name},
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: v1alpha1.GroupVersion().String(), Kind: "Stage", Name: stage.Name, UID: stage.UID,
				Controller: &isController, BlockOwnerDeletion: &blocks,
			}},
		},
		Spec: v1alpha1.ApplicationSpec{
			Source: promotion.ApplicationSource(stage, d), Destination: destination, SyncPolicy: d.SyncPolicy,
			DriftPolicy: d.DriftPolicy, ReconcileOptions: *d.ReconcileOptions.DeepCopy(), Additions: "heal", DeletionPolicy: deletion,
		},
	}
}
