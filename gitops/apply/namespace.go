package apply

import (
	"context"
	"fmt"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/gitops"
)

// KeepNamespace sets the labels and annotations of managedNamespaceMetadata on a namespace that is there. One that has
// them costs a read, unless they changed: then what is no longer among them is taken away.
func (a *Applier) KeepNamespace(ctx context.Context, namespace string, owner gitops.Owner, metadata *v1alpha1.NamespaceMetadata, changed bool) error {
	key := gitops.Key{Kind: "Namespace", Name: namespace}
	found, err := a.Read(ctx, key, "v1")
	if err != nil || found == nil || found.DeletionTimestamp != nil {
		return err // it is made with the first object
	}
	if project := projectOf(found); project != "" && project != owner.Namespace {
		return &Error{Key: key, Reason: NamespaceTaken, Message: fmt.Sprintf("it belongs to Project %q; choose another destination", project)}
	}
	if !changed && holds(found.Labels, metadata.Labels) && holds(found.Annotations, metadata.Annotations) {
		return nil
	}
	bounded, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	return a.labelNamespace(bounded, key, metadata)
}

// holds says whether all of wanted are in have.
func holds(have, wanted map[string]string) bool {
	for k, v := range wanted {
		if got, ok := have[k]; !ok || got != v {
			return false
		}
	}
	return true
}
