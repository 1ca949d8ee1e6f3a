package rest

import (
	"context"
	"errors"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/warehouse"
)

// ListFreight returns Freight, newest first.
func (s *Server) ListFreight(ctx context.Context, request ListFreightRequestObject) (ListFreightResponseObject, error) {
	v, err := s.loadProject(ctx, request.Project)
	if err != nil {
		return nil, err
	}
	var match []*v1alpha1.Freight
	for i := range v.freight {
		if request.Params.Origin == "" || v.freight[i].Origin.Name == request.Params.Origin {
			match = append(match, &v.freight[i])
		}
	}
	key := func(f *v1alpha1.Freight) string { return f.Name }
	// The order has several parts, so the place of the last item is looked up.
	// A Freight that was deleted meanwhile ends the list.
	found := false
	items, next, err := paginate(match, request.Params.Limit, request.Params.Page, key, func(f *v1alpha1.Freight, last string) bool {
		if found {
			return true
		}
		found = f.Name == last
		return false
	})
	if err != nil {
		return nil, err
	}
	out := ListFreight200JSONResponse{Items: []model.Freight{}, NextPage: next}
	for _, f := range items {
		out.Items = append(out.Items, v.freightModel(f))
	}
	return out, nil
}

// GetFreight returns one Freight.
func (s *Server) GetFreight(ctx context.Context, request GetFreightRequestObject) (GetFreightResponseObject, error) {
	v, err := s.loadProject(ctx, request.Project)
	if err != nil {
		return nil, err
	}
	f, err := v.find(request.Freight, nil)
	if err != nil {
		return nil, err
	}
	return GetFreight200JSONResponse(v.freightModel(f)), nil
}

// RenameFreight gives Freight another alias, as the person; the label follows.
func (s *Server) RenameFreight(ctx context.Context, request RenameFreightRequestObject) (RenameFreightResponseObject, error) {
	v, err := s.loadProject(ctx, request.Project)
	if err != nil {
		return nil, err
	}
	f, err := v.find(request.Freight, nil)
	if err != nil {
		return nil, err
	}
	alias := request.Body.Alias
	if err := warehouse.CheckAlias(alias, f.Name, v.freight); errors.Is(err, warehouse.ErrAliasTaken) {
		return nil, refuse(model.Conflict, "%v", err)
	} else if err != nil {
		return nil, refuse(model.InvalidRequest, "%v", err)
	}
	who, err := whoIs(ctx)
	if err != nil {
		return nil, err
	}
	c, err := s.people.as(who.person)
	if err != nil {
		return nil, err
	}
	renamed := f.DeepCopy()
	warehouse.SetAlias(renamed, alias)
	if err := c.Patch(ctx, renamed, client.MergeFrom(f)); err != nil {
		return nil, fromKube(fmt.Sprintf("rename Freight %q", f.Name), err)
	}
	return RenameFreight200JSONResponse(v.freightModel(renamed)), nil
}

// RejectFreight keeps a Freight out of one Stage or of all, as the person.
func (s *Server) RejectFreight(ctx context.Context, request RejectFreightRequestObject) (RejectFreightResponseObject, error) {
	v, err := s.loadProject(ctx, request.Project)
	if err != nil {
		return nil, err
	}
	f, err := v.find(request.Freight, nil)
	if err != nil {
		return nil, err
	}
	stage := request.Body.Stage
	if stage == "" {
		stage = "*"
	}
	if err := v.stageOrAll(stage); err != nil {
		return nil, err
	}
	for _, z := range v.rejections[f.Name] {
		if z.Spec.Stage == stage && scopeOf(z) == v1alpha1.FreezeAll && z.Spec.Until == nil {
			return RejectFreight200JSONResponse(v.freezeModel(z)), nil // rejected already
		}
	}
	z, err := s.createFreeze(ctx, v, "reject", v1alpha1.FreezeSpec{Stage: stage, Freight: []string{f.Name}, Scope: v1alpha1.FreezeAll, Reason: request.Body.Reason})
	if err != nil {
		return nil, err
	}
	return RejectFreight200JSONResponse(v.freezeModel(z)), nil
}

// UnrejectFreight takes rejections of a Freight back, as the person.
func (s *Server) UnrejectFreight(ctx context.Context, request UnrejectFreightRequestObject) (UnrejectFreightResponseObject, error) {
	v, err := s.loadProject(ctx, request.Project)
	if err != nil {
		return nil, err
	}
	f, err := v.find(request.Freight, nil)
	if err != nil {
		return nil, err
	}
	if request.Body.Stage != "" {
		if err := v.stageOrAll(request.Body.Stage); err != nil {
			return nil, err
		}
	}
	out := UnrejectFreight200JSONResponse{Items: []model.Freeze{}}
	for _, z := range v.rejections[f.Name] {
		if request.Body.Stage != "" && z.Spec.Stage != request.Body.Stage {
			continue
		}
		if others := without(z.Spec.Freight, f.Name); len(others) > 0 {
			// A Freeze cannot be changed; the others stay rejected by a new one
			// that is there before the old one goes.
			spec := *z.Spec.DeepCopy()
			spec.Freight, spec.Reason = others, z.Spec.Reason
			if _, err := s.createFreeze(ctx, v, "reject", spec); err != nil {
				return nil, err
			}
		}
		if err := s.deleteFreeze(ctx, z); err != nil {
			return nil, err
		}
		out.Items = append(out.Items, v.freezeModel(z))
	}
	if len(out.Items) == 0 {
		return nil, refuse(model.NotFound, "%s is not rejected%s", describeFreight(f), forStage(request.Body.Stage))
	}
	return out, nil
}

func forStage(stage string) string {
	if stage == "" {
		return ""
	}
	return fmt.Sprintf(" for %q", stage)
}

func without(names []string, name string) []string {
	var out []string
	for _, n := range names {
		if n != name {
			out = append(out, n)
		}
	}
	return out
}

// stageOrAll accepts the name of a Stage, or * for all.
func (v *projectView) stageOrAll(name string) error {
	if name == "*" {
		return nil
	}
	_, err := v.stage(name)
	return err
}
