package steps_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/yaml"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/git/gittest"
	"github.com/waybill-dev/waybill/gitops/render/helm"
	"github.com/waybill-dev/waybill/internal/credentials"
	"github.com/waybill-dev/waybill/internal/secret"
	"github.com/waybill-dev/waybill/promotion"
	"github.com/waybill-dev/waybill/promotion/engine"
	"github.com/waybill-dev/waybill/promotion/message"
	"github.com/waybill-dev/waybill/promotion/objects"
	"github.com/waybill-dev/waybill/promotion/pullrequest"
	"github.com/waybill-dev/waybill/promotion/steps"
	"github.com/waybill-dev/waybill/test/provider"
	"github.com/waybill-dev/waybill/warehouse/chart/charttest"
	"github.com/waybill-dev/waybill/warehouse/registrytest"
)

// bench runs templates with the real engine against a real Git server.
type bench struct {
	t      *testing.T
	server *gittest.Server
	// provider is around the server.
	provider *provider.Server
	mirrors  *git.Mirrors
	engine   *engine.Engine
	repoURL  string
	// jobs of examples, where there is a cluster.
	jobs *exampleJobs
	// argo is Argo CD, where there is one.
	argo *exampleArgo
	// charts is the repository that examples call https://charts.example.com, and
	// registry what they call registry.example.com.
	charts   *charttest.Server
	registry *registrytest.Registry
	// store holds the objects of the Project.
	store *objects.Store
}

// Open implements step.Repositories: examples name a repository that is the
// test's.
func (b *bench) Open(_ context.Context, _, repoURL string) (*git.Mirror, error) {
	repoURL = strings.Replace(repoURL, "https://git.example.com/", b.base(), 1)
	return b.mirrors.Open(git.Remote{URL: repoURL, CredentialName: "git", Username: gittest.Username, Password: secret.New(gittest.Password)})
}

// Client implements pulls.Clients as Open does Repositories.
func (b *bench) Client(ctx context.Context, project, repoURL string, p pullrequest.Provider) (pullrequest.Client, error) {
	providers := pullrequest.Providers{Credentials: b, Transport: b.provider.Transport()}
	switch p { // what is a service has one address
	case pullrequest.Bitbucket:
		repoURL = strings.Replace(repoURL, "git.example.com", "bitbucket.org", 1)
	case pullrequest.Azure:
		repoURL = strings.Replace(repoURL, "git.example.com/team/guestbook.git", "dev.azure.com/org/team/_git/guestbook", 1)
	default:
		repoURL = strings.Replace(repoURL, "https://git.example.com/", b.base(), 1)
	}
	return providers.Client(ctx, project, repoURL, p)
}

// Lookup implements pullrequest.Credentials.
func (b *bench) Lookup(context.Context, credentials.Type, string, string) (credentials.Credential, error) {
	return credentials.Credential{Name: "git", Username: gittest.Username, Password: secret.New(provider.Token)}, nil
}

// base is where the test's repositories are, with a slash at the end.
func (b *bench) base() string { return strings.TrimSuffix(b.server.URL("x"), "x.git") }

func newBench(t *testing.T, files map[string]string) *bench {
	t.Helper()
	b := &bench{t: t, server: gittest.NewServer(t)}
	b.provider = provider.Start(t, b.server)
	b.repoURL = b.server.CreateRepo("guestbook", files)
	var err error
	b.mirrors, err = git.NewMirrors(git.Options{Dir: t.TempDir(), Transport: http.DefaultTransport, AllowPlainHTTP: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.mirrors.Close(); err != nil {
			t.Error(err)
		}
	})
	web := httptest.NewServer(http.HandlerFunc(serveExample))
	t.Cleanup(web.Close)
	store := exampleObjects(t)
	b.startRepositories()
	b.store = store
	b.engine = &engine.Engine{
		Lookups: store,
		Steps: steps.Builtin(steps.Dependencies{
			Author: git.Identity{Name: "Waybill", Email: "noreply@waybill.dev"}, Objects: store, Clock: clock.RealClock{},
			PullRequests: b, Charts: charts(t), Archives: b.archives(), Artifacts: b.artifacts(),
			Transport: outside(web.URL), Messages: message.Sender{
				Channels: exampleChannels{},
				Outbound: func(context.Context, string) (message.Outbound, error) { return outside(web.URL), nil },
			},
		}),
		Repositories: b, Clock: clock.RealClock{},
	}
	return b
}

// TestMain makes the test program a render worker when it is started as one.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == helm.WorkerArgument {
		if err := helm.Serve(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	code := m.Run()
	stopCluster()
	os.Exit(code)
}

// charts renders in workers that end with the test.
func charts(t *testing.T) *helm.Pool {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	pool := helm.NewPool(program, helm.WorkerArgument)
	t.Cleanup(pool.Close)
	return pool
}

// outside is the way out of examples: every request goes to one server.
type outside string

// RoundTrip sends the request there.
func (o outside) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Scheme, r.URL.Host = "http", strings.TrimPrefix(string(o), "http://")
	return http.DefaultTransport.RoundTrip(r)
}

// DialContext connects to the address it is given.
func (o outside) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, network, address)
}

// exampleChannels is the channel of the example of send-message.
type exampleChannels struct{}

// Channel implements message.Channels.
func (exampleChannels) Channel(context.Context, string, string) (map[string][]byte, error) {
	return map[string][]byte{"type": []byte("slack"), "url": []byte("https://hooks.slack.example.com/services/T0/B0/secret")}, nil
}

// serveExample is the outside world of examples.
func serveExample(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/policy.yaml":
		fmt.Fprint(w, "allowed: true\n")
	default:
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"status": "approved", "ticket": {"id": 42}}`)
	}
}

// exampleObjects holds the Stage and the Freight of the examples. What the real
// API server makes of the same calls is tested in package objects.
func exampleObjects(t *testing.T) *objects.Store {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	f := &v1alpha1.Freight{Alias: "amber-heron"}
	f.Namespace, f.Name = "guestbook", "f1"
	s := stageWith(nil)
	c := fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(f, s).WithObjects(f, s).Build()
	return &objects.Store{Client: c, Status: c, Live: c}
}

// stageWith returns a Stage whose template has these steps.
func stageWith(templateSteps []v1alpha1.PromotionStep, vars ...v1alpha1.Variable) *v1alpha1.Stage {
	s := &v1alpha1.Stage{}
	s.Namespace, s.Name = "guestbook", "test"
	s.Spec.RequestedFreight = []v1alpha1.FreightRequest{{Origin: v1alpha1.Origin{Name: "guestbook"}, Sources: v1alpha1.FreightSources{Direct: true}}}
	s.Spec.Deploy = []v1alpha1.Deployment{{
		Destination: v1alpha1.Destination{Cluster: v1alpha1.InCluster, Namespace: jobNamespace},
		Source:      v1alpha1.DeploymentSource{RepoURL: "https://git.example.com/guestbook.git"},
	}}
	s.Spec.PromotionTemplate = &v1alpha1.PromotionTemplate{Spec: v1alpha1.PromotionTemplateSpec{Vars: vars, Steps: templateSteps}}
	return s
}

// examplePlan is the hash of every plan.
const examplePlan = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

const exampleDigest = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

// promote returns a Promotion of guestbook 1.27.0 with the plan of stage.
func promote(t *testing.T, stage *v1alpha1.Stage, tasks ...v1alpha1.PromotionTask) *v1alpha1.Promotion {
	t.Helper()
	for _, problem := range promotion.CheckTemplate(stage, tasks) {
		t.Errorf("%s: %s", problem.Reason, problem.Message)
	}
	compiled, vars, err := promotion.CompileTemplate(stage, tasks)
	if err != nil {
		t.Fatal(err)
	}
	p := &v1alpha1.Promotion{}
	p.Namespace, p.Name, p.UID = stage.Namespace, stage.Name+".1.f1", "uid-1"
	p.Spec.Stage, p.Spec.Freight, p.Spec.Kind, p.Spec.RequestedBy = stage.Name, "f1", v1alpha1.KindPromote, "waybill:alice"
	p.Status.StartedAt = &metav1.MicroTime{Time: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)}
	p.Status.Phase = v1alpha1.PhaseRunning
	p.Status.Plan = &v1alpha1.PromotionPlan{Hash: examplePlan, Steps: compiled, Vars: vars, FreightAlias: "amber-heron", Collection: []v1alpha1.StageFreight{{
		Origin: "guestbook", Freight: "f1", Order: 3,
		Images: []v1alpha1.Image{{RepoURL: "registry.example.com/guestbook", Tag: "1.27.0", Digest: exampleDigest}},
	}}}
	for _, s := range compiled {
		p.Status.Steps = append(p.Status.Steps, v1alpha1.StepStatus{As: s.As, Uses: s.Uses, State: v1alpha1.StepPending})
	}
	return p
}

func readSteps(t *testing.T, raw []byte) []v1alpha1.PromotionStep {
	t.Helper()
	var list []v1alpha1.PromotionStep
	if err := yaml.UnmarshalStrict(raw, &list); err != nil {
		t.Fatal(err)
	}
	return list
}

// exampleRepo is what main of the examples' repository holds.
func exampleRepo(t *testing.T) map[string]string {
	t.Helper()
	files := map[string]string{}
	root := os.DirFS("testdata/repo")
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := fs.ReadFile(root, name)
		files[name] = string(raw)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestExamples: the example.yaml of every step runs, and what it leaves is what
// its golden file says.
func TestExamples(t *testing.T) {
	for name, s := range steps.Builtin(steps.Dependencies{}) {
		folder := path.Base(reflect.TypeOf(s).PkgPath())
		raw, err := os.ReadFile(filepath.Join(folder, "example.yaml"))
		if errors.Is(err, fs.ErrNotExist) {
			continue // TestGenerated complains
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Run(name, func(t *testing.T) {
			b := newBench(t, exampleRepo(t))
			b.needsCluster(name)
			if strings.Contains(string(raw), "git-open-pr") { // it merges into a branch that is there
				b.server.SetBranch("guestbook", "stage/test", b.server.Branch("guestbook", "main"))
			}
			p := promote(t, stageWith(readSteps(t, raw)))
			out := b.runToEnd(p)
			if !out.RetryAt.IsZero() {
				t.Fatalf("it waits: %+v", out)
			}
			compare(t, filepath.Join(folder, "testdata", "example.golden"), b.told(p, out))
		})
	}
}

// told writes what a run came to: the state and output of each step, and the
// files that the branches have and main does not.
func (b *bench) told(p *v1alpha1.Promotion, out engine.Outcome) string {
	b.t.Helper()
	var text strings.Builder
	if out.Failed != nil {
		fmt.Fprintf(&text, "failed: %s: %v\n", out.Failed.Reason, out.Failed)
	}
	for _, st := range p.Status.Steps {
		fmt.Fprintf(&text, "%s %s %s", st.As, st.Uses, st.State)
		if st.Message != "" {
			fmt.Fprintf(&text, " %q", st.Message)
		}
		if st.Output != nil {
			fmt.Fprintf(&text, " %s", canonical(st.Output))
		}
		text.WriteString("\n")
	}
	m, err := b.Open(b.t.Context(), "", b.repoURL)
	if err != nil {
		b.t.Fatal(err)
	}
	refs, err := m.Fetch(b.t.Context(), "main", "stage/test")
	if err != nil {
		b.t.Fatal(err)
	}
	head, exists := refs.Branches["stage/test"]
	if !exists {
		return b.plain(text.String())
	}
	for _, p := range b.provider.Pulls() {
		fmt.Fprintf(&text, "-- pull request %d, merged: %v: %s --\n%s", p.Number, p.IsMerged, p.Title, p.Body)
	}
	commit, err := m.Commit(head)
	if err != nil {
		b.t.Fatal(err)
	}
	fmt.Fprintf(&text, "-- commit by %s --\n%s", commit.Author.Name, commit.Message)
	changes, err := m.ChangedPaths(refs.Branches["main"], head)
	if err != nil {
		b.t.Fatal(err)
	}
	files, err := m.FS(head)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, c := range changes {
		raw, err := fs.ReadFile(files, c.Path)
		if err != nil {
			fmt.Fprintf(&text, "-- %s (gone) --\n", c.Path)
			continue
		}
		if strings.Contains(string(raw), "\x00") || strings.HasSuffix(c.Path, "gz") {
			fmt.Fprintf(&text, "-- %s (binary) --\n", c.Path)
			continue
		}
		fmt.Fprintf(&text, "-- %s --\n%s", c.Path, raw)
	}
	return b.plain(text.String())
}

// plain takes out the port of the test's server, and the commits of its provider,
// which have the time of day in them, and the UIDs of Jobs.
func (b *bench) plain(text string) string {
	for _, p := range b.provider.Pulls() {
		if p.IsMerged {
			text = strings.ReplaceAll(strings.ReplaceAll(text, p.MergeCommit, "MERGE"), p.MergeCommit[:7], "MERGE")
		}
	}
	text = regexp.MustCompile(`"uid":"[-0-9a-f]{36}"`).ReplaceAllString(text, `"uid":"UID"`)
	return strings.ReplaceAll(text, b.base(), "https://git.example.com/")
}

func canonical(raw *runtime.RawExtension) string {
	var v any
	if err := json.Unmarshal(raw.Raw, &v); err != nil {
		return err.Error()
	}
	out, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(out)
}
