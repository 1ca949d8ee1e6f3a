package rest

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/gitops"
	"github.com/waybill-dev/waybill/gitops/live"
	"github.com/waybill-dev/waybill/promotion/planner"
)

// Inspector looks into the clusters of Applications, with the server's account.
type Inspector interface {
	// Tree returns the objects of an Application, and what they own.
	Tree(ctx context.Context, app *v1alpha1.Application) (live.Tree, error)
	// Trace finds which of apps manage an object, or what owns it.
	Trace(ctx context.Context, apps []*v1alpha1.Application, a live.Asked) (live.Traced, error)
	// Origin returns where the revision of app that runs declares an object.
	Origin(ctx context.Context, app *v1alpha1.Application, key gitops.Key) (live.Origin, error)
	// Events returns what happened to them, newest first.
	Events(ctx context.Context, app *v1alpha1.Application) ([]live.Event, error)
	// Logs returns what their containers wrote last.
	Logs(ctx context.Context, app *v1alpha1.Application, q live.LogQuery) (logs []live.Log, isCut bool, err error)
	// Diff returns what a sync would change.
	Diff(ctx context.Context, app *v1alpha1.Application) (live.Difference, error)
	// DiffOf is Diff of some objects.
	DiffOf(ctx context.Context, app *v1alpha1.Application, keys []gitops.Key) (live.Difference, error)
}

// ListApplications returns the Applications of a Project.
func (s *Server) ListApplications(ctx context.Context, request ListApplicationsRequestObject) (ListApplicationsResponseObject, error) {
	v, err := s.loadProject(ctx, request.Project)
	if err != nil {
		return nil, err
	}
	out := ListApplications200JSONResponse{Items: []model.Application{}}
	for i := range v.apps {
		out.Items = append(out.Items, v.applicationModel(&v.apps[i]))
	}
	return out, nil
}

// GetApplication returns one Application.
func (s *Server) GetApplication(ctx context.Context, request GetApplicationRequestObject) (GetApplicationResponseObject, error) {
	v, err := s.loadProject(ctx, request.Project)
	if err != nil {
		return nil, err
	}
	for i := range v.apps {
		if v.apps[i].Name == request.Application {
			return GetApplication200JSONResponse(v.applicationModel(&v.apps[i])), nil
		}
	}
	return nil, refuse(model.NotFound, "no Application %q in Project %q", request.Application, request.Project)
}

// inspected returns an Application to ask the Inspector about. It must not be
// changed.
func (s *Server) inspected(ctx context.Context, project, name string) (*v1alpha1.Application, error) {
	if s.opts.Inspector == nil {
		return nil, refuse(model.Unavailable, "this server does not look into clusters")
	}
	app := &v1alpha1.Application{}
	err := s.opts.Cache.Get(ctx, client.ObjectKey{Namespace: project, Name: name}, app)
	if apierrors.IsNotFound(err) {
		return nil, refuse(model.NotFound, "no Application %q in Project %q", name, project)
	}
	if err != nil {
		return nil, fmt.Errorf("read Application %q: %w", name, err)
	}
	return app, nil
}

// fromInspector says in the words of the API why there is no answer. What a
// cluster or a Git server says goes to the log: it may name addresses.
func (s *Server) fromInspector(ctx context.Context, app *v1alpha1.Application, err error) error {
	cluster := app.Spec.Destination.Cluster
	if cluster == "" {
		cluster = v1alpha1.InCluster
	}
	switch {
	case errors.Is(err, live.ErrNotThere):
		return refuse(model.NotFound, "Application %q: %s", app.Name, err.Error())
	case errors.Is(err, live.ErrNoRevision):
		return refuse(model.Conflict, "Application %q has no revision yet: its branch was not seen", app.Name)
	case errors.Is(err, live.ErrUnreachable):
		s.log.Warn("a cluster could not be asked", "application", app.Namespace+"/"+app.Name, "requestId", requestID(ctx), "error", err)
		return refuse(model.Unavailable, "cluster %q does not answer", cluster).withHint("waybill get application %s -p %s -o yaml says since when", app.Name, app.Namespace)
	default:
		return err
	}
}

// GetApplicationTree returns what an Application has in its cluster.
func (s *Server) GetApplicationTree(ctx context.Context, request GetApplicationTreeRequestObject) (GetApplicationTreeResponseObject, error) {
	app, err := s.inspected(ctx, request.Project, request.Application)
	if err != nil {
		return nil, err
	}
	tree, err := s.opts.Inspector.Tree(ctx, app)
	if err != nil {
		return nil, s.fromInspector(ctx, app, err)
	}
	out := GetApplicationTree200JSONResponse{Items: make([]model.ResourceNode, 0, len(tree.Nodes)), Cut: tree.IsCut}
	for _, n := range tree.Nodes {
		out.Items = append(out.Items, nodeModel(n))
	}
	return out, nil
}

func nodeModel(n live.Node) model.ResourceNode {
	return model.ResourceNode{
		Group: n.Key.Group, Kind: n.Key.Kind, Namespace: n.Key.Namespace, Name: n.Key.Name, UID: n.UID, Parent: n.Parent,
		Health: string(n.Health.Status), Reason: n.Health.Reason, Message: n.Health.Message, CreatedAt: n.CreatedAt, Containers: n.Containers,
	}
}

// ListApplicationEvents returns what happened to an Application and its objects.
func (s *Server) ListApplicationEvents(ctx context.Context, request ListApplicationEventsRequestObject) (ListApplicationEventsResponseObject, error) {
	app, err := s.inspected(ctx, request.Project, request.Application)
	if err != nil {
		return nil, err
	}
	events, err := s.opts.Inspector.Events(ctx, app)
	if err != nil {
		return nil, s.fromInspector(ctx, app, err)
	}
	out := ListApplicationEvents200JSONResponse{Items: make([]model.ObjectEvent, 0, len(events))}
	for _, e := range events {
		out.Items = append(out.Items, model.ObjectEvent{
			Group: e.Key.Group, Kind: e.Key.Kind, Namespace: e.Key.Namespace, Name: e.Key.Name,
			Warning: e.IsWarning, Reason: e.Reason, Message: e.Message, By: e.By, Count: e.Count, FirstAt: e.FirstAt.UTC(), LastAt: e.LastAt.UTC(),
		})
	}
	return out, nil
}

// GetApplicationLogs returns what the containers of an Application wrote last.
func (s *Server) GetApplicationLogs(ctx context.Context, request GetApplicationLogsRequestObject) (GetApplicationLogsResponseObject, error) {
	p := request.Params
	if (p.Kind == "") != (p.Name == "") {
		return nil, refuse(model.InvalidRequest, "kind and name go together")
	}
	app, err := s.inspected(ctx, request.Project, request.Application)
	if err != nil {
		return nil, err
	}
	logs, isCut, err := s.opts.Inspector.Logs(ctx, app, live.LogQuery{Kind: p.Kind, Name: p.Name, Container: p.Container, Lines: p.Lines})
	if err != nil {
		return nil, s.fromInspector(ctx, app, err)
	}
	out := GetApplicationLogs200JSONResponse{Items: make([]model.ContainerLog, 0, len(logs)), Cut: isCut}
	for _, l := range logs {
		out.Items = append(out.Items, model.ContainerLog{Pod: l.Pod, Container: l.Container, Text: l.Text, Missing: l.Missing})
	}
	return out, nil
}

// DiffApplication returns what a sync would change.
func (s *Server) DiffApplication(ctx context.Context, request DiffApplicationRequestObject) (DiffApplicationResponseObject, error) {
	app, err := s.inspected(ctx, request.Project, request.Application)
	if err != nil {
		return nil, err
	}
	d, err := s.opts.Inspector.Diff(ctx, app)
	if err != nil {
		return nil, s.fromInspector(ctx, app, err)
	}
	out := DiffApplication200JSONResponse{Project: app.Namespace, Revision: d.Revision, Application: plannedApplicationModel(&planner.Application{
		Name: app.Name, Source: app.Spec.Source, Destination: app.Spec.Destination, Before: d.Before, After: d.After, Broken: d.Broken,
	})}
	for _, e := range d.Failed {
		out.Failed = append(out.Failed, model.ObjectStatus{
			Group: e.Key.Group, Kind: e.Key.Kind, Namespace: e.Key.Namespace, Name: e.Key.Name, Reason: e.Reason, Message: e.Message,
		})
	}
	return out, nil
}
