package cli

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/api/rest/model"
)

// wellServer answers what doctor asks, all of it well.
func wellServer() map[string]answer {
	return map[string]answer{
		"GET /version":             ok(model.Version{Version: "v0.1.0", API: "v1"}),
		"GET /readyz":              ok("ok"),
		"GET /api/v1/me":           ok(model.Me{User: "waybill:alice", Name: "alice", ExpiresAt: noon.Add(48 * time.Hour)}),
		"GET /api/v1/doctor":       ok(model.Doctor{Items: []model.Finding{{Name: "leader", State: model.FindingOK, Message: "waybill-7d leads"}, {Name: "history", State: model.FindingOK, Message: "PostgreSQL answers"}}}),
		"GET /api/v1/clusters":     ok(model.ClusterList{Items: []model.Cluster{{Name: "in-cluster", BuiltIn: true, Ready: true}}}),
		"GET /api/v1/projects":     ok(model.Projects{Items: []model.ProjectSummary{{Name: "guestbook"}}}),
		"GET " + api + "/pipeline": ok(pipeline()),
		"GET " + api + "/promotions?limit=500&phase=Pending": ok(model.PromotionList{Items: []model.Promotion{}}),
		"GET " + api + "/webhooks":                           ok(model.WebhookList{Items: []model.Webhook{}}),
	}
}

// illServer is wellServer with everything doctor tells of.
func illServer() map[string]answer {
	bad := pipeline()
	bad.Warehouses[0].Ready, bad.Warehouses[0].Reason, bad.Warehouses[0].Message = false, "AuthenticationFailed", "registry.example.com wants credentials"
	bad.Warehouses = append(bad.Warehouses, model.Warehouse{Name: "charts", Project: "guestbook", Ready: true,
		Subscriptions: []model.Subscription{{RepoURL: "https://charts.example.com", Error: "answered 503 at 11:58Z"}}})
	bad.Stages[0].Status = model.Status{Word: model.StatusWordFailed, Sentence: "Degraded: Deployment/guestbook: CrashLoopBackOff", NextAction: model.NextAction{Verb: "rollback", Command: "waybill rollback guestbook/test"}}
	bad.Stages[1].Status = model.Status{Word: model.StatusWordUnknown, Sentence: "cluster \"west\" does not answer"}
	waits := promotion(model.PhasePending)
	waits.CreatedAt, waits.Gates = at(3*24*60), []model.GateVerdict{closedGate(model.GateNameApproval, model.Start, "0 of 2 approvals", "waybill approve guestbook/prod")}
	fresh := promotion(model.PhasePending)
	fresh.Name = "prod.3.f2222222"
	out := wellServer()
	maps.Copy(out, map[string]answer{
		"GET /version":   ok(model.Version{Version: "v0.2.0", API: "v1"}),
		"GET /readyz":    problem(model.Problem{Status: http.StatusServiceUnavailable, Code: model.Unavailable, Detail: "the cache of Waybill's objects is not filled yet"}),
		"GET /api/v1/me": ok(model.Me{User: "waybill:alice", Name: "alice", ExpiresAt: noon.Add(10 * time.Minute)}),
		"GET /api/v1/doctor": ok(model.Doctor{Items: []model.Finding{
			{Name: "policies", State: model.FindingFail, Message: "not in force: ValidatingAdmissionPolicy/promotions.waybill.dev; nothing is promoted", Next: "waybilld install"},
			{Name: "notifications", State: model.FindingUnknown, Message: "what waits to be sent is in the history's store"},
		}}),
		"GET /api/v1/clusters": ok(model.ClusterList{Items: []model.Cluster{{Name: "in-cluster", BuiltIn: true, Ready: true},
			{Name: "west", Reason: "Unreachable", Message: "no answer within 10s", Applications: 2}}}),
		"GET " + api + "/pipeline":                           ok(bad),
		"GET " + api + "/promotions?limit=500&phase=Pending": ok(model.PromotionList{Items: []model.Promotion{waits, fresh}}),
		"GET " + api + "/webhooks": ok(model.WebhookList{Items: []model.Webhook{
			{Name: "github", Ready: true, Deliveries: []model.WebhookDelivery{{At: at(3), Result: model.Refused, Detail: "the signature is wrong"}}},
			{Name: "quay", Message: `there is no Secret "hooks"`},
		}}),
	})
	return out
}

func TestDoctor(t *testing.T) {
	forbidden := wellServer()
	for _, path := range []string{"GET /api/v1/doctor", "GET /api/v1/clusters"} {
		forbidden[path] = problem(model.Problem{Status: http.StatusForbidden, Code: model.Forbidden, Detail: "you may not list clusters"})
	}
	stranger := wellServer()
	stranger["GET /api/v1/me"] = problem(model.Problem{Status: http.StatusUnauthorized, Code: model.NotSignedIn, Detail: "you are not signed in, or your session has ended"})
	missing := wellServer()
	missing["GET /api/v1/projects/nowhere/pipeline"] = problem(model.Problem{Status: http.StatusNotFound, Code: model.NotFound, Detail: `no Project "nowhere", or you may not see it`})
	for _, c := range []struct {
		name, args string
		answers    map[string]answer
		late       time.Duration // of the server's clock
	}{
		{"doctor-well", "doctor", wellServer(), 0},
		{"doctor-ill", "doctor", illServer(), 0},
		{"doctor-ill-json", "doctor -o json", illServer(), 0},
		{"doctor-not-an-administrator", "doctor", forbidden, 0},
		{"doctor-not-signed-in", "doctor", stranger, 0},
		{"doctor-clock", "doctor", wellServer(), 10 * time.Minute},
		{"doctor-no-project", "doctor -p nowhere", missing, 0},
		{"help-doctor", "doctor --help", nil, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := serve(t, c.answers)
			if c.late != 0 {
				inner := server.Config.Handler
				server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					inner.ServeHTTP(&lateWriter{w, c.late}, r)
				})
			}
			got := signedIn(t, server.URL).run(strings.Fields(c.args)...)
			if strings.Contains(got.String(), "wbt_secret") {
				t.Error("it prints the token")
			}
			golden(t, c.name, strings.ReplaceAll(got.String(), server.URL, "https://waybill.example.com"))
		})
	}
}

// lateWriter says that it is earlier than it is.
type lateWriter struct {
	http.ResponseWriter

	late time.Duration
}

func (w *lateWriter) WriteHeader(status int) {
	w.Header().Set("Date", noon.Add(-w.late).Format(http.TimeFormat))
	w.ResponseWriter.WriteHeader(status)
}

func TestDoctorWithoutAServer(t *testing.T) {
	golden(t, "doctor-no-context", newSession(t).run("doctor").String())
	server := httptest.NewServer(http.NotFoundHandler())
	url := server.URL
	server.Close()
	got := signedIn(t, url).run("doctor", "-o", "json")
	var out struct {
		Fails int
		Items []struct{ Name, State string }
	}
	if err := json.Unmarshal([]byte(got.stdout), &out); err != nil || got.code != 2 || out.Fails != 1 || len(out.Items) != 2 || out.Items[1].Name != "server" {
		t.Errorf("an unreachable server: %v\n%s", err, got)
	}
}

func TestDoctorOfThisMachine(t *testing.T) {
	s := signedIn(t, "http://127.0.0.1:1") // nothing is asked of it
	write := func(name, content string, mode os.FileMode) {
		t.Helper()
		path := filepath.Join(s.home, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil { // whatever the umask is
			t.Fatal(err)
		}
	}
	named := func(r result) string { return strings.ReplaceAll(r.String(), s.home, "HOME") }
	golden(t, "doctor-local-bare", named(s.run("doctor", "--local")))
	for _, program := range []string{"bin/git", "waybill", "waybilld", "waybill-kube"} {
		write(program, "", 0o755)
	}
	s.env["PATH"] = filepath.Join(s.home, "bin")
	write(".kube/config", "current-context: production\nusers: [{name: a, user: {token: canary-of-kubectl}}]\n", 0o644)
	if err := os.Chmod(s.env["WAYBILL_CONFIG"], 0o644); err != nil {
		t.Fatal(err)
	}
	got := s.run("doctor", "--local")
	golden(t, "doctor-local", named(got))
	if strings.Contains(got.String(), "canary") || strings.Contains(got.String(), "wbt_") {
		t.Error("it prints a secret")
	}
}
