package controllers

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/internal/credentials"
	"github.com/waybill-dev/waybill/internal/hook"
)

// hookRig has Warehouses and Applications of two Projects, a controller whose
// polls are counted by repository, and Hooks whose writes are.
type hookRig struct {
	client    client.Client
	clock     *clocktesting.FakeClock
	hooks     *Hooks
	warehouse *WarehouseReconciler
	mu        sync.Mutex
	polls     []string // project/repository
	patches   int
}

// indexes lets RegisterHookIndexes fill a fake client.
type indexes struct{ builder *fake.ClientBuilder }

func (i indexes) IndexField(_ context.Context, o client.Object, field string, f client.IndexerFunc) error {
	i.builder.WithIndex(o, field, f)
	return nil
}

func newHookRig(t *testing.T, objects ...client.Object) *hookRig {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{v1alpha1.AddToScheme, corev1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	r := &hookRig{clock: clocktesting.NewFakeClock(time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC))}
	builder := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithStatusSubresource(&v1alpha1.Warehouse{}).
		WithInterceptorFuncs(interceptor.Funcs{Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			r.patches++
			return c.Patch(ctx, o, p, opts...)
		}})
	if err := RegisterHookIndexes(t.Context(), indexes{builder}); err != nil {
		t.Fatal(err)
	}
	r.client = builder.Build()
	r.hooks = NewHooks(HookOptions{Client: r.client, Clock: r.clock})
	poll := func(project, repoURL string) error {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.polls = append(r.polls, project+"/"+repoURL)
		return errors.New("a poll that ends here")
	}
	r.warehouse = NewWarehouseReconciler(WarehouseOptions{
		Client: r.client, Clock: r.clock,
		Credentials: func(_ context.Context, _ credentials.Type, project, repoURL string) (credentials.Credential, error) {
			return credentials.Credential{}, poll(project, repoURL)
		},
		Remote: func(_ context.Context, project, repoURL string) (git.Remote, error) {
			return git.Remote{}, poll(project, repoURL)
		},
	})
	return r
}

// polled is a Warehouse that was polled a second ago and is not due for an hour.
func (r *hookRig) polled(project, name string, images ...string) *v1alpha1.Warehouse {
	w := &v1alpha1.Warehouse{ObjectMeta: metav1.ObjectMeta{Namespace: project, Name: name, Generation: 1}}
	w.Spec.Interval.Duration = time.Hour
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	for _, i := range images {
		w.Spec.Subscriptions = append(w.Spec.Subscriptions, v1alpha1.Subscription{Image: &v1alpha1.ImageSubscription{RepoURL: i}})
		w.Status.Subscriptions = append(w.Status.Subscriptions, v1alpha1.SubscriptionStatus{
			RepoURL: i, LastPoll: &metav1.Time{Time: now.Add(-time.Second)}, LastSuccess: &metav1.Time{Time: now.Add(-time.Second)}, NextPoll: &metav1.Time{Time: now.Add(time.Hour)},
		})
	}
	w.Status.ObservedGeneration = 1
	return w
}

// following is a Warehouse of other subscriptions, polled like polled.
func (r *hookRig) following(project, name string, subscriptions ...v1alpha1.Subscription) *v1alpha1.Warehouse {
	w := r.polled(project, name)
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	for _, s := range subscriptions {
		status := v1alpha1.SubscriptionStatus{LastPoll: &metav1.Time{Time: now}, LastSuccess: &metav1.Time{Time: now}, NextPoll: &metav1.Time{Time: now.Add(time.Hour)}}
		switch {
		case s.Git != nil:
			status.RepoURL, status.Type = s.Git.RepoURL, "git"
		case s.Chart != nil:
			status.RepoURL, status.Type, status.Chart = s.Chart.RepoURL, "chart", s.Chart.Name
		}
		w.Spec.Subscriptions = append(w.Spec.Subscriptions, s)
		w.Status.Subscriptions = append(w.Status.Subscriptions, status)
	}
	return w
}

func app(project, name, repoURL, branch string) *v1alpha1.Application {
	a := &v1alpha1.Application{ObjectMeta: metav1.ObjectMeta{Namespace: project, Name: name}}
	a.Spec.Source.RepoURL, a.Spec.Source.TargetRevision = repoURL, branch
	return a
}

// reconcile looks at every Warehouse once and returns what was polled.
func (r *hookRig) reconcile(t *testing.T) []string {
	t.Helper()
	r.polls = nil
	var all v1alpha1.WarehouseList
	if err := r.client.List(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	for i := range all.Items {
		if _, err := r.warehouse.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(&all.Items[i])}); err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(r.polls)
	return r.polls
}

// TestHookWakesExactlyWhatFollows: of all that is subscribed to, in both
// Projects, only what the message names is asked, and once.
func TestHookWakesExactlyWhatFollows(t *testing.T) {
	objects := func() []client.Object {
		r := &hookRig{}
		return []client.Object{
			r.polled("p", "two", "registry.example/app", "registry.example/lib"),
			r.polled("p", "same", "Registry.example/app"),
			r.polled("p", "hub", "nginx"),
			r.polled("q", "foreign", "registry.example/app"),
			r.following("p", "branch", v1alpha1.Subscription{Git: &v1alpha1.GitSubscription{RepoURL: "git@git.example:team/lib.git", Branch: "main"}}),
			r.following("p", "tags", v1alpha1.Subscription{Git: &v1alpha1.GitSubscription{RepoURL: "https://git.example/team/lib", CommitSelectionStrategy: v1alpha1.SelectTagSemVer}}),
			r.following("p", "charts", v1alpha1.Subscription{Chart: &v1alpha1.ChartSubscription{RepoURL: "oci://registry.example/charts/app"}},
				v1alpha1.Subscription{Chart: &v1alpha1.ChartSubscription{RepoURL: "https://charts.example/stable", Name: "app"}}),
			app("p", "main", "https://git.example/team/app.git", "main"),
			app("p", "ssh", "git@git.example:team/app", "main"),
			app("p", "uat", "https://git.example/team/app", "stage/uat"),
			app("p", "other", "https://git.example/team/other", "main"),
			app("q", "foreign", "https://git.example/team/app", "main"),
		}
	}
	for _, c := range []struct {
		why    string
		pushed []hook.Repository
		woken  []string
		polled []string
	}{
		{"nothing", nil, nil, nil},
		{"what nobody follows", []hook.Repository{{Kind: hook.Image, URL: "registry.example/nobody"}}, nil, nil},
		{"an image of two Warehouses", []hook.Repository{{Kind: hook.Image, URL: "registry.example/app"}},
			[]string{"warehouse/same", "warehouse/two"}, []string{"p/Registry.example/app", "p/registry.example/app"}},
		{"the other of one of them", []hook.Repository{{Kind: hook.Image, URL: "registry.example/lib"}}, []string{"warehouse/two"}, []string{"p/registry.example/lib"}},
		{"Docker Hub's long name", []hook.Repository{{Kind: hook.Image, URL: "docker.io/library/nginx"}}, []string{"warehouse/hub"}, []string{"p/nginx"}},
		{"a branch of a repository", []hook.Repository{{Kind: hook.Git, URL: "https://git.example/Team/app.git", Refs: []string{"refs/heads/main"}}},
			[]string{"application/main", "application/ssh"}, nil},
		{"a repository, whichever branch", []hook.Repository{{Kind: hook.Git, URL: "git@git.example:team/app.git"}},
			[]string{"application/main", "application/ssh", "application/uat"}, nil},
		{"a branch that a Warehouse follows", []hook.Repository{{Kind: hook.Git, URL: "https://git.example/team/lib.git", Refs: []string{"refs/heads/main"}}}, []string{"warehouse/branch"}, []string{"p/git@git.example:team/lib.git"}},
		{"a tag", []hook.Repository{{Kind: hook.Git, URL: "https://git.example/team/lib.git", Refs: []string{"refs/tags/v1"}}}, []string{"warehouse/tags"}, []string{"p/https://git.example/team/lib"}},
		{"a chart in a registry", []hook.Repository{{Kind: hook.Image, URL: "registry.example/charts/app"}}, []string{"warehouse/charts"}, []string{"p/oci://registry.example/charts/app"}},
		{"a Git repository with an image's name", []hook.Repository{{Kind: hook.Git, URL: "https://registry.example/app"}}, nil, nil},
	} {
		rig := newHookRig(t, objects()...)
		woken, err := rig.hooks.Wake(t.Context(), "p", c.pushed)
		if err != nil {
			t.Fatal(err)
		}
		rig.hooks.flush(t.Context())
		if diff := cmp.Diff(strings.Join(c.woken, " "), strings.Join(woken, " ")); diff != "" {
			t.Errorf("%s: woken: %s", c.why, diff)
		}
		if diff := cmp.Diff(strings.Join(c.polled, " "), strings.Join(rig.reconcile(t), " ")); diff != "" {
			t.Errorf("%s: polled: %s", c.why, diff)
		}
		if again := rig.reconcile(t); len(again) > 0 {
			t.Errorf("%s: polled again: %v", c.why, again)
		}
		var apps v1alpha1.ApplicationList
		if err := rig.client.List(t.Context(), &apps); err != nil {
			t.Fatal(err)
		}
		for _, a := range apps.Items {
			if want := a.Namespace == "p" && slices.Contains(c.woken, "application/"+a.Name); (requestOf(&a) != "") != want {
				t.Errorf("%s: Application %s/%s: requested at %q", c.why, a.Namespace, a.Name, requestOf(&a))
			}
		}
	}
}

// TestHookWakesTheController: the annotation passes the predicate; our own
// status does not.
func TestHookWakesTheController(t *testing.T) {
	r := &hookRig{}
	before := r.polled("p", "two", "registry.example/app")
	after := before.DeepCopy()
	after.Status.LastOrder++
	if hookChanged().Update(event.UpdateEvent{ObjectOld: before, ObjectNew: after}) {
		t.Error("a status wakes it")
	}
	after.Annotations = map[string]string{hook.AnnotationOf(hook.Key(hook.Image, "registry.example/app")): "2026-11-20T12:00:00Z"}
	if !hookChanged().Update(event.UpdateEvent{ObjectOld: before, ObjectNew: after}) {
		t.Error("a webhook does not wake it")
	}
}

// TestHookFlood: two thousand messages in ten seconds are three writes, and the
// last of them is not lost.
func TestHookFlood(t *testing.T) {
	r := &hookRig{}
	rig := newHookRig(t, r.polled("p", "two", "registry.example/app", "registry.example/lib"))
	polls := 0
	for i := range 2_000 {
		rig.clock.Step(5 * time.Millisecond)
		if _, err := rig.hooks.Wake(t.Context(), "p", []hook.Repository{{Kind: hook.Image, URL: "registry.example/app"}, {Kind: hook.Image, URL: "registry.example/nobody"}}); err != nil {
			t.Fatal(err)
		}
		rig.hooks.flush(t.Context())
		if len(rig.hooks.pending) > 1 || len(rig.hooks.last) > 1 {
			t.Fatalf("%d pending and %d remembered after %d messages", len(rig.hooks.pending), len(rig.hooks.last), i)
		}
		if i%200 == 0 {
			polls += len(rig.reconcile(t))
		}
	}
	rig.clock.Step(hookWindow)
	if next := rig.hooks.flush(t.Context()); !next.IsZero() {
		t.Errorf("still something to do at %v", next)
	}
	last := rig.reconcile(t)
	if rig.patches > 10 || polls > 3 || len(last) != 1 || len(rig.hooks.pending) != 0 {
		t.Errorf("%d writes, %d polls, then %v; %d pending", rig.patches, polls, last, len(rig.hooks.pending))
	}
	rig.clock.Step(hookWindow)
	rig.hooks.flush(t.Context())
	if len(rig.hooks.last) != 0 {
		t.Error("what was woken long ago is still remembered")
	}
}

// TestHookWakesWhatWaitsForAPullRequest: of the Promotions in a Project, exactly
// those that wait for a pull request of the repository.
func TestHookWakesWhatWaitsForAPullRequest(t *testing.T) {
	waiting := func(project, name, repoURL string, state v1alpha1.StepState) *v1alpha1.Promotion {
		p := &v1alpha1.Promotion{ObjectMeta: metav1.ObjectMeta{Namespace: project, Name: name}}
		p.Status.Phase = v1alpha1.PhaseRunning
		p.Status.Plan = &v1alpha1.PromotionPlan{Steps: []v1alpha1.PlanStep{{
			Uses: "git-wait-for-pr", As: "wait", Config: &runtime.RawExtension{Raw: []byte(`{"repoURL": "` + repoURL + `", "prNumber": "${{ outputs.open.pr.id }}"}`)},
		}}}
		p.Status.Steps = []v1alpha1.StepStatus{{Uses: "git-wait-for-pr", As: "wait", State: state}}
		return p
	}
	r := newHookRig(t,
		waiting("p", "test.1.f1", "https://git.example/team/app", v1alpha1.StepWaiting),
		waiting("p", "uat.1.f1", "https://git.example/team/other", v1alpha1.StepWaiting),
		waiting("p", "prod.1.f1", "https://git.example/team/app", v1alpha1.StepSucceeded),
		waiting("q", "test.1.f1", "https://git.example/team/app", v1alpha1.StepWaiting))
	woken, err := r.hooks.Wake(t.Context(), "p", []hook.Repository{{Kind: hook.Git, URL: "https://git.example/team/app.git", Refs: []string{"refs/heads/stage/test"}}})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"promotion/test.1.f1"}, woken); d != "" {
		t.Error(d)
	}
	r.hooks.flush(t.Context())
	var p v1alpha1.Promotion
	if err := r.client.Get(t.Context(), client.ObjectKey{Namespace: "p", Name: "test.1.f1"}, &p); err != nil {
		t.Fatal(err)
	}
	if p.Annotations[v1alpha1.AnnotationRequestedAt] == "" {
		t.Error("the Promotion was not told")
	}
}
