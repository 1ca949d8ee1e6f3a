package rest

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/history"
)

// ends puts a Promotion into a phase, and waits until the API shows that.
func (f fixture) ends(t *testing.T, name string, phase v1alpha1.PromotionPhase) {
	t.Helper()
	p := f.promotion(t, name)
	p.Status.Phase, p.Status.FinishedAt = phase, &metav1.MicroTime{Time: time.Now()}
	updateStatus(t, p)
	f.shows(t, name, func(m model.Promotion) bool { return m.Phase == model.Phase(phase) })
}

// shows waits until a Promotion is shown as wanted.
func (f fixture) shows(t *testing.T, name string, wanted func(model.Promotion) bool) {
	t.Helper()
	eventually(t, func() error {
		var m model.Promotion
		a := shared.as(t, "admin").do(t, "GET", f.path("/promotions/"+name), nil)
		a.into(t, &m)
		if !wanted(m) {
			return &unexpected{a}
		}
		return nil
	})
}

// unexpected is an answer that is not the one that was waited for.
type unexpected struct{ answer }

func (u *unexpected) Error() string { return http.StatusText(u.status) + " " + string(u.body) }

func retryPath(f fixture, name string) string { return f.path("/promotions/" + name + "/retry") }

func TestRetry(t *testing.T) {
	f := newProject(t)
	alice := shared.as(t, "alice")
	var first, second model.Promotion
	ask := promote("1.28.0")
	ask.Reason = "ticket 7"
	shared.as(t, "admin").do(t, "POST", f.path("/stages/test/promotions"), ask).into(t, &first)

	refused := func(name, what, hint string) {
		t.Helper()
		p := alice.do(t, "POST", retryPath(f, name), model.RetryRequest{}).problem(t)
		if p.Code != model.Conflict || !strings.Contains(p.Detail, what) || !strings.Contains(p.Hint, hint) {
			t.Errorf("retry of %s: %s %q, hint %q", name, p.Code, p.Detail, p.Hint)
		}
	}
	f.shows(t, first.Name, func(m model.Promotion) bool { return !m.MayRetry })
	refused(first.Name, "has not ended: Pending", "waybill abort "+f.name+"/"+first.Name)

	f.ends(t, first.Name, v1alpha1.PhaseFailed)
	f.shows(t, first.Name, func(m model.Promotion) bool { return m.MayRetry })
	for _, who := range []string{"victor", "mallory"} {
		a := shared.as(t, who).do(t, "POST", retryPath(f, first.Name), model.RetryRequest{})
		if a.status != http.StatusForbidden && a.status != http.StatusNotFound {
			t.Errorf("%s, who may not promote: %d %s", who, a.status, a.body)
		}
	}
	if p := alice.do(t, "POST", retryPath(f, first.Name), model.RetryRequest{Freight: nameOf(2)}).problem(t); p.Code != model.PlanChanged {
		t.Errorf("shown other Freight: %+v", p)
	}
	a := alice.do(t, "POST", retryPath(f, first.Name), model.RetryRequest{Freight: nameOf(3)})
	a.into(t, &second)
	if a.status != http.StatusAccepted || a.header.Get("Location") != f.path("/promotions/"+second.Name) || second.RetryOf != first.Name {
		t.Fatalf("%d %s", a.status, a.body)
	}
	p := f.promotion(t, second.Name)
	if p.Name == first.Name || p.Spec.RetryOf != first.Name || p.Spec.Freight != nameOf(3) || p.Spec.Reason != "ticket 7" || p.Spec.RequestedBy != "waybill:alice" {
		t.Fatalf("%s %+v", p.Name, p.Spec)
	}
	f.shows(t, first.Name, func(m model.Promotion) bool { return m.RetriedBy == second.Name && !m.MayRetry })

	var again model.Promotion
	alice.do(t, "POST", retryPath(f, first.Name), model.RetryRequest{}).into(t, &again)
	if again.Name != second.Name {
		t.Errorf("tried twice at once: %s and %s", second.Name, again.Name)
	}

	f.ends(t, second.Name, v1alpha1.PhaseAborted)
	alice.do(t, "POST", retryPath(f, second.Name), model.RetryRequest{Reason: "the registry is back"}).into(t, &again)
	if p := f.promotion(t, again.Name); p.Spec.RetryOf != second.Name || p.Spec.Reason != "the registry is back" {
		t.Errorf("%s %+v", p.Name, p.Spec)
	}
	f.ends(t, again.Name, v1alpha1.PhaseSucceeded)
	refused(again.Name, "nothing to try again", "waybill promote FREIGHT "+f.name+"/test")
	f.shows(t, second.Name, func(m model.Promotion) bool { return m.RetriedBy == again.Name })
	refused(second.Name, "tried again by \""+again.Name+"\", which succeeded", "waybill promote")
	f.ends(t, first.Name, v1alpha1.PhaseRolledBack)
	refused(first.Name, "was taken back", "waybill why")
	f.ends(t, first.Name, v1alpha1.PhaseSuperseded)
	refused(first.Name, "never started", "waybill promote "+nameOf(3))

	if a := alice.do(t, "POST", retryPath(f, "test.9.nope"), model.RetryRequest{}); a.status != http.StatusNotFound {
		t.Errorf("unknown: %d %s", a.status, a.body)
	}
}

// TestRetryPassesNoGate: what the first one passed the second does not, unless
// somebody says so who may.
func TestRetryPassesNoGate(t *testing.T) {
	f := newProject(t)
	admin := shared.as(t, "admin")
	var first, second model.Promotion
	ask := promote("1.28.0")
	ask.Reason, ask.Bypass = "outage 12", []model.PassableGate{"upstream", "soak"}
	admin.do(t, "POST", f.path("/stages/prod/promotions"), ask).into(t, &first)
	f.ends(t, first.Name, v1alpha1.PhaseFailed)

	p := admin.do(t, "POST", retryPath(f, first.Name), model.RetryRequest{}).problem(t)
	if p.Code != model.GateClosed || !strings.Contains(p.Hint, "waybill retry "+f.name+"/"+first.Name+" --bypass upstream,soak --reason") {
		t.Errorf("%s %q, hint %q", p.Code, p.Detail, p.Hint)
	}
	body := model.RetryRequest{Bypass: []model.PassableGate{"upstream", "soak"}}
	if a := admin.do(t, "POST", retryPath(f, first.Name), body); a.status != http.StatusBadRequest {
		t.Errorf("a bypass without a reason of its own: %d %s", a.status, a.body)
	}
	body.Reason = "outage 12, again"
	if a := shared.as(t, "alice").do(t, "POST", retryPath(f, first.Name), body); a.status != http.StatusForbidden {
		t.Errorf("a bypass by somebody who may not: %d %s", a.status, a.body)
	}
	admin.do(t, "POST", retryPath(f, first.Name), body).into(t, &second)
	if p := f.promotion(t, second.Name); len(p.Spec.Bypass) != 2 || p.Spec.RetryOf != first.Name {
		t.Errorf("%+v", p.Spec)
	}
}

func TestRetryOfARollback(t *testing.T) {
	f := newProject(t)
	alice := shared.as(t, "alice")
	f.prepareRollback(t, "uat")
	var first, second model.Promotion
	alice.do(t, "POST", f.path("/stages/uat/rollback"), model.RollbackRequest{Reason: "errors", To: "1.26.0"}).into(t, &first)
	f.ends(t, first.Name, v1alpha1.PhaseFailed)
	if a := alice.do(t, "POST", retryPath(f, first.Name), model.RetryRequest{PlanHash: hashOf(1)}); a.status != http.StatusBadRequest {
		t.Errorf("a rollback with a plan: %d %s", a.status, a.body)
	}
	alice.do(t, "POST", retryPath(f, first.Name), model.RetryRequest{}).into(t, &second)
	p := f.promotion(t, second.Name)
	if p.Spec.Kind != v1alpha1.KindRollback || p.Spec.To != nameOf(1) || p.Spec.Freight != nameOf(2) || p.Spec.Reason != "errors" || p.Spec.RetryOf != first.Name {
		t.Errorf("%s %+v", p.Name, p.Spec)
	}
}

// oneRecord is a history with one Promotion.
type oneRecord struct {
	HistoryReader
	record history.Promotion
}

func (h oneRecord) GetPromotion(context.Context, string, string) (history.Promotion, error) {
	return h.record, nil
}

func TestRetryOfARecord(t *testing.T) {
	server := &Server{opts: Options{History: oneRecord{record: history.Promotion{
		Project: "guestbook", Stage: "test", Name: "test.1.x", Freight: history.Freight{Name: nameOf(1)}, RetryOf: "test.0.x",
	}}}}
	r := refusalOf(server.noRetry(t.Context(), "guestbook", "test.1.x"))
	if r.code != model.Conflict || r.hint != "waybill promote "+nameOf(1)+" guestbook/test" {
		t.Errorf("%v, hint %q", r, r.hint)
	}
	if m, err := server.recorded(t.Context(), "guestbook", "test.1.x"); err != nil || m.RetryOf != "test.0.x" || m.MayRetry {
		t.Errorf("%+v, %v", m, err)
	}
}
