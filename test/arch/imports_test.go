package arch

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// goPackage is what `go list -json` says of a package.
type goPackage struct {
	ImportPath, Dir, Doc, Name               string
	GoFiles, TestGoFiles, XTestGoFiles       []string
	Imports, Deps, TestImports, XTestImports []string
	Error                                    *struct{ Err string }
}

// path is the package's path inside the module.
func (p goPackage) path() string { return inModule(p.ImportPath) }

func inModule(importPath string) string {
	return strings.TrimPrefix(strings.TrimPrefix(importPath, module), "/")
}

func isOurs(importPath string) bool { return hasPrefix(importPath, module) }

// root is the repository's top directory.
var root = filepath.Join("..", "..")

// packages returns all packages of the main module.
var packages = sync.OnceValues(func() ([]goPackage, error) {
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,Doc,Name,GoFiles,TestGoFiles,XTestGoFiles,Imports,Deps,TestImports,XTestImports,Error", "./...")
	cmd.Dir = root
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, errors.New("go list: " + stderr.String())
	}
	var all []goPackage
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
})

func allPackages(t *testing.T) []goPackage {
	t.Helper()
	all, err := packages()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 20 {
		t.Fatalf("only %d packages found: the rules would pass because they see nothing", len(all))
	}
	return all
}

func TestDependencyDirection(t *testing.T) {
	all := layers()
	for _, p := range allPackages(t) {
		for _, broken := range directionBroken(all, p.path(), p.Imports) {
			t.Error(broken)
		}
	}
}

// directionBroken returns a sentence for every import of our own that a package
// should not have.
func directionBroken(all []layer, path string, imports []string) []string {
	own := layerOf(all, path)
	if own == nil {
		return []string{path + " is in no layer: put its folder into layers() in test/arch/layers.go, and say in review why it is there"}
	}
	var broken []string
	for _, i := range imports {
		if !isOurs(i) {
			continue
		}
		target := layerOf(all, inModule(i))
		switch {
		case target == nil || slices.Contains(own.mayImport, target.name):
		case target.name == "tests":
			broken = append(broken, path+" imports "+inModule(i)+", which is for tests only: move what it needs out of there")
		default:
			broken = append(broken, path+" ("+own.name+") imports "+inModule(i)+" ("+target.name+"): the direction is "+
				"cmd -> {controllers, api/rest} -> adapters -> pure roots -> api/v1alpha1; pass a value or an interface instead")
		}
	}
	return broken
}

func TestPureRootsStayPure(t *testing.T) {
	seen := 0
	for _, p := range allPackages(t) {
		l := layerOf(layers(), p.path())
		if l == nil || (l.name != "roots" && l.name != "readers" && l.name != "types") {
			continue
		}
		seen++
		for _, broken := range purityBroken(l.name, p.path(), p.Imports) {
			t.Error(broken)
		}
	}
	if seen < 5 {
		t.Errorf("only %d pure packages found", seen)
	}
}

// purityBroken returns a sentence for every import that makes a pure package
// impure.
func purityBroken(layerName, path string, imports []string) []string {
	var broken []string
	for _, i := range imports {
		for _, bad := range impure() {
			if hasPrefix(i, bad) && !isExcused(path, i) {
				broken = append(broken, path+" imports "+i+": a pure package does no I/O, reads no clock and holds no logger; "+
					"its caller reads, and passes plain values")
			}
		}
		if layerName == "types" && strings.Contains(i, ".") && !hasPrefix(i, "k8s.io/apimachinery") {
			broken = append(broken, path+" imports "+i+": the types import apimachinery only")
		}
	}
	return broken
}

func TestDependenciesStayWhereTheyBelong(t *testing.T) {
	for _, p := range allPackages(t) {
		for _, i := range p.Imports {
			for _, d := range dependencies() {
				if hasPrefix(i, d.prefix) && !matchesAny(d.allowed, p.path()) {
					t.Errorf("%s imports %s: %s (allowed: %s)", p.path(), i, d.why, strings.Join(d.allowed, ", "))
				}
			}
		}
	}
}

func TestCommandLineStaysSmall(t *testing.T) {
	for _, p := range allPackages(t) {
		if p.path() != "cmd/waybill" {
			continue
		}
		for _, d := range p.Deps {
			for _, bad := range heavy() {
				if hasPrefix(d, bad) {
					t.Errorf("cmd/waybill is built with %s: the CLI goes through api/client and stays small; find the way with: go mod why -m, or go list -deps", d)
				}
			}
		}
		return
	}
	t.Error("cmd/waybill was not found")
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	for _, p := range allPackages(t) {
		switch first := "Package " + p.Name + " "; {
		case p.Doc == "":
			t.Errorf("%s has no package comment: say in doc.go what it is for", p.path())
		case p.Name == "main" && !strings.HasPrefix(p.Doc, "Command "):
			t.Errorf("%s: the comment of a program begins with \"Command %s\"", p.path(), filepath.Base(p.Dir))
		case p.Name != "main" && !strings.HasPrefix(p.Doc, first):
			t.Errorf("%s: the package comment begins with %q", p.path(), first)
		}
	}
}

// The rules themselves, shown on made-up packages: a rule that lets everything
// pass would go unnoticed.
func TestRulesRefuse(t *testing.T) {
	own := func(paths ...string) []string {
		for i := range paths {
			paths[i] = module + "/" + paths[i]
		}
		return paths
	}
	for _, tc := range []struct {
		why, path string
		imports   []string
		broken    int
	}{
		{"a root may import the types", "promotion", own("api/v1alpha1", "internal/repourl"), 0},
		{"a root may not import its own children", "promotion", own("promotion/engine"), 1},
		{"nor those of another", "promotion", own("gitops/render"), 1},
		{"nor another root", "gitops", own("promotion"), 1},
		{"a leaf imports leaves only", "internal/newleaf", own("internal/secret", "promotion"), 1},
		{"an adapter may not import a controller", "gitops/apply", own("controllers"), 1},
		{"controllers and API are strangers", "controllers", own("api/rest"), 1},
		{"both ways", "api/rest", own("controllers"), 1},
		{"the CLI knows the client", "internal/cli", own("api/client", "internal/local"), 0},
		{"and nothing behind it", "internal/cli", own("gitops/apply", "api/rest"), 2},
		{"test helpers are for tests", "git", own("git/gittest"), 1},
		{"an unknown folder needs a place", "misc/thing", nil, 1},
	} {
		if got := directionBroken(layers(), tc.path, tc.imports); len(got) != tc.broken {
			t.Errorf("%s: %q, want %d sentences", tc.why, got, tc.broken)
		}
	}
	for imported, broken := range map[string]int{
		"os": 1, "os/exec": 1, "net/http": 1, "log/slog": 1, "k8s.io/client-go/rest": 1,
		"sigs.k8s.io/controller-runtime/pkg/client": 1, "strings": 0, "k8s.io/apimachinery/pkg/types": 0,
	} {
		if got := purityBroken("roots", "promotion", []string{imported}); len(got) != broken {
			t.Errorf("a root that imports %s: %q, want %d sentences", imported, got, broken)
		}
	}
	if got := purityBroken("types", "api/v1alpha1", []string{"k8s.io/api/core/v1"}); len(got) != 1 {
		t.Errorf("types that import k8s.io/api: %q", got)
	}
}

// readFile reads a file of the repository.
func readFile(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
