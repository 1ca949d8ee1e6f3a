package promotion

import (
	"time"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// Observation is everything the rules of this package may see about one Stage.
// Slices may come in any order; nothing in it is modified.
type Observation struct {
	// Now is the instant the observation was made.
	Now time.Time
	// Stage in question.
	Stage *v1alpha1.Stage
	// Stages of the Project, for names of upstream Stages; may be empty where
	// only gates are asked for.
	Stages []v1alpha1.Stage
	// Freight of the origins the Stage requests (others are ignored).
	Freight []v1alpha1.Freight
	// Freezes of the Project.
	Freezes []v1alpha1.Freeze
	// Windows of the Project as they stand at Now.
	Windows []Window
	// Signatures that the Warehouses of the requested origins want.
	Signatures []WantedSignature
	// Tasks of the Project.
	Tasks []v1alpha1.PromotionTask
	// Promotions of the Stage, finished ones included.
	Promotions []v1alpha1.Promotion
	// Approvals given for Promotions into the Stage; others are ignored.
	Approvals []v1alpha1.Approval
	// PoliciesMissing names the admission policies that are absent or changed;
	// while any is, nothing starts (01-architecture: admission without webhooks).
	PoliciesMissing []string
}

// Settled reports whether the Stage runs what its branch says and is Healthy.
// A Stage that deploys nothing is always settled.
func Settled(s *v1alpha1.Stage) bool {
	if len(s.Spec.Deploy) == 0 {
		return true
	}
	return s.Status.Synced && s.Status.Health != nil && s.Status.Health.Status == v1alpha1.HealthHealthy
}

// Current returns the Freight of origin that is in the Stage, or nil.
func Current(s *v1alpha1.Stage, origin string) *v1alpha1.StageFreight {
	for i := range s.Status.Current {
		if s.Status.Current[i].Origin == origin {
			return &s.Status.Current[i]
		}
	}
	return nil
}

// Request returns the Stage's request for origin, or nil.
func Request(s *v1alpha1.Stage, origin string) *v1alpha1.FreightRequest {
	for i := range s.Spec.RequestedFreight {
		if s.Spec.RequestedFreight[i].Origin.Name == origin {
			return &s.Spec.RequestedFreight[i]
		}
	}
	return nil
}

// IsControlFlow reports whether Freight only passes through the Stage.
func IsControlFlow(s *v1alpha1.Stage) bool {
	return s.Spec.PromotionMechanisms == nil && s.Spec.PromotionTemplate == nil
}

// FreightByName returns the Freight of that name, or nil.
func (o *Observation) FreightByName(name string) *v1alpha1.Freight {
	for i := range o.Freight {
		if o.Freight[i].Name == name {
			return &o.Freight[i]
		}
	}
	return nil
}

// Active returns the Promotion that is under way (Running, Syncing or Verifying),
// or nil.
// Should several be, the oldest counts.
func (o *Observation) Active() *v1alpha1.Promotion {
	var oldest *v1alpha1.Promotion
	for i := range o.Promotions {
		p := &o.Promotions[i]
		if IsUnderWay(p) && (oldest == nil || Seq(p.Name) < Seq(oldest.Name)) {
			oldest = p
		}
	}
	return oldest
}

// IsUnderWay reports whether the Promotion has started and not ended.
func IsUnderWay(p *v1alpha1.Promotion) bool {
	switch p.Status.Phase {
	case v1alpha1.PhaseRunning, v1alpha1.PhaseSyncing, v1alpha1.PhaseVerifying:
		return true
	default:
		return false
	}
}

// IsPending reports whether the Promotion waits to start.
func IsPending(p *v1alpha1.Promotion) bool {
	return p.Status.Phase == "" || p.Status.Phase == v1alpha1.PhasePending
}

// HasTouchedGit reports whether the Promotion has announced or made an effect
// outside the cluster. One that has not may still be superseded.
func HasTouchedGit(p *v1alpha1.Promotion) bool {
	if p.Status.Commit != nil {
		return true
	}
	for i := range p.Status.Steps {
		if p.Status.Steps[i].Intent != nil || p.Status.Steps[i].Once {
			return true
		}
	}
	return false
}

// IsInDoubt reports whether the Promotion announced an effect outside the
// cluster and nobody knows yet whether it happened.
func IsInDoubt(p *v1alpha1.Promotion) bool {
	for i := range p.Status.Steps {
		if st := &p.Status.Steps[i]; st.Intent != nil && st.State != v1alpha1.StepSucceeded {
			return true
		}
	}
	return false
}
