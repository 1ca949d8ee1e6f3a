package rest

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/git/gittest"
	"github.com/waybill-dev/waybill/internal/secret"
)

const acceptedFiles = `apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {k: "1", token: abc}
---
apiVersion: v1
kind: Secret
metadata: {name: gone}
stringData: {p: abc}
`

// drifting makes an Application with recorded drift, on a real Git server.
func (f fixture) drifting(t *testing.T) *gittest.Server {
	t.Helper()
	server := gittest.NewServer(t)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	mirrors, err := git.NewMirrors(git.Options{Dir: t.TempDir(), Transport: transport, AllowPlainHTTP: true})
	if err != nil {
		t.Fatal(err)
	}
	open := func(repoURL string) (*git.Mirror, error) {
		return mirrors.Open(git.Remote{URL: repoURL, Username: gittest.Username, Password: secret.New(gittest.Password), CredentialName: "test/git"})
	}
	shared.openGit.Store(&open)
	t.Cleanup(func() {
		shared.openGit.Store(nil)
		_ = mirrors.Close()
	})
	repoURL := server.CreateRepo("app", map[string]string{"app/all.yaml": acceptedFiles})
	server.SetBranch("app", "stage/test", server.Branch("app", "main"))

	app := f.application(t, "test")
	before := app.DeepCopy()
	app.Spec.Source = v1alpha1.ApplicationSource{RepoURL: repoURL, TargetRevision: "stage/test", Path: "app"}
	if err := shared.admin.Patch(t.Context(), app, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
	ns := f.name + "-test"
	drift := func(kind, name, field, got, action string) v1alpha1.Drift {
		return v1alpha1.Drift{Kind: kind, Namespace: ns, Name: name, Field: field, Got: got, Manager: "kubectl-edit", Action: action, At: metav1.NewMicroTime(time.Now())}
	}
	app.Status.Drifts = []v1alpha1.Drift{
		drift("ConfigMap", "settings", "data.k", "canary-in-config", "Reported"), drift("ConfigMap", "settings", "data.token", "x", "Paused"),
		drift("ConfigMap", "settings", "data.old", "x", "Healed"), drift("Secret", "gone", "data.p", "***", "Reported"),
		drift("Service", "away", "spec.type", "x", "Reported"), drift("ConfigMap", "settings", "", "", "Reported"),
	}
	updateStatus(t, app)
	other := &v1alpha1.Application{ObjectMeta: metav1.ObjectMeta{Namespace: f.name, Name: "infra"}, Spec: app.Spec}
	other.Spec.Source.TargetRevision = "main"
	create(t, other)
	other.Status.Drifts = app.Status.Drifts[:1]
	updateStatus(t, other)
	return server
}

// TestAcceptIsRefused: every refusal says why and what to do, nothing of a Secret comes
// out, and nothing is committed.
func TestAcceptIsRefused(t *testing.T) {
	f := newProject(t)
	server := f.drifting(t)
	alice := shared.as(t, "alice")
	field := func(kind, name, path, seen string) model.AcceptRequest {
		return model.AcceptRequest{Reason: "r", Fields: []model.AcceptField{{Kind: kind, Name: name, Field: path, Seen: seen}}}
	}
	ok := field("ConfigMap", "settings", "data.k", "")
	eventually(t, func() error { // the cache has the record
		if a := alice.do(t, "POST", f.path("/applications/test/accept"), field("Service", "away", "spec.type", "")); !strings.Contains(string(a.body), "not part of the Application") {
			return fmt.Errorf("%d %s", a.status, a.body)
		}
		return nil
	})
	head := server.Branch("app", "stage/test")
	for _, c := range []struct {
		name, app, who string
		body           model.AcceptRequest
		status         int
		want           string
	}{
		{"no permission", "test", "victor", ok, http.StatusForbidden, ""},
		{"a Secret", "test", "alice", field("Secret", "gone", "data.p", ""), http.StatusConflict, "what a Secret holds is not written into a repository"},
		{"what by its name is a secret", "test", "alice", field("ConfigMap", "settings", "data.token", ""), http.StatusConflict, ""},
		{"another value than the one seen", "test", "alice", field("ConfigMap", "settings", "data.k", "2"), http.StatusConflict, "and no longer 2"},
		{"taken back already", "test", "alice", field("ConfigMap", "settings", "data.old", ""), http.StatusConflict, "was taken back already"},
		{"not drifted", "test", "alice", field("ConfigMap", "settings", "data.other", ""), http.StatusNotFound, "no change of ConfigMap/settings data.other is on record"},
		{"not of the Application", "test", "alice", field("ConfigMap", "strange", "data.k", ""), http.StatusNotFound, "is on record"},
		{"no Stage's", "infra", "alice", ok, http.StatusConflict, "is no Stage's"},
		{"no such Application", "nothing", "alice", ok, http.StatusNotFound, "no Application"},
		{"nothing asked", "test", "alice", model.AcceptRequest{}, http.StatusBadRequest, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := shared.as(t, c.who).do(t, "POST", f.path("/applications/"+c.app+"/accept"), c.body)
			if a.status != c.status || !strings.Contains(a.problem(t).Detail, c.want) {
				t.Errorf("%d %s, want %d: %s", a.status, a.body, c.status, c.want)
			}
		})
	}
	if now := server.Branch("app", "stage/test"); now != head {
		t.Errorf("a refusal moved the branch to %s", now)
	}
	testAcceptOnBranch(t, f, server, ok)
}

// testAcceptOnBranch: a branch that cannot be written says so without naming what the
// Git server said, and one that can gets one commit.
func testAcceptOnBranch(t *testing.T, f fixture, server *gittest.Server, ok model.AcceptRequest) {
	t.Helper()
	alice := shared.as(t, "alice")
	open := shared.openGit.Swap(nil)
	if a := alice.do(t, "POST", f.path("/applications/test/accept"), ok); a.status != http.StatusServiceUnavailable ||
		!strings.Contains(a.problem(t).Detail, "could not be written") || strings.Contains(string(a.body), "no Git here") {
		t.Errorf("a branch that cannot be written: %d %s", a.status, a.body)
	}
	shared.openGit.Store(open)
	var frozen model.Freeze
	admin := shared.as(t, "admin")
	admin.do(t, "POST", f.path("/freezes"), model.FreezeRequest{Stage: "test", Reason: "audit"}).into(t, &frozen)
	eventually(t, func() error {
		if a := alice.do(t, "POST", f.path("/applications/test/accept"), ok); a.status != http.StatusConflict || a.problem(t).Code != model.GateClosed {
			return fmt.Errorf("%d %s", a.status, a.body)
		}
		return nil
	})
	if a := admin.do(t, "DELETE", f.path("/freezes/"+frozen.Name), nil); a.status != http.StatusNoContent {
		t.Fatalf("%d %s", a.status, a.body)
	}
	// A pause of healing is what leaves time to accept.
	if a := alice.do(t, "POST", f.path("/stages/test/hold"), model.HoldRequest{Reason: "leak", Healing: true, Until: time.Now().Add(time.Hour)}); a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.body)
	}
	var first, again model.AcceptResult
	ok.Fields[0].Seen = "canary-in-config"
	eventually(t, func() error {
		a := alice.do(t, "POST", f.path("/applications/test/accept"), ok)
		if a.status != http.StatusOK {
			return fmt.Errorf("%d %s", a.status, a.body)
		}
		a.into(t, &first)
		return nil
	})
	if !first.IsNew || first.Commit != server.Branch("app", "stage/test") || first.Changes[0].After != "canary-in-config" {
		t.Errorf("%+v", first)
	}
	if text := server.Git("app", "log", "-1", "--format=%B", "stage/test"); !strings.Contains(text, "Waybill-Accepted-By: waybill:alice") {
		t.Errorf("the commit says %s", text)
	}
	if alice.do(t, "POST", f.path("/applications/test/accept"), ok).into(t, &again); again.IsNew || again.Commit != first.Commit {
		t.Errorf("a second commit: %+v", again)
	}
	var settings corev1.ConfigMap
	if err := shared.admin.Get(t.Context(), client.ObjectKey{Namespace: f.name + "-test", Name: "settings"}, &settings); err != nil || settings.Data["k"] != "canary-in-config" {
		t.Errorf("%v %v", err, settings.Data)
	}
}
