package engine

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/promotion/steps/step"
	"github.com/waybill-dev/waybill/promotion/workspace"
)

// Rehearse runs the steps of p's plan that have no effect and returns the
// working trees that would be pushed. p is a scratch copy; nothing is recorded
// and nothing leaves the process but reads.
func (e *Engine) Rehearse(ctx context.Context, p *v1alpha1.Promotion, now time.Time) ([]*workspace.Tree, error) {
	p.Status.StartedAt = &metav1.MicroTime{Time: now}
	p.Status.Steps = make([]v1alpha1.StepStatus, len(p.Status.Plan.Steps))
	r := e.newRun(ctx, p, nil)
	var trees []*workspace.Tree
	for i, s := range p.Status.Plan.Steps {
		st := &p.Status.Steps[i]
		st.As, st.Uses, st.State = s.As, s.Uses, v1alpha1.StepSkipped
		impl, known := e.Steps[s.Uses]
		if !known {
			return nil, fmt.Errorf("there is no step %q", s.Uses)
		}
		if wanted, err := r.isWanted(i); err != nil || !wanted {
			continue // what an effect would have found out is not known here
		}
		if _, isOnce := impl.(step.Once); isOnce {
			continue
		}
		in, err := r.input(i)
		if err != nil && i > 0 {
			return trees, nil // it needs what only the real run finds out
		}
		if err != nil {
			return nil, fmt.Errorf("step %q: %w", s.As, err)
		}
		if effect, ok := impl.(step.Effect); ok {
			intent, err := effect.Prepare(ctx, in)
			if err != nil {
				return nil, fmt.Errorf("step %q: %w", s.As, err)
			}
			if intent != nil {
				if t := r.workspace.Pushed(intent.Commit); t != nil { // a tag changes no tree
					trees = append(trees, t)
				}
			}
			continue
		}
		result, err := impl.Run(ctx, in)
		if err != nil {
			return nil, fmt.Errorf("step %q: %w", s.As, err)
		}
		st.State = v1alpha1.StepSucceeded
		r.record(st, result)
	}
	return trees, nil
}
