package e2e

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/apis/meta/v1"
	kruntime "k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/git/gittest"
	"github.com/waybill-dev/waybill/internal/demoregistry"
	"github.com/waybill-dev/waybill/internal/install"
	"github.com/waybill-dev/waybill/test/env"
	"github.com/waybill-dev/waybill/warehouse/registrytest"
)

const systemNamespace = "waybill-system"

// patience is how long anything may take before a test gives up; things take
// milliseconds to seconds, but the machine may be busy.
const patience = 90 * time.Second

// world is a running installation.
type world struct {
	t        *testing.T
	cluster  *env.Env
	client   client.Client
	git      *gittest.Server
	gitURL   string
	registry *registrytest.Registry
	binary   string
	dataDir  string
	server   *exec.Cmd
	log      *os.File
	listen   string
}

// newWorld starts everything but waybilld.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, cluster: env.Start(t, env.Options{Workloads: true}), dataDir: t.TempDir()}
	scheme := kruntime.NewScheme()
	for _, add := range []func(*kruntime.Scheme) error{v1alpha1.AddToScheme, corev1.AddToScheme, appsv1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	c, err := client.New(w.cluster.Config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	w.client = c
	if err := install.Install(t.Context(), install.Options{Client: c, Namespace: systemNamespace}); err != nil {
		t.Fatal(err)
	}
	w.git = gittest.NewServer(t)
	w.registry = registrytest.New(t)
	w.binary = serverBinary(t)
	w.log, err = os.Create(filepath.Join(artifacts(t), strings.ReplaceAll(t.Name(), "/", "_")+".waybilld.log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			w.dump()
		}
		_ = w.log.Close()
	})
	return w
}

// artifacts is where a test leaves what a person may want to read.
func artifacts(t *testing.T) string {
	t.Helper()
	root, err := env.Repository()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(root, "test", "artifacts")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// serverBinary is what `make build` made, or what WAYBILLD names.
func serverBinary(t *testing.T) string {
	t.Helper()
	if b := os.Getenv("WAYBILLD"); b != "" {
		return b
	}
	root, err := env.Repository()
	if err != nil {
		t.Fatal(err)
	}
	b := filepath.Join(root, "bin", "waybilld")
	if _, err := os.Stat(b); err != nil {
		t.Fatalf("%s is missing: run `make build`", b)
	}
	return b
}

// startServer starts waybilld as its service account, with extra environment.
func (w *world) startServer(environment ...string) {
	w.t.Helper()
	kubeconfig, err := w.cluster.Cluster.ClientKubeconfig(
		"system:serviceaccount:"+systemNamespace+":waybill",
		[]string{"system:serviceaccounts", "system:serviceaccounts:" + systemNamespace})
	if err != nil {
		w.t.Fatal(err)
	}
	if w.listen == "" {
		w.listen = freeAddress(w.t)
	}
	cmd := exec.Command(w.binary, "--kubeconfig", kubeconfig, "--listen", w.listen, "--data", w.dataDir,
		"--system-namespace", systemNamespace, "--allow-http", "--allow-loopback", "--verbose")
	cmd.Stdout, cmd.Stderr = w.log, w.log
	cmd.Env = append(os.Environ(), environment...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		// The kernel ends the child with the thread that started it.
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
		close(started)
	}()
	if err := <-started; err != nil {
		w.t.Fatal(err)
	}
	w.server = cmd
	w.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-started:
		case <-time.After(20 * time.Second):
			_ = cmd.Process.Kill()
			<-started
		}
	})
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
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
			w.t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(20 * time.Millisecond) // a poll with a deadline, not a wait for luck
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
		files["stages/"+stage+"/kustomization.yaml"] = fmt.Sprintf(`# What %s runs. The images are set by Waybill.
resources:
- ../../base   # the same for every Stage
images:
- name: %s
  newTag: 1.25.0 # replaced by promotions
labels:
- pairs: {stage: %s}
`, stage, image, stage)
	}
	w.gitURL = w.git.CreateRepo("guestbook", files)
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
	var wh v1alpha1.Warehouse
	key := client.ObjectKey{Namespace: "guestbook", Name: "guestbook"}
	if err := w.client.Get(w.t.Context(), key, &wh); err != nil {
		w.t.Fatal(err)
	}
	before := wh.DeepCopy()
	if wh.Annotations == nil {
		wh.Annotations = map[string]string{}
	}
	wh.Annotations[v1alpha1.AnnotationRequestedAt] = time.Now().Format(time.RFC3339Nano)
	if err := w.client.Patch(w.t.Context(), &wh, client.MergeFrom(before)); err != nil {
		w.t.Fatal(err)
	}
}

// pipeline applies the Project, credentials, Warehouse and Stages.
func (w *world) pipeline(edit ...func(*v1alpha1.Stage)) {
	w.t.Helper()
	w.cluster.Apply(w.t, `
apiVersion: v1
kind: Namespace
metadata: {name: guestbook, labels: {waybill.dev/project: "true"}}
---
apiVersion: waybill.dev/v1alpha1
kind: Project
metadata: {name: guestbook}
---
apiVersion: v1
kind: Secret
metadata: {name: git, namespace: guestbook, labels: {waybill.dev/cred-type: git}}
stringData: {repoURL: "`+w.gitURL+`", username: "`+gittest.Username+`", password: "`+gittest.Password+`"}
---
apiVersion: v1
kind: Secret
metadata: {name: registry, namespace: guestbook, labels: {waybill.dev/cred-type: image}}
stringData: {repoURL: "`+w.registry.Name("guestbook")+`", username: "`+registrytest.Username+`", password: "`+registrytest.Password+`"}
---
apiVersion: waybill.dev/v1alpha1
kind: Warehouse
metadata: {name: guestbook, namespace: guestbook}
spec:
  interval: 1h
  subscriptions:
  - image: {repoURL: "`+w.registry.Name("guestbook")+`", constraint: "^1.26.0"}
`)
	upstream := ""
	for _, name := range []string{"test", "uat", "prod"} {
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
			Destination: v1alpha1.Destination{Namespace: "guestbook-" + name},
			Source:      v1alpha1.DeploymentSource{Path: "stages/" + name},
			SyncPolicy: v1alpha1.SyncPolicy{
				Automated:   &v1alpha1.AutomatedSync{Prune: true, SelfHeal: true},
				SyncOptions: []string{"CreateNamespace=true"},
			},
		}},
		Rollback: v1alpha1.RollbackPolicy{OnUnhealthy: "Revert", After: &apimeta.Duration{Duration: time.Second}},
	}}
	s.Namespace, s.Name = "guestbook", name
	return s
}

// runs waits until a Stage runs a version Healthy, in its status and in the
// cluster.
func (w *world) runs(stage, tag string) {
	w.t.Helper()
	w.eventually(stage+" runs "+tag, func() error { return w.isRunning(stage, tag) })
}

func (w *world) isRunning(stage, tag string) error {
	var s v1alpha1.Stage
	if err := w.client.Get(w.t.Context(), client.ObjectKey{Namespace: "guestbook", Name: stage}, &s); err != nil {
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
	err := w.client.Get(w.t.Context(), client.ObjectKey{Namespace: "guestbook-" + stage, Name: "guestbook"}, &d)
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
	var all v1alpha1.PromotionList
	if err := w.client.List(w.t.Context(), &all, client.InNamespace("guestbook")); err != nil {
		w.t.Fatal(err)
	}
	p.Namespace = "guestbook"
	p.Name = fmt.Sprintf("%s.%d.%s", stage, len(all.Items)+100, f.Name[:8])
	if err := w.client.Create(w.t.Context(), p); err != nil {
		w.t.Fatal(err)
	}
	return p
}

// freight waits for the Freight of a version.
func (w *world) freight(tag string) *v1alpha1.Freight {
	w.t.Helper()
	var found v1alpha1.Freight
	w.eventually("Freight "+tag, func() error {
		var all v1alpha1.FreightList
		if err := w.client.List(w.t.Context(), &all, client.InNamespace("guestbook")); err != nil {
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

// breakImage makes containers of a version crash, as local mode does.
func (w *world) breakImage(tag string) {
	w.t.Helper()
	cm := &corev1.ConfigMap{}
	cm.Namespace, cm.Name = "default", "demo-images"
	line := w.registry.Name("guestbook") + ":" + tag
	cm.Data = map[string]string{"CrashLoopBackOff": line}
	if err := w.client.Create(w.t.Context(), cm); err == nil {
		return
	}
	if err := w.client.Get(w.t.Context(), client.ObjectKeyFromObject(cm), cm); err != nil {
		w.t.Fatal(err)
	}
	cm.Data["CrashLoopBackOff"] += "\n" + line
	if err := w.client.Update(w.t.Context(), cm); err != nil {
		w.t.Fatal(err)
	}
}

// dump writes what a person needs to understand a failure.
func (w *world) dump() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for _, list := range []client.ObjectList{&v1alpha1.WarehouseList{}, &v1alpha1.FreightList{}, &v1alpha1.StageList{}, &v1alpha1.PromotionList{}, &v1alpha1.ApplicationList{}, &v1alpha1.FreezeList{}} {
		if err := w.client.List(ctx, list); err != nil {
			w.t.Logf("list %T: %v", list, err)
			continue
		}
		w.t.Logf("%T: %s", list, yamlOf(list))
	}
	w.t.Logf("the log of waybilld is %s", w.log.Name())
}
