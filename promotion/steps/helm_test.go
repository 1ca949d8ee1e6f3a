package steps_test

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/tarball"
	"github.com/waybill-dev/waybill/promotion/engine"
	"github.com/waybill-dev/waybill/promotion/steps/step"
	"github.com/waybill-dev/waybill/warehouse/chart/charttest"
)

// umbrella is a chart that depends on others in every way there is.
const umbrella = `apiVersion: v2
name: web
version: 1.0.0
dependencies: # in every way there is
- name: redis
  version: ^18.0.0
  repository: https://charts.example.com
  condition: redis.enabled
  import-values: [data, {child: a, parent: b}]
- {name: valkey, version: 18.0.0, repository: "oci://registry.example.com/charts", alias: cache, tags: [cache]}
- {name: common, version: ">=0.1.0", repository: "file://../common"}
- {name: inside, version: 0.0.1, repository: ""}
`

func umbrellaFiles(more map[string]string) map[string]string {
	files := map[string]string{
		"deploy/web/Chart.yaml":                    umbrella,
		"deploy/web/charts/redis-17.0.0.tgz":       "outdated",
		"deploy/web/charts/inside/Chart.yaml":      "name: inside\nversion: 0.0.1\n",
		"deploy/web/charts/README.md":              "kept",
		"deploy/common/Chart.yaml":                 "name: common\nversion: 0.2.0\n",
		"deploy/common/templates/_helpers.tpl":     "x",
		"deploy/common/.git-blame-ignore-revs.txt": "left out",
		"deploy/common/.helmignore":                "# what is no part of the chart\n*.bak\nci/\n",
		"deploy/common/templates/old.yaml.bak":     "left out",
		"deploy/common/ci/values.yaml":             "left out",
	}
	for name, content := range more {
		files[name] = content
	}
	return files
}

const updateChart = `
- uses: git-clone
  config: {repoURL: https://git.example.com/guestbook.git, checkout: [{branch: main, path: ./src}, {branch: stage/test, create: true, path: ./out}]}
- {uses: git-clear, config: {path: ./out}}
- {uses: copy, config: {inPath: ./src, outPath: ./out}}
- {uses: helm-update-chart, as: chart, config: {path: ./out/deploy/web, charts: [CHARTS]}}
- {uses: git-commit, config: {path: ./out, message: "${{ outputs.chart.commitMessage }}"}}
- {uses: git-push, config: {path: ./out}}
`

// updateWorld runs helm-update-chart for these charts on these files, and returns
// what the branch has then.
func updateWorld(t *testing.T, b *bench, charts string, carried ...v1alpha1.Chart) (fs.FS, *v1alpha1.Promotion, engine.Outcome) {
	t.Helper()
	return runTemplate(t, b, strings.Replace(updateChart, "CHARTS", charts, 1), carried...)
}

// runTemplate runs these steps for a Freight that carries the charts as well, and
// returns what the branch has then.
func runTemplate(t *testing.T, b *bench, template string, carried ...v1alpha1.Chart) (fs.FS, *v1alpha1.Promotion, engine.Outcome) {
	t.Helper()
	p := promote(t, stageWith(readSteps(t, []byte(template))))
	p.Status.Plan.Collection[0].Charts = carried
	out := b.engine.Run(t.Context(), p, func(context.Context) error { return nil })
	m, err := b.Open(t.Context(), "", b.repoURL)
	if err != nil {
		t.Fatal(err)
	}
	refs, err := m.Fetch(t.Context(), "stage/test")
	if err != nil {
		return nil, p, out
	}
	files, err := m.FS(refs.Branches["stage/test"])
	if err != nil {
		t.Fatal(err)
	}
	return files, p, out
}

func TestHelmUpdateChartFetchesDependencies(t *testing.T) {
	b := newBench(t, umbrellaFiles(nil))
	files, p, out := updateWorld(t, b, "")
	if out.Failed != nil || !out.Done {
		t.Fatalf("%+v %s", out, states(p))
	}
	var names []string
	for _, e := range read2(t, fs.ReadDir, files, "deploy/web/charts") {
		names = append(names, e.Name())
	}
	want := []string{"README.md", "common-0.2.0.tgz", "inside", "redis-18.1.4.tgz", "valkey-18.0.0.tgz"}
	if d := cmp.Diff(want, names); d != "" {
		t.Error(d)
	}
	if got := string(read2(t, fs.ReadFile, files, "deploy/web/Chart.yaml")); got != umbrella {
		t.Errorf("Chart.yaml was changed: %s", got)
	}
	redis := charttest.Pack(t, "redis", "18.1.4", map[string]string{"values.yaml": "replicas: 1\n"})
	if got := read2(t, fs.ReadFile, files, "deploy/web/charts/redis-18.1.4.tgz"); charttest.Digest(got) != charttest.Digest(redis) {
		t.Error("the archive is not what the repository has")
	}
	local, err := tarball.Read(read2(t, fs.ReadFile, files, "deploy/web/charts/common-0.2.0.tgz"), tarball.Limits{Files: 9, FileBytes: 1 << 10, Bytes: 1 << 20})
	if err != nil || len(local) != 2 || local[0].Name != "common/Chart.yaml" || local[1].Name != "common/templates/_helpers.tpl" {
		t.Errorf("%+v, %v", local, err)
	}
	// The digest is what Helm 4.3.1 itself makes of these dependencies (resolver.HashReq).
	lock := `dependencies:
- name: redis
  repository: https://charts.example.com
  version: 18.1.4
- name: valkey
  repository: oci://registry.example.com/charts
  version: 18.0.0
- name: common
  repository: file://../common
  version: 0.2.0
- name: inside
  repository: ""
  version: 0.0.1
digest: sha256:785044407061bc919f3c5dce88c87e4ca8c25c365210c6288d79695c962a26e1
generated: "2026-11-20T12:00:00Z"
`
	if d := cmp.Diff(lock, string(read2(t, fs.ReadFile, files, "deploy/web/Chart.lock"))); d != "" {
		t.Error(d)
	}
}

func read2[T any](t *testing.T, read func(fs.FS, string) (T, error), files fs.FS, name string) T {
	t.Helper()
	out, err := read(files, name)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// What was fetched once is taken again, whatever was published since: by a repeated
// run, and by a Freight that carries the chart.
func TestHelmUpdateChartTakesTheSameAgain(t *testing.T) {
	b := newBench(t, umbrellaFiles(nil))
	_, first, out := updateWorld(t, b, "")
	if out.Failed != nil {
		t.Fatal(out.Failed)
	}
	b.charts.Add("redis", "18.9.0", charttest.Pack(t, "redis", "18.9.0", nil))
	again := reread(t, first)
	for i := range again.Status.Steps {
		again.Status.Steps[i].State = v1alpha1.StepPending
	}
	again.Status.Commit = nil
	b.resetBranch("")
	if out := b.engine.Run(t.Context(), again, func(context.Context) error { return nil }); out.Failed != nil {
		t.Fatal(out.Failed)
	}
	if d := cmp.Diff(first.Status.Commit, again.Status.Commit); d != "" {
		t.Errorf("another commit: %s", d)
	}
	b.resetBranch("")
	carried := v1alpha1.Chart{RepoURL: "https://charts.example.com", Name: "redis", Version: "18.1.0", Digest: charttest.Digest([]byte("what it was"))}
	_, _, out = updateWorld(t, b, "{repository: https://charts.example.com, name: redis}", carried)
	if out.Failed == nil || out.Failed.Reason != "ChartChanged" {
		t.Errorf("not what the Freight carries: %+v", out)
	}
}

func TestHelmUpdateChartRefuses(t *testing.T) {
	dependency := func(text string) map[string]string {
		return map[string]string{"deploy/web/Chart.yaml": "apiVersion: v2\nname: web\nversion: 1.0.0\ndependencies:\n- {" + text + "}\n"}
	}
	for why, c := range map[string]struct {
		files  map[string]string
		reason string
	}{
		"no such version":     {dependency("name: redis, version: ^20, repository: https://charts.example.com"), "ChartMissing"},
		"no such chart":       {dependency("name: none, version: ^20, repository: https://charts.example.com"), "ChartMissing"},
		"no range":            {dependency("name: redis, version: newest, repository: https://charts.example.com"), "FileInvalid"},
		"a name of helm repo": {dependency(`name: redis, version: 1.0.0, repository: "@stable"`), "InvalidConfig"},
		"out of the tree":     {dependency(`name: common, version: 0.2.0, repository: "file://../../../common"`), "UnsafePath"},
		"absolute":            {dependency(`name: common, version: 0.2.0, repository: "file:///etc"`), "UnsafePath"},
		"another version":     {dependency(`name: common, version: 9.x, repository: "file://../common"`), "ChartMissing"},
		"not there":           {dependency(`name: common, version: 0.2.0, repository: "file://../gone"`), "FileMissing"},
		"not in charts":       {dependency(`name: gone, version: 0.2.0, repository: ""`), "FileMissing"},
		"over ftp":            {dependency("name: redis, version: 1.x, repository: ftp://charts.example.com"), "InvalidConfig"},
		"with a password":     {dependency("name: redis, version: 1.x, repository: https://user:password@charts.example.com"), "InvalidConfig"},
		"another chart":       {dependency("name: wrong, version: 1.0.0, repository: https://charts.example.com"), "ChartInvalid"},
	} {
		t.Run(why, func(t *testing.T) {
			b := newBench(t, umbrellaFiles(c.files))
			b.charts.Add("wrong", "1.0.0", charttest.Pack(t, "other", "1.0.0", nil))
			_, p, out := updateWorld(t, b, "")
			reason := ""
			var again *step.ReasonedError
			switch {
			case out.Failed != nil:
				reason = out.Failed.Reason
			case errors.As(out.Err, &again):
				reason = again.Reason
			}
			if reason != c.reason || strings.Contains(states(p), "password") {
				t.Errorf("%q: %+v %s", reason, out, states(p))
			}
		})
	}
}
