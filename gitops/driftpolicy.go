package gitops

import "github.com/waybill-dev/waybill/api/v1alpha1"

// DriftPolicyOf resolves spec.driftPolicy: heal with selfHeal, else report. What is
// suspended does not heal.
func DriftPolicyOf(spec *v1alpha1.ApplicationSpec) v1alpha1.DriftPolicy {
	p := spec.DriftPolicy
	if p == "" {
		p = v1alpha1.DriftReport
		if a := spec.SyncPolicy.Automated; a != nil && a.SelfHeal {
			p = v1alpha1.DriftHeal
		}
	}
	if spec.Suspend && p == v1alpha1.DriftHeal {
		return v1alpha1.DriftReport
	}
	return p
}
