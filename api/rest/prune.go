package rest

import (
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/gitops"
	"github.com/waybill-dev/waybill/internal/manifest"
)

// prunable are the kinds that prune deletes, in the order in which they go: what takes Freight before what makes it.
var prunable = []model.Kind{model.Stages, model.Applications, model.Promotiontasks, model.Warehouses}

// checkPrune refuses to prune a Project of which nothing else is among docs: that is more likely a file that was
// forgotten than the wish to delete everything.
func checkPrune(docs []manifest.Document) error {
	others := map[string]bool{}
	for _, d := range docs {
		others[d.Namespace] = others[d.Namespace] || slices.ContainsFunc(prunable, func(k model.Kind) bool { return kubeKind(k) == d.Kind })
	}
	var projects []string
	for _, d := range docs {
		if d.Kind != "Project" {
			continue
		}
		if !others[d.Name] {
			return refuse(model.InvalidRequest, "to prune Project %q would delete everything that was applied to it: no Stage and no Warehouse of it is among the documents", d.Name).
				withHint("give all its files, or delete what is to go by its name")
		}
		projects = append(projects, d.Name)
	}
	if len(projects) == 0 {
		return refuse(model.InvalidRequest, "nothing can be pruned: prune looks into the Projects that are among the documents, and there is none").
			withHint("give the files of the whole Project, with the Project itself")
	}
	return nil
}

// prune deletes what was applied through this API before and is in none of docs, in the Projects that are themselves
// among docs: only then do they stand for the whole Project. It returns one result per object.
//
// The objects are listed and deleted as the person. What controllers, kubectl or anybody else made stays.
func (a *applier) prune(ctx context.Context, docs []manifest.Document) ([]model.DocumentResult, error) {
	kept := map[string]bool{}
	for _, d := range docs {
		kept[d.Kind+"/"+d.Namespace+"/"+d.Name] = true
	}
	var out []model.DocumentResult
	for _, d := range docs {
		if _, isNew := a.newProjects[d.Name]; d.Kind != "Project" || isNew {
			continue
		}
		for _, kind := range prunable {
			found, err := a.appliedBefore(ctx, d.Name, kind)
			if err != nil {
				return nil, err
			}
			for i := range found {
				o := &found[i]
				if !kept[o.GetKind()+"/"+o.GetNamespace()+"/"+o.GetName()] {
					out = append(out, a.pruneOne(ctx, kind, o))
				}
			}
		}
	}
	return out, nil
}

// appliedBefore returns the objects of a kind that carry the field manager of this API, by name.
func (a *applier) appliedBefore(ctx context.Context, project string, kind model.Kind) ([]unstructured.Unstructured, error) {
	var list unstructured.UnstructuredList
	list.SetGroupVersionKind(v1alpha1.GroupVersion().WithKind(kubeKind(kind) + "List"))
	if err := a.c.List(ctx, &list, client.InNamespace(project)); err != nil {
		return nil, fromKube(fmt.Sprintf("list %s of %q", kind, project), err)
	}
	return slices.DeleteFunc(list.Items, func(o unstructured.Unstructured) bool {
		return o.GetDeletionTimestamp() != nil || !slices.ContainsFunc(o.GetManagedFields(), func(f metav1.ManagedFieldsEntry) bool {
			return f.Manager == fieldManager && f.Operation == metav1.ManagedFieldsOperationApply && f.Subresource == ""
		})
	}), nil
}

// kubeKind returns the kind of a plural in the way Kubernetes spells it.
func kubeKind(plural model.Kind) string {
	if plural == model.Promotiontasks {
		return "PromotionTask"
	}
	return singular(plural)
}

// pruneOne deletes the very object that was listed, or says that it would be deleted.
func (a *applier) pruneOne(ctx context.Context, kind model.Kind, o *unstructured.Unstructured) model.DocumentResult {
	out := model.DocumentResult{Kind: o.GetKind(), Namespace: o.GetNamespace(), Name: o.GetName(), Action: model.DocumentResultActionPruned}
	err := a.deletePruned(ctx, kind, o)
	if err != nil {
		out.Action = model.DocumentResultActionFailed
		out.Problem, _ = problemOf(err, a.id)
		return out
	}
	if a.diff {
		out.Change = changeOf(o, nil)
	}
	return out
}

func (a *applier) deletePruned(ctx context.Context, kind model.Kind, o *unstructured.Unstructured) error {
	if a.dryRun {
		uid := o.GetUID()
		err := a.c.Delete(ctx, o.DeepCopy(), client.DryRunAll, client.Preconditions{UID: &uid})
		if err != nil && !apierrors.IsNotFound(err) {
			return fromKube(fmt.Sprintf("delete %s %q", o.GetKind(), o.GetName()), err)
		}
		return nil
	}
	typed, _, err := objectsOf(kind)
	if err != nil {
		return err
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, typed); err != nil {
		return fmt.Errorf("read %s %q: %w", o.GetKind(), o.GetName(), err)
	}
	return a.s.deleteAs(ctx, typed, "")
}

// changeOf says how an object changes; the zero value when it does not. Nil stands for an object that is not there. What Kubernetes
// and the controllers write is left out.
func changeOf(before, after *unstructured.Unstructured) model.ObjectChange {
	changes := gitops.Compare(definitionOnly(before), definitionOnly(after))
	if len(changes) == 0 {
		return model.ObjectChange{}
	}
	return objectChange(&changes[0])
}

// definitionOnly returns what people wrote of an object: a list of one, or of none.
func definitionOnly(o *unstructured.Unstructured) []*unstructured.Unstructured {
	if o == nil {
		return nil
	}
	c := o.DeepCopy()
	delete(c.Object, "status")
	if meta, ok := c.Object["metadata"].(map[string]any); ok {
		for _, field := range []string{"managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink"} {
			delete(meta, field)
		}
	}
	return []*unstructured.Unstructured{c}
}
