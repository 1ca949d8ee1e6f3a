package planner_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/git/gitserver"
	"github.com/waybill-dev/waybill/git/gittest"
	"github.com/waybill-dev/waybill/gitops/render"
	"github.com/waybill-dev/waybill/internal/secret"
	"github.com/waybill-dev/waybill/promotion"
	"github.com/waybill-dev/waybill/promotion/engine"
	"github.com/waybill-dev/waybill/promotion/planner"
	"github.com/waybill-dev/waybill/promotion/steps"
)

const image = "registry.example/guestbook"

// bench is a planner on a real Git server.
type bench struct {
	t       *testing.T
	server  *gittest.Server
	url     string
	planner *planner.Planner
	mirrors *git.Mirrors
}

func (b *bench) Open(_ context.Context, project, repoURL string) (*git.Mirror, error) {
	return b.mirrors.Open(git.Remote{URL: repoURL, Username: gittest.Username, Password: secret.New(gittest.Password), CredentialName: project + "/git"})
}

func newBench(t *testing.T, files map[string]string) *bench {
	t.Helper()
	b := &bench{t: t, server: gittest.NewServer(t)}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	var err error
	if b.mirrors, err = git.NewMirrors(git.Options{Dir: t.TempDir(), Transport: transport, AllowPlainHTTP: true}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.mirrors.Close() })
	files["stages/test/kustomization.yaml"] = "images:\n- name: " + image + "\n  newTag: 1.25.0\n"
	b.url = b.server.CreateRepo("guestbook", files)
	e := &engine.Engine{Steps: steps.Builtin(steps.Dependencies{Author: git.Identity{Name: "Waybill", Email: "noreply@waybill.dev"}}), Repositories: b, Clock: clock.RealClock{}}
	b.planner = planner.New(b, e, render.NewCache(16<<20, nil))
	return b
}

func (b *bench) observation() (*promotion.Observation, *v1alpha1.Promotion, *v1alpha1.Freight) {
	s := &v1alpha1.Stage{}
	s.Namespace, s.Name = "guestbook", "test"
	s.Spec.RequestedFreight = []v1alpha1.FreightRequest{{Origin: v1alpha1.Origin{Name: "guestbook"}, Sources: v1alpha1.FreightSources{Direct: true}}}
	s.Spec.PromotionMechanisms = &v1alpha1.PromotionMechanisms{GitRepoUpdates: []v1alpha1.GitRepoUpdate{{
		RepoURL: b.url, ReadBranch: "main", WriteBranch: "stage/test",
		Kustomize: v1alpha1.KustomizeUpdate{Images: []v1alpha1.KustomizeImage{{Image: image, Path: "stages/test"}}},
	}}}
	f := &v1alpha1.Freight{Origin: v1alpha1.Origin{Name: "guestbook"}, Order: 1, Images: []v1alpha1.Image{{RepoURL: image, Tag: "1.26.0", Digest: "sha256:" + strings.Repeat("a", 64)}}}
	f.Namespace, f.Name = "guestbook", "f1260"
	p := &v1alpha1.Promotion{Spec: v1alpha1.PromotionSpec{Stage: "test", Freight: f.Name, Kind: v1alpha1.KindPromote}}
	p.Namespace, p.Name, p.UID = "guestbook", "test.1.f1260", "uid-1"
	return &promotion.Observation{Now: time.Now(), Stage: s, Stages: []v1alpha1.Stage{*s}, Freight: []v1alpha1.Freight{*f}}, p, f
}

func (b *bench) plan() *v1alpha1.PromotionPlan {
	b.t.Helper()
	o, p, f := b.observation()
	plan, err := b.planner.Plan(b.t.Context(), o, p, f)
	if err != nil {
		b.t.Fatal(err)
	}
	return plan
}

func (b *bench) overwrites() []v1alpha1.ForeignCommit {
	b.t.Helper()
	return b.plan().Overwrites
}

const ours = "test: guestbook 1.25.0\n\nWaybill-Promotion: guestbook/test.7.abc\nWaybill-Promotion-UID: u\n"

// TestWhatWouldBeOverwritten: what a person put on the Stage's branch is never
// replaced without being named.
func TestWhatWouldBeOverwritten(t *testing.T) {
	change := func(n int) map[string]gittest.File {
		return map[string]gittest.File{"hotfix.yaml": {Content: fmt.Sprintf("n: %d\n", n)}}
	}
	for _, c := range []struct {
		why  string
		make func(b *bench)
		want int // commits named
	}{
		{"no branch yet", func(*bench) {}, 0},
		{"a branch made from main holds nothing of its own", func(b *bench) { b.server.SetBranch("guestbook", "stage/test", b.server.Branch("guestbook", "main")) }, 0},
		{"nor when main went on since", func(b *bench) {
			b.server.SetBranch("guestbook", "stage/test", b.server.Branch("guestbook", "main"))
			b.server.Commit("guestbook", "main", "more", map[string]string{"more.yaml": "a: 1\n"})
		}, 0},
		{"a branch with content that Waybill never saw", func(b *bench) {
			b.server.CommitFiles("guestbook", gitserver.Commit{Branch: "stage/test", Message: "our production", Files: change(1)})
		}, 1},
		{"a hotfix on a branch made from main", func(b *bench) {
			b.server.SetBranch("guestbook", "stage/test", b.server.Branch("guestbook", "main"))
			b.server.CommitFiles("guestbook", gitserver.Commit{Branch: "stage/test", Message: "hotfix", Files: change(1)})
		}, 1},
		{"Waybill's own commit", func(b *bench) {
			b.server.CommitFiles("guestbook", gitserver.Commit{Branch: "stage/test", Message: ours, Files: change(1)})
		}, 0},
		{"two hotfixes after it", func(b *bench) {
			b.server.CommitFiles("guestbook", gitserver.Commit{Branch: "stage/test", Message: ours, Files: change(1)})
			b.server.CommitFiles("guestbook", gitserver.Commit{Branch: "stage/test", Message: "hotfix", Files: change(2)})
			b.server.CommitFiles("guestbook", gitserver.Commit{Branch: "stage/test", Message: "hotfix 2", Files: change(3)})
		}, 2},
		{"a promotion of another Project to the same branch", func(b *bench) {
			b.server.CommitFiles("guestbook", gitserver.Commit{Branch: "stage/test", Message: strings.Replace(ours, "guestbook/test", "payroll/test", 1), Files: change(1)})
		}, 1},
		{"more than can be followed", func(b *bench) {
			b.server.CommitFiles("guestbook", gitserver.Commit{Branch: "stage/test", Message: ours, Files: change(0)})
			base := strings.TrimSpace(b.server.Branch("guestbook", "stage/test"))
			for range 520 {
				base = strings.TrimSpace(b.server.Git("guestbook", "-c", "user.name=bot", "-c", "user.email=bot@example.com",
					"commit-tree", base+"^{tree}", "-p", base, "-m", "bot"))
			}
			b.server.SetBranch("guestbook", "stage/test", base)
			b.server.CommitFiles("guestbook", gitserver.Commit{Branch: "stage/test", Message: "bot", Files: change(1)})
		}, 20},
	} {
		t.Run(c.why, func(t *testing.T) {
			b := newBench(t, map[string]string{"base.yaml": "a: 1\n"})
			c.make(b)
			if got := b.overwrites(); len(got) != c.want {
				t.Errorf("%d commits named, want %d: %+v", len(got), c.want, got)
			}
		})
	}
}

// TestAcceptedChangesAreNamed: what a person accepted through Waybill is replaced as
// what promotions wrote, and the plan says who had accepted what. What only looks so
// is somebody else's commit.
func TestAcceptedChangesAreNamed(t *testing.T) {
	const trailers = "Waybill-Application: guestbook/test\nWaybill-Accepted-By: waybill:ada\nWaybill-Accepts: Deployment guestbook-test/web spec.replicas\n"
	const accepted = "test: accept spec.replicas of deployment/web\n\nthree\n\n" + trailers
	for _, c := range []struct {
		name, message     string
		foreign, accepted int
	}{
		{"accepted by Waybill", accepted, 0, 1},
		{"in another Project", strings.Replace(accepted, "guestbook/test", "payroll/test", 1), 1, 0},
		{"a message that quotes one", "hotfix\n\n" + trailers + "\nas ada did\n", 1, 0},
		{"a message that is one", trailers, 1, 0},
		{"trailers of a person among them", accepted + "Signed-off-by: eve\n", 1, 0},
		{"nobody accepted", strings.Replace(accepted, "Waybill-Accepted-By: waybill:ada\n", "", 1), 1, 0},
		{"two did", accepted + "Waybill-Accepted-By: waybill:eve\n", 1, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, map[string]string{"base.yaml": "a: 1\n"})
			b.server.CommitFiles("guestbook", gitserver.Commit{Branch: "stage/test", Message: ours, Files: map[string]gittest.File{"x.yaml": {Content: "a: 1\n"}}})
			b.server.CommitFiles("guestbook", gitserver.Commit{Branch: "stage/test", Message: c.message, Files: map[string]gittest.File{"x.yaml": {Content: "a: 2\n"}}})
			plan := b.plan()
			if len(plan.Overwrites) != c.foreign || len(plan.Accepted) != c.accepted {
				t.Fatalf("%d commits by others and %d accepted, want %d and %d", len(plan.Overwrites), len(plan.Accepted), c.foreign, c.accepted)
			}
			if c.accepted == 1 && (plan.Accepted[0].By != "waybill:ada" || plan.Accepted[0].Fields[0] != "Deployment guestbook-test/web spec.replicas" ||
				plan.Accepted[0].Commit != b.server.Branch("guestbook", "stage/test")) {
				t.Errorf("%+v", plan.Accepted[0])
			}
		})
	}
	// It does not hide what lies below it.
	b := newBench(t, map[string]string{"base.yaml": "a: 1\n"})
	b.server.CommitFiles("guestbook", gitserver.Commit{Branch: "stage/test", Message: "hotfix", Files: map[string]gittest.File{"x.yaml": {Content: "a: 1\n"}}})
	b.server.CommitFiles("guestbook", gitserver.Commit{Branch: "stage/test", Message: accepted, Files: map[string]gittest.File{"x.yaml": {Content: "a: 2\n"}}})
	if plan := b.plan(); len(plan.Overwrites) != 1 || len(plan.Accepted) != 1 {
		t.Errorf("%+v and %+v, want the hotfix and the acceptance", plan.Overwrites, plan.Accepted)
	}
}

// TestCherryPickIsForeign: a person who picks a commit of Waybill's copies its
// trailers.
func TestCherryPickIsForeign(t *testing.T) {
	b := newBench(t, map[string]string{"base.yaml": "a: 1\n"})
	b.server.CommitFiles("guestbook", gitserver.Commit{Branch: "stage/test", Author: "Waybill <noreply@waybill.dev>", Message: ours, Files: map[string]gittest.File{"hotfix.yaml": {Content: "a: 2\n"}}})
	head := b.server.Branch("guestbook", "stage/test")
	// A cherry-pick, too, keeps author and message.
	amended := b.server.Git("guestbook", "-c", "user.name=bob", "-c", "user.email=bob@example.com", "-c", "author.name=Waybill", "-c", "author.email=noreply@waybill.dev",
		"commit-tree", head+"^{tree}", "-p", b.server.Branch("guestbook", "main"), "-m", ours)
	b.server.SetBranch("guestbook", "stage/test", strings.TrimSpace(amended))
	if got := b.overwrites(); len(got) != 1 {
		t.Errorf("a picked commit is taken for Waybill's: %+v", got)
	}
}

// TestHostileCommitFitsIntoTheStatus: what others write into a commit must
// neither fill the Promotion up until it cannot be stored, nor reach a terminal.
func TestHostileCommitFitsIntoTheStatus(t *testing.T) {
	b := newBench(t, map[string]string{"base.yaml": "a: 1\n"})
	b.server.CommitFiles("guestbook", gitserver.Commit{Branch: "stage/test", Author: "Waybill <noreply@waybill.dev>", Message: ours, Files: map[string]gittest.File{"x.yaml": {Content: "a: 2\n"}}})
	b.server.CommitFiles("guestbook", gitserver.Commit{
		Branch: "stage/test", Author: "\x1b[31m" + strings.Repeat("é", 50_000) + " <x@example.com>",
		Message: "\x1b]0;owned\x07" + strings.Repeat("s", 100_000), Files: map[string]gittest.File{"x.yaml": {Content: "a: 3\n"}},
	})
	got := b.overwrites()
	if len(got) != 1 {
		t.Fatalf("%d commits", len(got))
	}
	if len(got[0].Author) > 200 || len(got[0].Subject) > 200 {
		t.Errorf("author of %d bytes, subject of %d", len(got[0].Author), len(got[0].Subject))
	}
	if strings.ContainsAny(got[0].Author+got[0].Subject, "\x1b\x07") {
		t.Errorf("control characters: %q %q", got[0].Author, got[0].Subject)
	}
}

const canary = "c4nary-of-a-manifest"

// TestPreviewMasksSecrets: whoever may see a Stage sees its preview, and may
// not therefore see what a Secret in Git holds.
func TestPreviewMasksSecrets(t *testing.T) {
	secretYAML := func(value string) string {
		return `apiVersion: v1
kind: Secret
metadata:
  name: db
  annotations: {note: "` + value + `-annotation"}
stringData: {password: "` + value + `"}
data: {token: "` + value + `"}
`
	}
	b := newBench(t, map[string]string{
		"secret.yaml":      secretYAML("old-" + canary),
		"several.yaml":     "kind: ConfigMap\nmetadata: {name: a}\n---\n" + secretYAML("old-"+canary),
		"list.yaml":        "kind: List\nitems:\n- kind: Secret\n  data: {a: old-" + canary + "}\n",
		"gen/k.yaml":       "secretGenerator:\n- name: x\n  literals: [password=old-" + canary + "]\n",
		"gen/patches.yaml": "patches:\n- patch: |-\n    kind: Secret\n    stringData: {a: old-" + canary + "}\n",
		"plain.yaml":       "kind: ConfigMap\ndata: {colour: red}\n",
	})
	head := b.server.Branch("guestbook", "main")
	b.server.SetBranch("guestbook", "stage/test", head)
	b.server.Commit("guestbook", "main", "new values", map[string]string{
		"secret.yaml":      secretYAML("new-" + canary),
		"several.yaml":     "kind: ConfigMap\nmetadata: {name: a}\n---\n" + secretYAML("new-"+canary),
		"list.yaml":        "kind: List\nitems:\n- kind: Secret\n  data: {a: new-" + canary + "}\n",
		"gen/k.yaml":       "secretGenerator:\n- name: x\n  literals: [password=new-" + canary + "]\n",
		"gen/patches.yaml": "patches:\n- patch: |-\n    kind: Secret\n    stringData: {a: new-" + canary + "}\n",
		"plain.yaml":       "kind: ConfigMap\ndata: {colour: blue}\n",
	})
	o, p, f := b.observation()
	preview, err := b.planner.Preview(t.Context(), o, p, f)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string][]planner.Scalar{}
	for _, file := range preview.Files {
		seen[file.Path] = file.Scalars
		if text := fmt.Sprintf("%+v", file); strings.Contains(text, canary) {
			t.Errorf("%s shows a secret: %s", file.Path, text)
		}
	}
	if len(seen) != 7 {
		t.Errorf("%d files changed, want 7: %v", len(seen), seen)
	}
	want := planner.Scalar{Field: "data.colour", Before: "red", After: "blue"}
	if got := seen["plain.yaml"]; len(got) != 1 || got[0] != want {
		t.Errorf("a ConfigMap's change is not shown: %+v", got)
	}
	if got := seen["secret.yaml"]; len(got) == 0 {
		t.Error("that a Secret changes is not shown at all")
	}
}

// TestPreviewIsBounded: a preview of a large change answers, and stays small.
func TestPreviewIsBounded(t *testing.T) {
	files := map[string]string{}
	for i := range 600 {
		files[fmt.Sprintf("many/%03d.yaml", i)] = "a: 1\n"
	}
	var long strings.Builder
	for i := range 5_000 {
		fmt.Fprintf(&long, "k%d: %s\n", i, strings.Repeat("x", 600))
	}
	b := newBench(t, map[string]string{"keep.yaml": "a: 1\n"})
	b.server.SetBranch("guestbook", "stage/test", b.server.Branch("guestbook", "main"))
	files["long.yaml"] = long.String()
	b.server.Commit("guestbook", "main", "much", files)
	o, p, f := b.observation()
	preview, err := b.planner.Preview(t.Context(), o, p, f)
	if err != nil {
		t.Fatal(err)
	}
	size := 0
	for _, file := range preview.Files {
		for _, s := range file.Scalars {
			size += len(s.Field) + len(s.Before) + len(s.After)
		}
	}
	if len(preview.Files) != 602 {
		t.Errorf("%d files are named, want all 602", len(preview.Files))
	}
	if size > 512<<10 {
		t.Errorf("the values of a preview take %d bytes", size)
	}
}

// TestRehearsalOfAPlan: the hash follows what the destinations are told, and
// nothing else; what a promotion brings along is named.
func TestRehearsalOfAPlan(t *testing.T) {
	config := func(colour string) map[string]string {
		return map[string]string{
			"stages/test/kustomization.yaml": "resources: [config.yaml]\nimages:\n- name: " + image + "\n  newTag: 1.25.0\n",
			"stages/test/config.yaml":        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: config}\ndata: {colour: " + colour + "}\n",
		}
	}
	b := newBench(t, map[string]string{})
	was := b.server.Commit("guestbook", "main", "red", config("red"))
	b.server.SetBranch("guestbook", "stage/test", was)
	o, p, f := b.observation()
	o.Stage.UID = "stage"
	o.Stage.Spec.Deploy = []v1alpha1.Deployment{{Destination: v1alpha1.Destination{Namespace: "guestbook-test"}, Source: v1alpha1.DeploymentSource{Path: "stages/test"}}}
	cur := &v1alpha1.Promotion{Status: v1alpha1.PromotionStatus{Plan: &v1alpha1.PromotionPlan{Bases: []v1alpha1.PlanBase{{RepoURL: b.url, Branch: "main", Commit: was}}}}}
	cur.Name = "test.0.x"
	o.Promotions = []v1alpha1.Promotion{*cur}
	o.Stage.Status.Current = []v1alpha1.StageFreight{{Origin: "guestbook", Freight: "f0", Promotion: cur.Name}}
	look := func() *planner.Preview {
		t.Helper()
		preview, err := b.planner.Preview(t.Context(), o, p, f)
		if err != nil {
			t.Fatal(err)
		}
		return preview
	}
	b.server.Commit("guestbook", "main", "blue", config("blue"))
	b.server.Commit("guestbook", "main", "docs", map[string]string{"README.md": "hello\n"})
	first := look()
	if !strings.HasPrefix(first.Plan.Hash, "sha256:") || len(first.Applications) != 1 || len(first.Applications[0].Before) != 1 || len(first.Applications[0].After) != 1 {
		t.Fatalf("%+v", first)
	}
	if len(first.Commits) != 1 || first.Commits[0].Subject != "blue" {
		t.Errorf("commits brought along: %+v; docs are not rendered", first.Commits)
	}
	if again := look(); again.Plan.Hash != first.Plan.Hash {
		t.Error("the hash of the same plan differs")
	}
	b.server.Commit("guestbook", "main", "more docs", map[string]string{"README.md": "hello again\n"})
	b.server.Commit("guestbook", "stage/test", "a note", map[string]string{"NOTE.md": "x\n"})
	if again := look(); again.Plan.Hash != first.Plan.Hash || again.Plan.Bases[0].Commit == first.Plan.Bases[0].Commit {
		t.Error("files that nobody renders are another plan")
	}
	b.server.Commit("guestbook", "stage/test", "hotfix", map[string]string{"stages/test/config.yaml": config("green")["stages/test/config.yaml"]})
	second := look()
	if second.Plan.Hash == first.Plan.Hash {
		t.Error("what is replaced is another, and the plan the same")
	}
	p.Status.Plan, o.Stage.Spec.Approval = first.Plan, &v1alpha1.ApprovalPolicy{Required: 1}
	b.server.Commit("guestbook", "main", "black", config("black"))
	if kept := look(); kept.Plan.Bases[0].Commit != first.Plan.Bases[0].Commit || kept.Plan.Hash != second.Plan.Hash {
		t.Error("the base of a plan that is being approved was read again")
	}
	b.server.Commit("guestbook", "main", "broken", map[string]string{"stages/test/config.yaml": "a: [\n"})
	p.Status.Plan = nil
	if broken := look(); broken.Applications[0].Broken == "" || broken.Plan.Hash == "" {
		t.Errorf("manifests that cannot be rendered: %+v", broken.Applications[0])
	}
}
