package promotion

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// Soaked returns how long Freight has run healthy without a break that counts:
// the longest stretch, finished or still running.
func Soaked(s v1alpha1.Soak, now time.Time) time.Duration {
	running := s.Accumulated.Duration
	if s.RunningSince != nil && now.After(s.RunningSince.Time) {
		running += now.Sub(s.RunningSince.Time)
	}
	return max(running, s.Longest.Duration)
}

// NextRecord returns the record of a Freight in a Stage after a look at now.
//
// isCurrent: the Freight is in the Stage. health is the Stage's, settled says
// that it runs what the branch says. A Stage without checks verifies Freight by
// being settled once (10-contracts). Soak runs while current and Healthy;
// Progressing, Suspended, Missing and Unknown pause it, Degraded starts it
// anew. Earned soak is kept as the longest stretch.
func NextRecord(rec v1alpha1.FreightInStage, isCurrent, settled bool, health v1alpha1.HealthStatus, now time.Time) v1alpha1.FreightInStage {
	stamp := metav1.Time{Time: now.Truncate(time.Second)}
	if isCurrent && (rec.EnteredAt == nil || rec.LeftAt != nil) {
		rec.EnteredAt, rec.LeftAt = &stamp, nil
		rec.Soak = v1alpha1.Soak{Longest: rec.Soak.Longest}
	}
	if !isCurrent {
		if rec.EnteredAt != nil && rec.LeftAt == nil {
			rec.LeftAt = &stamp
		}
		rec.Soak = stopSoak(rec.Soak, now, true)
		return rec
	}
	if settled && rec.VerifiedAt == nil {
		rec.VerifiedAt = &stamp
	}
	switch {
	case health == v1alpha1.HealthDegraded:
		rec.Soak = stopSoak(rec.Soak, now, true)
	case settled && rec.VerifiedAt != nil:
		if rec.Soak.RunningSince == nil {
			rec.Soak.RunningSince = &stamp
		}
	default:
		rec.Soak = stopSoak(rec.Soak, now, false)
	}
	return rec
}

// stopSoak stops the clock. With reset the stretch ends and only its length is
// remembered; without, it goes on from there later.
func stopSoak(s v1alpha1.Soak, now time.Time, reset bool) v1alpha1.Soak {
	if s.RunningSince != nil {
		if now.After(s.RunningSince.Time) {
			s.Accumulated.Duration += now.Sub(s.RunningSince.Time).Truncate(time.Second)
		}
		s.RunningSince = nil
	}
	if reset {
		s.Longest.Duration = max(s.Longest.Duration, s.Accumulated.Duration)
		s.Accumulated.Duration = 0
	}
	return s
}
