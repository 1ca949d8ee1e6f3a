package controllers_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/controllers"
	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/git/gittest"
	"github.com/waybill-dev/waybill/gitops/cluster"
	"github.com/waybill-dev/waybill/gitops/render"
	"github.com/waybill-dev/waybill/gitops/render/helm"
	"github.com/waybill-dev/waybill/internal/failpoint"
	"github.com/waybill-dev/waybill/internal/secret"
	"github.com/waybill-dev/waybill/test/env"
	"github.com/waybill-dev/waybill/warehouse/chart"
)

// appEnv is one API server with controllers and kwok, and one Git server, for
// all Application tests of the package.
type appEnv struct {
	*env.Env
	scheme *runtime.Scheme
	client client.Client // without cache
}

var shared struct {
	sync.Mutex
	env *appEnv
}

// TestMain stops what the tests shared.
// It makes the test program a render worker when it is started as one.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == helm.WorkerArgument {
		if err := helm.Serve(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	code := m.Run()
	if e := shared.env; e != nil {
		if err := e.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}

// cluster returns the shared environment; it is started by the first test that
// needs it.
func sharedCluster(t testing.TB) *appEnv {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a control plane")
	}
	shared.Lock()
	defer shared.Unlock()
	if shared.env != nil {
		return shared.env
	}
	e, err := env.New(env.Options{Workloads: true})
	if err != nil {
		t.Fatal(err)
	}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{v1alpha1.AddToScheme, corev1.AddToScheme, appsv1.AddToScheme, batchv1.AddToScheme, eventsv1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	c, err := client.New(e.Config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	shared.env = &appEnv{Env: e, scheme: scheme, client: c}
	if err := e.InstallCRDsContext(t.Context(), "../charts/waybill/crds"); err != nil {
		t.Fatal(err)
	}
	return shared.env
}

// appFixture is one Project with one repository and a running reconciler.
type appFixture struct {
	*appEnv
	t       testing.TB
	project string
	git     *gittest.Server
	repoURL string
	wake    chan controllers.BranchMoved
	counter *requestCounter
	own     *requestCounter // requests to Waybill's own cluster
	cable   *cable
	west    *cable // to the clusters that are registered
	// password is what the Project's credential says.
	password  atomic.Value
	mirrors   string // directory
	poll      time.Duration
	fail      *failpoint.Set
	renders   *render.Cache
	charts    *chart.Fetcher
	chartPoll time.Duration
	stop      func()
	clock     clock.WithTicker // of the reconciler; default: the real one
	// impersonates as in ApplicationOptions.
	impersonates bool
}

var projectNumber struct {
	sync.Mutex
	n int
}

// newAppFixture makes a Project with an empty repository and starts the
// reconciler.
func newAppFixture(t testing.TB, options ...func(*appFixture)) *appFixture {
	t.Helper()
	e := sharedCluster(t)
	projectNumber.Lock()
	projectNumber.n++
	project := fmt.Sprintf("p%d-%d", os.Getpid(), projectNumber.n)
	projectNumber.Unlock()
	f := &appFixture{
		appEnv: e, t: t, project: project, git: gittest.NewServer(t), mirrors: t.TempDir(),
		wake: make(chan controllers.BranchMoved, 16), counter: &requestCounter{}, own: &requestCounter{}, cable: &cable{}, west: &cable{}, poll: time.Hour,
		clock: clock.RealClock{},
	}
	f.password.Store(gittest.Password)
	for _, o := range options {
		o(f)
	}
	f.repoURL = f.git.CreateRepo("app", map[string]string{"README": "x"})
	for _, o := range []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: project, Labels: map[string]string{v1alpha1.LabelProject: "true"}}},
		&v1alpha1.Project{ObjectMeta: metav1.ObjectMeta{Name: project}},
	} {
		if err := e.client.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	f.start()
	t.Cleanup(func() {
		if f.stop != nil {
			f.stop()
		}
		for _, o := range []client.Object{
			&v1alpha1.Project{ObjectMeta: metav1.ObjectMeta{Name: project}},
			&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: project}},
		} {
			_ = e.client.Delete(context.Background(), o)
		}
	})
	return f
}

// start runs a manager with the Application controller, as waybilld does.
func (f *appFixture) start() {
	f.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	mirrors, err := git.NewMirrors(git.Options{Dir: f.mirrors, Transport: http.DefaultTransport, AllowPlainHTTP: true})
	if err != nil {
		f.t.Fatal(err)
	}
	skip := true
	home := rest.CopyConfig(f.Config)
	home.Wrap(f.own.wrap)
	mgr, err := ctrl.NewManager(home, ctrl.Options{
		Scheme: f.scheme, Metrics: metricsserver.Options{BindAddress: "0"},
		Controller: config.Controller{SkipNameValidation: &skip},
	})
	if err != nil {
		f.t.Fatal(err)
	}
	counted := rest.CopyConfig(f.Config)
	counted.Dial = f.cable.dial
	counted.Wrap(f.counter.wrap)
	c, err := cluster.Connect(v1alpha1.InCluster, counted, clock.RealClock{})
	if err != nil {
		f.t.Fatal(err)
	}
	registry := cluster.NewRegistry(c)
	clusters, err := controllers.NewClusterReconciler(controllers.ClusterOptions{
		Client: mgr.GetClient(), Clusters: registry, Clock: clock.RealClock{}, SystemNamespace: "waybill-system", Dial: f.west.dial,
	})
	if err != nil {
		f.t.Fatal(err)
	}
	if err := clusters.SetupWithManager(mgr); err != nil {
		f.t.Fatal(err)
	}
	r, err := controllers.NewApplicationReconciler(controllers.ApplicationOptions{
		Client: mgr.GetClient(), Clusters: registry, Mirrors: mirrors,
		Remote: func(_ context.Context, project, repoURL string) (git.Remote, error) {
			password, _ := f.password.Load().(string)
			return git.Remote{URL: repoURL, Username: gittest.Username, Password: secret.New(password), CredentialName: project + "/git"}, nil
		},
		Clock: f.clock, PollInterval: f.poll, SystemNamespace: "waybill-system", Wake: f.wake, Failpoints: f.fail, Renders: f.renders,
		Charts: f.charts, ChartPollInterval: f.chartPoll,
		Events: mgr.GetEventRecorder("waybill"), Impersonates: f.impersonates,
	})
	if err != nil {
		f.t.Fatal(err)
	}
	if err := r.SetupWithManager(mgr); err != nil {
		f.t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	f.stop = func() {
		cancel()
		if err := <-done; err != nil {
			f.t.Errorf("manager: %v", err)
		}
		if err := mirrors.Close(); err != nil {
			f.t.Errorf("mirrors: %v", err)
		}
		f.stop = nil
	}
}

// commit writes files to a branch and tells the reconciler as a promotion does.
func (f *appFixture) commit(branch string, files map[string]string) string {
	f.t.Helper()
	parent := f.git.Branch("app", branch)
	hash := f.git.Commit("app", branch, "change", files)
	f.wake <- controllers.BranchMoved{RepoURL: f.repoURL, Branch: branch, Parent: parent, Commit: hash}
	return hash
}

// application creates an Application that syncs path of branch into
// <project>-<name>, healing, pruning and making the namespace.
func (f *appFixture) application(name, branch, path string, change ...func(*v1alpha1.Application)) *v1alpha1.Application {
	f.t.Helper()
	app := &v1alpha1.Application{
		ObjectMeta: metav1.ObjectMeta{Namespace: f.project, Name: name, Labels: map[string]string{v1alpha1.LabelStage: name}},
		Spec: v1alpha1.ApplicationSpec{
			Source:      v1alpha1.ApplicationSource{RepoURL: f.repoURL, TargetRevision: branch, Path: path},
			Destination: v1alpha1.Destination{Namespace: f.project + "-" + name},
			SyncPolicy: v1alpha1.SyncPolicy{
				Automated:   &v1alpha1.AutomatedSync{Prune: true, SelfHeal: true},
				SyncOptions: []string{"CreateNamespace=true"},
			},
			DeletionPolicy: "Orphan",
		},
	}
	for _, c := range change {
		c(app)
	}
	if err := f.client.Create(f.t.Context(), app); err != nil {
		f.t.Fatal(err)
	}
	return app
}

// waitFor polls the Application until ok, and fails with its status otherwise.
func (f *appFixture) waitFor(name, what string, ok func(*v1alpha1.Application) bool) *v1alpha1.Application {
	f.t.Helper()
	app := &v1alpha1.Application{}
	key := types.NamespacedName{Namespace: f.project, Name: name}
	if !eventually(func() bool {
		if err := f.client.Get(f.t.Context(), key, app); err != nil {
			return false
		}
		return ok(app)
	}) {
		f.t.Fatalf("%s: waited for %s; status is %s", name, what, describe(app))
	}
	return app
}

// waitSynced waits until commit runs and is Healthy.
func (f *appFixture) waitSynced(name, commit string) *v1alpha1.Application {
	f.t.Helper()
	return f.waitFor(name, "Synced and Healthy at "+commit, func(a *v1alpha1.Application) bool {
		return a.Status.Sync.Revision == commit && a.Status.Sync.Status == v1alpha1.SyncSynced &&
			a.Status.Health != nil && a.Status.Health.Status == v1alpha1.HealthHealthy &&
			meta.IsStatusConditionTrue(a.Status.Conditions, v1alpha1.ConditionReady)
	})
}

// waitReady waits until the Ready condition has reason.
func (f *appFixture) waitReady(name, reason string) (*v1alpha1.Application, string) {
	f.t.Helper()
	message := ""
	app := f.waitFor(name, "reason "+reason, func(a *v1alpha1.Application) bool {
		for _, c := range a.Status.Conditions {
			if c.Type == v1alpha1.ConditionReady && c.Reason == reason {
				message = c.Message
				return true
			}
		}
		return false
	})
	return app, message
}

func describe(a *v1alpha1.Application) string {
	var b strings.Builder
	fmt.Fprintf(&b, "sync %+v health %+v drifting %t", a.Status.Sync, a.Status.Health, a.Status.Drifting)
	for _, c := range a.Status.Conditions {
		fmt.Fprintf(&b, "\n  %s=%s %s: %s", c.Type, c.Status, c.Reason, c.Message)
	}
	for _, o := range a.Status.Objects {
		fmt.Fprintf(&b, "\n  %+v", o)
	}
	for _, d := range a.Status.Drifts {
		fmt.Fprintf(&b, "\n  drift %+v", d)
	}
	return b.String()
}

// eventually polls until ok or half a minute has passed.
func eventually(ok func() bool) bool {
	deadline := time.NewTimer(2 * time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if ok() {
			return true
		}
		select {
		case <-deadline.C:
			return false
		case <-tick.C:
		}
	}
}

// kubectl runs the real kubectl and fails the test when it fails.
func (f *appFixture) kubectl(args ...string) string {
	f.t.Helper()
	cmd := exec.CommandContext(f.t.Context(), f.Cluster.Kubectl(), append([]string{"--kubeconfig=" + f.Kubeconfig}, args...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		f.t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// requestCounter counts the requests to the destination cluster, watches apart.
type requestCounter struct {
	mu    sync.Mutex
	lines []string
}

func (c *requestCounter) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		if r.URL.Query().Get("watch") == "" {
			c.mu.Lock()
			c.lines = append(c.lines, r.Method+" "+r.URL.Path)
			c.mu.Unlock()
		}
		return next.RoundTrip(r)
	})
}

// take returns what was sent since the last call.
func (c *requestCounter) take() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := c.lines
	c.lines = nil
	return out
}

// cable connects the reconciler with the destination cluster, until it is cut.
type cable struct {
	mu    sync.Mutex
	isCut bool
	conns []net.Conn
}

func (c *cable) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isCut {
		return nil, errors.New("the cable is cut")
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err == nil {
		c.conns = append(c.conns, conn)
	}
	return conn, err
}

func (c *cable) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.isCut = true
	for _, conn := range c.conns {
		_ = conn.Close()
	}
	c.conns = nil
}

func (c *cable) mend() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.isCut = false
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// web is a Deployment, its Service and its ConfigMap.
func web(image string, replicas int) map[string]string {
	return map[string]string{
		"app/web.yaml": fmt.Sprintf(`apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  labels: {tier: front}
spec:
  replicas: %d
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: %s
        env: [{name: MODE, value: fast}]
        ports: [{containerPort: 80}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{port: 80}]
`, replicas, image),
		"app/config.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\ndata: {a: b}\n",
	}
}
