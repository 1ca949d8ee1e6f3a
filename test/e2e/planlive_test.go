package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/demoregistry"
)

// TestPlanAgainstLive: a plan says what lives otherwise than Git says, of the
// objects it changes and of those it leaves alone.
func TestPlanAgainstLive(t *testing.T) {
	t.Parallel()
	w := newCommonWorld(t, "planlive")
	w.guestbook()
	w.pipeline([]string{"test"}, func(s *v1alpha1.Stage) {
		s.Spec.AutoPromotion.Enabled = false
		s.Spec.Deploy[0].SyncPolicy.Automated.SelfHeal = false
	})
	w.push("1.26.0")
	w.promote("test", "1.26.0")
	w.runs("test", "1.26.0")
	w.push("1.27.0")
	w.freight("1.27.0")

	plan := func() (out model.Plan) {
		t.Helper()
		s := w.cli("", "diff", "1.27.0", w.project+"/test", "-o", "json")
		if err := json.Unmarshal([]byte(s.out), &out); err != nil || len(out.Applications) != 1 {
			t.Fatalf("%v\n%s", err, s.text())
		}
		return out
	}
	before := plan()
	app := before.Applications[0]
	if len(app.Objects) != 1 || app.Objects[0].Kind != "Deployment" || len(app.Objects[0].Live)+len(app.Drifted) > 0 || app.LiveMissing != "" {
		t.Fatalf("nobody has changed anything: %+v", app)
	}

	// Somebody scales what the promotion changes, and turns what it leaves elsewhere.
	d, err := w.deployment("test")
	if err != nil {
		t.Fatal(err)
	}
	scaled := d.DeepCopy()
	scaled.Spec.Replicas = new(int32)
	*scaled.Spec.Replicas = 2
	if err := w.client.Patch(t.Context(), scaled, client.MergeFrom(d)); err != nil {
		t.Fatal(err)
	}
	var service corev1.Service
	if err := w.client.Get(t.Context(), client.ObjectKeyFromObject(&appsv1.Deployment{ObjectMeta: d.ObjectMeta}), &service); err != nil {
		t.Fatal(err)
	}
	moved := service.DeepCopy()
	moved.Spec.Selector["app"] = "other"
	if err := w.client.Patch(t.Context(), moved, client.MergeFrom(&service)); err != nil {
		t.Fatal(err)
	}
	w.eventually("the plan says both", func() error {
		app = plan().Applications[0]
		if len(app.Objects) != 1 || len(app.Objects[0].Live) != 1 || len(app.Drifted) != 1 {
			return fmt.Errorf("%+v, drifted %+v", app.Objects[0].Live, app.Drifted)
		}
		return nil
	})
	if got := app.Objects[0].Live[0]; got.Field != "spec.replicas" || got.Before != "3" || got.After != "2" {
		t.Errorf("the Deployment: %+v", got)
	}
	if got := app.Drifted[0]; got.Kind != "Service" || len(got.Live) != 1 || got.Live[0].Field != "spec.selector.app" || got.Live[0].After != "other" {
		t.Errorf("the Service: %+v", got)
	}
	if after := plan(); after.PlanHash != before.PlanHash {
		t.Error("what lives is part of the hash")
	}
	if s := w.cli("", "diff", "1.27.0", w.project+"/test"); !strings.Contains(s.out, "spec.replicas: 3 in Git, 2 in the cluster") {
		t.Errorf("%s", s.text())
	}
}

// TestPlanNamesAnotherUser: the plan says when containers would run as another
// user, which only the images know.
func TestPlanNamesAnotherUser(t *testing.T) {
	t.Parallel()
	w := newCommonWorld(t, "users")
	w.guestbook()
	w.pipeline([]string{"test"}, func(s *v1alpha1.Stage) { s.Spec.AutoPromotion.Enabled = false })
	for _, image := range []struct{ tag, user string }{{"1.26.0", "1000"}, {"1.27.0", "1000"}, {"1.28.0", ""}} {
		w.registry.Push("guestbook", image.tag, demoregistry.ImageOptions{Salt: image.tag, User: image.user})
		w.refresh()
		w.freight(image.tag)
	}
	w.promote("test", "1.26.0")
	w.runs("test", "1.26.0")
	if s := w.cli("", "diff", "1.27.0", w.project+"/test"); strings.Contains(s.out, "runs as") {
		t.Errorf("the same user is no risk:\n%s", s.text())
	}
	s := w.cli("", "diff", "1.28.0", w.project+"/test")
	if want := "guestbook:1.28.0 runs as root, because it names no user; 1.26.0 ran as user \"1000\""; !strings.Contains(s.out, want) {
		t.Errorf("the plan does not say %q:\n%s", want, s.text())
	}
}
