package shadow

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/clock"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/gitops"
	"github.com/waybill-dev/waybill/gitops/cluster"
	"github.com/waybill-dev/waybill/gitops/live"
	"github.com/waybill-dev/waybill/gitops/render"
	"github.com/waybill-dev/waybill/internal/credentials"
	"github.com/waybill-dev/waybill/warehouse/chart"
	"github.com/waybill-dev/waybill/warehouse/registry"
)

// Options are what an Observer needs. All fields but Namespace, Others and Progress
// are required.
type Options struct {
	// Cluster is where Argo CD runs, by a read-only connection.
	Cluster *cluster.Cluster
	// Others are further destinations by the name or the server that Argo CD has for
	// them.
	Others map[string]*cluster.Cluster
	// Requests counts what goes to all of them.
	Requests *Requests
	// Namespace of the Applications; empty: all.
	Namespace string
	Mirrors   *git.Mirrors
	// Charts downloads charts of Helm repositories into ChartDir.
	Charts   *registry.Client
	ChartDir string
	Renders  *render.Cache
	Clock    clock.PassiveClock
	// Progress is told what is being looked at.
	Progress func(line string)
}

// Observer looks at an installation of Argo CD.
type Observer struct {
	o Options
	// applications and projects of Argo CD, as they were listed last.
	applications []unstructured.Unstructured
	projects     map[string]*unstructured.Unstructured
	repos        map[string]repositories // by namespace of the Application
	charts       *chart.Fetcher
}

// New returns an Observer.
func New(o Options) (*Observer, error) {
	if o.Cluster == nil || o.Requests == nil || o.Mirrors == nil || o.Charts == nil || o.Renders == nil || o.Clock == nil {
		return nil, errors.New("shadow: Cluster, Requests, Mirrors, Charts, Renders and Clock are required")
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	v := &Observer{o: o}
	v.charts = &chart.Fetcher{Source: chart.New(o.Charts, o.Clock.Now, o.ChartDir), Credentials: v.chartCredential}
	return v, nil
}

// ErrNoArgo is returned when the cluster does not serve Argo CD's Applications.
var ErrNoArgo = errors.New("the cluster has no Applications of Argo CD (argoproj.io/v1alpha1)")

// Observe looks at everything once. The error is for what keeps it from looking at
// all; what is wrong with one Application is said there.
func (v *Observer) Observe(ctx context.Context) (*Report, error) {
	r := &Report{ObservedAt: v.o.Clock.Now().UTC(), Applications: []Application{}, Stages: []Stage{}}
	v.projects, v.repos = map[string]*unstructured.Unstructured{}, map[string]repositories{}
	list, err := v.o.Cluster.Dynamic.Resource(argoApplications).Namespace(v.o.Namespace).List(ctx, metav1.ListOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, ErrNoArgo
	case err != nil:
		return nil, fmt.Errorf("list Applications: %w", err)
	}
	v.applications = list.Items
	if err := v.readProjects(ctx, r); err != nil {
		return nil, err
	}
	for i := range list.Items {
		obj := &list.Items[i]
		v.o.Progress(fmt.Sprintf("Application %s/%s (%d of %d)", obj.GetNamespace(), obj.GetName(), i+1, len(list.Items)))
		a, err := v.application(ctx, obj, r)
		if err != nil {
			return nil, err
		}
		r.Applications = append(r.Applications, a)
	}
	slices.SortFunc(r.Applications, func(a, b Application) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	v.o.Progress("Stages of Kargo")
	if err := v.stages(ctx, r); err != nil {
		return nil, err
	}
	r.Requests = v.o.Requests.Sent()
	return r, nil
}

// readProjects reads the AppProjects.
func (v *Observer) readProjects(ctx context.Context, r *Report) error {
	list, err := v.o.Cluster.Dynamic.Resource(argoProjects).Namespace(v.o.Namespace).List(ctx, metav1.ListOptions{})
	if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) {
		r.Notes = append(r.Notes, "AppProjects cannot be read: nothing is taken to be forbidden by them")
		return nil
	}
	if err != nil {
		return fmt.Errorf("list AppProjects: %w", err)
	}
	for i := range list.Items {
		v.projects[list.Items[i].GetName()] = &list.Items[i]
	}
	return nil
}

// application looks at one Application. The error is for a context that ended.
func (v *Observer) application(ctx context.Context, obj *unstructured.Unstructured, r *Report) (Application, error) {
	out := Application{Namespace: obj.GetNamespace(), Name: obj.GetName(), Verdict: Unknown}
	t, err := translate(obj)
	if err != nil {
		out.Verdict, out.Reason = Unsupported, err.Error()
		return out, nil //nolint:nilerr // said in the report: it is this Application's own
	}
	out.Project, out.RepoURL, out.Path, out.LastSynced, out.Argo = t.project, withoutUser(t.app.Spec.Source.RepoURL), t.app.Spec.Source.Path, t.lastSynced, t.says
	limits, notes := limitsOf(t.project, v.projects[t.project])
	out.Notes = append(slices.Clone(t.notes), notes...)
	if len(t.unsupported) > 0 {
		out.Verdict, out.Unsupported, out.Reason = Unsupported, t.unsupported, t.unsupported[0]
		return out, nil
	}
	target, why := v.destination(obj)
	if target == nil {
		out.Reason = why
		return out, nil
	}
	c := &comparison{translated: t, cluster: target, now: v.o.Clock.Now()}
	objects, err := v.render(ctx, c, &out, r)
	if err != nil {
		return out, ctx.Err()
	}
	if objects == nil {
		return out, nil
	}
	if err := c.prepare(ctx, objects, limits); err != nil {
		out.Reason = err.Error()
		return out, ctx.Err()
	}
	out.count(c)
	if len(c.refused) > 0 {
		for _, e := range c.refused {
			out.Actions = append(out.Actions, action(ActionRefuse, e.Key, e.Message))
		}
		out.Verdict, out.Reason = Refuses, c.refused[0].Error()
		return out, nil
	}
	if out.Actions, err = c.actions(ctx); err != nil {
		out.Reason = err.Error()
		return out, ctx.Err()
	}
	out.conclude(c)
	return out, nil
}

// destination returns the cluster an Application deploys to, or why it is not
// observed.
func (v *Observer) destination(obj *unstructured.Unstructured) (*cluster.Cluster, string) {
	server, _, _ := unstructured.NestedString(obj.Object, "spec", "destination", "server")
	name, _, _ := unstructured.NestedString(obj.Object, "spec", "destination", "name")
	if strings.TrimSuffix(server, "/") == argoOwnServer || name == v1alpha1.InCluster || server == "" && name == "" {
		return v.o.Cluster, ""
	}
	for _, known := range []string{name, server} {
		if c := v.o.Others[known]; known != "" && c != nil {
			return c, ""
		}
	}
	which := cmp.Or(name, server)
	return nil, fmt.Sprintf("cluster %q is not observed; name a kubeconfig context for it: --cluster %s=CONTEXT", which, which)
}

// render returns what the head of the branch renders; nil and a verdict when it
// cannot be.
func (v *Observer) render(ctx context.Context, c *comparison, out *Application, r *Report) ([]*unstructured.Unstructured, error) {
	repos, err := v.repositories(ctx, c.app.Namespace, r)
	if err != nil {
		out.Reason = err.Error()
		return nil, ctx.Err()
	}
	if c.app.Spec.Source.Chart != "" {
		return v.renderChart(ctx, c, out)
	}
	remote := repos.remote(c.app.Spec.Source.RepoURL)
	mirror, err := v.o.Mirrors.Open(remote)
	if err != nil {
		out.Verdict, out.Reason = Refuses, err.Error()
		return nil, nil //nolint:nilerr // said in the report: it is this Application's own
	}
	branch := c.app.Spec.Source.TargetRevision
	refs, err := v.o.Mirrors.LsRemote(ctx, remote)
	if err != nil {
		out.Reason = err.Error()
		return nil, ctx.Err()
	}
	head, err := refs.Head(branch)
	if err != nil {
		out.Verdict, out.Reason = Unsupported, fmt.Sprintf("targetRevision %q is no branch of %s; Waybill follows a branch", branch, mirror.URL())
		if _, isTag := refs.Tags[branch]; isTag {
			out.Reason = fmt.Sprintf("targetRevision %q is a tag; Waybill follows a branch, and a Warehouse follows tags", branch)
		}
		out.Unsupported = []string{out.Reason}
		return nil, nil
	}
	out.Revision = head.String()
	objects, err := v.renderRevision(ctx, c, mirror, out)
	if objects != nil {
		c.isNew = c.lastSynced != out.Revision && !sameTree(mirror, c.lastSynced, out.Revision, c.app.Spec.Source.Path)
	}
	return objects, err
}

// renderRevision renders out.Revision, which lies in mirror unless it is a chart's.
// It returns nil and says why in out when nothing comes out.
func (v *Observer) renderRevision(ctx context.Context, c *comparison, mirror *git.Mirror, out *Application) ([]*unstructured.Unstructured, error) {
	inspector, err := v.inspector(c, mirror)
	if err != nil {
		return nil, err
	}
	objects, broken, err := inspector.Render(ctx, c.app, out.Revision)
	switch {
	case err != nil:
		out.Reason = err.Error()
		return nil, ctx.Err()
	case broken != "":
		out.Verdict, out.Reason = Refuses, broken
		return nil, nil
	}
	return objects, nil
}

// renderChart is render of an Application of a chart.
func (v *Observer) renderChart(ctx context.Context, c *comparison, out *Application) ([]*unstructured.Unstructured, error) {
	source := c.app.Spec.Source
	newest, err := v.charts.Newest(ctx, c.app.Namespace, chart.At(source.RepoURL, source.Chart), source.TargetRevision, time.Time{})
	if err != nil {
		out.Reason = err.Error()
		return nil, ctx.Err()
	}
	out.Revision, out.Path = newest.Version, source.Chart
	objects, err := v.renderRevision(ctx, c, nil, out)
	if objects != nil {
		c.isNew = c.lastSynced != newest.Version
	}
	return objects, err
}

// inspector renders as the server does.
func (v *Observer) inspector(c *comparison, mirror *git.Mirror) (*live.Inspector, error) {
	return live.New(live.Options{ //nolint:wrapcheck // names itself
		Clusters: cluster.NewRegistry(c.cluster), Renders: v.o.Renders, Clock: v.o.Clock, Charts: v.charts,
		Open:   func(context.Context, string, string) (*git.Mirror, error) { return mirror, nil },
		Limits: func(context.Context, string) (gitops.Limits, error) { return gitops.Limits{}, nil },
	})
}

// chartCredential is how a chart repository is reached; render has read what Argo CD
// has in that namespace.
func (v *Observer) chartCredential(_ context.Context, _ credentials.Type, namespace, repoURL string) (credentials.Credential, error) {
	repos := v.repos[namespace]
	return repos.chart(repoURL), nil
}

// sameTree says that two commits have the same content at a path.
func sameTree(mirror *git.Mirror, a, b, folder string) bool {
	var trees [2]git.Hash
	for i, text := range []string{a, b} {
		commit, err := git.ParseHash(text)
		if err != nil {
			return false
		}
		within := path.Clean(folder)
		if within == "." {
			within = ""
		}
		if trees[i], err = mirror.TreeHash(commit, within); err != nil {
			return false
		}
	}
	return trees[0] == trees[1]
}

// repositories returns Argo CD's credentials in a namespace, read once a look.
func (v *Observer) repositories(ctx context.Context, namespace string, r *Report) (*repositories, error) {
	known, has := v.repos[namespace]
	if !has {
		var notes []string
		var err error
		if known, notes, err = readRepositories(ctx, v.o.Cluster, namespace); err != nil {
			return nil, err
		}
		v.repos[namespace] = known
		r.Notes = append(r.Notes, notes...)
	}
	return &known, nil
}

// count fills in how much there is.
func (a *Application) count(c *comparison) {
	for _, d := range c.desired {
		if d.Options.IsHook() {
			a.Hooks++
		} else {
			a.Objects++
		}
	}
}

// conclude says in one word and one sentence what the actions come to.
func (a *Application) conclude(c *comparison) {
	count := map[ActionKind]int{}
	for _, x := range a.Actions {
		count[x.Action]++
	}
	changed := count[ActionCreate] + count[ActionApply] + count[ActionHeal] + count[ActionReport] + count[ActionPrune]
	of := fmt.Sprintf("%d of %d objects", changed, a.Objects)
	switch {
	case count[ActionRefuse] > 0:
		a.Verdict, a.Reason = Refuses, a.Actions[slices.IndexFunc(a.Actions, func(x Action) bool { return x.Action == ActionRefuse })].Reason
	case c.isNew && !c.automated && changed > 0:
		a.Verdict, a.Reason = Waits, of+" differ from the head of the branch; syncs are made by hand here"
	case count[ActionApply]+count[ActionPrune] > 0 || c.isNew && changed > 0:
		a.Verdict, a.Reason = Applies, of+" would be written for a revision that Argo CD has not synced"
	case count[ActionHeal]+count[ActionCreate] > 0:
		a.Verdict, a.Reason = Heals, of+" would be taken back to what Git says"
	case changed > 0:
		a.Verdict, a.Reason = Reports, of+" differ from Git, and selfHeal is off"
	default:
		a.Verdict, a.Reason = InSync, ""
	}
}
