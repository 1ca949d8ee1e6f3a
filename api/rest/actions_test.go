package rest

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrlcache "sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/api/v1alpha1"
)

func promote(freight string) model.PromoteRequest { return model.PromoteRequest{Freight: freight} }

func (f fixture) promotion(t *testing.T, name string) *v1alpha1.Promotion {
	t.Helper()
	var p v1alpha1.Promotion
	if err := shared.admin.Get(t.Context(), client.ObjectKey{Namespace: f.name, Name: name}, &p); err != nil {
		t.Fatal(err)
	}
	return &p
}

func TestPromote(t *testing.T) {
	f := newProject(t)
	alice, admin := shared.as(t, "alice"), shared.as(t, "admin")

	t.Run("a person's Promotion is written by the person", func(t *testing.T) {
		body := promote("latest")
		body.Reason = "ticket 7"
		a := alice.do(t, "POST", f.path("/stages/test/promotions"), body)
		var m model.Promotion
		a.into(t, &m)
		if a.status != http.StatusAccepted || a.header.Get("Location") != f.path("/promotions/"+m.Name) {
			t.Fatalf("status %d, Location %q", a.status, a.header.Get("Location"))
		}
		p := f.promotion(t, m.Name)
		if p.Spec.RequestedBy != "waybill:alice" || p.Spec.Freight != nameOf(3) || p.Spec.Stage != "test" || p.Spec.Reason != "ticket 7" || p.Spec.Automatic {
			t.Fatalf("spec %+v", p.Spec)
		}
		if p.Name != "test.1.f0030030" || p.Labels[v1alpha1.LabelStage] != "test" {
			t.Fatalf("name %q, labels %v", p.Name, p.Labels)
		}

		t.Run("asked again it is the same one", func(t *testing.T) {
			for _, again := range []string{"latest", "1.28.0", "amber-heron", nameOf(3), nameOf(3)[:8]} {
				var n model.Promotion
				alice.do(t, "POST", f.path("/stages/test/promotions"), promote(again)).into(t, &n)
				if n.Name != m.Name {
					t.Errorf("%s: a second Promotion %q", again, n.Name)
				}
			}
		})
	})

	t.Run("closed entry gates refuse, and all are named", func(t *testing.T) {
		a := alice.do(t, "POST", f.path("/stages/prod/promotions"), promote("1.28.0"))
		p := a.problem(t)
		if a.status != http.StatusConflict || p.Code != model.GateClosed {
			t.Fatalf("%d %s", a.status, a.body)
		}
		var gates []string
		for _, g := range p.BlockedBy {
			gates = append(gates, string(g.Gate))
			if g.Reason == "" || g.OpensBy == "" {
				t.Errorf("gate %s has no reason or nobody opens it: %+v", g.Gate, g)
			}
		}
		if strings.Join(gates, " ") != "upstream soak" {
			t.Errorf("gates %v", gates)
		}
		if !strings.Contains(p.Detail, `not verified in "uat"`) || p.Hint != "waybill why 1.28.0 "+f.name+"/prod" {
			t.Errorf("detail %q, hint %q", p.Detail, p.Hint)
		}
	})

	t.Run("bypass", func(t *testing.T) {
		body := promote("1.28.0")
		body.Bypass = []model.PassableGate{"upstream", "soak"}
		if a := alice.do(t, "POST", f.path("/stages/prod/promotions"), body); a.status != http.StatusBadRequest || !strings.Contains(string(a.body), "needs a reason") {
			t.Errorf("without a reason: %d %s", a.status, a.body)
		}
		body.Reason = "outage 12"
		if a := alice.do(t, "POST", f.path("/stages/prod/promotions"), body); a.status != http.StatusForbidden {
			t.Errorf("without the verb: %d %s", a.status, a.body)
		}
		var m model.Promotion
		admin.do(t, "POST", f.path("/stages/prod/promotions"), body).into(t, &m)
		if p := f.promotion(t, m.Name); fmt.Sprint(p.Spec.Bypass) != "[upstream soak]" || p.Spec.RequestedBy != "waybill:admin" {
			t.Errorf("spec %+v", p.Spec)
		}
	})

	t.Run("words for Freight", func(t *testing.T) {
		for text, want := range map[string]string{"@test": nameOf(2), "1.27.0": nameOf(2), "latest": nameOf(2), digestOf(1): nameOf(1)} {
			var w model.Why
			alice.get(t, f.path("/stages/uat/why?freight="+text), &w)
			if w.Freight.Name != want {
				t.Errorf("%s in uat is %s (%s), want %s", text, w.Freight.Name, w.Freight.Version, want)
			}
		}
		var w model.Why
		alice.get(t, f.path("/stages/uat/why?freight=latest"), &w)
		if w.Newer.Freight.Version != "1.28.0" || len(w.Newer.Closed) == 0 {
			t.Errorf("latest of uat does not name the newer Freight that is shut out: %+v", w.Newer)
		}
		for text, want := range map[string]int{"9.9.9": 404, "f0": 404, "f00": 404, "@nowhere": 404, "prev": 404, "": 400, strings.Repeat("x", 300): 400} {
			if a := alice.do(t, "GET", f.path("/stages/uat/why?freight="+text), nil); a.status != want {
				t.Errorf("%q: %d, want %d: %s", text, a.status, want, a.body)
			}
		}
		a := alice.do(t, "GET", f.path("/stages/uat/why?freight=9.9.9"), nil).problem(t)
		if a.Hint != "the newest are 1.28.0, 1.27.0, 1.26.0" {
			t.Errorf("hint %q", a.Hint)
		}
		b := alice.do(t, "GET", f.path("/stages/staging/why?freight=latest"), nil).problem(t)
		if b.Detail != fmt.Sprintf("no Stage %q in Project %q", "staging", f.name) || b.Hint != "its Stages are test, uat, prod" {
			t.Errorf("%q, hint %q", b.Detail, b.Hint)
		}
	})

	t.Run("requests that are not as the document says", func(t *testing.T) {
		for name, body := range map[string]string{
			"unknown field": `{"freight":"latest","force":true}`, "no freight": `{}`, "wrong type": `{"freight":7}`,
			"unknown gate": `{"freight":"latest","reason":"r","bypass":["busy"]}`, "no JSON": `{`, "empty": ``,
		} {
			a := alice.do(t, "POST", f.path("/stages/test/promotions"), body)
			if a.status != http.StatusBadRequest || a.problem(t).Code != model.InvalidRequest {
				t.Errorf("%s: %d %s", name, a.status, a.body)
			}
		}
	})

	t.Run("two at once are one", func(t *testing.T) {
		var wg sync.WaitGroup
		names := make([]string, 6)
		for i := range names {
			wg.Go(func() {
				var m model.Promotion
				alice.do(t, "POST", f.path("/stages/uat/promotions"), promote("1.27.0")).into(t, &m)
				names[i] = m.Name
			})
		}
		wg.Wait()
		for _, n := range names {
			if n != names[0] {
				t.Fatalf("several Promotions: %v", names)
			}
		}
	})

	t.Run("admission has the last word", func(t *testing.T) {
		// The server's own check is not the only one: somebody who may create
		// Promotions but not promote is refused by the cluster.
		shared.env.Apply(t, fmt.Sprintf(`
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: creator, namespace: %[1]s}
rules: [{apiGroups: [waybill.dev], resources: [promotions], verbs: [create]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: creator, namespace: %[1]s}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: creator}
subjects: [{kind: User, apiGroup: rbac.authorization.k8s.io, name: "waybill:victor"}]
`, f.name))
		a := shared.as(t, "victor").do(t, "POST", "/api/v1/apply", model.ApplyRequest{Files: []model.ManifestFile{{Name: "f", Content: fmt.Sprintf(
			"apiVersion: waybill.dev/v1alpha1\nkind: Promotion\nmetadata: {name: test.99.x, namespace: %s}\nspec: {stage: test, freight: %s, requestedBy: 'waybill:victor'}\n", f.name, nameOf(3))}}})
		var out model.ApplyResult
		a.into(t, &out)
		if out.Failed != 1 || out.Items[0].Problem.Code != model.Forbidden {
			t.Fatalf("%s", a.body)
		}
	})
}

func TestWhyShowsEveryClosedGate(t *testing.T) {
	f := newProject(t)
	admin := shared.as(t, "admin")
	// 1.28.0 into prod: not verified, not soaked, rejected, held, frozen.
	admin.do(t, "POST", f.path("/freight/1.28.0/reject"), model.RejectRequest{Reason: "p95 latency"}).into(t, &model.Freeze{})
	admin.do(t, "POST", f.path("/stages/prod/hold"), model.HoldRequest{Reason: "audit"}).into(t, &model.Freeze{})
	until := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	admin.do(t, "POST", f.path("/freezes"), model.FreezeRequest{Stage: "*", Reason: "holidays", Until: until}).into(t, &model.Freeze{})
	eventually(t, func() error {
		var w model.Why
		admin.get(t, f.path("/stages/prod/why?freight=1.28.0"), &w)
		var closed []string
		for _, g := range w.Gates {
			if !g.Open {
				closed = append(closed, string(g.Gate))
			}
		}
		if got := strings.Join(closed, " "); got != "upstream soak rejected hold freeze" || w.MayPromote || w.MayFlow || w.State != model.WhyStateClosed {
			return fmt.Errorf("closed %s, %+v", got, w)
		}
		for _, g := range w.Gates {
			if g.Gate == model.GateNameFreeze && (!g.OpensAt.Equal(until) || !strings.Contains(g.Reason, "admin") || !strings.Contains(g.Reason, "holidays")) {
				return fmt.Errorf("freeze says %+v, want until %s", g, until)
			}
		}
		return nil
	})
}

func TestHoldFreezeReject(t *testing.T) {
	f := newProject(t)
	alice, admin := shared.as(t, "alice"), shared.as(t, "admin")

	var hold, again model.Freeze
	alice.do(t, "POST", f.path("/stages/uat/hold"), model.HoldRequest{Reason: "looking"}).into(t, &hold)
	if hold.ShownAs != model.FreezeShownAsHold || hold.By != "waybill:alice" || hold.Stage != "uat" || !strings.HasPrefix(hold.Name, "hold-uat-") {
		t.Fatalf("%+v", hold)
	}
	eventually(t, func() error {
		var list model.FreezeList
		alice.get(t, f.path("/freezes"), &list)
		if len(list.Items) != 1 {
			return fmt.Errorf("%d freezes", len(list.Items))
		}
		return nil
	})
	alice.do(t, "POST", f.path("/stages/uat/hold"), model.HoldRequest{Reason: "still looking"}).into(t, &again)
	if again.Name != hold.Name {
		t.Errorf("held twice: %s and %s", hold.Name, again.Name)
	}
	eventually(t, func() error {
		var p model.Pipeline
		alice.get(t, f.path("/pipeline"), &p)
		if uat := p.Stages[1]; !uat.Held || uat.Frozen {
			return fmt.Errorf("uat held %v, frozen %v", uat.Held, uat.Frozen)
		}
		return nil
	})
	var lifted model.FreezeList
	alice.do(t, "POST", f.path("/stages/uat/resume"), nil).into(t, &lifted)
	if len(lifted.Items) != 1 || lifted.Items[0].Name != hold.Name {
		t.Errorf("resume lifted %+v", lifted)
	}
	eventually(t, func() error {
		alice.do(t, "POST", f.path("/stages/uat/resume"), nil).into(t, &lifted)
		if len(lifted.Items) != 0 {
			return fmt.Errorf("resume of a Stage that is not held lifted %+v", lifted)
		}
		return nil
	})

	testPausesHealing(t, f)

	// A freeze needs the verb freeze, which promoters have not.
	if a := alice.do(t, "POST", f.path("/freezes"), model.FreezeRequest{Stage: "prod", Reason: "r"}); a.status != http.StatusForbidden ||
		a.problem(t).Detail != "waybill:alice needs the verb freeze on stage "+f.name+"/prod" {
		t.Errorf("a promoter freezes: %d %s", a.status, a.body)
	}
	if a := admin.do(t, "POST", f.path("/freezes"), model.FreezeRequest{Stage: "prod", Reason: "r", Until: time.Now().Add(-time.Hour)}); a.status != http.StatusBadRequest {
		t.Errorf("a freeze until yesterday: %d %s", a.status, a.body)
	}
	if a := admin.do(t, "POST", f.path("/freezes"), model.FreezeRequest{Stage: "nowhere", Reason: "r"}); a.status != http.StatusNotFound {
		t.Errorf("a freeze of no Stage: %d %s", a.status, a.body)
	}
	var freeze model.Freeze
	admin.do(t, "POST", f.path("/freezes"), model.FreezeRequest{Stage: "prod", Reason: "holidays"}).into(t, &freeze)
	eventually(t, func() error {
		var st model.StageDetail
		admin.get(t, f.path("/stages/prod"), &st)
		if st.Stage.Status.Word != model.StatusWordFrozen || !st.Stage.Frozen {
			return fmt.Errorf("prod is %+v", st.Stage.Status)
		}
		return nil
	})
	if a := alice.do(t, "DELETE", f.path("/freezes/"+freeze.Name), nil); a.status != http.StatusForbidden {
		t.Errorf("a promoter thaws: %d %s", a.status, a.body)
	}
	if a := admin.do(t, "DELETE", f.path("/freezes/"+freeze.Name), nil); a.status != http.StatusNoContent {
		t.Errorf("thaw: %d %s", a.status, a.body)
	}

	// One Freeze that rejects two Freight; taking one back keeps the other.
	var applied model.ApplyResult
	admin.do(t, "POST", "/api/v1/apply", model.ApplyRequest{Files: []model.ManifestFile{{Name: "f", Content: fmt.Sprintf(
		"apiVersion: waybill.dev/v1alpha1\nkind: Freeze\nmetadata: {name: both, namespace: %s}\nspec: {stage: '*', freight: [%s, %s], reason: cve, by: 'waybill:admin'}\n",
		f.name, nameOf(2), nameOf(3))}}}).into(t, &applied)
	if applied.Failed != 0 {
		t.Fatalf("%+v", applied)
	}
	rejected := func(version string, want int) {
		t.Helper()
		eventually(t, func() error {
			var fr model.Freight
			alice.get(t, f.path("/freight/"+version), &fr)
			if len(fr.Rejections) != want {
				return fmt.Errorf("%s has %d rejections, want %d", version, len(fr.Rejections), want)
			}
			return nil
		})
	}
	rejected("1.27.0", 1)
	rejected("1.28.0", 1)
	var back model.FreezeList
	alice.do(t, "POST", f.path("/freight/1.27.0/unreject"), model.UnrejectRequest{}).into(t, &back)
	rejected("1.27.0", 0)
	rejected("1.28.0", 1)
	eventually(t, func() error {
		if a := alice.do(t, "POST", f.path("/freight/1.27.0/unreject"), model.UnrejectRequest{}); a.status != http.StatusNotFound {
			return fmt.Errorf("unreject of what is not rejected: %d %s", a.status, a.body)
		}
		return nil
	})
}

// prepareRollback makes the Stage look as after a promotion of 1.27.0 on top of
// a healthy 1.26.0.
func (f fixture) prepareRollback(t *testing.T, stage string) {
	t.Helper()
	name := fmt.Sprintf("%s.2.%s", stage, nameOf(2)[:8])
	p := &v1alpha1.Promotion{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: f.name},
		Spec:       v1alpha1.PromotionSpec{Stage: stage, Kind: v1alpha1.KindPromote, Freight: nameOf(2)},
	}
	create(t, p)
	before := []v1alpha1.StageFreight{{Origin: "main", Freight: nameOf(1), Commit: strings.Repeat("b", 40), Images: []v1alpha1.Image{{RepoURL: image, Tag: "1.26.0", Digest: digestOf(1)}}}}
	now := metav1.NowMicro()
	p.Status = v1alpha1.PromotionStatus{
		Phase: v1alpha1.PhaseSucceeded, StartedAt: &now, FinishedAt: &now,
		Plan:   &v1alpha1.PromotionPlan{StageGeneration: 1, Collection: before, Steps: []v1alpha1.PlanStep{}, Before: &v1alpha1.StageBefore{Current: before, Healthy: true}},
		Commit: &v1alpha1.PromotionCommit{RepoURL: "https://git.example.com/x.git", Branch: "stage/" + stage, Commit: strings.Repeat("c", 40), Parent: strings.Repeat("b", 40)},
	}
	updateStatus(t, p)
	f.setStage(t, stage, 2, v1alpha1.HealthDegraded)
	var st v1alpha1.Stage
	if err := shared.admin.Get(t.Context(), client.ObjectKey{Namespace: f.name, Name: stage}, &st); err != nil {
		t.Fatal(err)
	}
	st.Status.Good = before
	st.Status.LastSeq = 2
	updateStatus(t, &st)
	eventually(t, func() error {
		var d model.StageDetail
		shared.as(t, "admin").get(t, f.path("/stages/"+stage), &d)
		if d.Stage.RollbackTo.Version != "1.26.0" || d.Stage.Health != model.HealthDegraded || len(d.Promotions) == 0 || !d.Promotions[0].Finished {
			return fmt.Errorf("%+v", d.Stage)
		}
		return nil
	})
}

func TestRollback(t *testing.T) {
	f := newProject(t)
	alice := shared.as(t, "alice")
	if a := alice.do(t, "POST", f.path("/stages/prod/rollback"), model.RollbackRequest{}); a.status != http.StatusConflict || !strings.Contains(a.problem(t).Detail, "nothing to restore") {
		t.Errorf("nothing to go back to: %d %s", a.status, a.body)
	}
	f.prepareRollback(t, "uat")

	var pre model.RollbackPreview
	alice.get(t, f.path("/stages/uat/rollback"), &pre)
	if pre.From.Version != "1.27.0" || pre.To.Version != "1.26.0" || !pre.MayRollback || !pre.Holds || len(pre.Images) != 1 ||
		pre.Images[0].Before.Tag != "1.27.0" || pre.Images[0].After.Tag != "1.26.0" || pre.Images[0].Change != model.ImageChangeChangeChanged {
		t.Fatalf("%+v", pre)
	}
	if len(pre.Targets) != 1 || !pre.Targets[0].LastGood || !pre.Targets[0].Good || pre.Targets[0].Freight.Version != "1.26.0" {
		t.Fatalf("targets %+v", pre.Targets)
	}
	var st model.StageDetail
	alice.get(t, f.path("/stages/uat"), &st)
	if s := st.Stage.Status; s.Word != model.StatusWordFailed || s.NextAction.Verb != "rollback" || s.NextAction.Command != "waybill rollback "+f.name+"/uat" {
		t.Errorf("status %+v", s)
	}

	var m, again model.Promotion
	alice.do(t, "POST", f.path("/stages/uat/rollback"), model.RollbackRequest{Reason: "errors"}).into(t, &m)
	p := f.promotion(t, m.Name)
	if p.Spec.Kind != v1alpha1.KindRollback || p.Spec.Freight != nameOf(2) || p.Spec.To != "" || p.Spec.RequestedBy != "waybill:alice" || p.Name != "uat.3."+nameOf(2)[:8] {
		t.Fatalf("%s %+v", p.Name, p.Spec)
	}
	alice.do(t, "POST", f.path("/stages/uat/rollback"), model.RollbackRequest{Reason: "errors"}).into(t, &again)
	if again.Name != m.Name {
		t.Errorf("rolled back twice: %s and %s", m.Name, again.Name)
	}

	// To a version that never ran well there.
	if a := alice.do(t, "POST", f.path("/stages/uat/rollback"), model.RollbackRequest{To: "1.28.0"}); a.status != http.StatusConflict || !strings.Contains(a.problem(t).Detail, "never ran Healthy") {
		t.Errorf("to 1.28.0: %d %s", a.status, a.body)
	}
	if a := alice.do(t, "GET", f.path("/stages/uat/rollback?to=9.9.9"), nil); a.status != http.StatusNotFound {
		t.Errorf("to nothing: %d %s", a.status, a.body)
	}
}

// lateCache has not seen a Promotion yet.
type lateCache struct {
	ctrlcache.Cache
	unseen string
}

func (c lateCache) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	err := c.Cache.List(ctx, list, opts...)
	if l, ok := list.(*v1alpha1.PromotionList); ok {
		l.Items = slices.DeleteFunc(slices.Clone(l.Items), func(p v1alpha1.Promotion) bool { return p.Name == c.unseen })
	}
	return err
}

// TestJustCreated: a Promotion that the cache has not seen yet is found, in every
// place where one is asked for by name.
func TestJustCreated(t *testing.T) {
	f := newProject(t)
	var made model.Promotion
	shared.as(t, "alice").do(t, "POST", f.path("/stages/test/promotions"), promote("latest")).into(t, &made)
	late := *shared.server
	late.opts.Cache = lateCache{Cache: late.opts.Cache, unseen: made.Name}
	if page, err := late.buildPromotion(t.Context(), f.name, made.Name); err != nil || page.UID != made.UID {
		t.Errorf("its page: %q, %v", page.UID, err)
	}
	if _, p, _, err := late.loadPending(t.Context(), f.name, made.Name); err != nil || p.Name != made.Name {
		t.Errorf("to decide on: %v, %v", p, err)
	}
	for _, name := range []string{"test.9.none", "..", "a/b", "%"} {
		if _, p, err := late.loadPromotion(t.Context(), f.name, name); err != nil || p != nil {
			t.Errorf("%q: %v, %v", name, p, err)
		}
	}
}

func TestAbort(t *testing.T) {
	f := newProject(t)
	alice, admin := shared.as(t, "alice"), shared.as(t, "admin")
	var m model.Promotion
	alice.do(t, "POST", f.path("/stages/test/promotions"), promote("latest")).into(t, &m)
	eventually(t, func() error {
		if a := alice.do(t, "GET", f.path("/promotions/"+m.Name), nil); a.status != http.StatusOK {
			return fmt.Errorf("%d %s", a.status, a.body)
		}
		return nil
	})
	var aborted model.Promotion
	alice.do(t, "POST", f.path("/promotions/"+m.Name+"/abort"), model.ReasonRequest{Reason: "wrong one"}).into(t, &aborted)
	if p := f.promotion(t, m.Name); p.Spec.Abort == nil || p.Spec.Abort.By != "waybill:alice" || p.Spec.Abort.Reason != "wrong one" || aborted.Abort.By != "waybill:alice" {
		t.Fatalf("%+v", p.Spec)
	}
	eventually(t, func() error { // a second abort changes nothing
		a := admin.do(t, "POST", f.path("/promotions/"+m.Name+"/abort"), model.ReasonRequest{})
		if a.status != http.StatusAccepted || !strings.Contains(string(a.body), "waybill:alice") {
			return fmt.Errorf("%d %s", a.status, a.body)
		}
		return nil
	})
	p := f.promotion(t, m.Name)
	p.Status.Phase = v1alpha1.PhaseAborted
	updateStatus(t, p)
	if a := alice.do(t, "POST", f.path("/promotions/nope/abort"), model.ReasonRequest{}); a.status != http.StatusNotFound {
		t.Errorf("unknown: %d %s", a.status, a.body)
	}
	f.prepareRollback(t, "uat")
	if a := alice.do(t, "POST", f.path("/promotions/uat.2."+nameOf(2)[:8]+"/abort"), model.ReasonRequest{}); a.status != http.StatusConflict {
		t.Errorf("a finished one: %d %s", a.status, a.body)
	}
}

func TestRefresh(t *testing.T) {
	f := newProject(t)
	var out model.RefreshResult
	shared.as(t, "alice").do(t, "POST", f.path("/warehouses/main/refresh"), nil).into(t, &out)
	var w v1alpha1.Warehouse
	if err := shared.admin.Get(t.Context(), client.ObjectKey{Namespace: f.name, Name: "main"}, &w); err != nil {
		t.Fatal(err)
	}
	if w.Annotations[v1alpha1.AnnotationRequestedAt] != out.Request || out.Request == "" {
		t.Fatalf("annotations %v, request %q", w.Annotations, out.Request)
	}
}

// testPausesHealing: healing is paused until an instant, which says nothing about
// promotions.
func testPausesHealing(t *testing.T, f fixture) {
	t.Helper()
	alice := shared.as(t, "alice")
	if a := alice.do(t, "POST", f.path("/stages/uat/hold"), model.HoldRequest{Reason: "leak", Healing: true}); a.status != http.StatusBadRequest ||
		!strings.Contains(a.problem(t).Hint, "--heal --for 1h") {
		t.Errorf("healing paused for ever: %d %s", a.status, a.body)
	}
	until := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	var pause model.Freeze
	alice.do(t, "POST", f.path("/stages/uat/hold"), model.HoldRequest{Reason: "leak", Healing: true, Until: until}).into(t, &pause)
	if pause.ShownAs != model.FreezeShownAsHealingPause || pause.By != "waybill:alice" || !pause.Until.Equal(until) || !strings.HasPrefix(pause.Name, "healing-uat-") {
		t.Fatalf("%+v", pause)
	}
	eventually(t, func() error {
		var p model.Pipeline
		alice.get(t, f.path("/pipeline"), &p)
		if uat := p.Stages[1]; uat.Held || uat.Frozen || len(uat.Freezes) != 1 {
			return fmt.Errorf("uat held %v, frozen %v, %+v", uat.Held, uat.Frozen, uat.Freezes)
		}
		return nil
	})
	var lifted model.FreezeList
	if alice.do(t, "POST", f.path("/stages/uat/resume"), nil).into(t, &lifted); len(lifted.Items) != 0 {
		t.Errorf("resume without healing lifted %+v", lifted)
	}
	if alice.do(t, "POST", f.path("/stages/uat/resume?healing=true"), nil).into(t, &lifted); len(lifted.Items) != 1 || lifted.Items[0].Name != pause.Name {
		t.Errorf("resume lifted %+v", lifted)
	}
	eventually(t, func() error {
		var list model.FreezeList
		if alice.get(t, f.path("/freezes"), &list); len(list.Items) != 0 {
			return fmt.Errorf("%d freezes", len(list.Items))
		}
		return nil
	})
	var audit model.AuditList
	shared.as(t, "admin").get(t, f.path("/audit"), &audit)
	var actions []string
	for _, e := range audit.Items {
		if e.Name == pause.Name {
			actions = append(actions, string(e.Action)+" by "+e.Actor)
		}
	}
	if got := strings.Join(actions, ", "); got != "resume-healing by waybill:alice, hold-healing by waybill:alice" {
		t.Errorf("history says %q", got)
	}
}
