package controllers_test

import (
	"context"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/controllers"
	"github.com/waybill-dev/waybill/git/gittest"
	"github.com/waybill-dev/waybill/internal/credentials"
	"github.com/waybill-dev/waybill/internal/secret"
	"github.com/waybill-dev/waybill/promotion/pullrequest"
	"github.com/waybill-dev/waybill/test/provider"
)

// tokens gives every repository the token of the test's provider.
type tokens struct{}

// Lookup implements pullrequest.Credentials.
func (tokens) Lookup(context.Context, credentials.Type, string, string) (credentials.Credential, error) {
	return credentials.Credential{Name: "git", Username: gittest.Username, Password: secret.New(provider.Token)}, nil
}

// TestCommitStatus: on every provider a commit shows how far its promotion is;
// when the provider is away, or Waybill was stopped in between, the last state is
// what it shows in the end.
func TestCommitStatus(t *testing.T) {
	for name, words := range map[string][3]string{
		"github": {"pending", "success", "failure"},
		"gitlab": {"pending", "success", "failed"},
		"gitea":  {"pending", "success", "failure"},

		"bitbucket": {"INPROGRESS", "SUCCESSFUL", "FAILED"},
		"azure":     {"pending", "succeeded", "failed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := provider.Start(t, gittest.NewServer(t))
			server.CreateRepo("guestbook", map[string]string{"a": "1"})
			source := server.Branch("guestbook", "main")

			repoURL := map[string]string{"bitbucket": "https://bitbucket.org/team/guestbook", "azure": "https://dev.azure.com/org/team/_git/guestbook"}[name]
			if repoURL == "" {
				repoURL = server.CloneURL("guestbook")
			}
			s := &v1alpha1.Stage{}
			s.Namespace, s.Name = "guestbook", "prod"
			s.Spec.CommitStatus = &v1alpha1.CommitStatusPolicy{Of: []v1alpha1.CommitStatusTarget{v1alpha1.CommitsOfFreight}, Provider: name}
			p := &v1alpha1.Promotion{}
			p.Namespace, p.Name, p.Spec.Stage, p.Spec.Freight, p.Spec.Kind = "guestbook", "prod.1.f1", "prod", "f1", v1alpha1.KindPromote
			p.Status.Plan = &v1alpha1.PromotionPlan{Collection: []v1alpha1.StageFreight{{
				Origin: "guestbook", Freight: "f1", Commits: []v1alpha1.Commit{{RepoURL: repoURL, ID: source}},
			}}}
			scheme := runtime.NewScheme()
			if err := v1alpha1.AddToScheme(scheme); err != nil {
				t.Fatal(err)
			}
			c := fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(p).WithObjects(s, p).Build()
			start := func() *controllers.CommitStatusReconciler {
				return controllers.NewCommitStatusReconciler(controllers.CommitStatusOptions{
					Client: c, Live: c, Clock: clock.RealClock{}, PublicURL: "https://waybill.example.com/",
					Providers: &pullrequest.Providers{Credentials: tokens{}, Transport: server.Transport()},
				})
			}
			r := start()
			reconcile := func() ctrl.Result {
				t.Helper()
				result, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(p)})
				if err != nil {
					t.Fatal(err)
				}
				return result
			}
			becomes := func(phase v1alpha1.PromotionPhase, message string) {
				t.Helper()
				now := metav1.NewMicroTime(time.Now())
				p.Status.Phase, p.Status.Message, p.Status.StartedAt = phase, message, &now
				if phase.IsFinished() {
					p.Status.FinishedAt = &now
				}
				if err := c.Status().Update(t.Context(), p); err != nil {
					t.Fatal(err)
				}
			}
			shows := func(count int, state string) provider.Status {
				t.Helper()
				all := server.Statuses()
				if len(all) != count || all[count-1].State != state {
					t.Fatalf("statuses %+v, want %d with %q at the end", all, count, state)
				}
				return all[count-1]
			}

			if reconcile(); len(server.Statuses()) != 0 {
				t.Fatalf("before it begins: %+v", server.Statuses())
			}
			becomes(v1alpha1.PhaseRunning, "")
			reconcile()
			if got := shows(1, words[0]); got.Commit != source || got.Context != "waybill/guestbook/prod" || got.URL != "https://waybill.example.com/projects/guestbook/promotions/prod.1.f1" {
				t.Errorf("status %+v", got)
			}
			becomes(v1alpha1.PhaseSyncing, "")
			reconcile()
			shows(1, words[0]) // nothing new

			server.SetDown(true)
			becomes(v1alpha1.PhaseSucceeded, "")
			if again := reconcile(); again.RequeueAfter <= 0 {
				t.Error("a provider that is away is not asked again")
			}
			server.SetDown(false)
			reconcile()
			shows(2, words[1])

			// Waybill is stopped before it can say that the version was taken back.
			becomes(v1alpha1.PhaseRolledBack, `taken back by "prod.2.f1"`)
			r = start()
			reconcile()
			if got := shows(3, words[2]); !strings.Contains(got.Description, "taken back by") {
				t.Errorf("status %+v", got)
			}
			// Another restart says the same again, or nothing; never an older state.
			r = start()
			if again := reconcile(); again.RequeueAfter > 0 {
				t.Error("saying it again failed")
			}
			if all := server.Statuses(); all[len(all)-1].State != words[2] {
				t.Errorf("statuses %+v", all)
			}
		})
	}
}
