package steps_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/promotion/objects"
	"github.com/waybill-dev/waybill/promotion/steps/argocd"
	"github.com/waybill-dev/waybill/promotion/steps/argocdupdate"
	"github.com/waybill-dev/waybill/promotion/steps/argocdwait"
)

// argoCRD stands for Argo CD's: it has no status subresource either.
const argoCRD = `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: applications.argoproj.io}
spec:
  group: argoproj.io
  scope: Namespaced
  names: {kind: Application, plural: applications, singular: application, listKind: ApplicationList}
  versions:
  - name: v1alpha1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
`

const argoApplication = `apiVersion: argoproj.io/v1alpha1
kind: Application
metadata:
  name: guestbook-test
  namespace: argocd
  labels: {team: web}
  annotations: {waybill.dev/authorized-stage: "other:prod, guestbook:test"}
spec:
  source:
    repoURL: https://git.example.com/guestbook
    targetRevision: main
    kustomize: {images: ["registry.example.com/guestbook:1.0.0", "registry.example.com/other:2"]}
    helm: {parameters: [{name: image.tag, value: "1.0.0"}]}
  syncPolicy: {automated: {prune: true}, syncOptions: [CreateNamespace=true]}
`

// exampleArgo plays Argo CD's controller on the real API server: it takes an
// operation up, and at the next look has done it.
type exampleArgo struct {
	t      testing.TB
	client client.Client
	// result is the phase that syncs end in, syncs how many there were.
	result string
	syncs  int
}

// argoTurn: examples name one Application, so one test at a time has it.
var argoTurn sync.Mutex

// needsArgoCD gives the engine a cluster with Applications of Argo CD.
func (b *bench) needsArgoCD() {
	b.t.Helper()
	argoTurn.Lock()
	b.t.Cleanup(argoTurn.Unlock)
	c, err := client.New(realCluster.env.Config, client.Options{})
	if err != nil {
		b.t.Fatal(err)
	}
	dir := b.t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "applications.yaml"), []byte(argoCRD), 0o600); err != nil {
		b.t.Fatal(err)
	}
	if err := realCluster.env.InstallCRDsContext(context.Background(), dir); err != nil {
		b.t.Fatal(err)
	}
	if _, err := realCluster.env.ApplyContext(context.Background(), "{apiVersion: v1, kind: Namespace, metadata: {name: argocd}}"); err != nil {
		b.t.Fatal(err)
	}
	b.argo = &exampleArgo{t: b.t, client: c, result: "Succeeded"}
	// A kind that has just been installed is not in every list at once.
	if err := wait.PollUntilContextTimeout(context.Background(), 100*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		_, err := realCluster.env.ApplyContext(ctx, argoApplication)
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(argocd.Kind())
		return errors.Join(err, c.List(ctx, list)) == nil, nil
	}); err != nil {
		b.t.Fatal(err)
	}
	b.argo.reset(argoApplication)
	apps := &argocd.Applications{Objects: objects.ArgoCD{Reader: c, Writer: c}}
	b.engine.Steps["argocd-update"] = argocdupdate.Step{Applications: apps}
	b.engine.Steps["argocd-wait"] = argocdwait.Step{Applications: apps}
}

// reset puts the only Application there is anew.
func (a *exampleArgo) reset(manifest string) {
	a.t.Helper()
	old := &unstructured.Unstructured{}
	old.SetGroupVersionKind(argocd.Kind())
	if err := a.client.DeleteAllOf(context.Background(), old, client.InNamespace("argocd")); err != nil {
		a.t.Fatal(err)
	}
	if _, err := realCluster.env.ApplyContext(context.Background(), manifest); err != nil {
		a.t.Fatal(err)
	}
}

// get returns the Application.
func (a *exampleArgo) get() *unstructured.Unstructured {
	a.t.Helper()
	o := &unstructured.Unstructured{}
	o.SetGroupVersionKind(argocd.Kind())
	if err := a.client.Get(context.Background(), client.ObjectKey{Namespace: "argocd", Name: "guestbook-test"}, o); err != nil {
		a.t.Fatal(err)
	}
	return o
}

// look is one look of Argo CD at the Application.
func (a *exampleArgo) look() {
	a.t.Helper()
	o := a.get()
	set := func(value any, fields ...string) {
		if err := unstructured.SetNestedField(o.Object, value, fields...); err != nil {
			a.t.Fatal(err)
		}
	}
	operation, isAsked, _ := unstructured.NestedMap(o.Object, "operation")
	switch phase := argocd.Text(o, "status", "operationState", "phase"); {
	case isAsked:
		set(map[string]any{"phase": "Running", "operation": operation}, "status", "operationState")
		delete(o.Object, "operation")
		a.syncs++
	case phase == "Running":
		revision, _, _ := unstructured.NestedString(o.Object, "status", "operationState", "operation", "sync", "revision")
		set(a.result, "status", "operationState", "phase")
		set("it was tried", "status", "operationState", "message")
		set(map[string]any{"revision": revision}, "status", "operationState", "syncResult")
		set(map[string]any{"status": "Synced", "revision": revision}, "status", "sync")
		set(map[string]any{"status": "Healthy"}, "status", "health")
	case phase == "":
		set(map[string]any{"status": "OutOfSync"}, "status", "sync")
		set(map[string]any{"status": "Healthy"}, "status", "health")
		set("Succeeded", "status", "operationState", "phase")
	default:
		set(map[string]any{"status": "Synced", "revision": "main"}, "status", "sync")
	}
	if err := a.client.Update(context.Background(), o); err != nil {
		a.t.Fatal(err)
	}
}

func TestArgoCDUpdate(t *testing.T) {
	b := newBench(t, exampleRepo(t))
	b.needsCluster("argocd-update")
	update := func(config string) string {
		return "- {uses: argocd-update, as: sync, config: {apps: [" + config + "]}}"
	}
	const source = `repoURL: "https://git.example.com/guestbook.git"`

	t.Run("sources are changed, and one sync reaches the revision", func(t *testing.T) {
		_, out := b.runSteps(t, update(`{selector: {matchLabels: {team: web}}, sources: [{`+source+`, desiredRevision: v2, updateTargetRevision: true,
			kustomize: {images: [{repoURL: registry.example.com/guestbook, newName: mirror.example.com/guestbook, digest: "`+exampleDigest+`"}]},
			helm: {images: [{key: image.tag, value: "2"}, {key: replicas, value: "3"}]}}]}`))
		if !out.Done || b.argo.syncs != 1 {
			t.Fatalf("%+v after %d syncs", out, b.argo.syncs)
		}
		o := b.argo.get()
		images, _, _ := unstructured.NestedStringSlice(o.Object, "spec", "source", "kustomize", "images")
		parameters, _, _ := unstructured.NestedSlice(o.Object, "spec", "source", "helm", "parameters")
		if argocd.Text(o, "spec", "source", "targetRevision") != "v2" || len(parameters) != 2 ||
			strings.Join(images, " ") != "registry.example.com/guestbook=mirror.example.com/guestbook@"+exampleDigest+" registry.example.com/other:2" {
			t.Errorf("%v", o.Object["spec"])
		}
		if argocd.Text(o, "status", "operationState", "syncResult", "revision") != "v2" || o.GetAnnotations()["argocd.argoproj.io/refresh"] != "hard" {
			t.Errorf("%v", o.Object)
		}
	})

	for why, c := range map[string]struct{ manifest, result, config, reason string }{
		"a Stage that is not named":   {strings.Replace(argoApplication, "guestbook:test", "guestbook:testing", 1), "", "{name: guestbook-test}", "ArgoCDNotAuthorized"},
		"a sync that fails":           {argoApplication, "Failed", "{name: guestbook-test}", "ArgoCDSyncFailed"},
		"an Application not there":    {argoApplication, "", "{name: gone}", "ArgoCDApplicationMissing"},
		"labels that nothing has":     {argoApplication, "", "{selector: {matchLabels: {team: none}}}", "ArgoCDApplicationMissing"},
		"a source it does not have":   {argoApplication, "", `{name: guestbook-test, sources: [{repoURL: "https://git.example.com/none.git"}]}`, "InvalidConfig"},
		"no revision to write":        {argoApplication, "", `{name: guestbook-test, sources: [{` + source + `, updateTargetRevision: true}]}`, "InvalidConfig"},
		"a selector that takes every": {argoApplication, "", `{selector: {}}`, "InvalidConfig"},
	} {
		t.Run(why, func(t *testing.T) {
			b.argo.reset(c.manifest)
			b.argo.result = c.result
			_, out := b.runSteps(t, update(c.config))
			if reason, err := failure(out); reason != c.reason {
				t.Errorf("%q: %v", reason, err)
			}
		})
	}
}

func TestArgoCDWait(t *testing.T) {
	b := newBench(t, exampleRepo(t))
	b.needsCluster("argocd-wait")
	p, out := b.runSteps(t, "- {uses: argocd-wait, as: wait, config: {apps: [{name: guestbook-test}]}}")
	if got := canonical(p.Status.Steps[0].Output); !out.Done || !strings.Contains(got, `"health":"Healthy"`) || !strings.Contains(got, `"sync":"Synced"`) {
		t.Errorf("%+v %s", out, got)
	}
	_, out = b.runSteps(t, "- {uses: argocd-wait, config: {apps: [{name: guestbook-test, waitFor: [everything]}]}}")
	if reason, err := failure(out); reason != "InvalidConfig" {
		t.Errorf("%q: %v", reason, err)
	}
}
