package controllers

import (
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/credentials"
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

// recordChanged lets through what the branch of a Stage was found to say.
func recordChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		was, isOld := e.ObjectOld.(*v1alpha1.Stage)
		is, isNew := e.ObjectNew.(*v1alpha1.Stage)
		return isOld && isNew && !apiequality.Semantic.DeepEqual(was.Status.Record, is.Status.Record)
	}}
}

// existenceOnly lets through creation and deletion.
func existenceOnly() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(event.UpdateEvent) bool { return false }}
}

func requestOf(o client.Object) string { return o.GetAnnotations()[v1alpha1.AnnotationRequestedAt] }

// credentialSecret lets through what opens repositories and registries, and what
// expressions read. Kubeconfigs are the Cluster controller's alone: nobody else
// waits for one.
func credentialSecret() predicate.Predicate {
	return predicate.NewPredicateFuncs(func(o client.Object) bool {
		kind := o.GetLabels()[credentials.TypeLabel]
		return kind != "" && kind != clusterSecretType
	})
}
