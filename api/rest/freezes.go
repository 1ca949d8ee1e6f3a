package rest

import (
	"context"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/history"
)

// ListFreezes returns the freezes, holds and rejections in force.
func (s *Server) ListFreezes(ctx context.Context, request ListFreezesRequestObject) (ListFreezesResponseObject, error) {
	v, err := s.loadProject(ctx, request.Project)
	if err != nil {
		return nil, err
	}
	out := ListFreezes200JSONResponse{Items: []model.Freeze{}}
	for i := range v.freezes {
		out.Items = append(out.Items, v.freezeModel(&v.freezes[i]))
	}
	return out, nil
}

// CreateFreeze stops every promotion into a Stage or into all, as the person.
func (s *Server) CreateFreeze(ctx context.Context, request CreateFreezeRequestObject) (CreateFreezeResponseObject, error) {
	v, err := s.loadProject(ctx, request.Project)
	if err != nil {
		return nil, err
	}
	if err := v.stageOrAll(request.Body.Stage); err != nil {
		return nil, err
	}
	spec := v1alpha1.FreezeSpec{Stage: request.Body.Stage, Scope: v1alpha1.FreezeAll, Reason: request.Body.Reason}
	if spec.Until, err = s.until(request.Body.Until); err != nil {
		return nil, err
	}
	z, err := s.createFreeze(ctx, v, "freeze", spec)
	if err != nil {
		return nil, err
	}
	return CreateFreeze201JSONResponse(v.freezeModel(z)), nil
}

// until accepts a time to come; zero means without end.
func (s *Server) until(t model.Time) (*metav1.Time, error) {
	if t.IsZero() {
		return nil, nil
	}
	if !t.After(s.opts.Clock.Now()) {
		return nil, refuse(model.InvalidRequest, "until is in the past: %s", t.UTC().Format("2006-01-02 15:04:05Z"))
	}
	return &metav1.Time{Time: t}, nil
}

// createFreeze writes a Freeze as the person. Its name says what it is:
// hold-prod-x7k2p.
func (s *Server) createFreeze(ctx context.Context, v *projectView, what string, spec v1alpha1.FreezeSpec) (*v1alpha1.Freeze, error) {
	person, c, err := s.actingAs(ctx)
	if err != nil {
		return nil, err
	}
	spec.By = person.User
	where := spec.Stage
	if where == "*" {
		where = "all"
	}
	z := &v1alpha1.Freeze{
		ObjectMeta: metav1.ObjectMeta{GenerateName: strings.Join([]string{what, where, ""}, "-"), Namespace: v.project.Name},
		Spec:       spec,
	}
	isMine := func(there *v1alpha1.Freeze) bool { return there.Spec.By == person.User }
	if err := createOnce(ctx, c, z, isMine); err != nil {
		return nil, fromKube(fmt.Sprintf("create Freeze in %q", v.project.Name), err)
	}
	s.note(ctx, history.OfFreeze(z))
	return z, nil
}

// deleteFreeze deletes a Freeze as the person; one that is gone is no error.
func (s *Server) deleteFreeze(ctx context.Context, z *v1alpha1.Freeze) error {
	person, c, err := s.actingAs(ctx)
	if err != nil {
		return err
	}
	err = c.Delete(ctx, z.DeepCopy(), client.Preconditions{UID: &z.UID})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fromKube(fmt.Sprintf("delete Freeze %q", z.Name), err)
	}
	s.note(ctx, history.OfFreeze(z).End(s.opts.Clock.Now(), person.User))
	return nil
}

// DeleteFreeze lifts a freeze, hold or rejection, as the person.
func (s *Server) DeleteFreeze(ctx context.Context, request DeleteFreezeRequestObject) (DeleteFreezeResponseObject, error) {
	v, err := s.loadProject(ctx, request.Project)
	if err != nil {
		return nil, err
	}
	for i := range v.freezes {
		if v.freezes[i].Name == request.Freeze {
			return DeleteFreeze204Response{}, s.deleteFreeze(ctx, &v.freezes[i])
		}
	}
	return nil, refuse(model.NotFound, "no Freeze %q is in force in Project %q", request.Freeze, request.Project)
}

// Hold holds the automatic flow into a Stage, or pauses its healing, as the person.
func (s *Server) Hold(ctx context.Context, request HoldRequestObject) (HoldResponseObject, error) {
	v, st, err := s.loadStage(ctx, request.Project, request.Stage)
	if err != nil {
		return nil, err
	}
	what, spec := "hold", v1alpha1.FreezeSpec{Stage: st.Name, Scope: v1alpha1.FreezeAutomatic, Reason: request.Body.Reason}
	if request.Body.Healing {
		what, spec.Scope = "healing", v1alpha1.FreezeHealing
		if request.Body.Until.IsZero() {
			return nil, refuse(model.InvalidRequest, "healing is paused until an instant: until is missing").
				withHint("waybill hold %s/%s --heal --for 1h", st.Namespace, st.Name)
		}
	}
	if spec.Until, err = s.until(request.Body.Until); err != nil {
		return nil, err
	}
	for _, z := range v.stopsOf(st.Name, spec.Scope) {
		if z.Spec.Until == nil || (spec.Until != nil && !z.Spec.Until.Before(spec.Until)) {
			return Hold200JSONResponse(v.freezeModel(z)), nil // held already, and as long
		}
	}
	z, err := s.createFreeze(ctx, v, what, spec)
	if err != nil {
		return nil, err
	}
	return Hold200JSONResponse(v.freezeModel(z)), nil
}

// stopsOf returns the holds on one Stage, or the pauses of its healing. Those of the
// whole Project are somebody else's decision.
func (v *projectView) stopsOf(stage string, scope v1alpha1.FreezeScope) []*v1alpha1.Freeze {
	var out []*v1alpha1.Freeze
	for i := range v.freezes {
		if z := &v.freezes[i]; z.Spec.Stage == stage && len(z.Spec.Freight) == 0 && scopeOf(z) == scope {
			out = append(out, z)
		}
	}
	return out
}

// Resume lifts the holds on a Stage, or the pauses of its healing, as the person.
func (s *Server) Resume(ctx context.Context, request ResumeRequestObject) (ResumeResponseObject, error) {
	v, st, err := s.loadStage(ctx, request.Project, request.Stage)
	if err != nil {
		return nil, err
	}
	scope := v1alpha1.FreezeAutomatic
	if request.Params.Healing {
		scope = v1alpha1.FreezeHealing
	}
	out := Resume200JSONResponse{Items: []model.Freeze{}}
	for _, z := range v.stopsOf(st.Name, scope) {
		if err := s.deleteFreeze(ctx, z); err != nil {
			return nil, err
		}
		out.Items = append(out.Items, v.freezeModel(z))
	}
	return out, nil
}
