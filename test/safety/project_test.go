package safety

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/controllers"
)

// stageless is a client whose cache has not heard of any Stage.
type stageless struct{ client.Client }

func (s stageless) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	if _, ok := list.(*v1alpha1.StageList); ok {
		return nil
	}
	return s.Client.List(ctx, list, opts...)
}

func TestProjectsAndNamespaces(t *testing.T) {
	admin := clientFor(t, shared.Config)
	keeper := controllers.NewProjectReconciler(controllers.ProjectOptions{Client: admin, Live: admin, SystemNamespace: systemNamespace})
	reconcile := func(k *controllers.ProjectReconciler, name string) {
		t.Helper()
		if _, err := k.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKey{Name: name}}); err != nil {
			t.Fatal(err)
		}
	}
	makeProject := func(name string, access ...v1alpha1.ProjectAccess) *v1alpha1.Project {
		t.Helper()
		p := &v1alpha1.Project{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.ProjectSpec{Access: access}}
		if err := admin.Create(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		reconcile(keeper, name)
		return p
	}
	people := v1alpha1.ProjectAccess{Role: "Admin", Users: []string{"mallory"}}
	bound := func(namespace string) bool {
		t.Helper()
		var rb rbacv1.RoleBinding
		err := admin.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "waybill-admin"}, &rb)
		if client.IgnoreNotFound(err) != nil {
			t.Fatal(err)
		}
		return err == nil
	}

	t.Run("names of the system", func(t *testing.T) {
		for _, name := range []string{"kube-system", "kube-anything", "default", "a.b", "UPPER"} {
			p := &v1alpha1.Project{ObjectMeta: metav1.ObjectMeta{Name: name}}
			if err := admin.Create(t.Context(), p); err == nil {
				t.Errorf("a Project %q is accepted", name)
			}
		}
	})
	t.Run("Waybill's own Namespace", func(t *testing.T) {
		makeProject(systemNamespace, people)
		if bound(systemNamespace) {
			t.Error("a Project bound its people in Waybill's Namespace, where passwords and sessions are")
		}
	})
	t.Run("what people wrote stays as they wrote it", func(t *testing.T) {
		p := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"windows": []any{}}}}
		p.SetGroupVersionKind(v1alpha1.GroupVersion().WithKind("Project"))
		p.SetName("sparse")
		if err := admin.Create(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		reconcile(keeper, "sparse")
		if err := admin.Get(t.Context(), client.ObjectKeyFromObject(p), p); err != nil {
			t.Fatal(err)
		}
		if p.GetGeneration() != 1 || len(p.GetFinalizers()) != 1 {
			t.Errorf("generation %d, finalizers %v: a change of the definition that nobody made", p.GetGeneration(), p.GetFinalizers())
		}
	})
	t.Run("somebody else's Namespace", func(t *testing.T) {
		if err := admin.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "payroll"}}); err != nil {
			t.Fatal(err)
		}
		makeProject("payroll", people)
		if bound("payroll") {
			t.Error("a Project bound its people in a Namespace that nobody gave it")
		}
	})
	t.Run("people go with the Project, the Namespace stays", func(t *testing.T) {
		ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "adopted", Labels: map[string]string{v1alpha1.LabelProject: "true"}}}
		if err := admin.Create(t.Context(), ns); err != nil {
			t.Fatal(err)
		}
		p := makeProject("adopted", people)
		if !bound("adopted") {
			t.Fatal("spec.access has no effect")
		}
		if err := admin.Delete(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		reconcile(keeper, "adopted")
		if bound("adopted") {
			t.Error("mallory keeps the Namespace's Secrets although the Project is gone")
		}
		if err := admin.Get(t.Context(), client.ObjectKeyFromObject(ns), ns); err != nil || ns.DeletionTimestamp != nil {
			t.Errorf("the Namespace that Waybill only adopted is gone: %v", err)
		}
	})
	t.Run("a Stage that the cache has not heard of", func(t *testing.T) {
		p := makeProject("young")
		if err := admin.Create(t.Context(), newStage("young", "prod")); err != nil {
			t.Fatal(err)
		}
		if err := admin.Delete(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		reconcile(controllers.NewProjectReconciler(controllers.ProjectOptions{Client: stageless{admin}, Live: admin, SystemNamespace: systemNamespace}), "young")
		var ns corev1.Namespace
		if err := admin.Get(t.Context(), client.ObjectKey{Name: "young"}, &ns); err != nil || ns.DeletionTimestamp != nil {
			t.Errorf("the Namespace is being deleted with a Stage in it: %v", err)
		}
		if err := admin.Get(t.Context(), client.ObjectKeyFromObject(p), p); apierrors.IsNotFound(err) {
			t.Error("the Project is gone before its Stage")
		}
	})
}
