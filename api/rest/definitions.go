package rest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/history"
)

// objectsOf returns an empty object and an empty list of a kind. The document
// allows no other kinds, so that this is no way to Secrets.
func objectsOf(kind model.Kind) (client.Object, client.ObjectList, error) {
	switch kind {
	case model.Warehouses:
		return &v1alpha1.Warehouse{}, &v1alpha1.WarehouseList{}, nil
	case model.Freights:
		return &v1alpha1.Freight{}, &v1alpha1.FreightList{}, nil
	case model.Stages:
		return &v1alpha1.Stage{}, &v1alpha1.StageList{}, nil
	case model.Promotions:
		return &v1alpha1.Promotion{}, &v1alpha1.PromotionList{}, nil
	case model.Applications:
		return &v1alpha1.Application{}, &v1alpha1.ApplicationList{}, nil
	case model.Freezes:
		return &v1alpha1.Freeze{}, &v1alpha1.FreezeList{}, nil
	case model.Approvals:
		return &v1alpha1.Approval{}, &v1alpha1.ApprovalList{}, nil
	case model.Promotiontasks:
		return &v1alpha1.PromotionTask{}, &v1alpha1.PromotionTaskList{}, nil
	default:
		return nil, nil, refuse(model.NotFound, "no kind %q", kind)
	}
}

// definition returns an object in its Kubernetes shape, without the bookkeeping
// of field managers.
func definition(o client.Object) (model.Definition, error) {
	data, err := json.Marshal(o)
	if err != nil {
		return nil, fmt.Errorf("encode %q: %w", o.GetName(), err)
	}
	var out model.Definition
	if err := json.Unmarshal(data, &out); err != nil {
		return nil, fmt.Errorf("encode %q: %w", o.GetName(), err)
	}
	// Objects of a typed cache have lost their kind.
	t := strings.TrimPrefix(fmt.Sprintf("%T", o), "*v1alpha1.")
	out["apiVersion"], out["kind"] = v1alpha1.GroupVersion().String(), t
	if m, ok := out["metadata"].(map[string]any); ok {
		delete(m, "managedFields")
	}
	return out, nil
}

// ListDefinitions returns objects of one kind.
func (s *Server) ListDefinitions(ctx context.Context, request ListDefinitionsRequestObject) (ListDefinitionsResponseObject, error) {
	_, list, err := objectsOf(request.Kind)
	if err != nil {
		return nil, err
	}
	if err := s.opts.Cache.List(ctx, list, client.InNamespace(request.Project), client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list %s of %q: %w", request.Kind, request.Project, err)
	}
	objects, err := objectsIn(list)
	if err != nil {
		return nil, err
	}
	out, err := definitionPage(objects, request.Params.Limit, request.Params.Page)
	return ListDefinitions200JSONResponse(out), err
}

func objectsIn(list client.ObjectList) ([]client.Object, error) {
	var out []client.Object
	err := meta.EachListItem(list, func(o runtime.Object) error {
		obj, ok := o.(client.Object)
		if !ok {
			return fmt.Errorf("list holds a %T", o)
		}
		out = append(out, obj)
		return nil
	})
	return out, err
}

// definitionPage returns one page, by name.
func definitionPage(objects []client.Object, limit int, token string) (model.DefinitionList, error) {
	slices.SortFunc(objects, func(a, b client.Object) int { return strings.Compare(a.GetName(), b.GetName()) })
	key := func(o client.Object) string { return o.GetName() }
	items, next, err := paginate(objects, limit, token, key, afterKey(key, false))
	if err != nil {
		return model.DefinitionList{}, err
	}
	out := model.DefinitionList{Items: []model.Definition{}, NextPage: next}
	for _, o := range items {
		d, err := definition(o)
		if err != nil {
			return model.DefinitionList{}, err
		}
		out.Items = append(out.Items, d)
	}
	return out, nil
}

// GetDefinition returns one object.
func (s *Server) GetDefinition(ctx context.Context, request GetDefinitionRequestObject) (GetDefinitionResponseObject, error) {
	o, err := s.object(ctx, request.Project, request.Kind, request.Name)
	if err != nil {
		return nil, err
	}
	if tag := etagOf(o); request.Params.IfNoneMatch != "" && namesTag(request.Params.IfNoneMatch, tag) {
		return GetDefinition304Response{Headers: NotModifiedResponseHeaders{ETag: tag}}, nil
	}
	d, err := definition(o)
	if err != nil {
		return nil, err
	}
	return GetDefinition200JSONResponse{Body: d, Headers: GetDefinition200ResponseHeaders{ETag: etagOf(o)}}, nil
}

// object returns one object of the cache; it must not be changed.
func (s *Server) object(ctx context.Context, project string, kind model.Kind, name string) (client.Object, error) {
	o, _, err := objectsOf(kind)
	if err != nil {
		return nil, err
	}
	err = s.opts.Cache.Get(ctx, client.ObjectKey{Namespace: project, Name: name}, o)
	if apierrors.IsNotFound(err) {
		return nil, refuse(model.NotFound, "no %s %q in Project %q", singular(kind), name, project)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s %q: %w", kind, name, err)
	}
	return o, nil
}

// singular returns the kind people know: freights is Freight.
func singular(kind model.Kind) string {
	s := strings.TrimSuffix(string(kind), "s")
	return strings.ToUpper(s[:1]) + s[1:]
}

// DeleteDefinition deletes one object, as the person.
func (s *Server) DeleteDefinition(ctx context.Context, request DeleteDefinitionRequestObject) (DeleteDefinitionResponseObject, error) {
	o, err := s.object(ctx, request.Project, request.Kind, request.Name)
	if err != nil {
		return nil, err
	}
	if err := s.deleteMatching(ctx, o, request.Params.IfMatch); err != nil {
		return nil, err
	}
	return DeleteDefinition202Response{}, nil
}

// deleteAs deletes the very object that was looked at, as the person; with a
// version, only while it has that version.
func (s *Server) deleteAs(ctx context.Context, o client.Object, version string) error {
	uid := o.GetUID()
	conditions := client.Preconditions{UID: &uid}
	if version != "" {
		conditions.ResourceVersion = &version
	}
	person, c, err := s.actingAs(ctx)
	if err != nil {
		return err
	}
	target, ok := o.DeepCopyObject().(client.Object)
	if !ok {
		return fmt.Errorf("copy of %T is no object", o)
	}
	err = c.Delete(ctx, target, conditions)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fromKube(fmt.Sprintf("delete %q", o.GetName()), err)
	}
	if e, ok := entryOf(o); ok {
		s.note(ctx, e.End(s.opts.Clock.Now(), person.User))
	}
	return nil
}

// entryOf returns what the history says of the making of an object that people
// make.
func entryOf(o client.Object) (history.Entry, bool) {
	switch o := o.(type) {
	case *v1alpha1.Freeze:
		return history.OfFreeze(o), true
	case *v1alpha1.Approval:
		return history.OfApproval(o), true
	case *v1alpha1.Project:
		return history.OfDefinition("Project", o), true
	case *v1alpha1.Warehouse:
		return history.OfDefinition("Warehouse", o), true
	case *v1alpha1.Stage:
		return history.OfDefinition("Stage", o), true
	case *v1alpha1.PromotionTask:
		return history.OfDefinition("PromotionTask", o), true
	case *v1alpha1.Application:
		return history.OfDefinition("Application", o), o.Labels[v1alpha1.LabelStage] == "" // else its Stage made it
	case *v1alpha1.Cluster:
		return history.OfDefinition("Cluster", o), true
	default:
		return history.Entry{}, false
	}
}

// ListProjectDefinitions returns the Projects the person may see.
func (s *Server) ListProjectDefinitions(ctx context.Context, request ListProjectDefinitionsRequestObject) (ListProjectDefinitionsResponseObject, error) {
	var projects v1alpha1.ProjectList
	if err := s.opts.Cache.List(ctx, &projects, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list Projects: %w", err)
	}
	var visible []client.Object
	for i := range projects.Items {
		yes, err := s.maySee(ctx, projects.Items[i].Name)
		if err != nil {
			return nil, err
		}
		if yes {
			visible = append(visible, &projects.Items[i])
		}
	}
	out, err := definitionPage(visible, request.Params.Limit, request.Params.Page)
	return ListProjectDefinitions200JSONResponse(out), err
}

// GetProjectDefinition returns a Project object.
func (s *Server) GetProjectDefinition(ctx context.Context, request GetProjectDefinitionRequestObject) (GetProjectDefinitionResponseObject, error) {
	p, err := s.projectObject(ctx, request.Project)
	if err != nil {
		return nil, err
	}
	tag := etagOf(p)
	if request.Params.IfNoneMatch != "" && namesTag(request.Params.IfNoneMatch, tag) {
		return GetProjectDefinition304Response{Headers: NotModifiedResponseHeaders{ETag: tag}}, nil
	}
	d, err := definition(p)
	if err != nil {
		return nil, err
	}
	return GetProjectDefinition200JSONResponse{Body: d, Headers: GetProjectDefinition200ResponseHeaders{ETag: tag}}, nil
}

func (s *Server) projectObject(ctx context.Context, name string) (*v1alpha1.Project, error) {
	p := &v1alpha1.Project{}
	err := s.opts.Cache.Get(ctx, client.ObjectKey{Name: name}, p)
	if apierrors.IsNotFound(err) {
		return nil, noProject(name)
	}
	if err != nil {
		return nil, fmt.Errorf("read Project %q: %w", name, err)
	}
	return p, nil
}

// DeleteProjectDefinition deletes a Project, as the person.
func (s *Server) DeleteProjectDefinition(ctx context.Context, request DeleteProjectDefinitionRequestObject) (DeleteProjectDefinitionResponseObject, error) {
	p, err := s.projectObject(ctx, request.Project)
	if err != nil {
		return nil, err
	}
	return DeleteProjectDefinition202Response{}, s.deleteMatching(ctx, p, request.Params.IfMatch)
}
