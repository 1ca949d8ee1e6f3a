package rest

import (
	"context"
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/promotion"
)

// VerifyStage asks, as the person, for another run of a Stage's checks, or stops
// the run.
func (s *Server) VerifyStage(ctx context.Context, request VerifyStageRequestObject) (VerifyStageResponseObject, error) {
	v, st, err := s.loadStage(ctx, request.Project, request.Stage)
	if err != nil {
		return nil, err
	}
	o := v.observe(st)
	p := promotion.CurrentPromotion(o, "")
	if why := promotion.MayVerify(o, p); why != "" {
		return nil, refuse(model.Conflict, "%s", why)
	}
	isRunning := p.Status.Phase == v1alpha1.PhaseVerifying && p.Status.Verification != nil && !p.Status.Verification.Phase.IsFinished()
	ask := v1alpha1.VerifyRequest{Reason: request.Body.Reason}
	switch {
	case request.Body.Abort && !isRunning:
		return nil, refuse(model.Conflict, "no checks run in %q", st.Name)
	case request.Body.Abort:
		ask.Action, ask.Run = v1alpha1.VerifyAbort, p.Status.Verification.Run
	case isRunning || isAskedFor(p):
		return VerifyStage202JSONResponse(v.promotionModel(p)), nil
	default:
		ask.Action, ask.Run = v1alpha1.VerifyRun, promotion.NextRun(p)
	}
	person, c, err := s.actingAs(ctx)
	if err != nil {
		return nil, err
	}
	ask.By = person.User
	// What is patched is what was read: a request that came in between is not
	// overwritten.
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"resourceVersion": p.ResourceVersion},
		"spec":     map[string]any{"verify": ask},
	})
	if err != nil {
		return nil, err
	}
	p = p.DeepCopy()
	if err := c.Patch(ctx, p, client.RawPatch(types.MergePatchType, patch)); err != nil {
		return nil, fromKube(fmt.Sprintf("verify Promotion %q", p.Name), err)
	}
	return VerifyStage202JSONResponse(v.promotionModel(p)), nil
}

// isAskedFor reports whether a run was asked for that has not begun.
func isAskedFor(p *v1alpha1.Promotion) bool {
	begun := int32(0)
	if p.Status.Verification != nil {
		begun = p.Status.Verification.Run
	}
	return p.Spec.Verify != nil && p.Spec.Verify.Action == v1alpha1.VerifyRun && p.Spec.Verify.Run > begun
}

// lastVerification returns the checks of the Stage's newest Promotion that has
// any, without logs.
func (v *projectView) lastVerification(st *v1alpha1.Stage) model.Verification {
	if p := v.lastChecked(st.Name, ""); p != nil {
		return v.shortPromotion(p).Verification
	}
	return model.Verification{}
}

// lastChecked returns the newest Promotion into a Stage, of a Freight or of any,
// that has checks; nil when there is none.
func (v *projectView) lastChecked(stage, freight string) *v1alpha1.Promotion {
	var newest *v1alpha1.Promotion
	for _, p := range v.promotionsOf[stage] {
		if p.Status.Verification != nil && (freight == "" || p.Spec.Freight == freight) && (newest == nil || promotion.IsNewer(p, newest)) {
			newest = p
		}
	}
	return newest
}

// verificationsFor returns the last checks of a Freight in the Stages that st
// takes it from, and in st itself.
func (v *projectView) verificationsFor(st *v1alpha1.Stage, f *v1alpha1.Freight) []model.Verification {
	var stages []string
	for _, r := range st.Spec.RequestedFreight {
		if r.Origin.Name == f.Origin.Name {
			stages = append(stages, r.Sources.Stages...)
		}
	}
	var out []model.Verification
	for _, name := range append(stages, st.Name) {
		if p := v.lastChecked(name, f.Name); p != nil {
			out = append(out, v.shortPromotion(p).Verification)
		}
	}
	return out
}

func verificationModel(s *v1alpha1.VerificationStatus) model.Verification {
	out := model.Verification{
		Run: int(s.Run), Phase: model.CheckPhase(s.Phase), Message: s.Message, RequestedBy: s.RequestedBy, Checks: []model.Check{},
	}
	setMicroTime(&out.StartedAt, s.StartedAt)
	setMicroTime(&out.FinishedAt, s.FinishedAt)
	for i := range s.Checks {
		c := &s.Checks[i]
		check := model.Check{
			Name: c.Name, Kind: model.CheckKind(c.Kind), Phase: model.CheckPhase(c.Phase), Value: c.Value, Message: c.Message, Log: c.Log,
			Attempts: int(c.Attempts), Succeeded: int(c.Succeeded), Failed: int(c.Failed), Inconclusive: int(c.Inconclusive),
		}
		if c.Job != nil {
			check.Job = c.Job.Namespace + "/" + c.Job.Name
		}
		setMicroTime(&check.StartedAt, c.StartedAt)
		setMicroTime(&check.FinishedAt, c.FinishedAt)
		setMicroTime(&check.NextAt, c.NextAt)
		out.Checks = append(out.Checks, check)
	}
	return out
}
