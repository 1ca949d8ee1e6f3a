package arch

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// files returns the paths of all files that Git tracks, or would.
var files = sync.OnceValues(func() ([]string, error) {
	cmd := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("git ls-files: %w", err)
	}
	deleted := exec.Command("git", "ls-files", "-z", "--deleted")
	deleted.Dir = root
	gone, err := deleted.Output()
	if err != nil {
		return nil, fmt.Errorf("git ls-files --deleted: %w", err)
	}
	split := func(raw []byte) []string { return strings.FieldsFunc(string(raw), func(r rune) bool { return r == 0 }) }
	missing := split(gone)
	return slices.DeleteFunc(split(out), func(f string) bool { return slices.Contains(missing, f) }), nil
})

func allFiles(t *testing.T) []string {
	t.Helper()
	all, err := files()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 100 {
		t.Fatalf("only %d files found: the rules would pass because they see nothing", len(all))
	}
	return all
}

// call is a use of an identifier of another package.
type call struct {
	name string // time.Now
	line int
}

// source is what the rules look at in a Go file.
type source struct {
	calls     []call
	hasInit   bool
	excused   map[int]bool // lines with a nolint:forbidigo comment that gives a reason
	generated bool
}

var excuse = regexp.MustCompile(`^//nolint:[a-z,]*forbidigo[a-z,]* // \S`)

// parse reads a Go file.
func parse(name string, content any) (source, error) {
	set := token.NewFileSet()
	f, err := parser.ParseFile(set, name, content, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return source{}, err
	}
	s := source{excused: map[int]bool{}, generated: ast.IsGenerated(f)}
	for _, group := range f.Comments {
		for _, c := range group.List {
			if excuse.MatchString(c.Text) {
				s.excused[set.Position(c.Pos()).Line] = true
			}
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			s.hasInit = s.hasInit || n.Recv == nil && n.Name.Name == "init"
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok {
				s.calls = append(s.calls, call{x.Name + "." + n.Sel.Name, set.Position(n.Pos()).Line})
			}
		}
		return true
	})
	return s, nil
}

// forbidden returns what a use of name is a breach of; empty for none.
func forbidden(name string) string {
	switch name {
	case "time.Now", "time.Since", "time.Until":
		return "pass now, or a clock"
	case "time.Sleep":
		return "wait for something, with a context"
	case "os.Getenv", "os.LookupEnv", "os.Environ", "os.Setenv", "os.Unsetenv":
		return "cmd reads the environment and passes values"
	case "fmt.Print", "fmt.Printf", "fmt.Println", "os.Exit", "log.Fatal", "log.Fatalf", "log.Print", "log.Printf", "log.Println":
		return "cmd talks to the outside; return a value, an error, or write to a writer that was passed"
	default:
		return ""
	}
}

// outermost are where values come from that everything else is handed:
// programs, helpers of tests, and the supervisor of local mode, whose subject
// is processes.
func outermost() []string {
	return []string{
		"cmd/", "test/", "tools/", "git/gittest/", "warehouse/registrytest/", "history/historytest/",
		"internal/local/", "internal/localkube/", "internal/cli/app.go",
	}
}

func isOutermost(file string) bool {
	return slices.ContainsFunc(outermost(), func(p string) bool { return strings.HasPrefix(file, p) })
}

func TestClockAndEnvironmentArePassed(t *testing.T) {
	seen := 0
	for _, f := range allFiles(t) {
		if path.Ext(f) != ".go" || strings.HasSuffix(f, "_test.go") || isOutermost(f) {
			continue
		}
		s, err := parse(f, readFile(t, f))
		if err != nil {
			t.Fatal(err)
		}
		if s.generated {
			continue
		}
		seen++
		for _, sentence := range breaches(f, s) {
			t.Error(sentence)
		}
	}
	if seen < 100 {
		t.Errorf("only %d files looked at", seen)
	}
}

func breaches(file string, s source) []string {
	var all []string
	for _, c := range s.calls {
		if why := forbidden(c.name); why != "" && !s.excused[c.line] {
			all = append(all, fmt.Sprintf("%s:%d uses %s: %s (or say on the line why not: //nolint:forbidigo // because)", file, c.line, c.name, why))
		}
	}
	if s.hasInit {
		all = append(all, file+" has func init: write a constructor, so that nothing happens because a package was imported")
	}
	return all
}

func TestBreachesAreSeen(t *testing.T) {
	for content, want := range map[string]int{
		"package a\nfunc f() { time.Now() }":                                         1,
		"package a\nvar now = time.Now":                                              1,
		"package a\nfunc f() { time.Now() //nolint:forbidigo // for the log only\n}": 0,
		"package a\nfunc f() { time.Now() //nolint:forbidigo\n}":                     1,
		"package a\nfunc init() {}":                                                  1,
		"package a\nfunc (x T) init() {}":                                            0,
		"package a\nfunc f() { fmt.Println(os.Getenv(\"A\")) }":                      2,
		"package a\nfunc f() { clock.Now() }":                                        0,
	} {
		s, err := parse("a.go", content)
		if err != nil {
			t.Fatal(err)
		}
		if got := breaches("a.go", s); len(got) != want {
			t.Errorf("%q: %q, want %d sentences", content, got, want)
		}
	}
}

// machinePath is a path that exists on one person's machine only.
var machinePath = regexp.MustCompile(`(^|[\s"'` + "`" + `=(:,])/(home|root|Users|work)/[\w.-]+`)

// scratch is a file outside a test's own directory; manuals may call one waybill.
var scratch = regexp.MustCompile(`"/tmp/[\w.-]+`)

func TestNoPathOfOneMachine(t *testing.T) {
	for _, f := range allFiles(t) {
		content := readFile(t, f)
		if strings.IndexByte(content, 0) >= 0 || f == "test/arch/source_test.go" {
			continue
		}
		if found := machinePath.FindString(content); found != "" {
			t.Errorf("%s names %q, which exists on one machine only", f, strings.TrimSpace(found))
		}
		if found := scratch.FindString(content); found != "" && path.Ext(f) == ".go" {
			t.Errorf("%s uses %s: ask for a directory (t.TempDir, os.MkdirTemp)", f, found[1:])
		}
	}
	for text, want := range map[string]bool{
		`cd "/` + `home/someone/waybill"`: true, "see /" + "Users/me": true, "https://example.com/home/page": false, "a/root/b": false, "~/.local": false,
	} {
		if got := machinePath.MatchString(text); got != want {
			t.Errorf("%q is a machine's path: %v, want %v", text, got, want)
		}
	}
}

// A lock file that names where it was resolved works for people only who use
// the same registry.
func TestLockFilesNameNoRegistry(t *testing.T) {
	host := regexp.MustCompile(`"resolved": *"(https?://[^/"]+)`)
	for _, f := range allFiles(t) {
		if path.Base(f) != "package-lock.json" {
			continue
		}
		for _, m := range host.FindAllStringSubmatch(readFile(t, f), -1) {
			if m[1] != "https://registry.npmjs.org" {
				t.Errorf("%s was resolved from %s: npm install --omit-lockfile-registry-resolved", f, m[1])
			}
		}
	}
}

// What is generated is in tools/verify.sh, so that editing it by hand fails.
func TestGeneratedFilesAreVerified(t *testing.T) {
	verified := readFile(t, "tools/verify.sh")
	found := 0
	for _, f := range allFiles(t) {
		content := readFile(t, f)
		switch {
		case path.Ext(f) == ".go" && !strings.HasSuffix(f, "_test.go"):
			s, err := parse(f, content)
			if err != nil {
				t.Fatal(err)
			}
			if !s.generated {
				continue
			}
		case strings.HasSuffix(f, ".d.ts") && strings.Contains(content[:min(len(content), 400)], "auto-generated"):
		default:
			continue
		}
		found++
		if !strings.Contains(verified, f) {
			t.Errorf("%s is generated, but tools/verify.sh does not generate it anew", f)
		}
	}
	if found < 4 {
		t.Errorf("only %d generated files found", found)
	}
}

func TestLinksOfPagesLeadSomewhere(t *testing.T) {
	all := allFiles(t)
	exists := func(p string) bool {
		return p == "." || slices.ContainsFunc(all, func(f string) bool { return f == p || strings.HasPrefix(f, p+"/") })
	}
	link := regexp.MustCompile(`\]\(([^)#\s]+)(#[^)\s]*)?\)`)
	seen := 0
	for _, f := range all {
		if path.Ext(f) != ".md" {
			continue
		}
		for _, m := range link.FindAllStringSubmatch(readFile(t, f), -1) {
			if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
				continue
			}
			seen++
			if target := path.Join(path.Dir(f), m[1]); !exists(target) {
				t.Errorf("%s links to %s, which does not exist", f, m[1])
			}
		}
	}
	if seen < 10 {
		t.Errorf("only %d links found", seen)
	}
}

// Shell scripts stop at the first error, and say what they are for.
func TestScriptsStopAtErrors(t *testing.T) {
	for _, f := range allFiles(t) {
		content := readFile(t, f)
		if !strings.HasPrefix(content, "#!") || !bytes.Contains([]byte(strings.SplitN(content, "\n", 2)[0]), []byte("sh")) {
			continue
		}
		if !regexp.MustCompile(`(?m)^set -[a-z]*u`).MatchString(content) {
			t.Errorf("%s does not set -eu", f)
		}
		if lines := strings.SplitN(content, "\n", 3); len(lines) < 3 || !strings.HasPrefix(lines[1], "# ") {
			t.Errorf("%s does not say in its second line what it does", f)
		}
	}
}
