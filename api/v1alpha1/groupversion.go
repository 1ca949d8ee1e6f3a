package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Group is the API group of every Waybill object.
const Group = "waybill.dev"

// GroupVersion returns the group and version of the types in this package.
func GroupVersion() schema.GroupVersion {
	return schema.GroupVersion{Group: Group, Version: "v1alpha1"}
}

// AddToScheme registers every kind of this package. It never fails; the error
// is there for runtime.SchemeBuilder.
func AddToScheme(scheme *runtime.Scheme) error {
	gv := GroupVersion()
	scheme.AddKnownTypes(gv,
		&Project{}, &ProjectList{},
		&Warehouse{}, &WarehouseList{},
		&Freight{}, &FreightList{},
		&Stage{}, &StageList{},
		&Promotion{}, &PromotionList{},
		&Application{}, &ApplicationList{},
		&Freeze{}, &FreezeList{},
		&Cluster{}, &ClusterList{},
		&Approval{}, &ApprovalList{},
		&PromotionTask{}, &PromotionTaskList{},
	)
	metav1.AddToGroupVersion(scheme, gv)
	return nil
}
