package controllers_test

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// weakAccount makes the destination Namespace, and an account of the Project that
// may write ConfigMaps there with some verbs and nothing else.
func (f *appFixture) weakAccount(namespace, name string, verbs ...string) {
	f.t.Helper()
	f.kubectl("create", "namespace", namespace)
	f.kubectl("-n", f.project, "create", "serviceaccount", name)
	f.kubectl("-n", namespace, "create", "role", name, "--verb="+strings.Join(verbs, ","), "--resource=configmaps")
	f.kubectl("-n", namespace, "create", "rolebinding", name, "--role="+name, "--serviceaccount="+f.project+":"+name)
}

// trouble waits until the status of an Application says all of these.
func (f *appFixture) trouble(name string, parts ...string) *v1alpha1.Application {
	f.t.Helper()
	return f.waitFor(name, strings.Join(parts, ", "), func(a *v1alpha1.Application) bool {
		text := fmt.Sprintf("%+v %+v", a.Status.Conditions, a.Status.Objects)
		for _, p := range parts {
			if !strings.Contains(text, p) {
				return false
			}
		}
		return true
	})
}

// TestServiceAccount: an Application with a weak account does what the account may,
// on the real API server: it creates, heals and prunes so, and errors name account,
// verb and object.
func TestServiceAccount(t *testing.T) {
	f := newAppFixture(t, func(f *appFixture) { f.impersonates = true })
	ns := f.project + "-test"
	f.weakAccount(ns, "weak", "get", "create", "patch", "update")
	f.application("test", "stage/test", "app", func(a *v1alpha1.Application) {
		a.Spec.ServiceAccountName = "weak"
		a.Spec.SyncPolicy.SyncOptions = nil
	})
	user := "system:serviceaccount:" + f.project + ":weak"
	f.commit("stage/test", map[string]string{"app/settings.yaml": configMap("settings"), "app/service.yaml": "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {ports: [{port: 80}]}\n"})
	f.trouble("test", "Forbidden", user, "cannot patch", "services", "web")
	f.get(&corev1.ConfigMap{}, "settings")
	if err := f.client.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: "web"}, &corev1.Service{}); client.IgnoreNotFound(err) != nil || err == nil {
		t.Errorf("%v: the account may not create a Service", err)
	}

	// It may not delete: what left the branch stays, and the reason says whose right
	// is missing.
	f.remove("stage/test", "app/service.yaml", "app/settings.yaml")
	commit := f.commit("stage/test", map[string]string{"app/other.yaml": configMap("other")})
	f.trouble("test", "Forbidden", user, "cannot delete", "settings")
	f.get(&corev1.ConfigMap{}, "settings")
	f.kubectl("-n", ns, "patch", "role", "weak", "--type=json", "-p", `[{"op":"add","path":"/rules/0/verbs/-","value":"delete"}]`)
	f.annotate("test", v1alpha1.AnnotationRequestedAt, "now")
	f.gone(&corev1.ConfigMap{}, "settings")
	f.waitSynced("test", commit)

	// Healed as the account as well.
	f.kubectl("-n", ns, "patch", "configmap", "other", "--type=merge", "-p", `{"data":{"a":"changed"}}`)
	f.waitFor("test", "the drift is healed", func(a *v1alpha1.Application) bool {
		return len(a.Status.Drifts) > 0 && a.Status.Drifts[0].Action == "Healed"
	})
}

// TestServiceAccountOff: a server that does not write as accounts does nothing for
// an Application that names one, be it by its Project.
func TestServiceAccountOff(t *testing.T) {
	f := newAppFixture(t)
	project := &v1alpha1.Project{}
	if err := f.client.Get(t.Context(), client.ObjectKey{Name: f.project}, project); err != nil {
		t.Fatal(err)
	}
	project.Spec.ServiceAccountName = "deployer"
	if err := f.client.Update(t.Context(), project); err != nil {
		t.Fatal(err)
	}
	f.application("test", "stage/test", "app")
	f.commit("stage/test", map[string]string{"app/settings.yaml": configMap("settings")})
	app, message := f.waitReady("test", "ImpersonationOff")
	if !strings.Contains(message, `"deployer"`) || !strings.Contains(message, "impersonateServiceAccounts") || len(app.Status.Inventory) > 0 {
		t.Errorf("%s; applied %v", message, app.Status.Inventory)
	}
}
