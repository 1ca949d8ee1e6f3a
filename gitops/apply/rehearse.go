package apply

import (
	"context"
	"encoding/json"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/waybill-dev/waybill/gitops"
)

// Rehearse asks the API server what an apply of d would make, without making it.
// before is nil when the object does not exist; after is then d itself, because
// its namespace may be missing too. Errors are *Error.
func (a *Applier) Rehearse(ctx context.Context, d gitops.Desired) (before, after *unstructured.Unstructured, err error) {
	before, err = a.ReadWhole(ctx, d.Key, d.Version)
	if reasonOf(err) == KindUnknown {
		return nil, d.Object, nil // the revision brings its definition
	}
	if err != nil {
		return nil, nil, err
	}
	if before == nil {
		return nil, d.Object, nil
	}
	kind, err := a.kind(ctx, d.Key, d.Version)
	if err != nil {
		return nil, nil, err
	}
	send := d.Object
	if !d.Ignored.IsEmpty() {
		send = d.Ignored.Payload(d.Object, before)
	}
	body, err := json.Marshal(send.Object)
	if err != nil {
		return nil, nil, &Error{Key: d.Key, Reason: Invalid, Message: err.Error(), cause: err}
	}
	bounded, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	force := true
	options := metav1.PatchOptions{FieldManager: gitops.FieldManager, Force: &force, DryRun: []string{metav1.DryRunAll}}
	if d.Options.LooseFields {
		options.FieldValidation = metav1.FieldValidationIgnore
	}
	after, err = a.cluster.Dynamic.Resource(kind.Resource).Namespace(d.Key.Namespace).Patch(bounded, d.Key.Name, types.ApplyPatchType, body, options)
	if apierrors.IsUnsupportedMediaType(err) {
		return before, merged(before, send), nil
	}
	if apierrors.IsNotFound(err) { // it went meanwhile
		return nil, d.Object, nil
	}
	if err != nil {
		return nil, nil, classify(d.Key, err)
	}
	return before, after, nil
}
