package promotion

import (
	"fmt"
	"time"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// HealingPause returns the Freeze that pauses the healing of the Stage's
// Applications at now; nil when they heal. Of several it is the one that ends
// last, and of those the first by name. Revisions are synced all the same.
func HealingPause(freezes []v1alpha1.Freeze, stage string, now time.Time) *v1alpha1.Freeze {
	var out *v1alpha1.Freeze
	for i := range freezes {
		z := &freezes[i]
		if stage == "" || z.Spec.Scope != v1alpha1.FreezeHealing || z.Spec.Until == nil || !concerns(z, stage, now) {
			continue
		}
		if out == nil || out.Spec.Until.Before(z.Spec.Until) || out.Spec.Until.Equal(z.Spec.Until) && z.Name < out.Name {
			out = z
		}
	}
	return out
}

// PauseText says who paused healing, until when and why.
func PauseText(z *v1alpha1.Freeze) string {
	return fmt.Sprintf("healing is paused by %s%s: %s", Person(z.Spec.By), untilText(z), z.Spec.Reason)
}
