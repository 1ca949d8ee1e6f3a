package rest

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/history"
)

// SyncApplication asks for one sync of an Application.
//
// Like RefreshWarehouse it writes with the server's own rights: who holds the
// verb sync may not change Applications, and all that is written is the wish and
// whose it is. The middleware has asked for the verb on this very object.
func (s *Server) SyncApplication(ctx context.Context, request SyncApplicationRequestObject) (SyncApplicationResponseObject, error) {
	who, err := whoIs(ctx)
	if err != nil {
		return nil, err
	}
	app := &v1alpha1.Application{}
	err = s.opts.Cache.Get(ctx, client.ObjectKey{Namespace: request.Project, Name: request.Application}, app)
	if apierrors.IsNotFound(err) {
		return nil, refuse(model.NotFound, "no Application %q in Project %q", request.Application, request.Project)
	}
	if err != nil {
		return nil, fmt.Errorf("read Application %q: %w", request.Application, err)
	}
	q := v1alpha1.SyncRequest{ID: rand.Text(), By: who.person.User, Prune: request.Body.Prune}
	for _, r := range request.Body.Resources {
		q.Resources = append(q.Resources, v1alpha1.SyncResource{Group: r.Group, Kind: r.Kind, Namespace: r.Namespace, Name: r.Name})
	}
	// The whole request at once: a list of the one before must not stay.
	patch, err := json.Marshal([]map[string]any{{"op": "add", "path": "/operation", "value": q}})
	if err != nil {
		return nil, err
	}
	target := &v1alpha1.Application{ObjectMeta: metav1.ObjectMeta{Name: app.Name, Namespace: app.Namespace}}
	if err := s.own.Patch(ctx, target, client.RawPatch(types.JSONPatchType, patch)); err != nil {
		return nil, fromKube(fmt.Sprintf("sync Application %q", app.Name), err)
	}
	s.note(ctx, history.Entry{
		Key: "sync/" + q.ID, At: s.opts.Clock.Now().UTC().Truncate(time.Microsecond), Action: history.ActionSync, Actor: q.By,
		Project: app.Namespace, Stage: app.Labels[v1alpha1.LabelStage], Object: history.Object{Kind: "Application", Name: app.Name, UID: string(app.UID)},
	})
	return SyncApplication202JSONResponse{Request: q.ID}, nil
}

func syncResultModel(r *v1alpha1.SyncResult) model.SyncResult {
	out := model.SyncResult{ID: r.ID, By: r.By, Phase: model.SyncResultPhase(r.Phase), Revision: r.Revision, Message: r.Message, StartedAt: r.StartedAt.UTC()}
	setMicroTime(&out.FinishedAt, r.FinishedAt)
	return out
}
