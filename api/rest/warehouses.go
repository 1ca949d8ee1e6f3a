package rest

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// ListWarehouses returns the Warehouses of a Project.
func (s *Server) ListWarehouses(ctx context.Context, request ListWarehousesRequestObject) (ListWarehousesResponseObject, error) {
	v, err := s.loadProject(ctx, request.Project)
	if err != nil {
		return nil, err
	}
	out := ListWarehouses200JSONResponse{Items: []model.Warehouse{}}
	for i := range v.warehouses {
		out.Items = append(out.Items, v.warehouseModel(&v.warehouses[i]))
	}
	return out, nil
}

// GetWarehouse returns one Warehouse.
func (s *Server) GetWarehouse(ctx context.Context, request GetWarehouseRequestObject) (GetWarehouseResponseObject, error) {
	v, w, err := s.loadWarehouse(ctx, request.Project, request.Warehouse)
	if err != nil {
		return nil, err
	}
	return GetWarehouse200JSONResponse(v.warehouseModel(w)), nil
}

func (s *Server) loadWarehouse(ctx context.Context, project, name string) (*projectView, *v1alpha1.Warehouse, error) {
	v, err := s.loadProject(ctx, project)
	if err != nil {
		return nil, nil, err
	}
	for i := range v.warehouses {
		if v.warehouses[i].Name == name {
			return v, &v.warehouses[i], nil
		}
	}
	return nil, nil, refuse(model.NotFound, "no Warehouse %q in Project %q", name, project)
}

// RefreshWarehouse asks a Warehouse to look at its registries now.
//
// It is the one write with the server's own rights: who holds the verb refresh
// may not change Warehouses, and the annotation carries nothing of the person's
// but the wish (10-contracts, What scripts rely on). The middleware has asked
// for the verb on this very object.
func (s *Server) RefreshWarehouse(ctx context.Context, request RefreshWarehouseRequestObject) (RefreshWarehouseResponseObject, error) {
	_, w, err := s.loadWarehouse(ctx, request.Project, request.Warehouse)
	if err != nil {
		return nil, err
	}
	value := s.opts.Clock.Now().UTC().Format(time.RFC3339Nano)
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]string{v1alpha1.AnnotationRequestedAt: value}}})
	if err != nil {
		return nil, err
	}
	target := &v1alpha1.Warehouse{ObjectMeta: metav1.ObjectMeta{Name: w.Name, Namespace: w.Namespace}}
	if err := s.own.Patch(ctx, target, client.RawPatch(types.MergePatchType, patch)); err != nil {
		return nil, fromKube(fmt.Sprintf("refresh Warehouse %q", w.Name), err)
	}
	return RefreshWarehouse202JSONResponse{Request: value}, nil
}
