package controllers

import (
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// specOrRequestChanged lets through what a person changed: the spec, the
// refresh annotation, deletion. Our own status patches wake nobody.
func specOrRequestChanged() predicate.Predicate {
	return predicate.Funcs{
		UpdateFunc: func(e event.UpdateEvent) bool {
			return e.ObjectOld.GetGeneration() != e.ObjectNew.GetGeneration() ||
				requestOf(e.ObjectOld) != requestOf(e.ObjectNew) ||
				(e.ObjectOld.GetDeletionTimestamp() == nil) != (e.ObjectNew.GetDeletionTimestamp() == nil)
		},
	}
}

// existenceOnly lets through creation and deletion.
func existenceOnly() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(event.UpdateEvent) bool { return false }}
}

func requestOf(o client.Object) string { return o.GetAnnotations()[v1alpha1.AnnotationRequestedAt] }
