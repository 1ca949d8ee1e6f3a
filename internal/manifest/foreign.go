package manifest

import (
	"fmt"
	"reflect"

	"go.yaml.in/yaml/v3"
)

// Foreign is one object of any kind, as somebody else's tool reads it.
type Foreign struct {
	File string
	// Index counts from 1 within the file, Line is where the document begins.
	Index, Line int
	// Object holds plain JSON values.
	Object map[string]any
}

// ParseForeign reads every document of the files, whatever its kind, with the
// bounds of Parse. A List of any kind counts as its items.
func ParseForeign(files []File) ([]Foreign, []Finding) {
	var objects []Foreign
	var findings []Finding
	total := 0
	for _, f := range files {
		if total += len(f.Content); total > MaxBytes {
			findings = append(findings, Finding{Severity: Error, File: f.Name, Message: fmt.Sprintf("the files are larger than %d bytes together; import them in parts", MaxBytes)})
			break
		}
		findings = append(findings, eachDocument(f, func(index int, n *yaml.Node) {
			objs, faults := readForeign(f.Name, index, n)
			objects, findings = append(objects, objs...), append(findings, faults...)
		})...)
		if len(objects) > MaxDocuments {
			findings = append(findings, Finding{Severity: Error, File: f.Name, Message: fmt.Sprintf("more than %d objects; import them in parts", MaxDocuments)})
			break
		}
	}
	sortFindings(findings)
	return objects, findings
}

func readForeign(file string, index int, n *yaml.Node) ([]Foreign, []Finding) {
	// Findings of a document whose kind is not known repeat no values: it may be a Secret.
	r := &reader{file: file, index: index, secret: true}
	value, _ := r.read(n, reflect.TypeFor[any](), "", 0).(map[string]any)
	if len(r.findings) > 0 {
		return nil, r.findings
	}
	if value == nil {
		r.fault(n, "", "expected an object with apiVersion and kind, found %s", nodeKind(n))
		return nil, r.findings
	}
	items, isList := value["items"].([]any)
	if kind, _ := value["kind"].(string); !isList || len(kind) < len("List") || kind[len(kind)-len("List"):] != "List" {
		return []Foreign{{File: file, Index: index, Line: n.Line, Object: value}}, nil
	}
	out := make([]Foreign, 0, len(items))
	for i, item := range items {
		line := n.Line
		if list := child(n, "items"); list != nil && i < len(list.Content) {
			line = list.Content[i].Line
		}
		if object, ok := item.(map[string]any); ok {
			out = append(out, Foreign{File: file, Index: index, Line: line, Object: object})
			continue
		}
		r.fault(n, fmt.Sprintf("items[%d]", i), "expected an object")
	}
	return out, r.findings
}
