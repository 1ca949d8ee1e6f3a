package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/git/gittest"
	"github.com/waybill-dev/waybill/internal/demoregistry"
	"github.com/waybill-dev/waybill/internal/faultproxy"
	"github.com/waybill-dev/waybill/internal/localkube"
	"github.com/waybill-dev/waybill/promotion"
	"github.com/waybill-dev/waybill/warehouse/registrytest"
)

// patience is how long anything may take before a test gives up; things take
// milliseconds to seconds, but the machine may be busy.
const patience = 2 * time.Minute

// world is one Project with everything around it: a Git server behind a proxy
// that can misbehave, a registry, and the waybilld that serves it.
type world struct {
	*installation
	t      *testing.T
	server *server
	// project is its name, and that of its destinations before the dash.
	project string
	// git is asked directly by the test; waybilld goes through proxy.
	git      *gittest.Server
	proxy    *faultproxy.Proxy
	gitURL   string
	registry *registrytest.Registry
	// registryDir is where the registry keeps its images.
	registryDir string
}

// newWorld makes a Project's surroundings with a control plane of their own,
// until the test ends, and a waybilld that is not started yet. The caller has
// called t.Parallel.
func newWorld(t *testing.T, project string, flags ...string) *world {
	t.Helper()
	in := ownInstallation(t)
	s, err := in.newServer(t.Name(), t.TempDir(), flags...)
	if err != nil {
		t.Fatal(err)
	}
	w := surroundings(t, in, project)
	w.server = s
	t.Cleanup(func() {
		s.stop()
		_ = s.log.Close()
	})
	return w
}

// newCommonWorld makes a Project's surroundings on the waybilld of all parallel
// tests. The caller has called t.Parallel.
func newCommonWorld(t *testing.T, project string) *world {
	t.Helper()
	s := commonServer(t)
	w := surroundings(t, shared, project)
	w.server = s
	return w
}

func surroundings(t *testing.T, in *installation, project string) *world {
	t.Helper()
	w := &world{installation: in, t: t, project: project}
	// Cleanups run backwards: the Project goes last, when nothing serves it any
	// more but a common waybilld.
	t.Cleanup(w.remove)
	w.git = gittest.NewServer(t)
	w.registryDir = t.TempDir()
	w.registry = registrytest.New(t, func(o *demoregistry.Options) { o.Dir = w.registryDir })
	proxy, err := faultproxy.Start(w.git.Addr())
	if err != nil {
		t.Fatal(err)
	}
	w.proxy = proxy
	t.Cleanup(func() {
		if err := proxy.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		if t.Failed() {
			w.dump()
		}
	})
	return w
}

// startServer starts the world's waybilld, with extra environment.
func (w *world) startServer(environment ...string) {
	w.t.Helper()
	if err := w.server.start(environment...); err != nil {
		w.t.Fatal(err)
	}
}

// remove takes the Project and what it deployed away without waiting for a
// waybilld, which may be dead, so that no later test sees its objects.
func (w *world) remove() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	in := client.InNamespace(w.project)
	kinds := []client.ObjectList{
		&v1alpha1.StageList{}, &v1alpha1.WarehouseList{}, &v1alpha1.PromotionList{}, &v1alpha1.FreezeList{},
		&v1alpha1.FreightList{}, &v1alpha1.ApplicationList{},
	}
	for _, list := range kinds {
		if err := w.client.List(ctx, list, in); err != nil {
			w.t.Errorf("clean up: %v", err)
			return
		}
		for _, o := range items(list) {
			w.discard(ctx, o)
		}
	}
	project := &v1alpha1.Project{}
	project.Name = w.project
	w.discard(ctx, project)
	var namespaces corev1.NamespaceList
	if err := w.client.List(ctx, &namespaces); err != nil {
		w.t.Errorf("clean up: %v", err)
		return
	}
	for i := range namespaces.Items {
		if n := namespaces.Items[i].Name; n == w.project || strings.HasPrefix(n, w.project+"-") {
			w.discard(ctx, &namespaces.Items[i])
		}
	}
}

// discard deletes an object. Finalizers that would wait for a waybilld go first;
// a Namespace has none of them.
func (w *world) discard(ctx context.Context, o client.Object) {
	noFinalizers := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`))
	err := client.IgnoreNotFound(w.client.Delete(ctx, o))
	if _, isNamespace := o.(*corev1.Namespace); !isNamespace {
		err = errors.Join(err, client.IgnoreNotFound(w.client.Patch(ctx, o, noFinalizers)))
	}
	if err != nil {
		w.t.Errorf("clean up %T %q: %v", o, o.GetName(), err)
	}
}

func items(list client.ObjectList) []client.Object {
	var out []client.Object
	switch l := list.(type) {
	case *v1alpha1.StageList:
		out = pointers(l.Items, func(o *v1alpha1.Stage) client.Object { return o })
	case *v1alpha1.WarehouseList:
		out = pointers(l.Items, func(o *v1alpha1.Warehouse) client.Object { return o })
	case *v1alpha1.PromotionList:
		out = pointers(l.Items, func(o *v1alpha1.Promotion) client.Object { return o })
	case *v1alpha1.FreezeList:
		out = pointers(l.Items, func(o *v1alpha1.Freeze) client.Object { return o })
	case *v1alpha1.FreightList:
		out = pointers(l.Items, func(o *v1alpha1.Freight) client.Object { return o })
	case *v1alpha1.ApplicationList:
		out = pointers(l.Items, func(o *v1alpha1.Application) client.Object { return o })
	}
	return out
}

func pointers[T any](all []T, as func(*T) client.Object) []client.Object {
	out := make([]client.Object, len(all))
	for i := range all {
		out[i] = as(&all[i])
	}
	return out
}

// eventually waits until check returns nil, and fails with its last error.
func (w *world) eventually(what string, check func() error) {
	w.t.Helper()
	w.within(patience, what, check)
}

func (w *world) within(limit time.Duration, what string, check func() error) {
	w.t.Helper()
	deadline := time.Now().Add(limit)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("%s: not within %s: %v", what, limit, err)
		}
		time.Sleep(20 * time.Millisecond) // a poll with a deadline, not a wait for luck
	}
}

// always fails when check returns an error before the time is up.
func (w *world) always(span time.Duration, what string, check func() error) {
	w.t.Helper()
	for deadline := time.Now().Add(span); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if err := check(); err != nil {
			w.t.Fatalf("%s: %v", what, err)
		}
	}
}

// guestbook is the repository of the tests: three Stages over one base.
func (w *world) guestbook() {
	image := w.registry.Name("guestbook")
	files := map[string]string{
		"base/deployment.yaml": `apiVersion: apps/v1
kind: Deployment
metadata: {name: guestbook}
spec:
  replicas: 3
  selector: {matchLabels: {app: guestbook}}
  template:
    metadata: {labels: {app: guestbook}}
    spec:
      containers:
      - name: guestbook
        image: ` + image + `
        ports: [{name: http, containerPort: 8080}]
`,
		"base/service.yaml": `apiVersion: v1
kind: Service
metadata: {name: guestbook}
spec:
  selector: {app: guestbook}
  ports: [{name: http, port: 80, targetPort: http}]
`,
		"base/kustomization.yaml": "resources: [deployment.yaml, service.yaml]\n",
	}
	for _, stage := range []string{"test", "uat", "prod"} {
		files["stages/"+stage+"/kustomization.yaml"] = kustomization(stage, image)
	}
	url := w.git.CreateRepo("guestbook", files)
	w.gitURL = strings.Replace(url, w.git.Addr(), w.proxy.Addr(), 1)
}

func kustomization(stage, image string) string {
	return fmt.Sprintf(`# What %s runs. The images are set by Waybill.
resources:
- ../../base   # the same for every Stage
images:
- name: %s
  newTag: 1.25.0 # replaced by promotions
labels:
- pairs: {stage: %s}
`, stage, image, stage)
}

// push publishes a version and wakes the Warehouse.
func (w *world) push(tag string) {
	w.t.Helper()
	w.registry.Push("guestbook", tag, demoregistry.ImageOptions{Salt: tag})
	w.refresh()
}

// refresh wakes the Warehouse as `waybill refresh` does.
func (w *world) refresh() {
	w.t.Helper()
	w.wake("guestbook", &v1alpha1.Warehouse{})
}

// wake asks for an object to be looked at now. It is read into o.
func (w *world) wake(name string, o client.Object) {
	w.t.Helper()
	w.get(name, o)
	at := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%q}}}`, v1alpha1.AnnotationRequestedAt, time.Now().Format(time.RFC3339Nano))
	if err := w.client.Patch(w.t.Context(), o, client.RawPatch(types.MergePatchType, at)); err != nil {
		w.t.Fatal(err)
	}
}

// get reads an object of the Project; a missing one fails the test.
func (w *world) get(name string, into client.Object) {
	w.t.Helper()
	if err := w.client.Get(w.t.Context(), client.ObjectKey{Namespace: w.project, Name: name}, into); err != nil {
		w.t.Fatal(err)
	}
}

// pipeline applies the Project, credentials, Warehouse and the Stages named
// (test, uat and prod when none is), each downstream of the one before. All but
// prod are automatic.
func (w *world) pipeline(stages []string, edit ...func(*v1alpha1.Stage)) {
	w.t.Helper()
	w.cluster.Apply(w.t, w.projectYAML(), w.credentialsYAML(gittest.Password, registrytest.Password), w.warehouseYAML())
	if len(stages) == 0 {
		stages = []string{"test", "uat", "prod"}
	}
	upstream := ""
	for _, name := range stages {
		s := w.stage(name, upstream, name != "prod")
		for _, e := range edit {
			e(s)
		}
		if err := w.client.Create(w.t.Context(), s); err != nil {
			w.t.Fatal(err)
		}
		upstream = name
	}
}

func (w *world) projectYAML() string {
	return `
apiVersion: v1
kind: Namespace
metadata: {name: ` + w.project + `, labels: {waybill.dev/project: "true"}}
---
apiVersion: waybill.dev/v1alpha1
kind: Project
metadata: {name: ` + w.project + `}
`
}

func (w *world) credentialsYAML(gitPassword, registryPassword string) string {
	return `
apiVersion: v1
kind: Secret
metadata: {name: git, namespace: ` + w.project + `, labels: {waybill.dev/cred-type: git}}
stringData: {repoURL: "` + w.gitURL + `", username: "` + gittest.Username + `", password: "` + gitPassword + `"}
---
apiVersion: v1
kind: Secret
metadata: {name: registry, namespace: ` + w.project + `, labels: {waybill.dev/cred-type: image}}
stringData: {repoURL: "` + w.registry.Name("guestbook") + `", username: "` + registrytest.Username + `", password: "` + registryPassword + `"}
`
}

func (w *world) warehouseYAML() string {
	return `
apiVersion: waybill.dev/v1alpha1
kind: Warehouse
metadata: {name: guestbook, namespace: ` + w.project + `}
spec:
  interval: 1h
  subscriptions:
  - image: {repoURL: "` + w.registry.Name("guestbook") + `", constraint: "^1.26.0"}
`
}

func (w *world) stage(name, upstream string, auto bool) *v1alpha1.Stage {
	sources := v1alpha1.FreightSources{Direct: true}
	if upstream != "" {
		sources = v1alpha1.FreightSources{Stages: []string{upstream}}
	}
	s := &v1alpha1.Stage{Spec: v1alpha1.StageSpec{
		RequestedFreight: []v1alpha1.FreightRequest{{Origin: v1alpha1.Origin{Kind: "Warehouse", Name: "guestbook"}, Sources: sources}},
		AutoPromotion:    v1alpha1.AutoPromotion{Enabled: auto},
		PromotionMechanisms: &v1alpha1.PromotionMechanisms{GitRepoUpdates: []v1alpha1.GitRepoUpdate{{
			RepoURL: w.gitURL, ReadBranch: "main", WriteBranch: "stage/" + name,
			Kustomize: v1alpha1.KustomizeUpdate{Images: []v1alpha1.KustomizeImage{{Image: w.registry.Name("guestbook"), Path: "stages/" + name}}},
		}}},
		Deploy: []v1alpha1.Deployment{{
			Destination: v1alpha1.Destination{Namespace: w.project + "-" + name},
			Source:      v1alpha1.DeploymentSource{Path: "stages/" + name},
			SyncPolicy: v1alpha1.SyncPolicy{
				Automated:   &v1alpha1.AutomatedSync{Prune: true, SelfHeal: true},
				SyncOptions: []string{"CreateNamespace=true"},
			},
		}},
		Rollback: v1alpha1.RollbackPolicy{OnUnhealthy: "Revert", After: &apimeta.Duration{Duration: time.Second}},
	}}
	s.Namespace, s.Name = w.project, name
	return s
}

// editStage changes a Stage's spec as `kubectl edit` does.
func (w *world) editStage(name string, edit func(*v1alpha1.StageSpec)) {
	w.t.Helper()
	s := &v1alpha1.Stage{}
	w.get(name, s)
	before := s.DeepCopy()
	edit(&s.Spec)
	if err := w.client.Patch(w.t.Context(), s, client.MergeFrom(before)); err != nil {
		w.t.Fatal(err)
	}
}

// runs waits until a Stage runs a version Healthy, in its status and in the
// cluster.
func (w *world) runs(stage, tag string) {
	w.t.Helper()
	w.eventually(stage+" runs "+tag, func() error { return w.isRunning(stage, tag) })
}

func (w *world) isRunning(stage, tag string) error {
	var s v1alpha1.Stage
	if err := w.client.Get(w.t.Context(), client.ObjectKey{Namespace: w.project, Name: stage}, &s); err != nil {
		return err
	}
	if len(s.Status.Current) == 0 || s.Status.Current[0].Images[0].Tag != tag {
		return fmt.Errorf("current is %+v", s.Status.Current)
	}
	if !s.Status.Synced || s.Status.Health == nil || s.Status.Health.Status != v1alpha1.HealthHealthy {
		return fmt.Errorf("synced %v, health %+v", s.Status.Synced, s.Status.Health)
	}
	d, err := w.deployment(stage)
	if err != nil {
		return err
	}
	if got := d.Spec.Template.Spec.Containers[0].Image; !strings.Contains(got, ":"+tag+"@sha256:") {
		return fmt.Errorf("the Deployment runs %s", got)
	}
	return nil
}

func (w *world) deployment(stage string) (*appsv1.Deployment, error) {
	var d appsv1.Deployment
	err := w.client.Get(w.t.Context(), client.ObjectKey{Namespace: w.project + "-" + stage, Name: "guestbook"}, &d)
	return &d, err
}

// promote creates a Promotion as a person with kubectl would.
func (w *world) promote(stage, tag string, edit ...func(*v1alpha1.Promotion)) *v1alpha1.Promotion {
	w.t.Helper()
	f := w.freight(tag)
	p := &v1alpha1.Promotion{Spec: v1alpha1.PromotionSpec{Stage: stage, Freight: f.Name}}
	for _, e := range edit {
		e(p)
	}
	return w.create(p)
}

// rollback asks to take back what a Stage runs, as a person does.
func (w *world) rollback(stage string, edit ...func(*v1alpha1.Promotion)) *v1alpha1.Promotion {
	w.t.Helper()
	p := &v1alpha1.Promotion{Spec: v1alpha1.PromotionSpec{Stage: stage, Kind: v1alpha1.KindRollback, Reason: "the test says so"}}
	for _, e := range edit {
		e(p)
	}
	return w.create(p)
}

// create names a Promotion after the highest number and creates it.
func (w *world) create(p *v1alpha1.Promotion) *v1alpha1.Promotion {
	w.t.Helper()
	freight := p.Spec.Freight
	if freight == "" {
		freight = "current"
	}
	p.Namespace = w.project
	w.eventually("a Promotion of "+p.Spec.Stage+" is created", func() error {
		s := &v1alpha1.Stage{}
		w.get(p.Spec.Stage, s)
		p.Name = promotion.Name(p.Spec.Stage, promotion.NextSeq(s, w.promotions(p.Spec.Stage)), freight)
		err := w.client.Create(w.t.Context(), p)
		if err != nil && !apierrors.IsAlreadyExists(err) {
			w.t.Fatal(err)
		}
		return err
	})
	return p
}

// promotions returns a Stage's Promotions, oldest first; of all Stages when the
// name is empty.
func (w *world) promotions(stage string) []v1alpha1.Promotion {
	w.t.Helper()
	var list v1alpha1.PromotionList
	if err := w.client.List(w.t.Context(), &list, client.InNamespace(w.project)); err != nil {
		w.t.Fatal(err)
	}
	all := slices.DeleteFunc(list.Items, func(p v1alpha1.Promotion) bool { return stage != "" && p.Spec.Stage != stage })
	slices.SortFunc(all, func(a, b v1alpha1.Promotion) int { return int(promotion.Seq(a.Name) - promotion.Seq(b.Name)) })
	return all
}

// promotionOf waits for the newest Promotion of a version into a Stage.
func (w *world) promotionOf(stage, tag string) *v1alpha1.Promotion {
	w.t.Helper()
	f := w.freight(tag)
	var found v1alpha1.Promotion
	w.eventually("a Promotion of "+tag+" into "+stage, func() error {
		for _, p := range w.promotions(stage) {
			if p.Spec.Freight == f.Name && p.Spec.Kind == v1alpha1.KindPromote {
				found = p
			}
		}
		if found.Name == "" {
			return errors.New("there is none")
		}
		return nil
	})
	return &found
}

// ends waits until a Promotion has ended in a phase, and returns it. Another
// end fails the test at once.
func (w *world) ends(p *v1alpha1.Promotion, phase v1alpha1.PromotionPhase) *v1alpha1.Promotion {
	w.t.Helper()
	got := &v1alpha1.Promotion{}
	w.eventually(p.Name+" is "+string(phase), func() error {
		w.get(p.Name, got)
		if got.Status.Phase == phase {
			return nil
		}
		if got.Status.Phase.IsFinished() && phase != v1alpha1.PhaseRolledBack {
			w.t.Fatalf("%s ended %s (%s): %s; want %s", p.Name, got.Status.Phase, got.Status.Reason, got.Status.Message, phase)
		}
		return fmt.Errorf("it is %s (%s): %s", got.Status.Phase, got.Status.Reason, got.Status.Message)
	})
	return got
}

// waits waits until a Promotion has not ended and says why with a reason.
func (w *world) waits(p *v1alpha1.Promotion, reason string) *v1alpha1.Promotion {
	w.t.Helper()
	got := &v1alpha1.Promotion{}
	w.eventually(p.Name+" waits with "+reason, func() error {
		w.get(p.Name, got)
		if got.Status.Reason == reason && !got.Status.Phase.IsFinished() {
			return nil
		}
		return fmt.Errorf("it is %s (%s): %s", got.Status.Phase, got.Status.Reason, got.Status.Message)
	})
	return got
}

// freight waits for the Freight of a version.
func (w *world) freight(tag string) *v1alpha1.Freight {
	w.t.Helper()
	var found v1alpha1.Freight
	w.eventually("Freight "+tag, func() error {
		var all v1alpha1.FreightList
		if err := w.client.List(w.t.Context(), &all, client.InNamespace(w.project)); err != nil {
			return err
		}
		for _, f := range all.Items {
			if f.Images[0].Tag == tag {
				found = f
				return nil
			}
		}
		return fmt.Errorf("%d Freight, none of %s", len(all.Items), tag)
	})
	return &found
}

// condition waits until a kind's Ready condition has a reason, and returns its
// message. The kind is read anew into o each time.
func (w *world) condition(o client.Object, name, reason string) string {
	w.t.Helper()
	message := ""
	w.eventually(fmt.Sprintf("%T %q is %s", o, name, reason), func() error {
		w.get(name, o)
		for _, c := range conditionsOf(o) {
			if c.Type != v1alpha1.ConditionReady {
				continue
			}
			message = c.Message
			if c.Reason == reason && c.ObservedGeneration == o.GetGeneration() {
				return nil
			}
			return fmt.Errorf("it is %s (%s): %s", c.Status, c.Reason, c.Message)
		}
		return errors.New("it has no condition Ready")
	})
	return message
}

func conditionsOf(o client.Object) []apimeta.Condition {
	switch o := o.(type) {
	case *v1alpha1.Project:
		return o.Status.Conditions
	case *v1alpha1.Warehouse:
		return o.Status.Conditions
	case *v1alpha1.Stage:
		return o.Status.Conditions
	case *v1alpha1.Promotion:
		return o.Status.Conditions
	case *v1alpha1.Application:
		return o.Status.Conditions
	default:
		return nil
	}
}

// breakImage makes containers of a version crash, as local mode does.
func (w *world) breakImage(tag string) {
	w.t.Helper()
	image := w.registry.Name("guestbook") + ":" + tag
	if err := localkube.MarkImage(w.t.Context(), w.cluster.DataDir, image, localkube.CrashLoopBackOff); err != nil {
		w.t.Fatal(err)
	}
}

// dump writes what a person needs to understand a failure.
func (w *world) dump() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	f, err := artifact(w.t.Name() + ".objects.yaml")
	if err != nil {
		w.t.Log(err)
		return
	}
	defer func() { _ = f.Close() }()
	for _, list := range []client.ObjectList{&v1alpha1.WarehouseList{}, &v1alpha1.FreightList{}, &v1alpha1.StageList{}, &v1alpha1.PromotionList{}, &v1alpha1.ApplicationList{}, &v1alpha1.FreezeList{}} {
		if err := w.client.List(ctx, list, client.InNamespace(w.project)); err != nil {
			w.t.Logf("list %T: %v", list, err)
			continue
		}
		if _, err := fmt.Fprintf(f, "# %T\n%s---\n", list, yamlOf(list)); err != nil {
			w.t.Log(err)
		}
	}
	w.t.Logf("the objects are in %s, the log of waybilld is %s", f.Name(), w.server.log.Name())
}
