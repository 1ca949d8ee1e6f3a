package safety

import (
	"errors"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

const aPlan = "sha256:1111111111111111111111111111111111111111111111111111111111111111"

// approvers gives ann, bob and cat the right to approve in a Project; ann and
// bob are release managers.
func approvers(t *testing.T, project string) map[string]client.Client {
	t.Helper()
	shared.Apply(t, strings.ReplaceAll(`
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: approvers, namespace: PROJECT}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: waybill-approver}
subjects:
- {apiGroup: rbac.authorization.k8s.io, kind: User, name: "waybill:ann"}
- {apiGroup: rbac.authorization.k8s.io, kind: User, name: "waybill:bob"}
- {apiGroup: rbac.authorization.k8s.io, kind: User, name: "waybill:cat"}
`, "PROJECT", project))
	out := map[string]client.Client{}
	for name, groups := range map[string][]string{"ann": {"waybill:release-managers"}, "bob": {"waybill:release-managers"}, "cat": nil} {
		out[name] = clientFor(t, shared.ConfigFor(t, "waybill:"+name, groups...))
	}
	eventually(t, "they may approve, and not for each other", func() error {
		if err := out["ann"].Create(t.Context(), newApproval(project, "bob", "prod.1.f"), client.DryRunAll); err == nil {
			return errors.New("ann approves as bob")
		}
		return out["cat"].Create(t.Context(), newApproval(project, "cat", "prod.1.f"), client.DryRunAll)
	})
	return out
}

func newApproval(project, actor, promotion string) *v1alpha1.Approval {
	stage, _, _ := strings.Cut(promotion, ".")
	a := &v1alpha1.Approval{Spec: v1alpha1.ApprovalSpec{
		Stage: stage, Promotion: promotion, PlanHash: aPlan, Actor: "waybill:" + actor, Decision: v1alpha1.DecisionApprove,
	}}
	a.Namespace, a.GenerateName = project, actor+"-"
	return a
}

// TestApprovalsAreOnesOwn: nobody decides for another, with groups of others,
// or about a Stage they may not approve for, by whatever way.
func TestApprovalsAreOnesOwn(t *testing.T) {
	const project = "approvals"
	petra, ada, server := guarded(t, project)
	people := approvers(t, project)
	ann, bob := people["ann"], people["bob"]
	ctx := t.Context()
	made := func(c client.Client, actor string) *v1alpha1.Approval {
		a := newApproval(project, actor, "prod.1.f")
		if err := c.Create(ctx, a); err != nil {
			t.Fatal(err)
		}
		return a
	}
	anns := made(ann, "ann")
	patch := func(c client.Client, o client.Object, json string) error {
		return c.Patch(ctx, o, client.RawPatch(types.MergePatchType, []byte(json)))
	}
	with := func(actor string, edit func(*v1alpha1.Approval)) *v1alpha1.Approval {
		a := newApproval(project, actor, "prod.1.f")
		edit(a)
		return a
	}
	for _, c := range []struct {
		why  string
		do   func() error
		want string // part of the refusal; empty when it is allowed
	}{
		{"one's own", func() error { return bob.Create(ctx, newApproval(project, "bob", "prod.1.f")) }, ""},
		{"with a group one is in", func() error {
			return bob.Create(ctx, with("bob", func(a *v1alpha1.Approval) { a.Spec.Groups = []string{"waybill:release-managers"} }))
		}, ""},
		{"in another's name", func() error { return ann.Create(ctx, newApproval(project, "bob", "prod.1.f")) }, "spec.actor must be the user who decides, waybill:ann"},
		{"with a group one is not in", func() error {
			return people["cat"].Create(ctx, with("cat", func(a *v1alpha1.Approval) { a.Spec.Groups = []string{"waybill:release-managers"} }))
		}, "a group that the user who decides is not in"},
		{"by one who may only promote", func() error { return petra.Create(ctx, newApproval(project, "petra", "prod.1.f")) }, "forbidden"},
		{"by the server, for itself", func() error {
			return server.Create(ctx, with("policy", func(a *v1alpha1.Approval) { a.Spec.Actor = v1alpha1.PolicyUser }))
		}, "forbidden"},
		{"by an admin of the Project", func() error { return ada.Create(ctx, newApproval(project, "ada", "prod.1.f")) }, ""},
		{"by an admin, in another's name", func() error { return ada.Create(ctx, newApproval(project, "ann", "prod.1.f")) }, "spec.actor must be the user who decides"},
		{"changed afterwards, by an admin", func() error {
			return patch(ada, anns.DeepCopy(), `{"spec":{"planHash":"`+strings.Replace(aPlan, "1", "2", 1)+`"}}`)
		}, "immutable"},
		{"changed afterwards, by oneself", func() error { return patch(ann, anns.DeepCopy(), `{"spec":{"reason":"x"}}`) }, "forbidden"},
		{"given away as the garbage collector's", func() error {
			return ann.Create(ctx, with("ann", func(a *v1alpha1.Approval) {
				a.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: "gone", UID: "x"}}
			}))
		}, "ownerReferences"},
		{"about a Stage that is not the Promotion's", func() error {
			return ann.Create(ctx, with("ann", func(a *v1alpha1.Approval) { a.Spec.Stage = "test" }))
		}, "promotion has to be one into stage"},
		{"of no plan", func() error { return ann.Create(ctx, with("ann", func(a *v1alpha1.Approval) { a.Spec.PlanHash = "" })) }, "planHash"},
		{"a rejection without a reason", func() error {
			return ann.Create(ctx, with("ann", func(a *v1alpha1.Approval) { a.Spec.Decision = v1alpha1.DecisionReject }))
		}, "a rejection needs a reason"},
		{"revoked by one who may only promote", func() error { return petra.Delete(ctx, anns.DeepCopy()) }, "forbidden"},
		{"revoked by oneself", func() error { return ann.Delete(ctx, anns.DeepCopy()) }, ""},
	} {
		t.Run(c.why, func(t *testing.T) {
			err := c.do()
			switch {
			case c.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case c.want != "":
				if err := must(err, c.want); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// fourEyes is a Stage that needs two release managers, and a Promotion that
// petra asked for.
func fourEyes(t *testing.T, project string) (*rig, *v1alpha1.Promotion, map[string]client.Client) {
	t.Helper()
	r := newRig(t, project)
	roles(t, project)
	people := approvers(t, project)
	r.stage("test", func(s *v1alpha1.Stage) {
		s.Spec.Approval = &v1alpha1.ApprovalPolicy{Required: 2, Groups: []string{"release-managers"}}
		s.Spec.Deploy = []v1alpha1.Deployment{{Destination: v1alpha1.Destination{Namespace: project + "-test"}, Source: v1alpha1.DeploymentSource{Path: "stages/test"}}}
	})
	r.git.Commit("guestbook", "main", "manifests", map[string]string{
		"stages/test/kustomization.yaml": "resources: [config.yaml]\nimages:\n- name: " + image + "\n  newTag: 1.25.0\n",
		"stages/test/config.yaml":        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: config}\ndata: {colour: red}\n",
	})
	f := r.freight(1, "1.26.0")
	p := r.promotionBy("waybill:petra", "test.1.f", f.Name)
	if p = r.step(p); p.Status.Phase != v1alpha1.PhasePending || p.Status.Plan == nil || p.Status.Plan.Hash == "" {
		t.Fatalf("%s (%s), plan %+v", p.Status.Phase, p.Status.Message, p.Status.Plan)
	}
	return r, p, people
}

// promotionBy creates a Promotion as a user.
func (r *rig) promotionBy(user, name, freight string) *v1alpha1.Promotion {
	r.t.Helper()
	p := newPromotion(r.project, name)
	p.Spec.Freight, p.Spec.RequestedBy = freight, user
	c := clientFor(r.t, shared.ConfigFor(r.t, user))
	eventually(r.t, user+" promotes", func() error { return client.IgnoreAlreadyExists(c.Create(r.t.Context(), p)) })
	r.seen(p)
	return p
}

func (r *rig) decides(people map[string]client.Client, actor string, p *v1alpha1.Promotion, edit ...func(*v1alpha1.ApprovalSpec)) *v1alpha1.Approval {
	r.t.Helper()
	a := newApproval(r.project, actor, p.Name)
	a.Spec.PlanHash = p.Status.Plan.Hash
	if actor != "cat" {
		a.Spec.Groups = []string{"waybill:release-managers"}
	}
	for _, e := range edit {
		e(&a.Spec)
	}
	if err := people[actor].Create(r.t.Context(), a); err != nil {
		r.t.Fatal(err)
	}
	r.seen(a)
	return a
}

func isPending(t *testing.T, p *v1alpha1.Promotion, reason, text string) {
	t.Helper()
	if p.Status.Phase != v1alpha1.PhasePending || p.Status.Reason != reason || !strings.Contains(p.Status.Message, text) {
		t.Fatalf("%s, %s: %q; want Pending, %s, %q", p.Status.Phase, p.Status.Reason, p.Status.Message, reason, text)
	}
}

// TestFourEyes: two different people of the group let a Promotion start, and
// nothing else does.
func TestFourEyes(t *testing.T) {
	r, p, people := fourEyes(t, "four-eyes")
	isPending(t, p, "GateClosed", "0 of 2 approvals")
	r.decides(people, "ann", p)
	r.decides(people, "ann", p)
	isPending(t, r.step(p), "GateClosed", "1 of 2 approvals, by ann")
	r.decides(people, "cat", p)
	isPending(t, r.step(p), "GateClosed", "1 of 2 approvals, by ann; cat approved and is not asked")
	revoked := r.decides(people, "bob", p)
	if err := people["bob"].Delete(t.Context(), revoked); err != nil {
		t.Fatal(err)
	}
	isPending(t, r.step(p), "GateClosed", "1 of 2 approvals, by ann") // even while the cache still has it
	r.decides(people, "bob", p)
	p = r.step(p)
	if p.Status.Phase != v1alpha1.PhaseSyncing || len(p.Status.Approvals) != 2 || r.head("stage/test") == "" {
		t.Fatalf("%s: %s, approvals %+v", p.Status.Phase, p.Status.Message, p.Status.Approvals)
	}
}

// TestApprovalIsForOnePlan: when what would be deployed changes, what was
// approved does not count any more; when only commit ids change, it does.
func TestApprovalIsForOnePlan(t *testing.T) {
	r, p, people := fourEyes(t, "one-plan")
	first := p.Status.Plan.Hash
	r.decides(people, "ann", p)
	// A commit to the base after the plan was made changes nothing: it was read
	// once.
	r.git.Commit("guestbook", "main", "later", map[string]string{"stages/test/config.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: config}\ndata: {colour: blue}\n"})
	// Somebody writes the Stage's branch: what would be replaced is not what was
	// shown.
	r.git.SetBranch("guestbook", "stage/test", r.git.Branch("guestbook", "main"))
	r.decides(people, "bob", p)
	p = r.step(p)
	isPending(t, p, "PlanChanged", "0 of 2 approvals; ann approved another plan; bob approved another plan")
	if p.Status.Plan.Hash == first || len(p.Status.Steps) != 0 {
		t.Fatalf("hash %s as before, or steps %+v", p.Status.Plan.Hash, p.Status.Steps)
	}
	isPending(t, r.step(p), "PlanChanged", "0 of 2 approvals")
	// The same content under another commit id is the same plan.
	r.git.Commit("guestbook", "stage/test", "a note", map[string]string{"README.md": "hello\n"})
	r.decides(people, "ann", p)
	r.decides(people, "bob", p)
	p = r.step(p)
	if p.Status.Phase != v1alpha1.PhaseSyncing {
		t.Fatalf("%s, %s: %s", p.Status.Phase, p.Status.Reason, p.Status.Message)
	}
	if got := r.git.Show("guestbook", "stage/test:stages/test/config.yaml"); !strings.Contains(got, "red") {
		t.Errorf("not what was approved: %s", got)
	}
}

// TestRejectEndsAPromotion: one person who is asked is enough, and the automatic
// flow does not bring it again.
func TestRejectEndsAPromotion(t *testing.T) {
	r, p, people := fourEyes(t, "reject")
	reject := func(s *v1alpha1.ApprovalSpec) { s.Decision, s.Reason = v1alpha1.DecisionReject, "leaks memory" }
	r.decides(people, "cat", p, reject)
	isPending(t, r.step(p), "GateClosed", "cat rejected and is not asked")
	r.decides(people, "bob", p, reject)
	if p = r.step(p); p.Status.Phase != v1alpha1.PhaseFailed || p.Status.Reason != "Rejected" || p.Status.Message != "rejected by bob: leaks memory" {
		t.Fatalf("%s, %s: %s", p.Status.Phase, p.Status.Reason, p.Status.Message)
	}
}

// TestApprovalExpires: at its instant, and the Promotion says so then.
func TestApprovalExpires(t *testing.T) {
	r, p, people := fourEyes(t, "expiry")
	soon := metav1.NewTime(time.Now().Add(3 * time.Second).Truncate(time.Second))
	r.decides(people, "ann", p, func(s *v1alpha1.ApprovalSpec) { s.Until = &soon })
	p, again := r.stepAt(p)
	isPending(t, p, "GateClosed", "1 of 2 approvals, by ann")
	if d := time.Until(soon.Time); again <= 0 || again > d+time.Second {
		t.Fatalf("looks again in %s, it expires in %s", again, d)
	}
	eventually(t, "it expires", func() error {
		if time.Now().Before(soon.Time) {
			return errors.New("not yet")
		}
		return nil
	})
	isPending(t, r.step(p), "GateClosed", "what ann approved has expired")
}

// TestRollbackIsRehearsed: what runs says what taking it back would do.
func TestRollbackIsRehearsed(t *testing.T) {
	r := newRig(t, "rehearsed")
	manifests := func(colour, more string) map[string]string {
		return map[string]string{
			"stages/test/kustomization.yaml": "resources: [config.yaml]\nimages:\n- name: " + image + "\n  newTag: 1.25.0\n",
			"stages/test/config.yaml":        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: config}\ndata: {colour: " + colour + "}\n" + more,
		}
	}
	r.git.Commit("guestbook", "main", "red", manifests("red", "---\napiVersion: batch/v1\nkind: Job\nmetadata: {name: migrate}\nspec: {template: {}}\n"))
	r.stage("test")
	first, second := r.freight(1, "1.26.0"), r.freight(2, "1.27.0")
	p := r.runs("test", r.promotion("test.1.f", first.Name))
	if p = r.step(p); p.Status.Rollback == nil || p.Status.Rollback.IsPossible {
		t.Fatalf("the first of all can be taken back: %+v", p.Status.Rollback)
	}
	r.git.Commit("guestbook", "main", "blue", manifests("blue", ""))
	p = r.runs("test", r.promotion("test.2.f", second.Name))
	var s v1alpha1.Stage
	if err := r.admin.Get(t.Context(), client.ObjectKey{Namespace: r.project, Name: "test"}, &s); err != nil {
		t.Fatal(err)
	}
	// A Stage that deploys nothing has no objects; one that does counts them.
	s.Spec.Deploy = []v1alpha1.Deployment{{Destination: v1alpha1.Destination{Namespace: "rehearsed-test"}, Source: v1alpha1.DeploymentSource{Path: "stages/test"}}}
	if err := r.admin.Update(t.Context(), &s); err != nil {
		t.Fatal(err)
	}
	r.seen(&s)
	p.Status.Rollback = nil // it was rehearsed when it succeeded, with nothing deployed
	if err := r.admin.Status().Update(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	r.seen(p)
	p = r.step(p)
	want := "to 1.26.0: 1 object changes, 1 object comes back, no immutable field; look at: Job migrate: a Job runs"
	if p.Status.Rollback == nil || p.Status.Rollback.Summary != want || p.Status.Rollback.Freight != first.Name {
		t.Fatalf("%+v, want %s", p.Status.Rollback, want)
	}
	if got := r.stepStage("test").Status.Rollback; got == nil || got.Summary != want {
		t.Errorf("the Stage says %+v", got)
	}
}
