package controllers_test

import (
	"os"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/gitops/render"
	"github.com/waybill-dev/waybill/gitops/render/helm"
)

// withCharts lets the reconciler render Helm charts in workers, as waybilld does:
// this test program is the worker (TestMain).
func withCharts(f *appFixture) {
	self, err := os.Executable()
	if err != nil {
		f.t.Fatal(err)
	}
	pool := helm.NewPool(self, helm.WorkerArgument)
	f.t.Cleanup(pool.Close)
	f.renders = render.NewCache(16<<20, pool)
}

func TestHelmChartFromGit(t *testing.T) {
	f := newAppFixture(t, withCharts)
	f.application("test", "stage/test", "chart", func(a *v1alpha1.Application) {
		a.Spec.Source.Helm = &v1alpha1.HelmOptions{
			ValueFiles: []string{"/stages/test/values.yaml"}, ValuesObject: &runtime.RawExtension{Raw: []byte(`{"replicas": 2}`)},
			Parameters: []v1alpha1.HelmParameter{{Name: "image.tag", Value: "1.2", ForceString: true}},
		}
	})
	first := f.commit("stage/test", map[string]string{
		"chart/Chart.yaml":  "apiVersion: v2\nname: web\nversion: 1.0.0\n",
		"chart/values.yaml": "replicas: 1\nimage: {repository: registry.example.com/none, tag: none}\n",
		"chart/templates/web.yaml": `apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .Release.Name }}-web
  namespace: {{ .Release.Namespace }}
spec:
  replicas: {{ .Values.replicas }}
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "{{ .Values.image.repository }}:{{ .Values.image.tag }}"}]}
`,
		"chart/templates/hook.yaml":      job("migrate", `"helm.sh/hook": post-install`),
		"chart/templates/tests/try.yaml": job("try", `"helm.sh/hook": test`),
		"chart/templates/NOTES.txt":      "Thank you for installing {{ .Chart.Name }}",
		"stages/test/values.yaml":        "image: {repository: registry.example.com/web}\n",
	})
	f.waitSynced("test", first)
	var d appsv1.Deployment
	f.get(&d, "test-web")
	if *d.Spec.Replicas != 2 || d.Spec.Template.Spec.Containers[0].Image != "registry.example.com/web:1.2" {
		t.Errorf("replicas %d, image %s", *d.Spec.Replicas, d.Spec.Template.Spec.Containers[0].Image)
	}
	f.get(&batchv1.Job{}, "migrate")
	f.gone(&batchv1.Job{}, "try")

	t.Run("a change of a value file outside the chart is seen", func(t *testing.T) {
		next := f.commit("stage/test", map[string]string{"stages/test/values.yaml": "image: {repository: registry.example.com/other}\n"})
		f.waitSynced("test", next)
		f.get(&d, "test-web")
		if d.Spec.Template.Spec.Containers[0].Image != "registry.example.com/other:1.2" {
			t.Errorf("image %s", d.Spec.Template.Spec.Containers[0].Image)
		}
	})

	t.Run("a chart that eats all memory is named, and others go on", func(t *testing.T) {
		f.application("other", "stage/other", "app")
		f.commit("stage/test", map[string]string{"chart/templates/bomb.yaml": `{{ repeat 999999999 (repeat 1000 "x") }}`})
		if _, message := f.waitReady("test", "RenderFailed"); !strings.Contains(message, "limit exceeded") {
			t.Errorf("message %q", message)
		}
		f.waitSynced("other", f.commit("stage/other", map[string]string{"app/c.yaml": configMap("web")}))
		f.get(&d, "test-web") // what runs stays
	})
}

func TestInlineKustomizeOfAnApplication(t *testing.T) {
	f := newAppFixture(t)
	f.application("test", "stage/test", "app", func(a *v1alpha1.Application) {
		a.Spec.Source.Kustomize = &v1alpha1.KustomizeOptions{NamePrefix: "pre-", Images: []string{"registry.example.com/web:9.9"}}
	})
	files := web("registry.example.com/web:1.0.0", 1)
	files["app/kustomization.yaml"] = "resources: [web.yaml, config.yaml]\n"
	f.waitSynced("test", f.commit("stage/test", files))
	var d appsv1.Deployment
	f.get(&d, "pre-web")
	if d.Spec.Template.Spec.Containers[0].Image != "registry.example.com/web:9.9" {
		t.Errorf("image %s", d.Spec.Template.Spec.Containers[0].Image)
	}
}
