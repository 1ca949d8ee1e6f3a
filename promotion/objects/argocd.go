package objects

import (
	"context"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/promotion/steps/argocd"
)

// ArgoCD reads and writes Applications of Argo CD in the cluster that Waybill runs
// in.
type ArgoCD struct {
	// Reader asks the API server, not a cache: what Argo CD says now counts.
	Reader client.Reader
	Writer client.Writer
}

// Get returns one Application.
func (a ArgoCD) Get(ctx context.Context, namespace, name string) (*unstructured.Unstructured, error) {
	o := &unstructured.Unstructured{}
	o.SetGroupVersionKind(argocd.Kind())
	err := a.Reader.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, o)
	return o, err //nolint:wrapcheck // named by the caller
}

// List returns up to limit Applications with these labels.
func (a ArgoCD) List(ctx context.Context, namespace string, selector labels.Selector, limit int64) (*unstructured.UnstructuredList, error) {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(argocd.Kind())
	err := a.Reader.List(ctx, list, client.InNamespace(namespace), client.MatchingLabelsSelector{Selector: selector}, client.Limit(limit))
	return list, err //nolint:wrapcheck // named by the caller
}

// Patch writes what was changed, if nobody has written meanwhile.
func (a ArgoCD) Patch(ctx context.Context, before, after *unstructured.Unstructured) error {
	return a.Writer.Patch(ctx, after, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})) //nolint:wrapcheck // named by the caller
}
