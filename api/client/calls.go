package client

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/waybill-dev/waybill/api/rest/model"
)

// Version returns the server's version. It needs no token.
func (c *Client) Version(ctx context.Context) (*model.Version, error) {
	var out model.Version
	return &out, c.do(ctx, call{method: http.MethodGet, path: []string{"version"}}, &out)
}

// Projects returns the Projects one may see, the worst first.
func (c *Client) Projects(ctx context.Context) (*model.Projects, error) {
	return get[model.Projects](ctx, c, nil, "projects")
}

// Pipeline returns everything about one Project.
func (c *Client) Pipeline(ctx context.Context, project string) (*model.Pipeline, error) {
	return get[model.Pipeline](ctx, c, nil, "projects", project, "pipeline")
}

// Stages returns the Stages of a Project, upstream first.
func (c *Client) Stages(ctx context.Context, project string) (*model.StageList, error) {
	return get[model.StageList](ctx, c, nil, "projects", project, "stages")
}

// Stage returns one Stage with its applications and latest Promotions.
func (c *Client) Stage(ctx context.Context, project, stage string) (*model.StageDetail, error) {
	return get[model.StageDetail](ctx, c, nil, "projects", project, "stages", stage)
}

// Plan returns what promoting freight would change. freight is a name, alias,
// version, start of a name, latest, prev or @STAGE.
func (c *Client) Plan(ctx context.Context, project, stage, freight string) (*model.Plan, error) {
	return get[model.Plan](ctx, c, values("freight", freight), "projects", project, "stages", stage, "plan")
}

// Why returns every gate's verdict for freight (as in Plan) and stage.
func (c *Client) Why(ctx context.Context, project, stage, freight string) (*model.Why, error) {
	return get[model.Why](ctx, c, values("freight", freight), "projects", project, "stages", stage, "why")
}

// Promote asks for a Promotion and returns it. A closed entry gate is a Problem
// with code gate-closed and the gates in BlockedBy.
func (c *Client) Promote(ctx context.Context, project, stage string, body model.PromoteRequest) (*model.Promotion, error) {
	return postOnce[model.Promotion](ctx, c, body, "projects", project, "stages", stage, "promotions")
}

// PreviewRollback returns where stage can go back to and what would change. An
// empty to means the last good Freight.
func (c *Client) PreviewRollback(ctx context.Context, project, stage, to string) (*model.RollbackPreview, error) {
	return get[model.RollbackPreview](ctx, c, values("to", to), "projects", project, "stages", stage, "rollback")
}

// Rollback asks for a Rollback and returns it.
func (c *Client) Rollback(ctx context.Context, project, stage string, body model.RollbackRequest) (*model.Promotion, error) {
	return postOnce[model.Promotion](ctx, c, body, "projects", project, "stages", stage, "rollback")
}

// Verify runs the checks of stage again for what it runs, or stops them.
func (c *Client) Verify(ctx context.Context, project, stage string, body model.VerifyRequest) (*model.Promotion, error) {
	return post[model.Promotion](ctx, c, body, "projects", project, "stages", stage, "verify")
}

// Hold holds the automatic flow into stage.
func (c *Client) Hold(ctx context.Context, project, stage string, body model.HoldRequest) (*model.Freeze, error) {
	return postOnce[model.Freeze](ctx, c, body, "projects", project, "stages", stage, "hold")
}

// Resume lifts every hold on stage, or with healing every pause of its healing, and
// returns them.
func (c *Client) Resume(ctx context.Context, project, stage string, healing bool) (*model.FreezeList, error) {
	var query url.Values
	if healing {
		query = values("healing", "true")
	}
	var out model.FreezeList
	err := c.do(ctx, call{method: http.MethodPost, path: v1("projects", project, "stages", stage, "resume"), query: query}, &out)
	if err != nil {
		return nil, err
	}
	return &out, nil
}

// Page asks for a part of a list.
type Page struct {
	// Limit of items, 50 when zero, at most 500.
	Limit int
	// Token is NextPage of the page before.
	Token string
}

func (p Page) values(pairs ...string) url.Values {
	v := values(pairs...)
	if p.Limit > 0 {
		v.Set("limit", strconv.Itoa(p.Limit))
	}
	if p.Token != "" {
		v.Set("page", p.Token)
	}
	return v
}

// Promotions returns Promotions, newest first; stage and phase may be empty.
func (c *Client) Promotions(ctx context.Context, project, stage string, phase model.Phase, page Page) (*model.PromotionList, error) {
	return get[model.PromotionList](ctx, c, page.values("stage", stage, "phase", string(phase)), "projects", project, "promotions")
}

// Promotion returns one Promotion.
func (c *Client) Promotion(ctx context.Context, project, name string) (*model.Promotion, error) {
	return get[model.Promotion](ctx, c, nil, "projects", project, "promotions", name)
}

// Abort stops a Promotion.
func (c *Client) Abort(ctx context.Context, project, name, reason string) (*model.Promotion, error) {
	return post[model.Promotion](ctx, c, model.ReasonRequest{Reason: reason}, "projects", project, "promotions", name, "abort")
}

// Retry tries a Promotion that failed or was aborted again and returns the new one.
func (c *Client) Retry(ctx context.Context, project, name string, body model.RetryRequest) (*model.Promotion, error) {
	return postOnce[model.Promotion](ctx, c, body, "projects", project, "promotions", name, "retry")
}

// PlanOfPromotion returns what a Promotion that waits is going to change.
func (c *Client) PlanOfPromotion(ctx context.Context, project, name string) (*model.Plan, error) {
	return get[model.Plan](ctx, c, nil, "projects", project, "promotions", name, "plan")
}

// Approve approves the plan of a Promotion that waits.
func (c *Client) Approve(ctx context.Context, project, name string, body model.DecisionRequest) (*model.Promotion, error) {
	return postOnce[model.Promotion](ctx, c, body, "projects", project, "promotions", name, "approve")
}

// RejectPromotion rejects the plan of a Promotion that waits, which ends it.
func (c *Client) RejectPromotion(ctx context.Context, project, name string, body model.DecisionRequest) (*model.Promotion, error) {
	return postOnce[model.Promotion](ctx, c, body, "projects", project, "promotions", name, "reject")
}

// Revoke takes back what the person decided about a Promotion that waits.
func (c *Client) Revoke(ctx context.Context, project, name string) (*model.Promotion, error) {
	return post[model.Promotion](ctx, c, nil, "projects", project, "promotions", name, "revoke")
}

// Inbox returns what waits for the person.
func (c *Client) Inbox(ctx context.Context) (*model.Inbox, error) {
	return get[model.Inbox](ctx, c, nil, "inbox")
}

// History returns what happened, newest first; stage may be empty.
func (c *Client) History(ctx context.Context, project, stage string, page Page) (*model.PromotionList, error) {
	return get[model.PromotionList](ctx, c, page.values("stage", stage), "projects", project, "history")
}

// Timeline returns what ran where, and how delivery went, between two instants;
// zero ones and no stages leave it to the server.
func (c *Client) Timeline(ctx context.Context, project string, stages []string, from, until time.Time) (*model.Timeline, error) {
	q := between(from, until)
	for _, stage := range stages {
		q.Add("stage", stage)
	}
	return get[model.Timeline](ctx, c, q, "projects", project, "timeline")
}

// Insights returns how delivery went in the last days, as 30d; of every Project
// one may see without a project.
func (c *Client) Insights(ctx context.Context, project string, stages []string, days string) (*model.InsightsReport, error) {
	q := values("project", project, "range", days)
	for _, stage := range stages {
		q.Add("stage", stage)
	}
	return get[model.InsightsReport](ctx, c, q, "insights")
}

// between are the parameters of a range; a zero instant is no bound.
func between(from, until time.Time) url.Values {
	q := url.Values{}
	for name, at := range map[string]time.Time{"from": from, "until": until} {
		if !at.IsZero() {
			q.Set(name, at.UTC().Format(time.RFC3339))
		}
	}
	return q
}

// AuditFilter selects what somebody did; a zero field selects all.
type AuditFilter struct {
	// Project and Stage by name; without a Project, those of every Project and
	// of none.
	Project, Stage string
	// Freight by name, alias or version; Who by name, with or without prefix.
	Freight, Who string
	// Actions: any of them.
	Actions []model.AuditAction
	// From (inclusive) and Until (exclusive) bound when.
	From, Until time.Time
}

// Audit returns who decided and defined what, newest first.
func (c *Client) Audit(ctx context.Context, f AuditFilter, page Page) (*model.AuditList, error) {
	q := page.values("stage", f.Stage, "freight", f.Freight, "who", f.Who)
	for _, a := range f.Actions {
		q.Add("action", string(a))
	}
	maps.Copy(q, between(f.From, f.Until))
	if f.Project == "" {
		return get[model.AuditList](ctx, c, q, "audit")
	}
	return get[model.AuditList](ctx, c, q, "projects", f.Project, "audit")
}

// AuditPart names a part of the audit trail's chain.
type AuditPart struct {
	// After is the row before, with its hash where that is known.
	After model.AuditHead
	// Noted is a row that somebody noted before; zero when nobody did.
	Noted model.AuditHead
}

// VerifyAudit asks whether the rows behind a row are as they were written.
func (c *Client) VerifyAudit(ctx context.Context, part AuditPart) (*model.AuditVerdict, error) {
	q := url.Values{}
	for name, head := range map[string]model.AuditHead{"after": part.After, "noted": part.Noted} {
		if head.Seq > 0 {
			q.Set(name, strconv.FormatInt(head.Seq, 10))
		}
	}
	if part.After.Seq > 0 && part.After.Hash != "" {
		q.Set("hash", part.After.Hash)
	}
	if part.Noted.Seq > 0 {
		q.Set("notedHash", part.Noted.Hash)
	}
	return get[model.AuditVerdict](ctx, c, q, "audit", "verify")
}

// AuditChain returns rows of the audit trail behind a number, and not before the
// first that tells of since or later; empty behind the end.
func (c *Client) AuditChain(ctx context.Context, after int64, since time.Time) (*model.AuditRows, error) {
	q := url.Values{"after": {strconv.FormatInt(after, 10)}}
	if !since.IsZero() {
		q.Set("since", since.UTC().Format(time.RFC3339Nano))
	}
	return get[model.AuditRows](ctx, c, q, "audit", "chain")
}

// FreightList returns Freight, newest first; origin (a Warehouse) may be empty.
func (c *Client) FreightList(ctx context.Context, project, origin string, page Page) (*model.FreightList, error) {
	return get[model.FreightList](ctx, c, page.values("origin", origin), "projects", project, "freight")
}

// Freight returns one Freight by name, alias, version or start of its name.
func (c *Client) Freight(ctx context.Context, project, freight string) (*model.Freight, error) {
	return get[model.Freight](ctx, c, nil, "projects", project, "freight", freight)
}

// Reject keeps freight out of a Stage, or of all.
func (c *Client) Reject(ctx context.Context, project, freight string, body model.RejectRequest) (*model.Freeze, error) {
	return postOnce[model.Freeze](ctx, c, body, "projects", project, "freight", freight, "reject")
}

// Unreject takes rejections back and returns them.
func (c *Client) Unreject(ctx context.Context, project, freight string, body model.UnrejectRequest) (*model.FreezeList, error) {
	return post[model.FreezeList](ctx, c, body, "projects", project, "freight", freight, "unreject")
}

// Freezes returns the freezes, holds and rejections in force.
func (c *Client) Freezes(ctx context.Context, project string) (*model.FreezeList, error) {
	return get[model.FreezeList](ctx, c, nil, "projects", project, "freezes")
}

// Freeze stops every promotion into a Stage (or * for all).
func (c *Client) Freeze(ctx context.Context, project string, body model.FreezeRequest) (*model.Freeze, error) {
	return postOnce[model.Freeze](ctx, c, body, "projects", project, "freezes")
}

// Thaw lifts the freeze, hold or rejection of that name.
func (c *Client) Thaw(ctx context.Context, project, name string) error {
	return c.do(ctx, call{method: http.MethodDelete, path: v1("projects", project, "freezes", name)}, nil)
}

// Warehouses returns the Warehouses of a Project.
func (c *Client) Warehouses(ctx context.Context, project string) (*model.WarehouseList, error) {
	return get[model.WarehouseList](ctx, c, nil, "projects", project, "warehouses")
}

// RenameFreight gives Freight another alias.
func (c *Client) RenameFreight(ctx context.Context, project, freight, alias string) (*model.Freight, error) {
	return patch[model.Freight](ctx, c, model.RenameFreightRequest{Alias: alias}, "projects", project, "freight", freight)
}

// AssembleFreight makes Freight of candidates of a Warehouse, or returns what is
// the same already.
func (c *Client) AssembleFreight(ctx context.Context, project, warehouse string, body model.AssembleRequest) (*model.Freight, error) {
	return post[model.Freight](ctx, c, body, "projects", project, "warehouses", warehouse, "freight")
}

// Webhooks returns the webhook receivers of a Project with what they were sent.
func (c *Client) Webhooks(ctx context.Context, project string) (*model.WebhookList, error) {
	return get[model.WebhookList](ctx, c, nil, "projects", project, "webhooks")
}

// Warehouse returns one Warehouse.
func (c *Client) Warehouse(ctx context.Context, project, name string) (*model.Warehouse, error) {
	return get[model.Warehouse](ctx, c, nil, "projects", project, "warehouses", name)
}

// Refresh makes a Warehouse look at its registries now. It is done when the
// Warehouse's LastHandledRequest equals the Request of the answer.
func (c *Client) Refresh(ctx context.Context, project, name string) (*model.RefreshResult, error) {
	return post[model.RefreshResult](ctx, c, nil, "projects", project, "warehouses", name, "refresh")
}

// Applications returns the Applications of a Project.
func (c *Client) Applications(ctx context.Context, project string) (*model.ApplicationList, error) {
	return get[model.ApplicationList](ctx, c, nil, "projects", project, "applications")
}

// Application returns one Application.
func (c *Client) Application(ctx context.Context, project, name string) (*model.Application, error) {
	return get[model.Application](ctx, c, nil, "projects", project, "applications", name)
}

// SyncApplication asks for a sync. It is done when LastSync of the Application has
// the Request of the answer as its ID and is not Running.
func (c *Client) SyncApplication(ctx context.Context, project, name string, body model.SyncRequest) (*model.RefreshResult, error) {
	return post[model.RefreshResult](ctx, c, body, "projects", project, "applications", name, "sync")
}

// AcceptDrift has changes made in the cluster committed.
func (c *Client) AcceptDrift(ctx context.Context, project, name string, body model.AcceptRequest) (*model.AcceptResult, error) {
	return post[model.AcceptResult](ctx, c, body, "projects", project, "applications", name, "accept")
}

// ApplicationTree returns what an Application has in its cluster.
func (c *Client) ApplicationTree(ctx context.Context, project, name string) (*model.ResourceTree, error) {
	return get[model.ResourceTree](ctx, c, nil, "projects", project, "applications", name, "tree")
}

// TracedObject is an object of a cluster as kubectl users name it; an empty
// Namespace or Cluster means any.
type TracedObject struct{ Kind, Namespace, Name, Cluster string }

// Trace returns where an object came from.
func (c *Client) Trace(ctx context.Context, o TracedObject) (*model.Trace, error) {
	return get[model.Trace](ctx, c, values("kind", o.Kind, "namespace", o.Namespace, "name", o.Name, "cluster", o.Cluster), "trace")
}

// ApplicationEvents returns what happened to an Application and its objects,
// newest first.
func (c *Client) ApplicationEvents(ctx context.Context, project, name string) (*model.ObjectEventList, error) {
	return get[model.ObjectEventList](ctx, c, nil, "projects", project, "applications", name, "events")
}

// LogFilter selects what containers of an Application wrote; the zero value is
// the last 100 lines of all.
type LogFilter struct {
	// Kind and Name of one object, and the Pods it owns.
	Kind, Name, Container string
	// Lines from the end of each.
	Lines int
}

// ApplicationLogs returns what containers of an Application wrote last.
func (c *Client) ApplicationLogs(ctx context.Context, project, name string, f LogFilter) (*model.ContainerLogList, error) {
	q := values("kind", f.Kind, "name", f.Name, "container", f.Container)
	if f.Lines > 0 {
		q.Set("lines", strconv.Itoa(f.Lines))
	}
	return get[model.ContainerLogList](ctx, c, q, "projects", project, "applications", name, "logs")
}

// ApplicationDiff returns what a sync of an Application would change.
func (c *Client) ApplicationDiff(ctx context.Context, project, name string) (*model.LiveDiff, error) {
	return get[model.LiveDiff](ctx, c, nil, "projects", project, "applications", name, "diff")
}

// Clusters returns the destination clusters, the one Waybill runs in first.
func (c *Client) Clusters(ctx context.Context) (*model.ClusterList, error) {
	return get[model.ClusterList](ctx, c, nil, "clusters")
}

// Cluster returns one destination cluster.
func (c *Client) Cluster(ctx context.Context, name string) (*model.Cluster, error) {
	return get[model.Cluster](ctx, c, nil, "clusters", name)
}

// AddCluster registers a cluster by a kubeconfig of data only.
func (c *Client) AddCluster(ctx context.Context, body model.AddClusterRequest) (*model.Cluster, error) {
	return post[model.Cluster](ctx, c, body, "clusters")
}

// Credentials returns the credentials of a Project, without what they hold.
func (c *Client) Credentials(ctx context.Context, project string) (*model.CredentialList, error) {
	return get[model.CredentialList](ctx, c, nil, "projects", project, "credentials")
}

// AddCredential keeps a credential as a Secret of the Project.
func (c *Client) AddCredential(ctx context.Context, project string, body model.AddCredentialRequest) (*model.Credential, error) {
	return post[model.Credential](ctx, c, body, "projects", project, "credentials")
}

// RemoveCredential deletes a credential of the Project; with force also one that
// something uses.
func (c *Client) RemoveCredential(ctx context.Context, project, name string, force bool) error {
	return c.do(ctx, call{method: http.MethodDelete, path: v1("projects", project, "credentials", name), query: forced(force)}, nil)
}

// TestCredentials asks repositories now, with what the Project has for them: one, or
// all that it uses.
func (c *Client) TestCredentials(ctx context.Context, project string, body model.TestCredentialsRequest) (*model.CredentialTestList, error) {
	return post[model.CredentialTestList](ctx, c, body, "projects", project, "credentials", "test")
}

func forced(force bool) url.Values {
	if force {
		return values("force", "true")
	}
	return nil
}

// TestNotification sends a test message by the channel of a notification.
func (c *Client) TestNotification(ctx context.Context, project, name string) (*model.NotificationTest, error) {
	return post[model.NotificationTest](ctx, c, nil, "projects", project, "notifications", name, "test")
}

// TestCluster asks for a connection. It is done when the Cluster's
// LastHandledRequest equals the Request of the answer.
func (c *Client) TestCluster(ctx context.Context, name string) (*model.RefreshResult, error) {
	return post[model.RefreshResult](ctx, c, nil, "clusters", name, "test")
}

// RotateCluster replaces the kubeconfig of a cluster, and is done as TestCluster.
func (c *Client) RotateCluster(ctx context.Context, name, kubeconfig string) (*model.RefreshResult, error) {
	return post[model.RefreshResult](ctx, c, model.RotateClusterRequest{Kubeconfig: kubeconfig}, "clusters", name, "rotate")
}

// RemoveCluster forgets a cluster; with force also one that Applications deploy to.
func (c *Client) RemoveCluster(ctx context.Context, name string, force bool) error {
	return c.do(ctx, call{method: http.MethodDelete, path: v1("clusters", name), query: forced(force)}, nil)
}

// ApplyOptions say how to apply.
type ApplyOptions struct {
	// DryRun validates and changes nothing.
	DryRun bool
	// Force takes over fields that somebody else manages.
	Force bool
	// Diff also returns how each object changes.
	Diff bool
	// Prune deletes what was applied before and is in none of the files, in Projects that are in them.
	Prune bool
	// Project is the Namespace of documents that name none.
	Project string
}

// Apply applies manifests. A document that could not be applied has a Problem
// in its result; the call itself fails only when nothing was tried.
func (c *Client) Apply(ctx context.Context, files []model.ManifestFile, opts ApplyOptions) (*model.ApplyResult, error) {
	q := values("project", opts.Project)
	for name, isSet := range map[string]bool{"dryRun": opts.DryRun, "force": opts.Force, "diff": opts.Diff, "prune": opts.Prune} {
		if isSet {
			q.Set(name, "true")
		}
	}
	var out model.ApplyResult
	return &out, c.do(ctx, call{method: http.MethodPost, path: v1("apply"), query: q, body: model.ApplyRequest{Files: files}}, &out)
}

// KindProjects is the plural of the cluster-scoped kind Project; the other
// kinds are the constants of package model.
const KindProjects model.Kind = "projects"

// definitionPath returns the path of a kind, or of one object of it.
func definitionPath(project string, kind model.Kind, name ...string) []string {
	if kind == KindProjects {
		return v1(append([]string{"definitions", "projects"}, name...)...)
	}
	return v1(append([]string{"projects", project, "definitions", string(kind)}, name...)...)
}

// Definitions returns objects of one kind in their Kubernetes shape. project is
// ignored for KindProjects.
func (c *Client) Definitions(ctx context.Context, project string, kind model.Kind, page Page) (*model.DefinitionList, error) {
	var out model.DefinitionList
	return &out, c.do(ctx, call{method: http.MethodGet, path: definitionPath(project, kind), query: page.values()}, &out)
}

// Definition returns one object in its Kubernetes shape.
func (c *Client) Definition(ctx context.Context, project string, kind model.Kind, name string) (model.Definition, error) {
	var out model.Definition
	err := c.do(ctx, call{method: http.MethodGet, path: definitionPath(project, kind, name)}, &out)
	return out, err
}

// DeleteDefinition deletes one object, whatever it is by now: who names an object
// to delete it has not read it.
func (c *Client) DeleteDefinition(ctx context.Context, project string, kind model.Kind, name string) error {
	return c.do(ctx, call{method: http.MethodDelete, path: definitionPath(project, kind, name), header: http.Header{"If-Match": {"*"}}}, nil)
}

// Raw sends GET to a path of the server ("/api/v1/projects") and returns the
// JSON it answers.
func (c *Client) Raw(ctx context.Context, path string) (any, error) {
	u, err := url.Parse(path)
	if err != nil || u.IsAbs() || u.Host != "" {
		return nil, &Problem{model.Problem{Status: http.StatusBadRequest, Code: model.InvalidRequest,
			Detail: "the path must be one of the server's own: /api/v1/projects"}}
	}
	var out any
	err = c.do(ctx, call{method: http.MethodGet, path: splitPath(u.Path), query: u.Query()}, &out)
	return out, err
}

func splitPath(p string) []string {
	var out []string
	for len(p) > 0 && p[0] == '/' {
		p = p[1:]
	}
	start := 0
	for i := 0; i <= len(p); i++ {
		if i == len(p) || p[i] == '/' {
			out = append(out, p[start:i])
			start = i + 1
		}
	}
	return out
}

func v1(path ...string) []string { return append([]string{"api", "v1"}, path...) }

func values(pairs ...string) url.Values {
	v := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			v.Set(pairs[i], pairs[i+1])
		}
	}
	return v
}

func get[T any](ctx context.Context, c *Client, query url.Values, path ...string) (*T, error) {
	var out T
	if err := c.do(ctx, call{method: http.MethodGet, path: v1(path...), query: query}, &out); err != nil {
		return nil, err
	}
	return &out, nil
}

func patch[T any](ctx context.Context, c *Client, body any, path ...string) (*T, error) {
	var out T
	if err := c.do(ctx, call{method: http.MethodPatch, path: v1(path...), body: body}, &out); err != nil {
		return nil, err
	}
	return &out, nil
}

// postOnce is post for operations that take an Idempotency-Key.
func postOnce[T any](ctx context.Context, c *Client, body any, path ...string) (*T, error) {
	var out T
	if err := c.do(ctx, call{method: http.MethodPost, path: v1(path...), body: body, once: true}, &out); err != nil {
		return nil, err
	}
	return &out, nil
}

func post[T any](ctx context.Context, c *Client, body any, path ...string) (*T, error) {
	var out T
	if err := c.do(ctx, call{method: http.MethodPost, path: v1(path...), body: body}, &out); err != nil {
		return nil, err
	}
	return &out, nil
}
