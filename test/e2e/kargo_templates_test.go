package e2e

import (
	_ "embed"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/demoregistry"
)

//go:embed testdata/kargo-templates.yaml
var kargoTemplates string

// TestKargoTemplates: promotion templates written for Kargo run on a real
// repository with nothing changed but apiVersion.
func TestKargoTemplates(t *testing.T) {
	t.Parallel()
	w := newCommonWorld(t, "templates")
	w.guestbook()
	w.git.Commit("guestbook", "main", "a chart", map[string]string{
		"chart/Chart.yaml":           "apiVersion: v2\nname: guestbook\nversion: 0.1.0\n",
		"chart/values.yaml":          "image: {repository: " + w.registry.Name("guestbook") + ", tag: none, digest: none}\n",
		"chart/values-values.yaml":   "# What values runs.\nimage:\n  tag: 1.25.0 # set by promotions\n  digest: none\n",
		"chart/templates/cm.yaml":    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Release.Name }}, namespace: {{ .Release.Namespace }}}\ndata: {image: \"{{ .Values.image.repository }}:{{ .Values.image.tag }}@{{ .Values.image.digest }}\"}\n",
		"chart/templates/empty.yaml": "{{ if false }}never{{ end }}\n",
		"RELEASE.json":               "{\n  \"version\": \"1.25.0\"\n}\n",
	})
	digest := w.registry.Push("guestbook", "1.26.1", demoregistry.ImageOptions{Salt: "1.26.1"})
	ours := strings.NewReplacer("PROJECT", w.project, "GIT", w.gitURL, "IMAGE", w.registry.Name("guestbook"), "kargo.akuity.io/v1alpha1", "waybill.dev/v1alpha1").Replace(kargoTemplates)
	if s := w.cli(ours, "lint", "-f", "-"); s.code != 0 {
		t.Fatalf("lint ended with %d:\n%s", s.code, s.text())
	}
	if s := w.cli(ours+w.secrets(), "apply", "-f", "-", "--wait"); s.code != 0 {
		t.Fatalf("apply ended with %d:\n%s", s.code, s.text())
	}
	w.freight("1.26.1")
	for _, stage := range []string{"test", "values", "helm", "task"} {
		if s := w.cli("", "promote", "1.26.1", w.project+"/"+stage, "--wait", "--timeout", "90s"); s.code != 0 {
			t.Fatalf("promote into %s ended with %d:\n%s", stage, s.code, s.text())
		}
	}
	for _, tt := range []struct {
		what, file string
		has        []string
	}{
		{"the rendered branch", "stage/test:manifests.yaml", []string{"guestbook:1.26.1", "kind: Deployment"}},
		{"the values on main", "main:chart/values-values.yaml", []string{"# What values runs.", `tag: 1.26.1 # set by promotions`, "digest: " + digest}},
		{"the chart, rendered", "env/helm:rendered/guestbook/templates/cm.yaml", []string{"guestbook:1.26.1@" + digest, "namespace: guestbook-helm"}},
		{"the file of the task", "releases:RELEASE.json", []string{`"version": "1.26.1"`}},
	} {
		got := w.git.Show("guestbook", tt.file)
		for _, want := range tt.has {
			if !strings.Contains(got, want) {
				t.Errorf("%s has no %q:\n%s", tt.what, want, got)
			}
		}
	}
	if got := strings.TrimSpace(w.git.Git("guestbook", "log", "-1", "--format=%s", "releases")); got != "release 1.26.1 after 1.25.0" {
		t.Errorf("the message of the task's commit is %q", got)
	}
	p := w.ends(w.promotionOf("task", "1.26.1"), v1alpha1.PhaseSucceeded)
	states := map[string]v1alpha1.StepState{}
	for _, st := range p.Status.Steps {
		states[st.As] = st.State
		if st.As == "result" && (st.Output == nil || !strings.Contains(string(st.Output.Raw), p.Status.Commit.Commit)) {
			t.Errorf("the result is %v, the commit %s", st.Output, p.Status.Commit.Commit)
		}
	}
	for as, want := range map[string]v1alpha1.StepState{"note::write": v1alpha1.StepSucceeded, "warn": v1alpha1.StepFailed, "result": v1alpha1.StepSucceeded} {
		if states[as] != want {
			t.Errorf("step %q is %q, want %q (all: %v)", as, states[as], want, states)
		}
	}
}
