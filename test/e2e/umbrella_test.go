package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/git/gittest"
	"github.com/waybill-dev/waybill/warehouse/chart/charttest"
	"github.com/waybill-dev/waybill/warehouse/registrytest"
)

// TestUmbrellaChart: a new version of a chart travels into a chart that depends on
// it. The Stage's branch holds that one with the archives of its dependencies, one
// from a repository and one that lies beside it, and the Stage runs them.
func TestUmbrellaChart(t *testing.T) {
	t.Parallel()
	w := newCommonWorld(t, "umbrella")
	charts := charttest.New(t)
	redis := func(version string) []byte {
		return charttest.Pack(t, "redis", version, map[string]string{"templates/redis.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: redis}\ndata: {version: \"{{ .Chart.Version }}\"}\n"})
	}
	charts.Add("redis", "1.0.0", redis("1.0.0"))
	w.gitURL = strings.Replace(w.git.CreateRepo("guestbook", map[string]string{
		"deploy/web/Chart.yaml": "apiVersion: v2\nname: web\nversion: 0.3.0\ndependencies: # of both kinds\n" +
			"- {name: redis, version: 0.9.0, repository: \"" + charts.URL + "\"}\n- {name: common, version: 0.1.0, repository: \"file://../common\"}\n",
		"deploy/web/templates/web.yaml":         "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\ndata: {says: '{{ include \"common.says\" . }}'}\n",
		"deploy/common/Chart.yaml":              "apiVersion: v2\nname: common\ntype: library\nversion: 0.1.0\n",
		"deploy/common/templates/_helpers.tpl":  "{{ define \"common.says\" }}from beside{{ end }}\n",
		"deploy/common/.helmignore":             "*.bak\n",
		"deploy/common/templates/_old.tpl.bak":  "{{ define",
		"deploy/common/README.md":               "a library\n",
		"elsewhere/is-not-part-of-any-chart.md": "x\n",
	}), w.git.Addr(), w.proxy.Addr(), 1)
	w.cluster.Apply(t, w.projectYAML(), w.credentialsYAML(gittest.Password, registrytest.Password), fmt.Sprintf(`
apiVersion: v1
kind: Secret
metadata: {name: charts, namespace: %[1]s, labels: {waybill.dev/cred-type: chart}}
stringData: {repoURL: "%[2]s", username: %[3]s, password: %[4]s}
---
apiVersion: waybill.dev/v1alpha1
kind: Warehouse
metadata: {name: guestbook, namespace: %[1]s}
spec:
  interval: 1h
  subscriptions: [{chart: {repoURL: "%[2]s", name: redis, constraint: ^1.0.0}}]
`, w.project, charts.URL, charttest.Username, charttest.Password))
	s := w.stage("test", "", true)
	w.updatesCharts(s, charts.URL)
	if err := w.client.Create(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	w.runsCharts("1.0.0")

	charts.Add("redis", "1.1.0", redis("1.1.0"))
	w.refresh()
	w.runsCharts("1.1.0")
	var inCharts []string
	for _, f := range w.git.Files("guestbook", "stage/test") {
		if _, name, found := strings.Cut(f, "deploy/web/charts/"); found {
			inCharts = append(inCharts, name)
		}
	}
	if want := []string{"common-0.1.0.tgz", "redis-1.1.0.tgz"}; !slices.Equal(inCharts, want) {
		t.Errorf("the branch holds %v, want %v", inCharts, want)
	}
	if got := w.git.Show("guestbook", "stage/test:deploy/web/Chart.yaml"); !strings.Contains(got, "{name: redis, version: 1.1.0,") || !strings.Contains(got, "# of both kinds") {
		t.Errorf("Chart.yaml is\n%s", got)
	}
	w.oneCommitEach()
}

// updatesCharts makes a Stage put the version of redis that its Freight carries
// into the chart web.
func (w *world) updatesCharts(s *v1alpha1.Stage, repository string) {
	type m = map[string]any
	s.Spec.PromotionMechanisms = nil
	s.Spec.Deploy[0].Source.Path = "deploy/web"
	s.Spec.PromotionTemplate = &v1alpha1.PromotionTemplate{Spec: v1alpha1.PromotionTemplateSpec{Steps: []v1alpha1.PromotionStep{
		{Uses: "git-clone", Config: config(w.t, m{"repoURL": w.gitURL, "checkout": []m{
			{"branch": "main", "path": "./src"}, {"branch": "stage/test", "create": true, "path": "./out"},
		}})},
		{Uses: "git-clear", Config: config(w.t, m{"path": "./out"})},
		{Uses: "copy", Config: config(w.t, m{"inPath": "./src", "outPath": "./out"})},
		{Uses: "helm-update-chart", As: "chart", Config: config(w.t, m{"path": "./out/deploy/web", "charts": []m{{"repository": repository, "name": "redis"}}})},
		{Uses: "git-commit", Config: config(w.t, m{"path": "./out", "message": "test: ${{ outputs.chart.commitMessage }}"})},
		{Uses: "git-push", Config: config(w.t, m{"path": "./out"})},
	}}}
}

// runsCharts waits until the Stage is Healthy with a version of redis, and with
// what the library says.
func (w *world) runsCharts(version string) {
	w.t.Helper()
	w.eventually("test runs redis "+version, func() error {
		for name, want := range map[string]string{"redis": "version " + version, "web": "says from beside"} {
			var found corev1.ConfigMap
			if err := w.client.Get(w.t.Context(), client.ObjectKey{Namespace: w.project + "-test", Name: name}, &found); err != nil {
				return err
			}
			if got := strings.Trim(fmt.Sprint(found.Data), "map[]"); strings.Replace(got, ":", " ", 1) != want {
				return fmt.Errorf("%s holds %q, want %q", name, got, want)
			}
		}
		var s v1alpha1.Stage
		w.get("test", &s)
		if !s.Status.Synced || s.Status.Health == nil || s.Status.Health.Status != v1alpha1.HealthHealthy {
			return fmt.Errorf("synced %v, health %+v", s.Status.Synced, s.Status.Health)
		}
		return nil
	})
	w.settled()
}
