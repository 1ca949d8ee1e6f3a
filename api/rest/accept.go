package rest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/gitops"
	"github.com/waybill-dev/waybill/gitops/accept"
	"github.com/waybill-dev/waybill/gitops/live"
	"github.com/waybill-dev/waybill/history"
	"github.com/waybill-dev/waybill/internal/identity"
)

// Acceptor commits changes made in clusters to the branches of Stages.
type Acceptor interface {
	Accept(ctx context.Context, q accept.Request) (accept.Result, error)
}

// AcceptDrift writes changes made in a cluster into the branch of a Stage.
func (s *Server) AcceptDrift(ctx context.Context, request AcceptDriftRequestObject) (AcceptDriftResponseObject, error) {
	who, err := whoIs(ctx)
	if err != nil {
		return nil, err
	}
	if s.opts.Acceptor == nil {
		return nil, refuse(model.Unavailable, "this server does not commit what clusters say")
	}
	v, err := s.loadProject(ctx, request.Project)
	if err != nil {
		return nil, err
	}
	var app *v1alpha1.Application
	for i := range v.apps {
		if v.apps[i].Name == request.Application {
			app = &v.apps[i]
		}
	}
	if app == nil {
		return nil, refuse(model.NotFound, "no Application %q in Project %q", request.Application, request.Project)
	}
	st, err := s.mayCommit(ctx, v, app)
	if err != nil {
		return nil, err
	}
	fields, err := driftedFields(app, request.Body.Fields)
	if err != nil {
		return nil, err
	}
	got, err := s.opts.Acceptor.Accept(ctx, accept.Request{App: app, Neighbours: v.apps, Fields: fields, By: who.person.User, Reason: request.Body.Reason})
	if err != nil {
		return nil, s.fromAcceptor(ctx, app, err)
	}
	if got.Commit != "" {
		s.note(ctx, history.Entry{
			Key: "accept/" + got.Commit, At: s.opts.Clock.Now().UTC().Truncate(time.Microsecond), Action: history.ActionAccept, Actor: who.person.User,
			Project: app.Namespace, Stage: st.Name, Object: history.Object{Kind: "Application", Name: app.Name, UID: string(app.UID)},
			Reason: acceptedText(got, fields, request.Body.Reason),
		})
	}
	if got.IsNew {
		s.lookAtBranch(ctx, app)
	}
	return acceptModel(got), nil
}

// mayCommit returns the Stage of the Application if its branch may be written to
// now, and by this person.
func (s *Server) mayCommit(ctx context.Context, v *projectView, app *v1alpha1.Application) (*v1alpha1.Stage, error) {
	name := app.Labels[v1alpha1.LabelStage]
	st := v.stageByName[name]
	if st == nil {
		return nil, refuse(model.Conflict, "Application %q is no Stage's: people write its branch", app.Name).
			withHint("change the file in Git")
	}
	for i := range v.freezes {
		z := &v.freezes[i]
		if (z.Spec.Stage == name || z.Spec.Stage == "*") && shownAs(z) == model.FreezeShownAsFreeze {
			return nil, refuse(model.GateClosed, "Stage %q is frozen: %s", name, z.Spec.Reason).withHint("waybill thaw %s/%s", st.Namespace, name)
		}
	}
	if p := v.observe(st).Active(); p != nil {
		return nil, refuse(model.Conflict, "Promotion %q of Stage %q is running", p.Name, name).withHint("waybill watch %s, then try again", st.Namespace)
	}
	if st.Spec.Approval == nil || st.Spec.Approval.Required == 0 {
		return st, nil
	}
	action := identity.Action{Verb: "bypass", Group: v1alpha1.Group, Resource: "stages", Namespace: st.Namespace, Name: st.Name}
	allowed, err := s.may(ctx, action)
	if err != nil {
		return nil, err
	}
	if !allowed {
		return nil, refuse(model.Forbidden, "Stage %q requires approvals, and nobody approves this commit: it needs the verb bypass on the Stage", name).
			withHint("waybill drift %s/%s --revert FIELD takes the change back", st.Namespace, name)
	}
	return st, nil
}

// driftedFields returns the fields to accept: those on record and not taken back.
func driftedFields(app *v1alpha1.Application, asked []model.AcceptField) ([]accept.Field, error) {
	var out []accept.Field
	for _, f := range asked {
		known, healed := false, false
		for _, d := range app.Status.Drifts {
			if !strings.EqualFold(d.Kind, f.Kind) || d.Name != f.Name || d.Field != f.Field || f.Group != "" && d.Group != f.Group || f.Namespace != "" && d.Namespace != f.Namespace {
				continue
			}
			if d.Action == v1alpha1.DriftHealed {
				healed = true
				continue
			}
			out = append(out, accept.Field{Key: gitops.Key{Group: d.Group, Kind: d.Kind, Namespace: d.Namespace, Name: d.Name}, Path: d.Field, Seen: f.Seen})
			known = true
			break
		}
		switch {
		case known:
		case healed:
			return nil, refuse(model.Conflict, "%s/%s %s was taken back already", f.Kind, f.Name, f.Field).
				withHint("set driftPolicy: report or humanGrace, so that there is time to decide")
		default:
			return nil, refuse(model.NotFound, "no change of %s/%s %s is on record", f.Kind, f.Name, f.Field).
				withHint("waybill drift %s/%s lists them", app.Namespace, app.Name)
		}
	}
	return out, nil
}

// fromAcceptor says in the words of the API why nothing was committed.
func (s *Server) fromAcceptor(ctx context.Context, app *v1alpha1.Application, err error) error {
	var refusal *accept.Refusal
	if errors.As(err, &refusal) {
		return refuse(model.Conflict, "%s", refusal.Reason).withHint("%s", refusal.Next)
	}
	if errors.Is(err, live.ErrNotThere) || errors.Is(err, live.ErrUnreachable) {
		return s.fromInspector(ctx, app, err)
	}
	s.log.Warn("drift could not be committed", "application", app.Namespace+"/"+app.Name, "requestId", requestID(ctx), "error", err)
	return refuse(model.Unavailable, "branch %q could not be written; request %s", app.Spec.Source.TargetRevision, requestID(ctx)).
		withHint("try again: asking twice makes one commit")
}

// lookAtBranch has the Application look at its branch now; it would by itself a
// little later.
func (s *Server) lookAtBranch(ctx context.Context, app *v1alpha1.Application) {
	value := s.opts.Clock.Now().UTC().Format(time.RFC3339Nano)
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]string{v1alpha1.AnnotationRequestedAt: value}}})
	if err == nil {
		target := &v1alpha1.Application{ObjectMeta: metav1.ObjectMeta{Name: app.Name, Namespace: app.Namespace}}
		err = s.own.Patch(ctx, target, client.RawPatch(types.MergePatchType, patch))
	}
	if err != nil {
		s.log.Warn("an Application was not woken", "application", app.Namespace+"/"+app.Name, "requestId", requestID(ctx), "error", err)
	}
}

// acceptedText is what the history says.
func acceptedText(got accept.Result, fields []accept.Field, reason string) string {
	names := make([]string, 0, len(fields))
	for _, f := range fields {
		names = append(names, fmt.Sprintf("%s/%s %s", f.Key.Kind, f.Key.Name, f.Path))
	}
	out := fmt.Sprintf("%s in commit %.7s of %s", strings.Join(names, ", "), got.Commit, got.Branch)
	if reason != "" {
		out = reason + " (" + out + ")"
	}
	return out
}

func acceptModel(r accept.Result) AcceptDrift200JSONResponse {
	out := AcceptDrift200JSONResponse{Branch: r.Branch, Commit: r.Commit, IsNew: r.IsNew, Changes: []model.AcceptedChange{}}
	for _, c := range r.Changes {
		out.Changes = append(out.Changes, model.AcceptedChange{
			Group: c.Key.Group, Kind: c.Key.Kind, Namespace: c.Key.Namespace, Name: c.Key.Name, Field: c.Field, Before: c.Before, After: c.After, File: c.File,
		})
	}
	return out
}
