package arch

import (
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the generated part of ARCHITECTURE.md anew")

const (
	tableBegin = "<!-- written by: go test ./test/arch -update -->\n"
	tableEnd   = "<!-- end -->\n"
)

// table shows the layers as Markdown, the highest first.
func table() string {
	var b strings.Builder
	b.WriteString("| layer | packages | what it is | may import |\n|---|---|---|---|\n")
	all := layers()
	for _, l := range slices.Backward(all) {
		packages := make([]string, len(l.packages))
		for i, p := range l.packages {
			packages[i] = "`" + p + "`"
		}
		may := strings.Join(l.mayImport, ", ")
		switch {
		case len(l.mayImport) == 0:
			may = "nothing of ours"
		case len(l.mayImport) == len(all)-1:
			may = "everything but the command line"
		}
		b.WriteString("| " + l.name + " | " + strings.Join(packages, " ") + " | " + l.is + " | " + may + " |\n")
	}
	return b.String()
}

func TestArchitecturePageShowsTheLayers(t *testing.T) {
	page := readFile(t, "ARCHITECTURE.md")
	before, rest, found := strings.Cut(page, tableBegin)
	old, after, ended := strings.Cut(rest, tableEnd)
	if !found || !ended {
		t.Fatalf("ARCHITECTURE.md lacks the marks %q and %q", tableBegin, tableEnd)
	}
	if *update {
		if err := os.WriteFile(filepath.Join(root, "ARCHITECTURE.md"), []byte(before+tableBegin+table()+tableEnd+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(table(), old); diff != "" {
		t.Errorf("the layers of ARCHITECTURE.md differ from layers.go (write them with: go test ./test/arch -update):\n%s", diff)
	}
}

// Every file that ARCHITECTURE.md and README.md name in code marks exists.
func TestNamedFilesExist(t *testing.T) {
	all := allFiles(t)
	name := regexp.MustCompile("`([\\w./-]+/[\\w.-]+\\.(?:go|yaml|sh|md|txt))`")
	for _, page := range []string{"README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"} {
		for _, m := range name.FindAllStringSubmatch(readFile(t, page), -1) {
			if !slices.Contains(all, m[1]) {
				t.Errorf("%s names %s, which does not exist", page, m[1])
			}
		}
	}
}

// README.md and CI say the same.
func TestReadmeSaysWhatCIRuns(t *testing.T) {
	script := readFile(t, ".ci/run")
	last := strings.TrimPrefix(lastLine(script), "exec ")
	if last != "make test" {
		t.Errorf(".ci/run ends with %q, want make test", last)
	}
	if !strings.Contains(readFile(t, "README.md"), "\nmake test") {
		t.Error("README.md does not tell people to run make test")
	}
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}

// word is how reasons are written: CamelCase, two words or more.
var word = regexp.MustCompile(`^[A-Z][a-z]+(?:[A-Z][A-Za-z]*[a-z]|Git[A-Z][a-z]+)+$`)

// reasonFolders are where reasons of conditions, Promotions and Applications
// are made up. The reasons of a health are those of the workload's own
// controller, and explained by their message.
func reasonFolders() []string {
	return []string{"controllers", "promotion", "promotion/engine", "promotion/message", "promotion/planner", "promotion/steps/...", "warehouse", "warehouse/registry", "gitops", "gitops/apply", "gitops/render"}
}

// notReasons are CamelCase words with another meaning: kinds of Kubernetes.
func notReasons() []string {
	return []string{
		"CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding", "RoleBinding", "ServiceAccount", "ConfigMap",
		"NamespaceDefault", "MutatingAdmissionPolicy", "PersistentVolumeClaim", "StatefulSet", "DaemonSet", "ReplicaSet",
		"IngressClass", "StorageClass", "LimitRange", "ResourceQuota", "NetworkPolicy", "PodDisruptionBudget",
		"PersistentVolume", "PodSecurityPolicy", "PriorityClass", "ReplicationController", "CronJob", "HorizontalPodAutoscaler",
		"ValidatingWebhookConfiguration", "MutatingWebhookConfiguration", "APIService", "CreateNamespace",
		"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding", "MutatingAdmissionPolicyBinding",
		"PodTemplate", "HelmChartInflationGenerator", "PromotionTask",
		"PreSync", "PostSync", "SyncFail", "PreDelete", "PostDelete", "BeforeHookCreation", "HookSucceeded",
		"IgnoreExtraneous", "PrunePropagationPolicy", "RuntimeDefault",
	}
}

// reasonsInCode returns the reasons that non-test files of the folders hold,
// each with a file that has it.
func reasonsInCode(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, f := range allFiles(t) {
		if path.Ext(f) != ".go" || strings.HasSuffix(f, "_test.go") || !matchesAny(reasonFolders(), path.Dir(f)) {
			continue
		}
		for _, w := range wordsIn(t, f) {
			if word.MatchString(w) && !slices.Contains(notReasons(), w) {
				found[w] = f
			}
		}
	}
	return found
}

// wordsIn returns the string literals of a file, but for those of struct tags
// and imports, which never match word.
func wordsIn(t *testing.T, file string) []string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, readFile(t, file), parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var words []string
	ast.Inspect(f, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if s, err := strconv.Unquote(lit.Value); err == nil {
				words = append(words, s)
			}
		}
		return true
	})
	return words
}

// Whoever meets a reason at night finds it in the reference, with what to do.
func TestEveryReasonIsExplained(t *testing.T) {
	page := readFile(t, "docs/reference/reasons.md")
	code := reasonsInCode(t)
	if len(code) < 30 {
		t.Fatalf("only %d reasons found in the code: %v", len(code), code)
	}
	for reason, file := range code {
		if !strings.Contains(page, "| `"+reason+"` |") {
			t.Errorf("the reason %s (%s) is not in docs/reference/reasons.md: say there what it means and what to do", reason, file)
		}
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `([A-Za-z]+)` \\|").FindAllStringSubmatch(page, -1) {
		if _, ok := code[m[1]]; !ok && word.MatchString(m[1]) {
			t.Errorf("docs/reference/reasons.md explains %s, which no code says any more", m[1])
		}
	}
}
