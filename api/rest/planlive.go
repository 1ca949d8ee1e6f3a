package rest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/gitops"
	"github.com/waybill-dev/waybill/gitops/live"
	"github.com/waybill-dev/waybill/internal/identity"
	"github.com/waybill-dev/waybill/promotion/planner"
)

// liveTime bounds how long a plan waits for what lives in the clusters.
const liveTime = 5 * time.Second

// addLive says of each object of a plan how it lives otherwise than Git says now:
// what is approved is a step from there, not from the branch alone.
func (s *Server) addLive(ctx context.Context, v *projectView, p *planner.Preview, out []model.PlannedApplication) {
	if s.opts.Inspector == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, liveTime)
	defer cancel()
	for i := range out {
		at := slices.IndexFunc(v.apps, func(a v1alpha1.Application) bool { return a.Name == out[i].Name })
		if at < 0 || v.apps[at].Status.Sync.Revision == "" {
			continue // nothing of it lives yet
		}
		out[i].LiveMissing = s.addLiveOf(ctx, &v.apps[at], &p.Applications[i], &out[i])
	}
}

// addLiveOf is addLive of one Application; it returns why nothing is said.
func (s *Server) addLiveOf(ctx context.Context, app *v1alpha1.Application, planned *planner.Application, out *model.PlannedApplication) string {
	allowed, err := s.may(ctx, identity.Action{Verb: "get", Group: v1alpha1.Group, Resource: "applications", Namespace: app.Namespace, Name: app.Name})
	if err != nil || !allowed {
		return "you may not see Application " + app.Name
	}
	ask := s.opts.Inspector.Diff // of everything
	if isCalm := app.Status.Sync.Status == v1alpha1.SyncSynced && !app.Status.Drifting; isCalm {
		var keys []gitops.Key
		for _, c := range gitops.Compare(planned.Before, planned.After) {
			if c.Kind != gitops.ObjectCreated {
				keys = append(keys, c.Key)
			}
		}
		if len(keys) == 0 {
			return ""
		}
		ask = func(ctx context.Context, app *v1alpha1.Application) (live.Difference, error) {
			return s.opts.Inspector.DiffOf(ctx, app, keys)
		}
	}
	d, err := ask(ctx, app)
	if err != nil {
		s.log.Warn("a cluster could not be compared with a plan", "application", app.Namespace+"/"+app.Name, "requestId", requestID(ctx), "error", err)
		return "what lives could not be compared; request " + requestID(ctx)
	}
	if d.Broken != "" {
		return "what Git says now cannot be rendered"
	}
	for _, c := range gitops.Compare(d.After, d.Before) {
		addDifference(out, app.Spec.Destination.Namespace, &c)
	}
	if len(d.Failed) > 0 {
		e := d.Failed[0]
		return fmt.Sprintf("not compared with what lives (%d): %s: %s", len(d.Failed), e.Key, e.Message)
	}
	return ""
}

// addDifference puts how an object lives otherwise beside what the plan does to
// it, or among those that the plan leaves alone.
func addDifference(out *model.PlannedApplication, namespace string, c *gitops.ObjectChange) {
	var fields []model.ScalarChange
	switch c.Kind {
	case gitops.ObjectDeleted: // Git has it, the cluster does not
		fields = []model.ScalarChange{{Field: "object", Before: "in Git"}}
	case gitops.ObjectCreated: // the next sync prunes it
		fields = []model.ScalarChange{{Field: "object", After: "in the cluster"}}
	default:
		for _, f := range c.Fields {
			fields = append(fields, model.ScalarChange{Field: f.Field, Before: f.Before, After: f.After})
		}
	}
	for i := range out.Objects {
		o := &out.Objects[i]
		isSame := o.Group == c.Key.Group && o.Kind == c.Key.Kind && o.Name == c.Key.Name
		if isSame && (o.Namespace == c.Key.Namespace || o.Namespace == "" && c.Key.Namespace == namespace) {
			o.Live = fields
			return
		}
	}
	out.Drifted = append(out.Drifted, model.ObjectChange{
		Group: c.Key.Group, Kind: c.Key.Kind, Namespace: c.Key.Namespace, Name: c.Key.Name, Change: model.ObjectChangeChangeChanged, Live: fields,
	})
}
