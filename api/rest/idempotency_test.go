package rest

import (
	"net/http"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// TestSentTwice: a request that is sent again with its key makes one thing. All
// that is remembered is in Kubernetes, so replicas and restarts are no other case.
func TestSentTwice(t *testing.T) {
	f := newProject(t)
	alice, admin := shared.as(t, "alice"), shared.as(t, "admin")
	send := func(who person, path string, body any, key string) answer {
		t.Helper()
		return who.do(t, "POST", f.path(path), body, "Idempotency-Key: "+key)
	}
	name := func(a answer) string {
		t.Helper()
		var m struct {
			Name string `json:"name"`
		}
		a.into(t, &m)
		return m.Name
	}
	reused := func(a answer) {
		t.Helper()
		if a.status != http.StatusUnprocessableEntity || a.problem(t).Code != model.KeyReused {
			t.Errorf("%d %s", a.status, a.body)
		}
	}

	const promotions = "/stages/test/promotions"
	first := name(send(alice, promotions, promote("1.28.0"), "k1"))
	f.ends(t, first, v1alpha1.PhaseFailed)
	if again := name(send(alice, promotions, promote("1.28.0"), "k1")); again != first {
		t.Errorf("sent again after it failed it is %s, not %s", again, first)
	}
	reused(send(alice, promotions, promote("1.27.0"), "k1"))
	other := name(send(admin, promotions, promote("1.28.0"), "k1"))
	if other == first {
		t.Error("the key of one person is the key of another")
	}
	f.ends(t, other, v1alpha1.PhaseFailed)
	next := name(send(alice, promotions, promote("1.28.0"), "k2"))
	if next == first || next == other {
		t.Errorf("another key made nothing: %s", next)
	}
	f.ends(t, next, v1alpha1.PhaseFailed)

	retry := "/promotions/" + other + "/retry"
	tried := name(send(alice, retry, model.RetryRequest{}, "k3"))
	f.ends(t, tried, v1alpha1.PhaseSucceeded)
	if again := name(send(alice, retry, model.RetryRequest{}, "k3")); again != tried {
		t.Errorf("retried again after it succeeded it is %s, not %s", again, tried)
	}

	freeze := model.FreezeRequest{Stage: "prod", Reason: "audit"}
	frozen := name(send(admin, "/freezes", freeze, "k4"))
	if again := name(send(admin, "/freezes", freeze, "k4")); again != frozen {
		t.Errorf("frozen twice: %s and %s", frozen, again)
	}
	reused(send(admin, "/freezes", model.FreezeRequest{Stage: "prod", Reason: "another"}, "k4"))
	if another := name(send(admin, "/freezes", freeze, "k5")); another == frozen {
		t.Errorf("another key made nothing: %s", another)
	}
	var list v1alpha1.FreezeList
	if err := shared.admin.List(t.Context(), &list, client.InNamespace(f.name)); err != nil || len(list.Items) != 2 {
		t.Errorf("%d Freezes, %v", len(list.Items), err)
	}

	if a := send(alice, promotions, promote("1.28.0"), strings.Repeat("k", 256)); a.status != http.StatusBadRequest {
		t.Errorf("a key that is too long: %d %s", a.status, a.body)
	}
}
