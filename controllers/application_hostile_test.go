package controllers_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/git/gitserver"
)

// hostile is one repository that means harm.
type hostile struct {
	name    string
	files   map[string]gitserver.File
	change  func(*v1alpha1.Application)
	reason  string   // of its Application
	message []string // parts of what it says
}

// texts are files of plain content.
func texts(files map[string]string) map[string]gitserver.File {
	out := map[string]gitserver.File{}
	for path, content := range files {
		out[path] = gitserver.File{Content: content}
	}
	return out
}

// hostiles returns them. Whatever reaches url or makes the file canary has left
// the sandbox.
func hostiles(url, canary string) []hostile {
	laughs := "x: &a [x,x,x,x,x,x,x,x,x,x]\n"
	for i := 'b'; i < 'k'; i++ {
		laughs += fmt.Sprintf("%c0: &%c [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*%c,", i-1), 10), ","))
	}
	crowd := map[string]string{}
	for i := range 100_000 {
		crowd[fmt.Sprintf("app/%03d/c%06d.yaml", i/1000, i)] = configMap(fmt.Sprintf("c%06d", i))
	}
	chart := map[string]string{"app/Chart.yaml": "apiVersion: v2\nname: c\nversion: 0.1.0\n"}
	helm := func(more map[string]string) map[string]gitserver.File {
		files := texts(chart)
		for path, content := range more {
			files[path] = gitserver.File{Content: content}
		}
		return files
	}
	values := func(files ...string) func(*v1alpha1.Application) {
		return func(a *v1alpha1.Application) { a.Spec.Source.Helm = &v1alpha1.HelmOptions{ValueFiles: files} }
	}
	recurse := func(a *v1alpha1.Application) { a.Spec.Source.Directory = &v1alpha1.DirectoryOptions{Recurse: true} }
	plugin := "apiVersion: someteam.example.com/v1\nkind: Gen\nmetadata: {name: g, annotations: {config.kubernetes.io/function: \"exec: {path: /bin/sh, args: ['-c', 'touch " + canary + "']}\"}}\n"
	return []hostile{
		{"kustomize-up", texts(map[string]string{"app/kustomization.yaml": "resources: [../../../etc]\n"}), nil, "RenderFailed", []string{"app/kustomization.yaml", "leaves the repository"}},
		{"kustomize-absolute", texts(map[string]string{"app/kustomization.yaml": "resources: [/etc/hostname]\n"}), nil, "RenderFailed", []string{"leaves the repository"}},
		{"kustomize-remote", texts(map[string]string{"app/kustomization.yaml": "resources: [" + url + "/base]\n"}), nil, "RenderFailed", []string{"leaves the repository", "copy it into the repository"}},
		{"kustomize-patch", texts(map[string]string{"app/kustomization.yaml": "resources: [c.yaml]\npatches: [{path: ../../etc/passwd}]\n", "app/c.yaml": configMap("c")}), nil, "RenderFailed", []string{"etc/passwd", "does not exist"}},
		{"kustomize-chart", texts(map[string]string{"app/kustomization.yaml": "helmCharts: [{name: c, repo: " + url + "}]\n"}), nil, "RenderFailed", []string{"helmCharts"}},
		{"exec-plugin", texts(map[string]string{"app/kustomization.yaml": "generators: [g.yaml]\n", "app/g.yaml": plugin}), nil, "RenderFailed", []string{"app"}},
		{"helm-values-up", helm(map[string]string{"app/templates/c.yaml": configMap("c")}), values("../../../etc/passwd"), "RenderFailed", []string{"../../../etc/passwd"}},
		{"helm-values-remote", helm(map[string]string{"app/templates/c.yaml": configMap("c")}), values(url + "/values.yaml"), "PathMissing", []string{"helm.valueFiles[0]", "values.yaml"}},
		{"helm-file", helm(map[string]string{"app/templates/c.yaml": "{{ required \"no such file\" (.Files.Get \"/etc/hostname\") }}"}), values(), "RenderFailed", []string{"no such file"}},
		{"helm-plugin", helm(map[string]string{"app/templates/c.yaml": `{{ include "x" (exec "/bin/sh" "-c" "touch ` + canary + `") }}`}), values(), "RenderFailed", []string{`"exec" not defined`}},
		{"helm-plugin-values", helm(map[string]string{"app/templates/c.yaml": configMap("c")}), values("secrets+exec:///bin/sh"), "PathMissing", []string{"secrets+exec"}},
		{"helm-lookup", helm(map[string]string{"app/templates/c.yaml": `{{ if not (lookup "v1" "Namespace" "" "default") }}{{ fail "nothing is looked up" }}{{ end }}`}), values(), "RenderFailed", []string{"nothing is looked up"}},
		{"helm-no-end", helm(map[string]string{"app/templates/c.yaml": `{{ repeat 999999999 (repeat 1000 "x") }}`}), values(), "RenderFailed", []string{"limit exceeded"}},
		{"laughs", texts(map[string]string{"app/a.yaml": laughs}), nil, "RenderFailed", []string{"app/a.yaml", "limit exceeded"}},
		{"link-out", map[string]gitserver.File{"app/a.yaml": {Content: "/etc/hostname", Mode: "120000"}}, nil, "RenderFailed", []string{"app/a.yaml", "symbolic link"}},
		{"link-folder", map[string]gitserver.File{"app": {Content: "/etc", Mode: "120000"}}, nil, "PathMissing", []string{"symbolic link"}},
		{"not-utf8", texts(map[string]string{"app/a.yaml": configMap("a") + "# \xff\n"}), nil, "RenderFailed", []string{"app/a.yaml", "UTF-8"}},
		{"duplicates", texts(map[string]string{"app/a.yaml": configMap("a"), "app/b.yaml": configMap("a")}), nil, "RenderFailed", []string{"app/b.yaml", "rendered twice"}},
		{"crowd", texts(crowd), recurse, "RenderFailed", []string{"limit exceeded", "files"}},
	}
}

// TestHostileRepositories: what a repository holds harms nobody. Its Application
// names what is wrong; another one goes on; nothing was executed or asked of
// anybody outside.
func TestHostileRepositories(t *testing.T) {
	f := newAppFixture(t, withCharts)
	canary := filepath.Join(t.TempDir(), "executed")
	var asked atomic.Int64
	outside := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.WriteHeader(http.StatusNotFound)
	}))
	defer outside.Close()

	f.application("good", "stage/good", "app")
	f.waitSynced("good", f.commit("stage/good", web("registry.example.com/web:1.0.0", 1)))
	all := hostiles(outside.URL, canary)
	for _, h := range all {
		url := f.git.CreateRepo(h.name, nil)
		f.git.CommitFiles(h.name, gitserver.Commit{Branch: "stage/x", Message: h.name, Files: h.files})
		f.application(h.name, "stage/x", "app", func(a *v1alpha1.Application) {
			a.Spec.Source.RepoURL = url
			if h.change != nil {
				h.change(a)
			}
		})
	}
	next := f.commit("stage/good", web("registry.example.com/web:1.1.0", 1))
	for _, h := range all {
		_, message := f.waitReady(h.name, h.reason)
		for _, part := range h.message {
			if !strings.Contains(message, part) {
				t.Errorf("%s: the message does not say %q:\n%s", h.name, part, message)
			}
		}
		if strings.Contains(message, "root:") {
			t.Errorf("%s: a file of this machine is in the message:\n%s", h.name, message)
		}
		if got := f.kubectl("get", "namespace", f.project+"-"+h.name, "--ignore-not-found", "-o", "name"); got != "" {
			t.Errorf("%s: something was applied: %s", h.name, got)
		}
	}
	f.waitSynced("good", next)
	if n := asked.Load(); n > 0 {
		t.Errorf("%d requests left the sandbox", n)
	}
	if _, err := os.Stat(canary); err == nil {
		t.Error("something of a repository was executed")
	}
}
