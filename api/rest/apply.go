package rest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/history"
	"github.com/waybill-dev/waybill/internal/manifest"
)

const (
	// fieldManager of what people apply through the API.
	fieldManager = "waybill-apply"
	// namespaceWait is how long a new Project's Namespace, and the rights in
	// it, are waited for, and the end of what is being deleted.
	namespaceWait = 10 * time.Second
	waitStep      = 100 * time.Millisecond
)

// Apply applies manifests. Each document is written with the person's own
// identity: nothing that one document did gives rights to the next.
func (s *Server) Apply(ctx context.Context, request ApplyRequestObject) (ApplyResponseObject, error) {
	files, err := filesOf(request)
	if err != nil {
		return nil, err
	}
	docs, findings := manifest.Parse(files, request.Params.Project)
	if len(findings) > 0 {
		return nil, invalidManifest(findings)
	}
	if len(docs) == 0 {
		return nil, refuse(model.InvalidManifest, "there is nothing to apply: no document holds an object")
	}
	if request.Params.Prune {
		if err := checkPrune(docs); err != nil {
			return nil, err
		}
	}
	lint, err := s.lint(ctx, docs)
	if err != nil {
		return nil, err
	}
	if bad := manifest.Errors(lint); len(bad) > 0 {
		return nil, invalidManifest(bad)
	}
	_, c, err := s.actingAs(ctx)
	if err != nil {
		return nil, err
	}
	a := &applier{
		s: s, c: c, dryRun: request.Params.DryRun, force: request.Params.Force, diff: request.Params.Diff,
		id: requestID(ctx), newProjects: map[string]time.Time{},
	}
	// Parse has refused documents that name the same object.
	key := func(d manifest.Document) string { return d.Kind + "/" + d.Namespace + "/" + d.Name }
	results := map[string]model.DocumentResult{}
	for _, d := range manifest.Order(docs) {
		results[key(d)] = a.apply(ctx, d)
	}
	for _, d := range docs {
		// Who may not make a Namespace has it made by the Project that came after it.
		if d.Kind == "Namespace" && results[key(d)].Problem.Code == model.Forbidden {
			results[key(d)] = a.apply(ctx, d)
		}
	}
	out := Apply200JSONResponse{Items: make([]model.DocumentResult, 0, len(docs)), Warnings: fieldErrors(lint)}
	for _, d := range docs {
		r := results[key(d)]
		if r.Action == model.DocumentResultActionFailed {
			out.Failed++
		}
		out.Items = append(out.Items, r)
	}
	switch {
	case !request.Params.Prune:
	case out.Failed > 0:
		out.Warnings = append(out.Warnings, model.FieldError{Detail: "nothing was pruned, because not every document could be applied"})
	default:
		pruned, err := a.prune(ctx, docs)
		if err != nil {
			return nil, err
		}
		for _, r := range pruned {
			if r.Action == model.DocumentResultActionFailed {
				out.Failed++
			}
		}
		out.Items = append(out.Items, pruned...)
	}
	return out, nil
}

func filesOf(request ApplyRequestObject) ([]manifest.File, error) {
	if request.JSONBody != nil {
		out := make([]manifest.File, 0, len(request.JSONBody.Files))
		for _, f := range request.JSONBody.Files {
			out = append(out, manifest.File{Name: f.Name, Content: []byte(f.Content)})
		}
		return out, nil
	}
	if request.Body == nil {
		return nil, refuse(model.InvalidRequest, "send application/json or application/yaml")
	}
	data, err := io.ReadAll(request.Body)
	if err != nil {
		return nil, err
	}
	return []manifest.File{{Name: "-", Content: data}}, nil
}

func invalidManifest(fs []manifest.Finding) *refusal {
	r := refuse(model.InvalidManifest, "%s", fs[0].String())
	if len(fs) > 1 {
		r.detail = fmt.Sprintf("%s (and %d more)", fs[0].String(), len(fs)-1)
	}
	r.errors = fieldErrors(fs)
	return r.withHint("nothing was applied")
}

func fieldErrors(fs []manifest.Finding) []model.FieldError {
	var out []model.FieldError
	for _, f := range fs {
		out = append(out, model.FieldError{File: f.File, Document: f.Document, Line: f.Line, Field: f.Field, Pointer: f.Pointer(), Detail: f.Message})
	}
	return out
}

// lint compares the documents with each other and with what is in the Projects
// the person may see.
func (s *Server) lint(ctx context.Context, docs []manifest.Document) ([]manifest.Finding, error) {
	existing := manifest.Existing{IsComplete: true}
	seen := map[string]bool{}
	for _, d := range docs {
		if d.Kind != "Stage" || seen[d.Namespace] {
			continue
		}
		seen[d.Namespace] = true
		visible, err := s.maySee(ctx, d.Namespace)
		if err != nil {
			return nil, err
		}
		if !visible {
			existing.IsComplete = false // and no word about what is there
			continue
		}
		var stages v1alpha1.StageList
		var warehouses v1alpha1.WarehouseList
		in := client.InNamespace(d.Namespace)
		if err := s.opts.Cache.List(ctx, &stages, in, client.UnsafeDisableDeepCopy); err != nil {
			return nil, fmt.Errorf("list Stages of %q: %w", d.Namespace, err)
		}
		if err := s.opts.Cache.List(ctx, &warehouses, in, client.UnsafeDisableDeepCopy); err != nil {
			return nil, fmt.Errorf("list Warehouses of %q: %w", d.Namespace, err)
		}
		var tasks v1alpha1.PromotionTaskList
		if err := s.opts.Cache.List(ctx, &tasks, in, client.UnsafeDisableDeepCopy); err != nil {
			return nil, fmt.Errorf("list PromotionTasks of %q: %w", d.Namespace, err)
		}
		existing.Tasks = append(existing.Tasks, tasks.Items...)
		existing.Stages = append(existing.Stages, stages.Items...)
		existing.Warehouses = append(existing.Warehouses, warehouses.Items...)
	}
	return manifest.Lint(docs, existing), nil
}

// applier applies the documents of one request.
type applier struct {
	s             *Server
	c             client.Client // acts as the person
	dryRun, force bool
	diff          bool   // say how each object changes
	id            string // of the request
	// newProjects were created by this request: until when their Namespace is
	// waited for.
	newProjects map[string]time.Time
}

// apply applies one document. Its problem is in the result.
func (a *applier) apply(ctx context.Context, d manifest.Document) model.DocumentResult {
	out := model.DocumentResult{File: d.File, Document: d.Index, Line: d.Line, Kind: d.Kind, Namespace: d.Namespace, Name: d.Name}
	err := a.try(ctx, d, &out)
	if err == nil {
		return out
	}
	out.Action = model.DocumentResultActionFailed
	p, r := problemOf(a.place(d, err), a.id)
	if p.Status >= 500 {
		a.s.log.Error("a document could not be applied", "requestId", a.id, "kind", d.Kind, "namespace", d.Namespace, "name", d.Name, "error", r)
	}
	out.Problem = p
	return out
}

// place adds file, document and line to the fields that Kubernetes names. A
// Secret's values are not repeated.
func (a *applier) place(d manifest.Document, err error) error {
	r := *refusalOf(err)
	if d.Kind == "Secret" && r.code == model.InvalidRequest {
		r.detail = fmt.Sprintf("Kubernetes refuses Secret %q", d.Name)
	}
	r.errors = slices.Clone(r.errors)
	for i := range r.errors {
		e := &r.errors[i]
		e.File, e.Document, e.Line = d.File, d.Index, d.LineOf(e.Field)
		if d.Kind == "Secret" {
			e.Detail = "is not valid"
		}
	}
	if r.code == model.InvalidRequest {
		r.code = model.InvalidManifest
		if len(r.errors) > 0 {
			first := r.errors[0]
			r.detail = manifest.Finding{File: first.File, Document: first.Document, Line: first.Line, Field: first.Field, Message: first.Detail}.String()
		}
	}
	return &r
}

func (a *applier) try(ctx context.Context, d manifest.Document, out *model.DocumentResult) error {
	deadline, isNew := a.newProjects[d.Namespace]
	if isNew && a.dryRun {
		out.Action, out.Note = model.DocumentResultActionCreated, "checked without the cluster: its Namespace is not there yet"
		u, err := objectIn(d)
		if err == nil && a.diff {
			out.Change = changeOf(nil, u)
		}
		return err
	}
	if isNew {
		if err := a.awaitNamespace(ctx, d.Namespace, deadline); err != nil {
			return err
		}
	}
	for gone := a.s.opts.Clock.Now().Add(namespaceWait); ; {
		before, err := a.look(ctx, d)
		if err == nil && before != nil && before.GetDeletionTimestamp() != nil {
			// Whatever is written now goes with it.
			if a.dryRun || !a.s.opts.Clock.Now().Before(gone) {
				return refuse(model.Conflict, "%s %q is being deleted", d.Kind, d.Name).withHint("apply it again when it is gone")
			}
			if err := a.pause(ctx); err != nil {
				return err
			}
			continue
		}
		if err == nil {
			var after *unstructured.Unstructured
			if after, err = a.write(ctx, d); err == nil {
				a.judge(d, before, after, out)
				a.note(ctx, d, before, after)
				return nil
			}
		}
		if d.Kind == "Namespace" && apierrors.IsForbidden(err) && a.isHome(ctx, d.Name) {
			out.Action, out.Note = model.DocumentResultActionUnchanged, "its Project makes it"
			return nil
		}
		// The rights in a new Namespace come a moment after it.
		if !isNew || !(apierrors.IsForbidden(err) || apierrors.IsNotFound(err)) || !a.s.opts.Clock.Now().Before(deadline) {
			return a.explain(d, err)
		}
		if err := a.pause(ctx); err != nil {
			return err
		}
	}
}

// isHome reports whether a Project of that name is just applied, or is there
// and may be seen: then the Namespace is the controller's business, and somebody
// who may not change Namespaces need not.
func (a *applier) isHome(ctx context.Context, name string) bool {
	if _, isNew := a.newProjects[name]; isNew {
		return true
	}
	visible, err := a.s.maySee(ctx, name)
	if err != nil || !visible {
		return false
	}
	exists, err := a.s.projectExists(ctx, name)
	return err == nil && exists
}

// explain says in the words of the API what Kubernetes refused.
func (a *applier) explain(d manifest.Document, err error) error {
	if apierrors.IsConflict(err) {
		r := refuse(model.Conflict, "%s %q: %s", d.Kind, d.Name, err.Error())
		return r.withHint("--force takes the fields over")
	}
	if apierrors.IsNotFound(err) && d.Namespace != "" {
		return refuse(model.NotFound, "no Project %q, or you may not see it", d.Namespace).withHint("apply a Project of that name first")
	}
	return fromKube(fmt.Sprintf("apply %s %q", d.Kind, d.Name), err)
}

// look returns what is there before, as far as the person may see it: nil when
// nothing is, an object without uid when nobody can tell.
func (a *applier) look(ctx context.Context, d manifest.Document) (*unstructured.Unstructured, error) {
	m := &unstructured.Unstructured{}
	m.SetGroupVersionKind(schema.FromAPIVersionAndKind(d.APIVersion, d.Kind))
	err := a.c.Get(ctx, client.ObjectKey{Namespace: d.Namespace, Name: d.Name}, m)
	switch {
	case err == nil:
		return m, nil
	case apierrors.IsNotFound(err):
		return nil, nil
	case apierrors.IsForbidden(err):
		return &unstructured.Unstructured{}, nil // may write but not read
	default:
		return nil, err
	}
}

// write applies the document by server-side apply.
func (a *applier) write(ctx context.Context, d manifest.Document) (*unstructured.Unstructured, error) {
	u, err := objectIn(d)
	if err != nil {
		return nil, err
	}
	opts := []client.PatchOption{client.FieldOwner(fieldManager)}
	if a.force {
		opts = append(opts, client.ForceOwnership)
	}
	if a.dryRun {
		opts = append(opts, client.DryRunAll)
	}
	err = a.c.Patch(ctx, u, client.RawPatch(types.ApplyPatchType, d.JSON), opts...)
	return u, err
}

// objectIn returns the object of a document.
func objectIn(d manifest.Document) (*unstructured.Unstructured, error) {
	u := &unstructured.Unstructured{}
	if err := json.Unmarshal(d.JSON, &u.Object); err != nil {
		return nil, fmt.Errorf("read document again: %w", err)
	}
	return u, nil
}

// judge says what happened, or in a dry run what would: it leaves the version as it is, and counts generations only.
func (a *applier) judge(d manifest.Document, before, after *unstructured.Unstructured, out *model.DocumentResult) {
	isKnown := before == nil || before.GetUID() != ""
	var change model.ObjectChange
	if isKnown && (a.diff || a.dryRun) {
		change = changeOf(before, after)
	}
	switch {
	case before == nil:
		out.Action = model.DocumentResultActionCreated
		if d.Kind == "Project" {
			a.newProjects[d.Name] = a.s.opts.Clock.Now().Add(namespaceWait)
		}
	case isKnown && !a.dryRun && isSame(before, after), isKnown && a.dryRun && change.Kind == "":
		out.Action = model.DocumentResultActionUnchanged
	default:
		out.Action = model.DocumentResultActionConfigured
	}
	if a.diff {
		out.Change = change
	}
}

// isSame reports whether an apply left the object as it was. Who manages which field
// is no part of it, and neither is a status that was written meanwhile; kinds without
// a generation have nothing but their version to tell.
func isSame(before, after *unstructured.Unstructured) bool {
	if before.GetGeneration() == 0 {
		return before.GetResourceVersion() == after.GetResourceVersion()
	}
	return before.GetGeneration() == after.GetGeneration() && maps.Equal(before.GetLabels(), after.GetLabels()) &&
		maps.Equal(before.GetAnnotations(), after.GetAnnotations())
}

// note keeps who gave a definition its content. Where nobody can tell whether
// this apply changed anything, nothing is said: it may have been another's.
func (a *applier) note(ctx context.Context, d manifest.Document, before, after *unstructured.Unstructured) {
	isChanged := before == nil || before.GetUID() != "" && before.GetGeneration() != after.GetGeneration()
	switch d.Kind {
	case "Project", "Warehouse", "Stage", "PromotionTask", "Application", "Cluster":
	default:
		return
	}
	if a.dryRun || !isChanged {
		return
	}
	who, err := whoIs(ctx)
	if err != nil {
		return
	}
	e := history.OfDefinition(d.Kind, after)
	e.Actor = who.person.User
	a.s.note(ctx, e)
}

// awaitNamespace waits until the controller has made the Namespace of a new
// Project.
func (a *applier) awaitNamespace(ctx context.Context, name string, deadline time.Time) error {
	for {
		var ns corev1.Namespace
		err := a.s.opts.Cache.Get(ctx, client.ObjectKey{Name: name}, &ns)
		if err == nil && ns.DeletionTimestamp == nil {
			return nil
		}
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("read Namespace %q: %w", name, err)
		}
		if !a.s.opts.Clock.Now().Before(deadline) {
			return refuse(model.Unavailable, "the Namespace of Project %q is not there after %s", name, namespaceWait).
				withHint("waybill get projects shows what the Project is waiting for; then apply again")
		}
		if err := a.pause(ctx); err != nil {
			return err
		}
	}
}

func (a *applier) pause(ctx context.Context) error {
	t := a.s.opts.Clock.NewTimer(waitStep)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C():
		return nil
	}
}
