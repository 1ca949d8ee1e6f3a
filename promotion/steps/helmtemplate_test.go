package steps_test

import (
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/warehouse/chart/charttest"
)

const templateChart = `
- uses: git-clone
  config: {repoURL: https://git.example.com/guestbook.git, checkout: [{branch: main, path: ./src}, {branch: stage/test, create: true, path: ./out}]}
- {uses: git-clear, config: {path: ./out}}
- uses: helm-template
  config: {path: ./src/deploy/web, outPath: ./out/rendered, releaseName: shop, namespace: shop, buildDependencies: true, LAYOUT}
- {uses: git-commit, config: {path: ./out, message: rendered}}
- {uses: git-push, config: {path: ./out}}
`

// TestHelmTemplateBuildsDependencies: the chart renders with dependencies in the
// versions of its Chart.lock, into the files that Helm writes; a lock that does not
// fit is refused.
func TestHelmTemplateBuildsDependencies(t *testing.T) {
	const meta = "apiVersion: v2\nname: web\nversion: 1.0.0\ndependencies:\n- {name: lib, version: ^1.0.0, repository: https://charts.example.com}\n"
	cm := func(name string) string {
		return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name + "}\ndata: {chart: \"{{ .Chart.Version }}\"}\n"
	}
	chart := map[string]string{
		"deploy/web/Chart.yaml":           meta,
		"deploy/web/templates/two.yaml":   cm("first") + "---\n" + cm("second"),
		"deploy/web/templates/empty.yaml": "{{ if false }}x{{ end }}",
	}
	b := newBench(t, chart)
	for _, v := range []string{"1.0.0", "1.1.0"} {
		b.charts.Add("lib", v, charttest.Pack(t, "lib", v, map[string]string{"templates/lib.yaml": cm("lib")}))
	}
	// The lock is what helm-update-chart writes while 1.0.0 is the newest.
	lock := func(version string) string {
		one := newBench(t, chart)
		one.charts.Add("lib", version, charttest.Pack(t, "lib", version, nil))
		files, _, out := updateWorld(t, one, "")
		if out.Failed != nil {
			t.Fatal(out.Failed)
		}
		return string(read2(t, fs.ReadFile, files, "deploy/web/Chart.lock"))
	}
	for _, tt := range []struct {
		name, lock, layout string
		// want are the files and the version of lib; else the reason of the failure.
		want    []string
		version string
		reason  string
	}{
		{"the newest without a lock", "", "outLayout: helm", []string{"web/charts/lib/templates/lib.yaml", "web/templates/two.yaml"}, "1.1.0", ""},
		{"as locked", lock("1.0.0"), "outLayout: helm, useReleaseName: true", []string{"shop/web/charts/lib/templates/lib.yaml", "shop/web/templates/two.yaml"}, "1.0.0", ""},
		{"flat", lock("1.0.0"), "outLayout: flat", []string{"configmap-first.yaml", "configmap-lib.yaml", "configmap-second.yaml"}, "1.0.0", ""},
		{"a lock of another chart", strings.Replace(lock("1.0.0"), "digest: sha256:", "digest: sha256:00", 1), "outLayout: helm", nil, "", "FileInvalid"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.lock != "" {
				b.server.Commit("guestbook", "main", "a lock", map[string]string{"deploy/web/Chart.lock": tt.lock})
			}
			b.resetBranch("")
			files, p, out := runTemplate(t, b, strings.Replace(templateChart, "LAYOUT", tt.layout, 1))
			if tt.reason != "" {
				if out.Failed == nil || out.Failed.Reason != tt.reason || !strings.Contains(out.Failed.Error(), "Chart.lock") {
					t.Errorf("%+v, want %s", out, tt.reason)
				}
				return
			}
			if out.Failed != nil || !out.Done {
				t.Fatalf("%+v %s", out, states(p))
			}
			var names []string
			var version string
			err := fs.WalkDir(files, "rendered", func(name string, e fs.DirEntry, err error) error {
				if err == nil && !e.IsDir() {
					names = append(names, strings.TrimPrefix(name, "rendered/"))
					if strings.Contains(name, "lib") {
						version = string(read2(t, fs.ReadFile, files, name))
					}
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, names); d != "" {
				t.Error(d)
			}
			if !strings.Contains(version, "chart: "+tt.version) {
				t.Errorf("lib is rendered as\n%s\nwant %s", version, tt.version)
			}
			if tt.layout == "outLayout: helm" {
				if two := string(read2(t, fs.ReadFile, files, "rendered/web/templates/two.yaml")); strings.Count(two, "---\n") != 1 || !strings.Contains(two, "name: second") {
					t.Errorf("the two objects of one template:\n%s", two)
				}
			}
		})
	}
}
