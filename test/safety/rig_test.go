package safety

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/controllers"
	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/git/gittest"
	"github.com/waybill-dev/waybill/gitops/render"
	"github.com/waybill-dev/waybill/internal/secret"
	"github.com/waybill-dev/waybill/promotion/engine"
	"github.com/waybill-dev/waybill/promotion/observe"
	"github.com/waybill-dev/waybill/promotion/planner"
	"github.com/waybill-dev/waybill/promotion/steps"
)

const image = "registry.example/guestbook"

// rig is a Project on the shared API server with a Git server of its own, and
// the controllers, which a test calls one reconcile at a time.
type rig struct {
	t       *testing.T
	project string
	admin   client.Client // straight to the API server
	cached  *laggard      // what controllers read
	git     *gittest.Server
	url     string
	mirrors *git.Mirrors
	// policies are all in force unless a test says otherwise.
	policies policies

	promotions *controllers.PromotionReconciler
	stages     *controllers.StageReconciler
}

// laggard is a cached client whose cache has not heard of some objects yet.
type laggard struct {
	client.Client
	hideFreezes bool
}

func (l *laggard) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	if _, ok := list.(*v1alpha1.FreezeList); ok && l.hideFreezes {
		return nil
	}
	return l.Client.List(ctx, list, opts...)
}

// policies says which admission policies are not in force.
type policies struct {
	missing   []string
	isUnknown bool
}

func (p *policies) Missing() ([]string, bool)          { return p.missing, !p.isUnknown }
func (p *policies) Changed() <-chan event.GenericEvent { return nil }

func newRig(t *testing.T, project string) *rig {
	t.Helper()
	r := &rig{t: t, project: project, admin: clientFor(t, shared.Config), git: gittest.NewServer(t)}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: project, Labels: map[string]string{v1alpha1.LabelProject: "true"}}}
	if err := r.admin.Create(t.Context(), ns); err != nil {
		t.Fatal(err)
	}
	r.url = r.git.CreateRepo("guestbook", map[string]string{
		"stages/test/kustomization.yaml": "images:\n- name: " + image + "\n  newTag: 1.25.0\n",
	})
	c, err := cache.New(shared.Config, cache.Options{Scheme: scheme(t), DefaultNamespaces: map[string]cache.Config{project: {}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := observe.RegisterIndexes(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = c.Start(ctx)
	}()
	t.Cleanup(func() {
		stop()
		<-done
	})
	for _, kind := range []client.Object{&v1alpha1.Stage{}, &v1alpha1.Promotion{}, &v1alpha1.Freight{}, &v1alpha1.Freeze{}, &v1alpha1.Approval{}, &v1alpha1.Application{}, &v1alpha1.Warehouse{}} {
		if _, err := c.GetInformer(ctx, kind); err != nil {
			t.Fatal(err)
		}
	}
	if !c.WaitForCacheSync(ctx) {
		t.Fatal("the cache does not fill")
	}
	cached, err := client.New(shared.Config, client.Options{Scheme: scheme(t), Cache: &client.CacheOptions{Reader: c}})
	if err != nil {
		t.Fatal(err)
	}
	r.cached = &laggard{Client: cached}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	if r.mirrors, err = git.NewMirrors(git.Options{Dir: t.TempDir(), Transport: transport, AllowPlainHTTP: true}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.mirrors.Close() })
	e := &engine.Engine{
		Steps:        steps.Builtin(steps.Dependencies{Author: git.Identity{Name: "Waybill", Email: "noreply@waybill.dev"}}),
		Repositories: r, Clock: clock.RealClock{},
	}
	r.promotions = controllers.NewPromotionReconciler(controllers.PromotionOptions{
		Client: r.cached, Live: r.admin, Clock: clock.RealClock{}, Policies: &r.policies, Repositories: r,
		Planner: planner.New(r, e, render.NewCache(16<<20, nil)), Engine: e,
	})
	r.stages = controllers.NewStageReconciler(controllers.StageOptions{Client: r.cached, Clock: clock.RealClock{}, Policies: &r.policies})
	r.create(&v1alpha1.Warehouse{ObjectMeta: metav1.ObjectMeta{Namespace: project, Name: "guestbook"}, Spec: v1alpha1.WarehouseSpec{
		Interval:      metav1.Duration{Duration: time.Hour},
		Subscriptions: []v1alpha1.Subscription{{Image: &v1alpha1.ImageSubscription{RepoURL: image, Constraint: "^1.0.0"}}},
	}})
	return r
}

// Open is step.Repositories.
func (r *rig) Open(_ context.Context, project, repoURL string) (*git.Mirror, error) {
	return r.mirrors.Open(git.Remote{URL: repoURL, Username: gittest.Username, Password: secret.New(gittest.Password), CredentialName: project + "/git"})
}

func (r *rig) create(o client.Object) {
	r.t.Helper()
	if err := r.admin.Create(r.t.Context(), o); err != nil {
		r.t.Fatal(err)
	}
	r.seen(o)
}

// seen waits until the cache has the object as it was written.
func (r *rig) seen(o client.Object) {
	r.t.Helper()
	want := o.GetResourceVersion()
	like := o.DeepCopyObject().(client.Object)
	eventually(r.t, "the cache sees "+o.GetName(), func() error {
		if err := r.cached.Get(r.t.Context(), client.ObjectKeyFromObject(o), like); err != nil {
			return err
		}
		if like.GetResourceVersion() != want {
			return fmt.Errorf("at version %s, want %s", like.GetResourceVersion(), want)
		}
		return nil
	})
}

// stage creates the Stage that promotes to its own branch.
func (r *rig) stage(name string, edit ...func(*v1alpha1.Stage)) *v1alpha1.Stage {
	r.t.Helper()
	s := newStage(r.project, name)
	s.Spec.PromotionMechanisms = &v1alpha1.PromotionMechanisms{GitRepoUpdates: []v1alpha1.GitRepoUpdate{{
		RepoURL: r.url, ReadBranch: "main", WriteBranch: "stage/" + name,
		Kustomize: v1alpha1.KustomizeUpdate{Images: []v1alpha1.KustomizeImage{{Image: image, Path: "stages/test"}}},
	}}}
	for _, e := range edit {
		e(s)
	}
	r.create(s)
	return s
}

// freight creates Freight of a version.
func (r *rig) freight(order int64, version string) *v1alpha1.Freight {
	r.t.Helper()
	f := newFreight(r.project)
	f.Name, f.Order, f.Images[0].Tag = fmt.Sprintf("f%039d", order), order, version
	f.Images[0].RepoURL = image
	r.create(f)
	return f
}

// promotion creates a Promotion under a name of the test's choice.
func (r *rig) promotion(name, freight string, edit ...func(*v1alpha1.PromotionSpec)) *v1alpha1.Promotion {
	r.t.Helper()
	p := newPromotion(r.project, name)
	p.Spec.Freight = freight
	for _, e := range edit {
		e(&p.Spec)
	}
	r.create(p)
	return p
}

// step reconciles a Promotion once and returns it as it is then.
func (r *rig) step(p *v1alpha1.Promotion) *v1alpha1.Promotion {
	r.t.Helper()
	p, _ = r.stepAt(p)
	return p
}

// stepAt is step, with when the Promotion is looked at again by itself.
func (r *rig) stepAt(p *v1alpha1.Promotion) (*v1alpha1.Promotion, time.Duration) {
	r.t.Helper()
	result, err := r.promotions.Reconcile(r.t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(p)})
	if err != nil {
		r.t.Fatalf("reconcile %s: %v", p.Name, err)
	}
	return r.live(p), result.RequeueAfter
}

func (r *rig) live(p *v1alpha1.Promotion) *v1alpha1.Promotion {
	r.t.Helper()
	var out v1alpha1.Promotion
	if err := r.admin.Get(r.t.Context(), client.ObjectKeyFromObject(p), &out); err != nil {
		r.t.Fatal(err)
	}
	r.seen(&out)
	return &out
}

// stepStage reconciles a Stage once and returns it as it is then.
func (r *rig) stepStage(name string) *v1alpha1.Stage {
	r.t.Helper()
	key := client.ObjectKey{Namespace: r.project, Name: name}
	if _, err := r.stages.Reconcile(r.t.Context(), ctrl.Request{NamespacedName: key}); err != nil {
		r.t.Fatalf("reconcile Stage %s: %v", name, err)
	}
	var out v1alpha1.Stage
	if err := r.admin.Get(r.t.Context(), key, &out); err != nil {
		r.t.Fatal(err)
	}
	r.seen(&out)
	return &out
}

// runs carries a version into a Stage and checks that it is there.
func (r *rig) runs(stage string, p *v1alpha1.Promotion) *v1alpha1.Promotion {
	r.t.Helper()
	for range 5 {
		if p = r.step(p); p.Status.Phase.IsFinished() {
			break
		}
	}
	if p.Status.Phase != v1alpha1.PhaseSucceeded {
		r.t.Fatalf("%s is %s: %s", p.Name, p.Status.Phase, p.Status.Message)
	}
	if s := r.stepStage(stage); len(s.Status.Current) != 1 || s.Status.Current[0].Promotion != p.Name {
		r.t.Fatalf("current is %+v", s.Status.Current)
	}
	return p
}

func (r *rig) head(branch string) string { return r.git.Branch("guestbook", branch) }

// freezes returns those in force, by what they stop.
func (r *rig) freezes() []v1alpha1.Freeze {
	r.t.Helper()
	var list v1alpha1.FreezeList
	if err := r.admin.List(r.t.Context(), &list, client.InNamespace(r.project)); err != nil {
		r.t.Fatal(err)
	}
	var out []v1alpha1.Freeze
	for _, z := range list.Items {
		if z.Spec.Until == nil || z.Spec.Until.After(time.Now()) {
			out = append(out, z)
		}
	}
	return out
}

// must fails unless err names want.
func must(err error, want string) error {
	if err == nil {
		return errors.New("accepted")
	}
	if !strings.Contains(err.Error(), want) {
		return fmt.Errorf("says %q, want %q", err.Error(), want)
	}
	return nil
}
