package controllers_test

import (
	"context"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/credentials"
	"github.com/waybill-dev/waybill/internal/outbound"
	"github.com/waybill-dev/waybill/internal/secret"
	"github.com/waybill-dev/waybill/warehouse/chart"
	"github.com/waybill-dev/waybill/warehouse/chart/charttest"
	"github.com/waybill-dev/waybill/warehouse/registry"
	"github.com/waybill-dev/waybill/warehouse/registrytest"
)

// withRepositories lets the reconciler download charts, with one account for all
// repositories. Versions are looked up every interval.
func withRepositories(username, password string, interval time.Duration) func(*appFixture) {
	return func(f *appFixture) {
		withCharts(f)
		transport, err := outbound.New(outbound.Policy{AllowLoopback: true, AllowPlainHTTP: true})
		if err != nil {
			f.t.Fatal(err)
		}
		f.t.Cleanup(transport.CloseIdleConnections)
		client, err := registry.New(registry.Options{Transport: transport, Now: time.Now, AllowLoopbackHTTP: true})
		if err != nil {
			f.t.Fatal(err)
		}
		f.t.Cleanup(func() { _ = client.Close() })
		f.chartPoll = interval
		f.charts = &chart.Fetcher{
			Source: chart.New(client, time.Now, f.t.TempDir()),
			Credentials: func(_ context.Context, _ credentials.Type, project, repoURL string) (credentials.Credential, error) {
				return credentials.Credential{Name: "charts", Namespace: project, Type: credentials.Chart, URL: repoURL, Username: username, Password: secret.New(password)}, nil
			},
		}
	}
}

// webChart is a chart with a Deployment, and with a ConfigMap for each extra.
func webChart(t *testing.T, version string, extra ...string) []byte {
	t.Helper()
	files := map[string]string{
		"values.yaml": "replicas: 1\nimage: registry.example.com/web:" + version + "\n",
		"templates/web.yaml": `apiVersion: apps/v1
kind: Deployment
metadata: {name: {{ .Release.Name }}-web}
spec:
  replicas: {{ .Values.replicas }}
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "{{ .Values.image }}"}]}
`,
	}
	for _, name := range extra {
		files["templates/"+name+".yaml"] = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name + "}\ndata: {version: {{ .Chart.Version | quote }}}\n"
	}
	return charttest.Pack(t, "web", version, files)
}

// ofChart makes an Application one of a chart.
func ofChart(repoURL, name, revision string) func(*v1alpha1.Application) {
	return func(a *v1alpha1.Application) {
		a.Labels = nil
		a.Spec.Source = v1alpha1.ApplicationSource{RepoURL: repoURL, Chart: name, TargetRevision: revision, Helm: &v1alpha1.HelmOptions{Values: "replicas: 2\n"}}
	}
}

func TestChartOfAnHTTPRepository(t *testing.T) {
	repo := charttest.New(t)
	repo.Add("web", "1.0.0", webChart(t, "1.0.0", "old"))
	repo.Add("web", "2.0.0", webChart(t, "2.0.0"))
	f := newAppFixture(t, withRepositories(charttest.Username, charttest.Password, 100*time.Millisecond))
	f.application("test", "", "", ofChart(repo.URL, "web", "^1.0.0"))
	f.waitSynced("test", "1.0.0")
	f.get(&corev1.ConfigMap{}, "old")
	var d appsv1.Deployment
	f.get(&d, "test-web")
	if *d.Spec.Replicas != 2 || d.Spec.Template.Spec.Containers[0].Image != "registry.example.com/web:1.0.0" {
		t.Errorf("replicas %d, image %s", *d.Spec.Replicas, d.Spec.Template.Spec.Containers[0].Image)
	}

	t.Run("a new version in the range is noticed, and what it lacks is pruned", func(t *testing.T) {
		digest := repo.Add("web", "1.1.0", webChart(t, "1.1.0", "new"))
		app := f.waitSynced("test", "1.1.0")
		if app.Status.Sync.Tree != digest {
			t.Errorf("tree %s, want %s", app.Status.Sync.Tree, digest)
		}
		f.get(&d, "test-web")
		if d.Spec.Template.Spec.Containers[0].Image != "registry.example.com/web:1.1.0" {
			t.Errorf("image %s", d.Spec.Template.Spec.Containers[0].Image)
		}
		f.gone(&corev1.ConfigMap{}, "old")
	})

	t.Run("drift is healed, and nothing is downloaded for it", func(t *testing.T) {
		repo.Requests()
		f.kubectl("scale", "deployment/test-web", "--replicas=5", "--namespace="+f.project+"-test")
		f.waitFor("test", "a healed drift", func(a *v1alpha1.Application) bool {
			f.get(&d, "test-web")
			return len(a.Status.Drifts) > 0 && *d.Spec.Replicas == 2
		})
		for _, at := range repo.Requests() {
			if at != "/index.yaml" {
				t.Errorf("asked for %s", at)
			}
		}
	})

	t.Run("a version that was published again is applied as it is now", func(t *testing.T) {
		digest := repo.Add("web", "1.1.0", webChart(t, "1.1.0", "new", "again"))
		f.waitFor("test", "the new content", func(a *v1alpha1.Application) bool { return a.Status.Sync.Tree == digest })
		f.get(&corev1.ConfigMap{}, "again")
	})

	t.Run("what cannot be used is named, and what runs stays", func(t *testing.T) {
		repo.Add("web", "1.2.0", charttest.Pack(t, "other", "1.2.0", nil))
		if _, message := f.waitReady("test", "ChartInvalid"); !strings.Contains(message, `it holds chart "other"`) {
			t.Errorf("message %q", message)
		}
		f.get(&d, "test-web")
		repo.Add("web", "1.3.0", webChart(t, "1.3.0"))
		f.waitSynced("test", "1.3.0")
	})
}

// At rest a chart costs the poll and nothing else; what a person asks is asked at
// once.
func TestChartAtRest(t *testing.T) {
	repo := charttest.New(t)
	repo.Add("web", "1.0.0", webChart(t, "1.0.0"))
	f := newAppFixture(t, withRepositories(charttest.Username, charttest.Password, time.Hour))
	for _, name := range []string{"test", "other"} {
		f.application(name, "", "", ofChart(repo.URL, "web", ""), func(a *v1alpha1.Application) { a.Spec.SyncPolicy.Automated = nil })
		if _, message := f.waitReady(name, "OutOfSync"); !strings.Contains(message, "runs nothing; the newest version is 1.0.0") {
			t.Errorf("message %q", message)
		}
		f.annotate(name, v1alpha1.AnnotationRequestedAt, "sync")
		f.waitSynced(name, "1.0.0")
	}
	repo.Add("web", "1.1.0", webChart(t, "1.1.0"))
	repo.Requests()
	f.annotate("test", v1alpha1.AnnotationRequestedAt, "again")
	f.waitSynced("test", "1.1.0")
	if got := strings.Join(repo.Requests(), " "); got != "/index.yaml /web-1.1.0.tgz" {
		t.Errorf("requests: %s", got)
	}
	// The other one is not asked to be synced: it says so, and runs on.
	if _, message := f.waitReady("other", "OutOfSync"); !strings.Contains(message, "runs 1.0.0; the newest version is 1.1.0") {
		t.Errorf("message %q", message)
	}
	f.stop()
	f.start()
	f.waitFor("other", "a pass after the restart", func(a *v1alpha1.Application) bool { return a.Status.Sync.Target == "1.1.0" })
	for _, at := range repo.Requests() {
		if at != "/index.yaml" {
			t.Errorf("after a restart: asked for %s", at)
		}
	}
}

func TestChartOfAnOCIRegistry(t *testing.T) {
	r := registrytest.New(t)
	for _, v := range []string{"1.0.0", "1.1.0+b2"} {
		charttest.Push(t.Context(), t, r.Server, "charts/web", v, webChart(t, v))
	}
	f := newAppFixture(t, withRepositories(registrytest.Username, registrytest.Password, 100*time.Millisecond))
	f.application("test", "", "", ofChart("oci://"+r.Name("charts"), "web", "1.0.0"))
	f.application("other", "", "", ofChart("oci://"+r.Name("charts"), "web", "^1"))
	f.waitSynced("test", "1.0.0")
	f.waitSynced("other", "1.1.0+b2")
	digest := charttest.Push(t.Context(), t, r.Server, "charts/web", "1.2.0", webChart(t, "1.2.0"))
	if app := f.waitSynced("other", "1.2.0"); app.Status.Sync.Tree != digest {
		t.Errorf("tree %s, want %s", app.Status.Sync.Tree, digest)
	}
	f.waitSynced("test", "1.0.0") // an exact version stays
}

func TestChartLookupFails(t *testing.T) {
	repo := charttest.New(t)
	repo.Add("web", "1.0.0", webChart(t, "1.0.0"))
	f := newAppFixture(t, withRepositories(charttest.Username, "wrong-password-canary", 100*time.Millisecond))
	f.application("test", "", "", ofChart(repo.URL, "web", "^1.0.0"))
	if _, message := f.waitReady("test", "AuthenticationFailed"); strings.Contains(message, "canary") || !strings.Contains(message, `Secret "charts"`) {
		t.Errorf("message %q", message)
	}
	repo.Open()
	f.waitSynced("test", "1.0.0")
	f.application("none", "", "", ofChart(repo.URL, "web", "^7.0.0"))
	f.waitReady("none", "NoMatchingVersion")
	f.application("bad", "", "", ofChart(repo.URL, "web", "not a version"))
	f.waitReady("bad", "InvalidSpec")
	f.application("gone", "", "", ofChart("http://127.0.0.1:1", "web", ""))
	f.waitReady("gone", "RegistryUnreachable")
}

func TestChartSourceIsChecked(t *testing.T) {
	f := newAppFixture(t)
	for why, source := range map[string]v1alpha1.ApplicationSource{
		"neither path nor chart":  {RepoURL: "https://charts.example.com"},
		"path and chart":          {RepoURL: "https://charts.example.com", Path: ".", Chart: "web"},
		"oci without chart":       {RepoURL: "oci://registry.example.com/charts/web", Path: "."},
		"chart over ssh":          {RepoURL: "git@git.example.com:charts/web", Chart: "web"},
		"kustomize of a chart":    {RepoURL: "https://charts.example.com", Chart: "web", Kustomize: &v1alpha1.KustomizeOptions{NamePrefix: "x"}},
		"a chart that leads away": {RepoURL: "https://charts.example.com", Chart: "../web"},
	} {
		app := &v1alpha1.Application{}
		app.Namespace, app.Name = f.project, "bad"
		app.Spec.Source, app.Spec.Destination.Namespace = source, f.project
		if err := f.client.Create(t.Context(), app); !apierrors.IsInvalid(err) {
			t.Errorf("%s: %v", why, err)
		}
	}
}
