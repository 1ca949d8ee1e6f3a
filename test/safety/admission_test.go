package safety

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// roles gives one person each role in a Project, and another the cluster's own
// edit role.
func roles(t *testing.T, project string) {
	t.Helper()
	shared.Apply(t, strings.ReplaceAll(`
apiVersion: v1
kind: Namespace
metadata: {name: PROJECT}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: promoters, namespace: PROJECT}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: waybill-promoter}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: "waybill:petra"}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: admins, namespace: PROJECT}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: waybill-admin}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: "waybill:ada"}]
`, "PROJECT", project))
}

// guarded returns clients of a promoter, a Project's admin and the server, when
// the policies hold for them.
func guarded(t *testing.T, project string) (petra, ada, server client.Client) {
	t.Helper()
	roles(t, project)
	petra, ada = clientFor(t, shared.ConfigFor(t, "waybill:petra")), clientFor(t, shared.ConfigFor(t, "waybill:ada"))
	server = clientFor(t, shared.ConfigFor(t, "system:serviceaccount:"+systemNamespace+":waybill", "system:serviceaccounts"))
	eventually(t, "the policies hold", func() error {
		if err := petra.Create(t.Context(), newPromotion(project, "test.1.f"), client.DryRunAll); err != nil {
			return err
		}
		forged := newPromotion(project, "test.1.f")
		forged.Spec.RequestedBy = "waybill:somebody"
		if err := petra.Create(t.Context(), forged, client.DryRunAll); err == nil {
			return errors.New("a forged requestedBy is accepted")
		}
		if err := ada.Create(t.Context(), newFreight(project), client.DryRunAll); err == nil {
			return errors.New("Freight by hand is accepted")
		}
		return server.Create(t.Context(), newFreight(project), client.DryRunAll)
	})
	return petra, ada, server
}

func newPromotion(project, name string) *v1alpha1.Promotion {
	stage, _, _ := strings.Cut(name, ".")
	p := &v1alpha1.Promotion{Spec: v1alpha1.PromotionSpec{Stage: stage, Kind: v1alpha1.KindPromote, Freight: "f0123456"}}
	p.Namespace, p.Name = project, name
	return p
}

func newFreight(project string) *v1alpha1.Freight {
	f := &v1alpha1.Freight{
		Origin: v1alpha1.Origin{Kind: "Warehouse", Name: "guestbook"}, Order: 1_000_000,
		Images: []v1alpha1.Image{{RepoURL: "registry.example/guestbook", Tag: "9.9.9", Digest: "sha256:" + strings.Repeat("e", 64)}},
	}
	f.Namespace, f.Name = project, "f"+strings.Repeat("0", 39)
	return f
}

// TestForgery: what only Waybill may say, nobody else can, by whatever way.
func TestForgery(t *testing.T) {
	const project = "forgery"
	petra, ada, server := guarded(t, project)
	ctx := t.Context()
	made := func(name string) *v1alpha1.Promotion {
		p := newPromotion(project, name)
		if err := petra.Create(ctx, p); err != nil {
			t.Fatal(err)
		}
		return p
	}
	automatic := newPromotion(project, "test.90.f")
	automatic.Spec.Automatic, automatic.Spec.RequestedBy = true, v1alpha1.PolicyUser
	if err := server.Create(ctx, automatic); err != nil {
		t.Fatal(err)
	}
	freight := newFreight(project)
	if err := server.Create(ctx, freight); err != nil {
		t.Fatal(err)
	}
	patch := func(c client.Client, o client.Object, json string) error {
		return c.Patch(ctx, o, client.RawPatch(types.MergePatchType, []byte(json)))
	}
	for _, c := range []struct {
		why  string
		do   func() error
		want string // part of the refusal; empty when it is allowed
	}{
		{"Freight that no Warehouse found", func() error { return ada.Create(ctx, newFreight(project)) }, "Freight is made by its Warehouse"},
		{"its alias is for people", func() error { return patch(ada, freight.DeepCopy(), `{"alias":"amber-heron"}`) }, ""},
		{"its images are not", func() error { return patch(ada, freight.DeepCopy(), `{"order":2}`) }, "immutable"},
		{"a promotion turned automatic afterwards", func() error { return patch(petra, made("test.2.f"), `{"spec":{"automatic":true}}`) }, "immutable"},
		{"an automatic one turned into a person's", func() error { return patch(petra, automatic.DeepCopy(), `{"spec":{"automatic":null}}`) }, "immutable"},
		{"aborted at creation in another's name", func() error {
			p := newPromotion(project, "test.3.f")
			p.Spec.Abort = &v1alpha1.Abort{By: "waybill:bob"}
			return petra.Create(ctx, p)
		}, "spec.abort.by must be the user who aborts"},
		{"aborted in another's name", func() error { return patch(petra, made("test.4.f"), `{"spec":{"abort":{"by":"waybill:bob"}}}`) }, "spec.abort.by must be the user who aborts"},
		{"aborted in one's own", func() error { return patch(petra, made("test.5.f"), `{"spec":{"abort":{"by":"waybill:petra"}}}`) }, ""},
		{"checks run again in another's name", func() error {
			return patch(petra, made("test.11.f"), `{"spec":{"verify":{"action":"Run","run":2,"by":"waybill:bob"}}}`)
		}, "spec.verify.by must be the user who asks"},
		{"checks stopped in the name of policy", func() error {
			return patch(petra, made("test.12.f"), `{"spec":{"verify":{"action":"Abort","run":1,"by":"waybill:policy"}}}`)
		}, "spec.verify.by must be the user who asks"},
		{"checks asked for at creation in another's name", func() error {
			p := newPromotion(project, "test.13.f")
			p.Spec.Verify = &v1alpha1.VerifyRequest{Action: v1alpha1.VerifyRun, Run: 1, By: "waybill:bob"}
			return petra.Create(ctx, p)
		}, "spec.verify.by must be the user who asks"},
		{"checks asked for by nobody", func() error {
			return patch(petra, made("test.14.f"), `{"spec":{"verify":{"action":"Run","run":2}}}`)
		}, "by"},
		{"checks run again in one's own", func() error {
			return patch(petra, made("test.15.f"), `{"spec":{"verify":{"action":"Run","run":2,"by":"waybill:petra"}}}`)
		}, ""},
		{"another's request changed, in the same name", func() error {
			p := made("test.16.f")
			if err := patch(ada, p, `{"spec":{"verify":{"action":"Run","run":2,"by":"waybill:ada"}}}`); err != nil {
				return err
			}
			return patch(petra, p, `{"spec":{"verify":{"reason":"ada said so"}}}`)
		}, "verify asks for a later run"},
		{"another's request kept while one aborts", func() error {
			p := made("test.17.f")
			if err := patch(ada, p, `{"spec":{"verify":{"action":"Run","run":2,"by":"waybill:ada"}}}`); err != nil {
				return err
			}
			return patch(petra, p, `{"spec":{"abort":{"by":"waybill:petra"}}}`)
		}, ""},
		{"the request of a run taken away", func() error {
			p := made("test.18.f")
			if err := patch(ada, p, `{"spec":{"verify":{"action":"Run","run":2,"by":"waybill:ada"}}}`); err != nil {
				return err
			}
			return patch(petra, p, `{"spec":{"verify":null}}`)
		}, "verify asks for a later run"},
		{"an owner that is gone, so that the garbage collector deletes the record", func() error {
			return patch(petra, made("test.6.f"), `{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"gone","uid":"00000000-0000-0000-0000-000000000000"}]}}`)
		}, "ownerReferences"},
		{"the same at creation", func() error {
			p := newPromotion(project, "test.7.f")
			p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: "gone", UID: "x"}}
			return petra.Create(ctx, p)
		}, "ownerReferences"},
		{"a Freeze with such an owner", func() error {
			z := &v1alpha1.Freeze{Spec: v1alpha1.FreezeSpec{Stage: "prod", Scope: v1alpha1.FreezeAll, Reason: "r", By: "waybill:ada"}}
			z.Namespace, z.Name = project, "freeze"
			if err := ada.Create(ctx, z); err != nil {
				return err
			}
			return patch(ada, z, `{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"gone","uid":"x"}]}}`)
		}, "ownerReferences"},
		{"a tag that is several lines of a commit message", func() error {
			f := newFreight(project)
			f.Name, f.Images[0].Tag = "f1", "1.0\nWaybill-Promotion-UID: x"
			return server.Create(ctx, f)
		}, "images"},
		{"the status of a Promotion", func() error {
			p := made("test.8.f")
			return petra.Status().Patch(ctx, p, client.RawPatch(types.MergePatchType, []byte(`{"status":{"phase":"Succeeded"}}`)))
		}, "forbidden"},
		{"the status of a Stage", func() error {
			s := newStage(project, "prod")
			if err := ada.Create(ctx, s); err != nil {
				return err
			}
			return ada.Status().Patch(ctx, s, client.RawPatch(types.MergePatchType, []byte(`{"status":{"lastSeq":7}}`)))
		}, "forbidden"},
		{"the status of Freight, at creation", func() error {
			f := newFreight(project)
			f.Name = "f2"
			at := metav1.Now()
			f.Status.Stages = map[string]v1alpha1.FreightInStage{"uat": {VerifiedAt: &at}}
			if err := server.Create(ctx, f); err != nil {
				return err
			}
			if len(f.Status.Stages) > 0 {
				return errors.New("it was kept")
			}
			return nil
		}, ""},
		{"a path that leaves the repository", func() error {
			s := newStage(project, "escape")
			s.Spec.Deploy = []v1alpha1.Deployment{{
				Destination: v1alpha1.Destination{Namespace: project}, Source: v1alpha1.DeploymentSource{RepoURL: "https://git.example/x", Path: "a/../../b"},
			}}
			return ada.Create(ctx, s)
		}, "may not leave it"},
		{"a role for oneself", func() error {
			return ada.Create(ctx, &rbacv1.RoleBinding{
				ObjectMeta: metav1.ObjectMeta{Namespace: project, Name: "mine"},
				RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "admin"},
				Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: "waybill:ada"}},
			})
		}, "forbidden"},
	} {
		t.Run(c.why, func(t *testing.T) {
			err := c.do()
			switch {
			case c.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case c.want != "" && err == nil:
				t.Error("accepted")
			case c.want != "" && !strings.Contains(err.Error(), c.want):
				t.Errorf("refused, and says %q, want %q", err, c.want)
			}
		})
	}
}

func newStage(project, name string) *v1alpha1.Stage {
	s := &v1alpha1.Stage{Spec: v1alpha1.StageSpec{
		RequestedFreight: []v1alpha1.FreightRequest{{Origin: v1alpha1.Origin{Kind: "Warehouse", Name: "guestbook"}, Sources: v1alpha1.FreightSources{Direct: true}}},
	}}
	s.Namespace, s.Name = project, name
	return s
}

// TestReconcilerMayNotWriteRolesOfAProject: what a commit in Git can have the
// server apply must not make its author an admin of the Project, with its
// credentials and its gates.
func TestReconcilerMayNotWriteRolesOfAProject(t *testing.T) {
	const project = "committer"
	_, _, server := guarded(t, project)
	ctx := context.Background()
	shared.Apply(t, `
apiVersion: v1
kind: Namespace
metadata: {name: committer, labels: {waybill.dev/project: "true"}}
---
apiVersion: v1
kind: Namespace
metadata: {name: committer-prod}
`)
	binding := func(namespace string) *rbacv1.RoleBinding {
		return &rbacv1.RoleBinding{
			TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "RoleBinding"},
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "by-git"},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "waybill-admin"},
			Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: "waybill:committer"}},
		}
	}
	role := &rbacv1.Role{
		TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "Role"},
		ObjectMeta: metav1.ObjectMeta{Namespace: project, Name: "by-git"},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"get"}}},
	}
	apply := func(o client.Object, manager string) error {
		return server.Patch(ctx, o, client.Apply, client.FieldOwner(manager), client.ForceOwnership) //nolint:staticcheck // typed applies have no Role of ours
	}
	// refused is by the policy, and not by chance for want of a right.
	refused := func(err error) bool { return err != nil && strings.Contains(err.Error(), "holds a Project") }
	eventually(t, "the label and the server's rights are known", func() error {
		if err := apply(binding(project), "waybill"); !refused(err) {
			return fmt.Errorf("the reconciler binds waybill-admin in the Project's Namespace: %w", err)
		}
		return nil
	})
	if err := apply(role, "waybill"); !refused(err) {
		t.Errorf("the reconciler writes a Role in the Project's Namespace: %v", err)
	}
	if err := apply(binding(project+"-prod"), "waybill"); err != nil {
		t.Errorf("an application's own roles, elsewhere: %v", err)
	}
	if err := apply(binding(project), "waybill-project"); err != nil {
		t.Errorf("spec.access: %v", err)
	}
	for _, o := range []client.Object{newPromotion(project, "prod.1.f"), newFreight(project), &v1alpha1.Freeze{
		ObjectMeta: metav1.ObjectMeta{Namespace: project, Name: "by-git"}, Spec: v1alpha1.FreezeSpec{Stage: "prod", Scope: v1alpha1.FreezeAll, Reason: "r", By: v1alpha1.PolicyUser},
	}} {
		gvk, err := apiutil.GVKForObject(o, scheme(t))
		if err != nil {
			t.Fatal(err)
		}
		o.GetObjectKind().SetGroupVersionKind(gvk)
		if err := must(apply(o, "waybill"), "not deployed from Git"); err != nil {
			t.Errorf("%s by Git: %v", gvk.Kind, err)
		}
	}
	namespace := func(name string, labels map[string]string) *corev1.Namespace {
		return &corev1.Namespace{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"}, ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
	}
	if err := apply(namespace(project, map[string]string{"team": "red"}), "waybill"); !refused(err) {
		t.Errorf("the reconciler takes over the Project's Namespace, and would prune it one day: %v", err)
	}
	if err := apply(namespace("committer-two", map[string]string{v1alpha1.LabelProject: "true"}), "waybill"); !refused(err) {
		t.Errorf("the reconciler makes a Namespace that a Project would adopt: %v", err)
	}
	if err := apply(namespace("committer-prod", map[string]string{"team": "red"}), "waybill"); err != nil {
		t.Errorf("an application's Namespace: %v", err)
	}
	const enforce = "pod-security.kubernetes.io/enforce"
	for _, step := range []struct {
		level   string
		refused bool
	}{{"baseline", false}, {"privileged", true}, {"restricted", false}, {"baseline", true}, {"restricted", false}} {
		err := apply(namespace("committer-prod", map[string]string{enforce: step.level}), "waybill")
		if got := err != nil && strings.Contains(err.Error(), "an administrator sets"); got != step.refused || (err != nil && !step.refused) {
			t.Errorf("the level %s by Git: %v", step.level, err)
		}
	}
	if err := apply(namespace("committer-new", map[string]string{enforce: "privileged"}), "waybill"); err == nil {
		t.Error("a commit makes a Namespace whose Pods may do all")
	}
	plain := namespace("unrelated", nil)
	if err := clientFor(t, shared.Config).Create(ctx, plain); err != nil {
		t.Errorf("a Namespace of somebody who names no field manager: %v", err)
	}
}

// TestGarbageCollection: the cluster's own clean-up is no decision of anybody's,
// and what people ask it to do ends.
func TestGarbageCollection(t *testing.T) {
	const project = "garbage"
	petra, ada, _ := guarded(t, project)
	admin := clientFor(t, shared.Config)
	for _, policy := range []metav1.DeletionPropagation{metav1.DeletePropagationForeground, metav1.DeletePropagationOrphan} {
		t.Run(string(policy), func(t *testing.T) {
			suffix := strings.ToLower(string(policy))
			p := newPromotion(project, "test.1."+suffix)
			if err := petra.Create(t.Context(), p); err != nil {
				t.Fatal(err)
			}
			z := &v1alpha1.Freeze{ObjectMeta: metav1.ObjectMeta{Namespace: project, Name: suffix}, Spec: v1alpha1.FreezeSpec{Stage: "test", Scope: v1alpha1.FreezeAll, Reason: "r", By: "waybill:ada"}}
			if err := ada.Create(t.Context(), z); err != nil {
				t.Fatal(err)
			}
			for _, o := range []client.Object{p, z} {
				if err := ada.Delete(t.Context(), o, client.PropagationPolicy(policy)); err != nil {
					t.Fatal(err)
				}
				eventually(t, "it is gone", func() error {
					return must(admin.Get(t.Context(), client.ObjectKeyFromObject(o), o), "not found")
				})
			}
		})
	}
	t.Run("finalizers that hold a Project for ever", func(t *testing.T) {
		p := newPromotion(project, "test.2.f")
		p.Finalizers = []string{"example.com/never"}
		if err := must(petra.Create(t.Context(), p), "finalizers"); err != nil {
			t.Error(err)
		}
		p = newPromotion(project, "test.3.f")
		if err := petra.Create(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		if err := must(petra.Patch(t.Context(), p, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":["example.com/never"]}}`))), "finalizers"); err != nil {
			t.Error(err)
		}
		z := &v1alpha1.Freeze{ObjectMeta: metav1.ObjectMeta{Namespace: project, Name: "held", Finalizers: []string{"example.com/never"}}, Spec: v1alpha1.FreezeSpec{Stage: "test", Scope: v1alpha1.FreezeAutomatic, Reason: "r", By: "waybill:petra"}}
		if err := must(petra.Create(t.Context(), z), "finalizers"); err != nil {
			t.Error(err)
		}
	})
}
