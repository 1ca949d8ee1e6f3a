package env_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/waybill-dev/waybill/test/env"
)

const widgets = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.test.waybill.dev}
spec:
  group: test.waybill.dev
  scope: Namespaced
  names: {kind: Widget, listKind: WidgetList, plural: widgets, singular: widget}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties: {size: {type: integer, maximum: 3}}
`

func TestEnvironment(t *testing.T) {
	e := env.Start(t, env.Options{})

	crds := t.TempDir()
	if err := os.WriteFile(filepath.Join(crds, "widgets.yaml"), []byte("# a comment first\n---"+widgets), 0o600); err != nil {
		t.Fatal(err)
	}
	e.InstallCRDs(t, crds)
	if err := e.InstallCRDsContext(t.Context(), t.TempDir()); err == nil || !strings.Contains(err.Error(), "no CustomResourceDefinition") {
		t.Errorf("an empty directory: %v", err)
	}

	namespace := e.Namespace(t)
	if other := e.Namespace(t); other == namespace {
		t.Errorf("two namespaces called %q", other)
	}
	widget := func(size string) string {
		return "apiVersion: test.waybill.dev/v1\nkind: Widget\nmetadata: {name: w, namespace: " + namespace + "}\nspec: {size: " + size + "}\n"
	}
	applied := e.Apply(t, "---\n"+widget("2")+"---\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n", widget("3"))
	if len(applied) != 3 || applied[0].GetNamespace() != namespace || applied[1].GetNamespace() != "default" {
		t.Errorf("applied %v", applied)
	}
	if spec := applied[2].Object["spec"].(map[string]any); spec["size"] != int64(3) {
		t.Errorf("size %v after the second apply", spec["size"])
	}
	for why, tc := range map[string]struct{ manifest, want string }{
		"a value the schema forbids": {widget("4"), "should be less than or equal to 3"},
		"a duplicate key":            {widget("1") + "kind: Widget\n", "already set"},
		"an unknown kind":            {"apiVersion: test.waybill.dev/v1\nkind: Gadget\nmetadata: {name: g}\n", "no matches for kind"},
		"no name":                    {"apiVersion: v1\nkind: ConfigMap\n", "lacks apiVersion, kind or metadata.name"},
	} {
		if _, err := e.ApplyContext(t.Context(), tc.manifest); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", why, err, tc.want)
		}
	}
}

func TestConfigForIsSubjectToRBAC(t *testing.T) {
	e := env.Start(t, env.Options{})
	server := "system:serviceaccount:waybill-system:waybill"
	e.Apply(t, `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: impersonator}
rules:
- {apiGroups: [""], resources: [users], verbs: [impersonate], resourceNames: ["waybill:alice"]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: impersonator}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: impersonator}
subjects: [{kind: ServiceAccount, name: waybill, namespace: waybill-system}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: alice-views, namespace: default}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: system:controller:deployment-controller}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: "waybill:alice"}]
`)
	config := e.ConfigFor(t, server, "system:serviceaccounts", "system:serviceaccounts:waybill-system")
	listPods := func(config *rest.Config) error {
		client, err := kubernetes.NewForConfig(config)
		if err != nil {
			t.Fatal(err)
		}
		_, err = client.CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{})
		return err
	}
	asAlice, asAdmin := rest.CopyConfig(config), rest.CopyConfig(config)
	asAlice.Impersonate = rest.ImpersonationConfig{UserName: "waybill:alice"}
	asAdmin.Impersonate = rest.ImpersonationConfig{UserName: "waybill-local-admin", Groups: []string{"system:masters"}}
	// Bindings reach the authorizer by watch: wait for the right that was given before looking for those that were not.
	err := wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, 2*time.Minute, true, func(context.Context) (bool, error) {
		err := listPods(asAlice)
		if apierrors.IsForbidden(err) {
			return false, nil
		}
		return true, err
	})
	if err != nil {
		t.Fatalf("as alice: %v", err)
	}
	if err := listPods(config); !apierrors.IsForbidden(err) {
		t.Errorf("as itself: %v, want forbidden", err)
	}
	if err := listPods(asAdmin); !apierrors.IsForbidden(err) {
		t.Errorf("as the administrator: %v, want forbidden", err)
	}
	if err := listPods(e.Config); err != nil {
		t.Errorf("the administrator: %v", err)
	}
}

func TestStopLeavesNothing(t *testing.T) {
	e, err := env.New(env.Options{Housekeeping: true})
	if err != nil {
		t.Fatal(err)
	}
	if processes := e.Cluster.Processes(); len(processes) != 3 {
		t.Errorf("processes %v, want etcd, kube-apiserver, kube-controller-manager", processes)
	}
	if err := e.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(e.DataDir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("data directory: %v, want none", err)
	}
}

func TestBinarySaysWhatToDo(t *testing.T) {
	t.Setenv("WAYBILL_KUBE", filepath.Join(t.TempDir(), "none"))
	if _, err := env.Binary(); err == nil || !strings.Contains(err.Error(), "run make kube") {
		t.Errorf("missing binary: %v", err)
	}
}
