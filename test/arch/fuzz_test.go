package arch

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// inputs is a kind of input that somebody else may have written, and the tests
// that feed it with what nobody expects: fuzz targets, which `make fuzz` runs for
// thirty seconds each, and tests that draw their inputs, as folder and name.
type inputs struct {
	what    string
	targets []string
	// none says why there is no target.
	none string
}

// allInputs are those of the catalogue that the project was designed by, in its
// order, and behind them what was found to need a target since.
func allInputs() []inputs {
	return []inputs{
		{"webhooks of GitHub, and of its registry", []string{"internal/hook FuzzGitHub"}, ""},
		{"webhooks of GitLab", []string{"internal/hook FuzzGitLab"}, ""},
		{"webhooks of Gitea and Forgejo", []string{"internal/hook FuzzGitea"}, ""},
		{"webhooks of Bitbucket, Cloud and Data Center", []string{"internal/hook FuzzBitbucket"}, ""},
		{"webhooks of Azure DevOps and of its registry", []string{"internal/hook FuzzAzure"}, ""},
		{"webhooks of Docker Hub", []string{"internal/hook FuzzDockerHub"}, ""},
		{"webhooks of Quay", []string{"internal/hook FuzzQuay"}, ""},
		{"webhooks of Harbor", []string{"internal/hook FuzzHarbor"}, ""},
		{"webhooks of ECR and Artifactory", []string{"internal/hook FuzzECR", "internal/hook FuzzArtifactory"}, ""},
		{"webhooks of anybody", []string{"internal/hook FuzzGeneric", "internal/hook FuzzKey"}, ""},
		{"addresses of repositories", []string{"internal/repourl FuzzNormalize"}, ""},
		{"links and the way on after a sign-in", []string{"ui/src/components/addresses.test.ts"}, ""},
		{"addresses of machines that must not be reached", []string{"internal/outbound FuzzSSRFAddr"}, ""},
		{"image references, tags and constraints", []string{"warehouse/registry FuzzReference", "warehouse FuzzTags", "warehouse FuzzConstraint", "warehouse FuzzOrder", "warehouse FuzzPaths"}, ""},
		{"edits of YAML, which values of Helm are too", []string{"internal/yamledit FuzzYAMLEdit"}, ""},
		{"edits of kustomizations", []string{"internal/yamledit FuzzKustomizeSetImage"}, ""},
		{"edits of JSON and TOML", []string{"internal/jsonedit FuzzSet", "internal/tomledit FuzzTOMLEdit"}, ""},
		{"expressions", []string{"internal/expression FuzzExpression"}, ""},
		{"templates of promotions", []string{"promotion FuzzPromotionTemplate"}, ""},
		{"events, crashes and conflicts of a promotion", []string{"promotion TestHistoriesRunAgainstANaiveModel", "promotion TestGatesAgreeWithANaiveModel", "promotion/steps TestCrashMatrix", "test/e2e TestCrashAtRandomTimes"}, ""},
		{"graphs of Stages", []string{"promotion TestCycleAgreesWithANaiveModel", "promotion TestNothingSkipsAnUpstream"}, ""},
		{"indexes and archives of charts", []string{"warehouse/chart FuzzIndex", "warehouse/chart FuzzArchive", "internal/tarball FuzzRead"}, ""},
		{"kustomizations before they are built", []string{"gitops/render FuzzKustomizationPreflight"}, ""},
		{"files of manifests", []string{"gitops/render FuzzManifestSplit", "internal/manifest FuzzParse"}, ""},
		{"kubeconfigs", []string{"gitops/cluster FuzzReadKubeconfig"}, ""},
		{"SOPS files", []string{"internal/sops FuzzDecrypt"}, ""},
		{"names of branches, trailers of commits", []string{"git FuzzRefName", "git FuzzMessage", "promotion FuzzReadRecord"}, ""},
		{"roles", nil, "nothing here evaluates them: Kubernetes is asked (SubjectAccessReview), and writes are made as the person"},
		{"who somebody is", []string{"internal/identity FuzzImpersonate"}, ""},
		{"claims of OpenID Connect", []string{"internal/identity/oidc FuzzClaims"}, ""},
		{"requests to the API", []string{"api/rest TestRandomRequests", "api/rest TestHostileRequests"}, ""},
		{"answers of registries", []string{"warehouse/registry FuzzRegistryResponse", "warehouse/registry FuzzLinkHeader", "warehouse/registry FuzzParseChallenges", "warehouse/registry FuzzHeaders", "warehouse/registry FuzzManifest"}, ""},
		{"rows of the audit chain", []string{"internal/chain FuzzCanonical", "internal/chain FuzzTamper"}, ""},
		{"secrets in texts", []string{"internal/secret FuzzRedact"}, ""},
		{"objects of our kinds, as far as Kubernetes takes them", []string{"test/e2e TestRandomObjects"}, ""},

		{"packs of a Git server", []string{"git FuzzIngest"}, ""},
		{"signatures of images", []string{"warehouse/signature FuzzVerify"}, ""},
		{"status of objects in a cluster", []string{"gitops/health FuzzAssess"}, ""},
		{"paths in options of a sync", []string{"gitops FuzzParsePath"}, ""},
		{"cursors of the history", []string{"history FuzzParseCursor"}, ""},
		{"manifests of Argo CD and Kargo", []string{"internal/importer FuzzImport"}, ""},
		{"patterns of credentials", []string{"internal/credentials FuzzMatch"}, ""},
		{"kinds as people type them", []string{"gitops FuzzKindName"}, ""},
	}
}

var testFunction = regexp.MustCompile(`(?m)^func ((?:Fuzz|Test)\w+)\(`)

// TestEveryInputIsFuzzed: what allInputs names is there, and every fuzz target is
// named.
func TestEveryInputIsFuzzed(t *testing.T) {
	there, fuzz := map[string]bool{}, []string{}
	for _, f := range allFiles(t) {
		there[f] = true
		if !strings.HasSuffix(f, "_test.go") {
			continue
		}
		for _, m := range testFunction.FindAllStringSubmatch(readFile(t, f), -1) {
			name := fmt.Sprintf("%s %s", path.Dir(f), m[1])
			there[name] = true
			if strings.HasPrefix(m[1], "Fuzz") {
				fuzz = append(fuzz, name)
			}
		}
	}
	named := map[string]bool{}
	for _, in := range allInputs() {
		if (len(in.targets) == 0) == (in.none == "") {
			t.Errorf("%s: name targets, or say why there is none", in.what)
		}
		for _, target := range in.targets {
			named[target] = true
			if !there[target] {
				t.Errorf("%s: there is no %s", in.what, target)
			}
		}
	}
	slices.Sort(fuzz)
	for _, name := range fuzz {
		if !named[name] {
			t.Errorf("%s: say in allInputs which input it feeds", name)
		}
	}
}
