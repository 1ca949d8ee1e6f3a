package apply

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic"

	"github.com/waybill-dev/waybill/gitops"
)

// An API server behind the aggregation layer need not know server-side apply. It
// answers 415 to one, and then an object is read and written back with what Git says
// merged into it. Nobody keeps who owns which field there: a field that left Git stays.

// merge makes obj, or writes it into what is there: one request to read and one to
// write, which is refused when somebody wrote in between.
func merge(ctx context.Context, resource dynamic.ResourceInterface, obj *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	live, err := resource.Get(ctx, obj.GetName(), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return resource.Create(ctx, obj, metav1.CreateOptions{FieldManager: gitops.FieldManager})
	}
	if err != nil {
		return nil, err
	}
	return resource.Update(ctx, merged(live, obj), metav1.UpdateOptions{FieldManager: gitops.FieldManager})
}

// merged returns live with every value of obj: maps are merged, anything else is
// replaced as a whole (as by a JSON merge patch, RFC 7396).
func merged(live, obj *unstructured.Unstructured) *unstructured.Unstructured {
	out := live.DeepCopy()
	mergeInto(out.Object, obj.Object)
	return out
}

func mergeInto(at, values map[string]any) {
	for key, value := range values {
		inner, isMap := value.(map[string]any)
		below, isThere := at[key].(map[string]any)
		switch {
		case value == nil:
			delete(at, key)
		case isMap && isThere:
			mergeInto(below, inner)
		default:
			at[key] = runtime.DeepCopyJSONValue(value)
		}
	}
}
