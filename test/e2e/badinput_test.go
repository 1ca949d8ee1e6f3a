package e2e

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/git/gitserver"
	"github.com/waybill-dev/waybill/git/gittest"
	"github.com/waybill-dev/waybill/internal/demoregistry"
	"github.com/waybill-dev/waybill/internal/faultproxy"
	"github.com/waybill-dev/waybill/internal/secret"
	"github.com/waybill-dev/waybill/warehouse/registrytest"
)

// recovery is how soon everything is well again after the cause is gone.
const recovery = time.Minute

// badInput is one mistake, made while Stage test runs 1.26.0, and what a person
// is told about it. After `breaks` version 1.26.1 is published; after `mends` it
// has to arrive by itself.
type badInput struct {
	name   string
	breaks func(w *world)
	// shown is the object whose Ready condition says reason and message.
	shown   client.Object
	object  string
	reason  string
	message string
	// cli is a command line, says what it prints and code how it ends.
	cli  string
	says string
	code int
	// mends takes the cause away.
	mends func(w *world)
	// after is what the same command prints then.
	after     string
	afterCode int
}

// badInputs is the table. Its words in capitals stand for what differs from run
// to run: PROJECT, GIT and REGISTRY (addresses), COMMIT, FREIGHT, ALIAS, AGE.
func badInputs() []badInput {
	stage, warehouse, application := &v1alpha1.Stage{}, &v1alpha1.Warehouse{}, &v1alpha1.Application{}
	promotion := &v1alpha1.Promotion{}
	const (
		header   = "STAGE  VERSION  FREIGHT  STATUS  BEHIND  SINCE  NEXT\n"
		uatWaits = "uat  1.26.0  ALIAS  Healthy  1  AGE  1.26.1 waits: not verified in \"test\"\n"
		allWell  = header + "test  1.26.1  ALIAS  Healthy  -  AGE  -\nuat  1.26.1  ALIAS  Healthy  -  AGE  -\n"
	)
	return []badInput{
		{
			name: "stage cycle",
			breaks: func(w *world) {
				w.editStage("test", func(s *v1alpha1.StageSpec) {
					s.RequestedFreight[0].Sources = v1alpha1.FreightSources{Stages: []string{"uat"}}
				})
			},
			shown: stage, object: "test", reason: "StageCycle",
			message: `Stages wait for each other: test <- uat <- test; remove one of them from sources.stages`,
			cli:     "status -p PROJECT",
			says: header + `test  1.26.0  ALIAS  Failed  1  AGE  Stages wait for each other: test <- uat <- test; remove one of them from sources.stages
uat  1.26.0  ALIAS  Failed  1  AGE  Stages wait for each other: uat <- test <- uat; remove one of them from sources.stages
`,
			code: 0,
			mends: func(w *world) {
				w.editStage("test", func(s *v1alpha1.StageSpec) {
					s.RequestedFreight[0].Sources = v1alpha1.FreightSources{Direct: true}
				})
			},
			after: allWell,
		},
		{
			name: "unknown warehouse",
			breaks: func(w *world) {
				w.editStage("test", func(s *v1alpha1.StageSpec) { s.RequestedFreight[0].Origin.Name = "guestbok" })
			},
			shown: stage, object: "test", reason: "UnknownWarehouse",
			message: `spec.requestedFreight[0].origin.name: no Warehouse "guestbok" in Project "PROJECT"; create it or correct the name`,
			cli:     "status -p PROJECT",
			says: header + `test  1.26.0  ALIAS  Failed  -  AGE  spec.requestedFreight[0].origin.name: no Warehouse "guestbok" in Project "PROJECT"; create it or correct the name
` + uatWaits,
			code: 0,
			mends: func(w *world) {
				w.editStage("test", func(s *v1alpha1.StageSpec) { s.RequestedFreight[0].Origin.Name = "guestbook" })
			},
			after: allWell,
		},
		{
			name: "missing branch",
			breaks: func(w *world) {
				w.editStage("test", func(s *v1alpha1.StageSpec) {
					s.PromotionMechanisms.GitRepoUpdates[0].ReadBranch = "release"
				})
			},
			shown: promotion, object: "1.26.1", reason: "BranchNotFound",
			message: `readBranch of Stage "test": branch not found: http://GIT/guestbook has no branch "release"`,
			cli:     "status -p PROJECT",
			says: header + `test  1.26.0  ALIAS  Waiting  1  AGE  readBranch of Stage "test": branch not found: http://GIT/guestbook has no branch "release": waybill why FREIGHT PROJECT/test
` + uatWaits,
			code: 0,
			mends: func(w *world) {
				w.git.SetBranch("guestbook", "release", w.git.Branch("guestbook", "main"))
			},
			after: allWell,
		},
		{
			name:   "wrong Git password",
			breaks: func(w *world) { w.cluster.Apply(w.t, w.credentialsYAML("not-the-password", registrytest.Password)) },
			shown:  promotion, object: "1.26.1", reason: "AuthenticationFailed",
			message: `fetch http://GIT/guestbook: authentication failed: status 401, with credential "PROJECT/git"`,
			cli:     "status -p PROJECT",
			says: header + `test  1.26.0  ALIAS  Failed  1  AGE  list branches of http://GIT/guestbook: authentication failed: status 401, with credential "PROJECT/git": waybill get applications -p PROJECT
uat  1.26.0  ALIAS  Failed  1  AGE  list branches of http://GIT/guestbook: authentication failed: status 401, with credential "PROJECT/git": waybill get applications -p PROJECT
`,
			code:  0,
			mends: func(w *world) { w.cluster.Apply(w.t, w.credentialsYAML(gittest.Password, registrytest.Password)) },
			after: allWell,
		},
		{
			name:   "wrong registry password",
			breaks: func(w *world) { w.cluster.Apply(w.t, w.credentialsYAML(gittest.Password, "not-the-password")) },
			shown:  warehouse, object: "guestbook", reason: "AuthenticationFailed",
			message: `list tags of "REGISTRY/guestbook": authentication failed (status 401) with Secret "registry": the token service refused: user name or password is wrong`,
			cli:     "refresh PROJECT/guestbook --wait",
			says: `WAREHOUSE  READY  LATEST  POLLED  REQUESTS  TAGS  MESSAGE
guestbook  no  1.26.0  AGE ago  1  1  REGISTRY/guestbook: list tags of "REGISTRY/guestbook": authentication failed (status 401) with Secret "registry": the token service refused: user name or password is wrong
Error: Warehouse PROJECT/guestbook: REGISTRY/guestbook: list tags of "REGISTRY/guestbook": authentication failed (status 401) with Secret "registry": the token service refused: user name or password is wrong
`,
			code:  1,
			mends: func(w *world) { w.cluster.Apply(w.t, w.credentialsYAML(gittest.Password, registrytest.Password)) },
			after: `WAREHOUSE  READY  LATEST  POLLED  REQUESTS  TAGS  MESSAGE
guestbook  yes  1.26.1  AGE ago  1  2  watching 1 repositories
`,
		},
		{
			name: "unreachable registry",
			breaks: func(w *world) {
				if err := w.registry.Close(context.Background()); err != nil {
					w.t.Fatal(err)
				}
			},
			shown: warehouse, object: "guestbook", reason: "RegistryUnreachable",
			message: `list tags of "REGISTRY/guestbook": registry is unreachable with Secret "registry": connection refused`,
			cli:     "refresh PROJECT/guestbook --wait",
			says: `WAREHOUSE  READY  LATEST  POLLED  REQUESTS  TAGS  MESSAGE
guestbook  no  1.26.0  AGE ago  1  1  REGISTRY/guestbook: list tags of "REGISTRY/guestbook": registry is unreachable with Secret "registry": connection refused
Error: Warehouse PROJECT/guestbook: REGISTRY/guestbook: list tags of "REGISTRY/guestbook": registry is unreachable with Secret "registry": connection refused
`,
			code: 1,
			mends: func(w *world) {
				w.registryAgain()
			},
			after: `WAREHOUSE  READY  LATEST  POLLED  REQUESTS  TAGS  MESSAGE
guestbook  yes  1.26.1  AGE ago  1  2  watching 1 repositories
`,
		},
		{
			name:   "unreachable Git server",
			breaks: func(w *world) { w.proxy.Set(faultproxy.Fault{Refuse: true, Cut: true}) },
			shown:  promotion, object: "1.26.1", reason: "GitUnreachable",
			message: `fetch http://GIT/guestbook: no usable answer from the remote: connection reset by peer`,
			cli:     "status -p PROJECT",
			says: header + `test  1.26.0  ALIAS  Failed  1  AGE  list branches of http://GIT/guestbook: no usable answer from the remote: connection reset by peer: waybill get applications -p PROJECT
uat  1.26.0  ALIAS  Failed  1  AGE  list branches of http://GIT/guestbook: no usable answer from the remote: connection reset by peer: waybill get applications -p PROJECT
`,
			code:  0,
			mends: func(w *world) { w.proxy.Set(faultproxy.Fault{}) },
			after: allWell,
		},
		{
			name: "path that renders nothing",
			breaks: func(w *world) {
				w.editStage("test", func(s *v1alpha1.StageSpec) { s.Deploy[0].Source.Path = "docs" })
			},
			shown: application, object: "test", reason: "NothingRendered",
			message: `render "docs" at COMMIT: docs: path renders nothing; correct it in Git. What runs stays as it is`,
			cli:     "status -p PROJECT",
			says: header + `test  1.26.0  ALIAS  Failed  1  AGE  render "docs" at COMMIT: docs: path renders nothing; correct it in Git. What runs stays as it is: waybill get applications -p PROJECT
` + uatWaits,
			code: 0,
			mends: func(w *world) {
				w.editStage("test", func(s *v1alpha1.StageSpec) { s.Deploy[0].Source.Path = "stages/test" })
			},
			after: allWell,
		},
		{
			name: "forbidden destination",
			breaks: func(w *world) {
				w.editStage("test", func(s *v1alpha1.StageSpec) { s.Deploy[0].Destination.Namespace = "kube-system" })
			},
			shown: application, object: "test", reason: "DestinationForbidden",
			message: `namespace "kube-system" belongs to the system and is never a destination; choose another`,
			cli:     "status -p PROJECT",
			says: header + `test  1.26.0  ALIAS  Failed  1  AGE  namespace "kube-system" belongs to the system and is never a destination; choose another: waybill get applications -p PROJECT
` + uatWaits,
			code: 0,
			mends: func(w *world) {
				w.editStage("test", func(s *v1alpha1.StageSpec) { s.Deploy[0].Destination.Namespace = w.project + "-test" })
			},
			after: allWell,
		},
		{
			name: "kustomization missing",
			breaks: func(w *world) {
				w.git.CommitFiles("guestbook", gitserver.Commit{Branch: "main", Message: "gone", Remove: []string{"stages/test/kustomization.yaml"}})
			},
			shown: promotion, object: "1.26.1", reason: "KustomizationMissing",
			message: `no kustomization file in folder "stages/test" of http://GIT/guestbook.git; add one, or correct the path in the Stage`,
			cli:     "status -p PROJECT",
			says: header + `test  1.26.0  ALIAS  Progressing  1  AGE  promoting 1.26.1 (running): no kustomization file in folder "stages/test" of http://GIT/guestbook.git; add one, or correct the path in the Stage: waybill status -w -p PROJECT
` + uatWaits,
			code: 0,
			mends: func(w *world) {
				w.git.Commit("guestbook", "main", "back", map[string]string{"stages/test/kustomization.yaml": kustomization("test", w.registry.Name("guestbook"))})
			},
			after: allWell,
		},
		{
			name: "kustomization malformed",
			breaks: func(w *world) {
				w.git.Commit("guestbook", "main", "oops", map[string]string{"stages/test/kustomization.yaml": "resources:\n- ../../base\nimages: [\n"})
			},
			shown: promotion, object: "1.26.1", reason: "KustomizationInvalid",
			message: `set image "REGISTRY/guestbook" in "stages/test/kustomization.yaml": not a YAML document: yaml: line 3: did not find expected node content`,
			cli:     "status -p PROJECT",
			says: header + `test  1.26.0  ALIAS  Progressing  1  AGE  promoting 1.26.1 (running): set image "REGISTRY/guestbook" in "stages/test/kustomization.yaml": not a YAML document: yaml: line 3: did not find expected node content: waybill status -w -p PROJECT
` + uatWaits,
			code: 0,
			mends: func(w *world) {
				w.git.Commit("guestbook", "main", "back", map[string]string{"stages/test/kustomization.yaml": kustomization("test", w.registry.Name("guestbook"))})
			},
			after: allWell,
		},
		{
			name: "image that no Freight has",
			breaks: func(w *world) {
				w.editStage("test", func(s *v1alpha1.StageSpec) {
					s.PromotionMechanisms.GitRepoUpdates[0].Kustomize.Images[0].Image = "registry.example.com/guestbok"
				})
			},
			shown: promotion, object: "1.26.1", reason: "ImageMissing",
			message: `promotionMechanisms.gitRepoUpdates[0]: no Freight of this Stage carries image "registry.example.com/guestbok"; it has "REGISTRY/guestbook"`,
			cli:     "status -p PROJECT",
			says: header + `test  1.26.0  ALIAS  Waiting  1  AGE  promotionMechanisms.gitRepoUpdates[0]: no Freight of this Stage carries image "registry.example.com/guestbok"; it has "REGISTRY/guestbook": waybill why FREIGHT PROJECT/test
` + uatWaits,
			code: 0,
			mends: func(w *world) {
				w.editStage("test", func(s *v1alpha1.StageSpec) {
					s.PromotionMechanisms.GitRepoUpdates[0].Kustomize.Images[0].Image = w.registry.Name("guestbook")
				})
			},
			after: allWell,
		},
	}
}

// registryAgain starts the registry that was closed, on its address and data.
func (w *world) registryAgain() {
	w.t.Helper()
	again, err := demoregistry.Start(demoregistry.Options{
		Addr: w.registry.Host(), Dir: w.registryDir, Auth: demoregistry.AuthBearer,
		Username: registrytest.Username, Password: secret.New(registrytest.Password), Now: time.Now,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = again.Close(context.Background()) })
}

func TestBadInput(t *testing.T) {
	t.Parallel()
	for i, tt := range badInputs() {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newCommonWorld(t, fmt.Sprintf("bad-%d", i))
			w.guestbook()
			w.git.Commit("guestbook", "main", "documentation", map[string]string{"docs/README.md": "nothing to apply\n"})
			w.pipeline([]string{"test", "uat"})
			w.push("1.26.0")
			w.runs("test", "1.26.0")
			w.runs("uat", "1.26.0")
			w.settled()
			test, uat := w.deployed("test"), w.deployed("uat")

			w.registry.Push("guestbook", "1.26.1", demoregistry.ImageOptions{Salt: "1.26.1"})
			tt.breaks(w)
			w.refresh()
			object := tt.object
			if _, isPromotion := tt.shown.(*v1alpha1.Promotion); isPromotion {
				object = w.promotionOf("test", tt.object).Name
			}
			o := tt.shown.DeepCopyObject().(client.Object)
			message := w.normal(w.condition(o, object, tt.reason))
			if message != tt.message {
				t.Errorf("message is\n%s\nwant\n%s", message, tt.message)
			}
			w.prints(tt.cli, tt.says, tt.code)
			test.untouched()
			uat.untouched()

			tt.mends(w)
			w.within(recovery, "1.26.1 arrives by itself", func() error {
				return errors.Join(w.isRunning("test", "1.26.1"), w.isRunning("uat", "1.26.1"))
			})
			w.settled()
			w.prints(tt.cli, tt.after, tt.afterCode)
		})
	}
}

// prints waits until a command prints a text and ends with a code.
func (w *world) prints(line, want string, code int) {
	w.t.Helper()
	line = strings.ReplaceAll(line, "PROJECT", w.project)
	var s said
	deadline := time.Now().Add(patience)
	for ; ; time.Sleep(100 * time.Millisecond) {
		s = w.cli("", strings.Fields(line)...)
		if s.code == code && anyOrder(w.normal(s.text())) == anyOrder(want) {
			return
		}
		if time.Now().After(deadline) {
			break
		}
	}
	w.t.Errorf("waybill %s ended with %d, want %d, and printed\n%s\nwant\n%s", line, s.code, code, w.normal(s.text()), want)
}

var (
	ages   = regexp.MustCompile(`\b\d+(s|m)\b`)
	hashes = regexp.MustCompile(`\b[0-9a-f]{7,40}\b`)
	spaces = regexp.MustCompile(` {2,}`)
)

// anyOrder sorts lines: Stages that wait for each other have no first.
func anyOrder(text string) string {
	lines := strings.Split(text, "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// normal replaces what differs from run to run by words.
func (w *world) normal(text string) string {
	pairs := []string{w.registry.Host(), "REGISTRY", w.proxy.Addr(), "GIT", w.project, "PROJECT"}
	var all v1alpha1.FreightList
	if err := w.client.List(w.t.Context(), &all, client.InNamespace(w.project)); err != nil {
		w.t.Fatal(err)
	}
	for _, f := range all.Items {
		pairs = append(pairs, f.Alias, "ALIAS", f.Name, "FREIGHT", f.Name[:8], "FREIGHT")
	}
	text = strings.NewReplacer(pairs...).Replace(text)
	text = hashes.ReplaceAllString(text, "COMMIT")
	text = ages.ReplaceAllString(text, "AGE")
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(spaces.ReplaceAllString(lines[i], "  "), " ")
	}
	return strings.Join(lines, "\n")
}
