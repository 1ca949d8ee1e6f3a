package steps_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/internal/stepschema"
	"github.com/waybill-dev/waybill/promotion/steps"
	"github.com/waybill-dev/waybill/promotion/steps/step"
)

var update = flag.Bool("update", false, "write schemas and reference pages anew")

const (
	schemasFile = "../../internal/stepschema/schemas.json"
	pagesDir    = "../../docs/reference/steps"
)

// hidden are steps that only the short form and rollbacks use.
var hidden = []string{"git-revert"}

// TestGenerated: the schemas that templates are checked with, and the reference
// pages, are those of the steps' own structs and comments.
func TestGenerated(t *testing.T) {
	schemas := map[string]*stepschema.Schema{}
	pages := map[string]string{}
	for name, s := range steps.Builtin(steps.Dependencies{}) {
		configured, ok := s.(step.Configured)
		if !ok {
			t.Fatalf("step %q has no NewConfig", name)
		}
		typ := reflect.TypeOf(configured.NewConfig()).Elem()
		src := read(t, path.Base(reflect.TypeOf(s).PkgPath()))
		schema := schemaOf(t, typ)
		if slices.Contains(hidden, name) {
			continue
		}
		schemas[name] = schema
		pages[name] = page(t, name, path.Base(reflect.TypeOf(s).PkgPath()), src, schema)
	}
	var index strings.Builder
	index.WriteString("# Steps\n\nWhat a `promotionTemplate` is made of. Fields with a star have to be set. Every value may hold expressions:\n[expressions](../expressions.md).\n\n")
	names := make([]string, 0, len(pages))
	for name := range pages {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		fmt.Fprintf(&index, "- [%s](%s.md): %s\n", name, name, firstSentence(pages[name]))
	}
	pages["README"] = index.String()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err := e.Encode(schemas); err != nil {
		t.Fatal(err)
	}
	compare(t, schemasFile, b.String())
	for name, text := range pages {
		compare(t, filepath.Join(pagesDir, name+".md"), text)
	}
	written, err := filepath.Glob(filepath.Join(pagesDir, "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range written {
		if _, ok := pages[strings.TrimSuffix(filepath.Base(f), ".md")]; !ok {
			t.Errorf("%s is the page of no step", f)
		}
	}
}

func compare(t *testing.T, file, want string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Errorf("%v (write it with: go test ./promotion/steps -run TestGenerated -update)", err)
		return
	}
	if d := cmp.Diff(want, string(got)); d != "" {
		t.Errorf("%s is out of date (go test ./promotion/steps -run TestGenerated -update):\n%.2000s", file, d)
	}
}

// sourceOf holds the comments of a package.
type sourceOf struct {
	doc    string
	fields map[string]string // "Config.Path" -> comment
}

func read(t *testing.T, folder string) sourceOf {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	src := sourceOf{fields: map[string]string{}}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		if f.Doc != nil {
			src.doc = f.Doc.Text()
		}
		ast.Inspect(f, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			if s, ok := spec.Type.(*ast.StructType); ok {
				for _, field := range s.Fields.List {
					for _, name := range field.Names {
						src.fields[spec.Name.Name+"."+name.Name] = strings.Join(strings.Fields(field.Doc.Text()), " ")
					}
				}
			}
			return true
		})
	}
	return src
}

func schemaOf(t *testing.T, typ reflect.Type) *stepschema.Schema {
	t.Helper()
	for typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	switch typ.Kind() {
	case reflect.String:
		return &stepschema.Schema{Type: "string"}
	case reflect.Bool:
		return &stepschema.Schema{Type: "boolean"}
	case reflect.Int, reflect.Int32, reflect.Int64:
		return &stepschema.Schema{Type: "integer"}
	case reflect.Float64:
		return &stepschema.Schema{Type: "number"}
	case reflect.Interface:
		return &stepschema.Schema{}
	case reflect.Map:
		return &stepschema.Schema{Type: "object", AdditionalProperties: schemaOf(t, typ.Elem())}
	case reflect.Slice:
		return &stepschema.Schema{Type: "array", Items: schemaOf(t, typ.Elem())}
	case reflect.Struct:
	default:
		t.Fatalf("%s: no schema for %s", typ, typ.Kind())
	}
	src := read(t, path.Base(typ.PkgPath())) // steps may share what they are configured with
	s := &stepschema.Schema{Type: "object", Properties: map[string]*stepschema.Schema{}}
	groups := map[string][]string{}
	for f := range typ.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" || name == "-" {
			t.Fatalf("%s.%s: no JSON name", typ, f.Name)
		}
		p := schemaOf(t, f.Type)
		p.Description = src.fields[typ.Name()+"."+f.Name]
		if p.Description == "" {
			t.Errorf("%s.%s has no comment", typ, f.Name)
		}
		p.Description = lowerFirst(p.Description, f.Name, name)
		for _, e := range strings.FieldsFunc(f.Tag.Get("enum"), func(r rune) bool { return r == ',' }) {
			p.Enum = append(p.Enum, e)
		}
		s.Properties[name] = p
		isOptional := strings.Contains(options, "omitempty")
		if !isOptional {
			s.Required = append(s.Required, name)
			if p.Type == "array" {
				p.MinItems = 1
			}
		}
		if g := f.Tag.Get("oneof"); g != "" {
			groups[g] = append(groups[g], name)
		}
	}
	for g, names := range groups {
		if strings.HasPrefix(g, "?") {
			names = append([]string{"?"}, names...)
		}
		s.OneOf = append(s.OneOf, names)
	}
	sort.Slice(s.OneOf, func(i, j int) bool { return fmt.Sprint(s.OneOf[i]) < fmt.Sprint(s.OneOf[j]) })
	return s
}

// lowerFirst puts the name that people write in the place of Go's.
func lowerFirst(text, goName, name string) string {
	if rest, ok := strings.CutPrefix(text, goName); ok {
		return name + rest
	}
	return text
}

// page is the reference page of a step.
func page(t *testing.T, name, folder string, src sourceOf, schema *stepschema.Schema) string {
	t.Helper()
	_, text, ok := strings.Cut(src.doc, ": ")
	if !ok || !strings.HasPrefix(src.doc, "Package "+folder+" is the step "+name+": ") {
		t.Errorf("the comment of package %s does not begin with %q", folder, "Package "+folder+" is the step "+name+": ")
	}
	var b strings.Builder
	fmt.Fprintf(&b, "<!-- written by: go test ./promotion/steps -run TestGenerated -update -->\n# %s\n\n%s\n", name, upperFirst(strings.TrimSpace(text)))
	b.WriteString("\n## Configuration\n\n")
	if len(schema.Properties) == 0 {
		b.WriteString("Any names and values.\n")
	} else {
		b.WriteString("| field | type | what it is |\n|---|---|---|\n")
		rows(&b, "", schema)
	}
	example, err := os.ReadFile(filepath.Join(folder, "example.yaml"))
	if err != nil {
		t.Errorf("step %q has no example.yaml", name)
	}
	fmt.Fprintf(&b, "\n## Example\n\nRun by a test as it stands.\n\n```yaml\n%s```\n", example)
	return b.String()
}

func rows(b *strings.Builder, at string, s *stepschema.Schema) {
	names := make([]string, 0, len(s.Properties))
	for name := range s.Properties {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		p := s.Properties[name]
		star := ""
		if slices.Contains(s.Required, name) {
			star = " *"
		}
		kind := p.Type
		switch {
		case kind == "":
			kind = "any"
		case kind == "array":
			kind = "list of " + p.Items.Type
			if p.Items.Type == "" {
				kind = "list"
			}
		}
		what := p.Description
		if len(p.Enum) > 0 {
			what += fmt.Sprintf(" One of %v.", strings.Trim(fmt.Sprint(p.Enum), "[]"))
		}
		for _, g := range s.OneOf {
			if slices.Contains(g, name) && g[0] == "?" {
				what += fmt.Sprintf(" At most one of %s.", strings.Join(g[1:], ", "))
			} else if slices.Contains(g, name) {
				what += fmt.Sprintf(" One of %s has to be set.", strings.Join(g, ", "))
			}
		}
		fmt.Fprintf(b, "| `%s%s`%s | %s | %s |\n", at, name, star, kind, strings.ReplaceAll(what, "|", "\\|"))
		if p.Type == "object" {
			rows(b, at+name+".", p)
		}
		if p.Type == "array" {
			rows(b, at+name+"[].", p.Items)
		}
	}
}

func upperFirst(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

func firstSentence(page string) string {
	_, text, _ := strings.Cut(page, "\n\n")
	text = strings.Join(strings.Fields(text), " ")
	if i := strings.Index(text, ". "); i > 0 {
		return text[:i+1]
	}
	return text
}
