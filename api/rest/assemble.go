package rest

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/history"
	"github.com/waybill-dev/waybill/internal/identity"
	"github.com/waybill-dev/waybill/warehouse"
)

// AssembleFreight makes Freight of candidates that a person chose, as the
// person. Admission wants the verb assemble on the Warehouse and our word that
// the content was found by it; the name, which that word is about, is the digest
// of the content.
func (s *Server) AssembleFreight(ctx context.Context, request AssembleFreightRequestObject) (AssembleFreightResponseObject, error) {
	v, w, err := s.loadWarehouse(ctx, request.Project, request.Warehouse)
	if err != nil {
		return nil, err
	}
	if w.Status.ObservedGeneration != w.Generation || len(w.Status.Subscriptions) != len(w.Spec.Subscriptions) {
		return nil, refuse(model.Conflict, "Warehouse %q has not looked since it was changed", w.Name).withHint("waybill refresh %s/%s --wait", request.Project, w.Name)
	}
	var choices []warehouse.Choice
	for _, c := range request.Body.Choices {
		choices = append(choices, warehouse.Choice{RepoURL: c.RepoURL, Chart: c.Chart, Version: c.Version})
	}
	content, err := warehouse.Pick(w, choices)
	if err != nil {
		return nil, refuse(model.InvalidRequest, "%s", err).withHint("waybill get warehouse %s -p %s -o yaml lists the candidates", w.Name, request.Project)
	}
	criteria, err := warehouse.CompileCriteria(w.Spec.FreightCreationCriteria)
	if err == nil {
		var met bool
		if met, err = criteria.Accepts(content); err == nil && !met {
			return nil, refuse(model.InvalidRequest, "these artifacts do not meet freightCreationCriteria of Warehouse %q", w.Name)
		}
	}
	if err != nil {
		return nil, refuse(model.InvalidRequest, "%s", err)
	}
	name, err := warehouse.FreightName(v1alpha1.Origin{Kind: warehouse.OriginKind, Name: w.Name}, content)
	if err != nil {
		return nil, err //nolint:wrapcheck // names the repository already
	}
	for i := range v.freight {
		if v.freight[i].Name == name {
			return AssembleFreight200JSONResponse(v.freightModel(&v.freight[i])), nil
		}
	}
	f, err := warehouse.BuildFreight(w, content, v.freight)
	switch {
	case errors.Is(err, warehouse.ErrInvalid):
		return nil, refuse(model.InvalidRequest, "%s", err)
	case err != nil:
		return nil, err //nolint:wrapcheck // names the subscriptions already
	}
	who, err := whoIs(ctx)
	if err != nil {
		return nil, err
	}
	c, err := s.people.as(who.person, identity.FreightProof(f.Name))
	if err != nil {
		return nil, err
	}
	if err := c.Create(ctx, f); err != nil && !apierrors.IsAlreadyExists(err) {
		return nil, fromKube(fmt.Sprintf("create Freight %q", f.Name), err)
	}
	if f.UID != "" { // else somebody else was faster
		e := history.OfFreight(f)
		e.Actor = who.person.User
		s.note(ctx, e)
	}
	return AssembleFreight201JSONResponse(v.freightModel(f)), nil
}
