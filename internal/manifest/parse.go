package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// Limits of what is read.
const (
	// MaxBytes of all files of one apply.
	MaxBytes = 4 << 20
	// MaxDocuments of all files of one apply.
	MaxDocuments = 1000
	maxDepth     = 64
	maxNodes     = 100_000
)

// File is YAML with its name.
type File struct {
	// Name is shown in messages; - is standard input.
	Name    string
	Content []byte
}

// Document is one object of a File that read well.
type Document struct {
	File string
	// Index counts from 1 within the file.
	Index int
	// Line is where the document begins, counted from 1.
	Line int
	// APIVersion, Kind, Namespace and Name of the object; Namespace is set for
	// every namespaced kind.
	APIVersion, Kind, Namespace, Name string
	// JSON is the object, without status and without what only the server sets.
	JSON []byte
	// Object is the decoded form of Waybill's own kinds (*v1alpha1.Stage ...),
	// nil for Namespace and Secret.
	Object any

	node *yaml.Node
}

// Parse reads every document of the files. defaultNamespace is the Namespace of
// namespaced documents that name none; it may be empty.
//
// Documents are returned in the order of the files, only those that read well;
// everything else is a Finding. Empty documents are skipped; a List counts as
// its items.
func Parse(files []File, defaultNamespace string) ([]Document, []Finding) {
	var docs []Document
	var findings []Finding
	total := 0
	for _, f := range files {
		if total += len(f.Content); total > MaxBytes {
			findings = append(findings, Finding{Severity: Error, File: f.Name, Message: fmt.Sprintf("the files are larger than %d bytes together; apply them in parts", MaxBytes)})
			break
		}
		d, fs := parseFile(f, defaultNamespace)
		docs, findings = append(docs, d...), append(findings, fs...)
		if len(docs) > MaxDocuments {
			findings = append(findings, Finding{Severity: Error, File: f.Name, Message: fmt.Sprintf("more than %d documents; apply them in parts", MaxDocuments)})
			break
		}
	}
	findings = append(findings, duplicates(docs)...)
	sortFindings(findings)
	return docs, findings
}

// yamlLine finds the line in an error of the YAML parser.
var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)

func parseFile(f File, defaultNamespace string) (docs []Document, findings []Finding) {
	faults := eachDocument(f, func(index int, n *yaml.Node) {
		d, fs := readObject(f.Name, index, n, defaultNamespace)
		docs, findings = append(docs, d...), append(findings, fs...)
	})
	return docs, append(findings, faults...)
}

// eachDocument visits the documents of a file that are not empty.
func eachDocument(f File, visit func(index int, n *yaml.Node)) []Finding {
	dec := yaml.NewDecoder(bytes.NewReader(f.Content))
	for index := 1; ; index++ {
		if index > MaxDocuments {
			return []Finding{{Severity: Error, File: f.Name, Message: fmt.Sprintf("more than %d documents; apply them in parts", MaxDocuments)}}
		}
		var root yaml.Node
		err := dec.Decode(&root)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			// The parser cannot find the next document after this.
			finding := Finding{Severity: Error, File: f.Name, Document: index, Message: "cannot be read as YAML: " + err.Error()}
			if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
				finding.Line, _ = strconv.Atoi(m[1])
				finding.Message = "cannot be read as YAML: " + m[2]
			}
			return []Finding{finding}
		}
		if root.Kind != yaml.DocumentNode || len(root.Content) == 0 || isNull(root.Content[0]) {
			continue
		}
		visit(index, root.Content[0])
	}
}

// reader reads one document.
type reader struct {
	file     string
	index    int
	secret   bool
	kind     string
	nodes    int
	findings []Finding
}

func (r *reader) fault(n *yaml.Node, field, format string, args ...any) {
	r.findings = append(r.findings, Finding{Severity: Error, File: r.file, Document: r.index, Line: n.Line, Field: field, Message: fmt.Sprintf(format, args...)})
}

func readObject(file string, index int, n *yaml.Node, defaultNamespace string) ([]Document, []Finding) {
	r := &reader{file: file, index: index}
	if n.Kind != yaml.MappingNode {
		r.fault(n, "", "expected an object with apiVersion and kind, found %s", nodeKind(n))
		return nil, r.findings
	}
	apiVersion, kind := text(child(n, "apiVersion")), text(child(n, "kind"))
	if apiVersion == "v1" && kind == "List" {
		return r.readList(n, defaultNamespace)
	}
	shape, ok := shapeOf(apiVersion, kind)
	if !ok {
		at := n
		field := "kind"
		if c := child(n, "apiVersion"); c != nil {
			at, field = c, "apiVersion"
		}
		if c := child(n, "kind"); c != nil && (apiVersion == v1alpha1.GroupVersion().String() || apiVersion == "v1") {
			at, field = c, "kind"
		}
		r.fault(at, field, "%s", unknownKind(apiVersion, kind))
		return nil, r.findings
	}
	r.kind, r.secret = kind, kind == "Secret"
	drop(n, "status")
	if m := child(n, "metadata"); m != nil {
		drop(m, "managedFields", "resourceVersion", "uid", "creationTimestamp", "generation", "selfLink", "deletionTimestamp", "deletionGracePeriodSeconds")
	}
	value := r.read(n, shape.typ, "", 0)
	d := Document{File: file, Index: index, Line: n.Line, APIVersion: apiVersion, Kind: kind, node: n}
	d.Name, d.Namespace = text(child(child(n, "metadata"), "name")), text(child(child(n, "metadata"), "namespace"))
	at := n
	if m := child(n, "metadata"); m != nil {
		at = m
	}
	if d.Name == "" {
		r.fault(at, "metadata.name", "set the name of the %s", kind)
	}
	switch {
	case !shape.namespaced && d.Namespace != "":
		r.fault(at, "metadata.namespace", "a %s is cluster-scoped; leave the namespace out", kind)
	case shape.namespaced && d.Namespace == "" && defaultNamespace == "":
		r.fault(at, "metadata.namespace", "set it to the name of the Project, or give the Project with -p")
	case shape.namespaced && d.Namespace == "":
		d.Namespace = defaultNamespace
		if obj, ok := value.(map[string]any); ok {
			if m, ok := obj["metadata"].(map[string]any); ok {
				m["namespace"] = defaultNamespace
			}
		}
	}
	r.checkLabels(n, d)
	if len(r.findings) > 0 {
		return nil, r.findings
	}
	var err error
	if d.JSON, err = json.Marshal(value); err == nil && shape.new != nil {
		obj := shape.new()
		dec := json.NewDecoder(bytes.NewReader(d.JSON))
		dec.DisallowUnknownFields()
		err = dec.Decode(obj)
		d.Object = obj
	}
	if err != nil {
		if r.secret {
			err = errors.New("a value has the wrong type")
		}
		r.fault(n, "", "cannot be read as a %s: %s", kind, strings.TrimPrefix(err.Error(), "json: "))
		return nil, r.findings
	}
	return []Document{d}, nil
}

// checkLabels keeps apply from touching Namespaces and Secrets that are not
// Waybill's business.
func (r *reader) checkLabels(n *yaml.Node, d Document) {
	labels := child(child(n, "metadata"), "labels")
	switch d.Kind {
	case "Namespace":
		if text(child(labels, v1alpha1.LabelProject)) != "true" {
			r.fault(n, "metadata.labels", "a Namespace is applied only as the home of a Project: label it %s: \"true\"", v1alpha1.LabelProject)
		}
	case "Secret":
		switch text(child(labels, v1alpha1.LabelCredentialType)) {
		case "git", "image", "chart", "generic", "webhook", "message", "sops", "cluster":
		default:
			r.fault(n, "metadata.labels", "a Secret is applied only as a credential: label it %s: git, image or chart, generic for expressions, webhook, message for a channel, sops for the keys of encrypted files, or cluster for a kubeconfig", v1alpha1.LabelCredentialType)
		}
	}
}

func (r *reader) readList(n *yaml.Node, defaultNamespace string) (docs []Document, findings []Finding) {
	items := child(n, "items")
	if items == nil || items.Kind != yaml.SequenceNode {
		r.fault(n, "items", "a List needs items")
		return nil, r.findings
	}
	for _, item := range items.Content {
		d, fs := readObject(r.file, r.index, item, defaultNamespace)
		docs, findings = append(docs, d...), append(findings, fs...)
	}
	return docs, findings
}

// duplicates finds objects that are there twice: the second would undo the
// first.
func duplicates(docs []Document) []Finding {
	first := map[string]*Document{}
	var out []Finding
	for i := range docs {
		d := &docs[i]
		key := d.APIVersion + "/" + d.Kind + "/" + d.Namespace + "/" + d.Name
		if f := first[key]; f != nil {
			out = append(out, Finding{Severity: Error, File: d.File, Document: d.Index, Line: d.Line, Field: "metadata.name",
				Message: fmt.Sprintf("%s %q is there twice; the other is in %s, line %d", d.Kind, d.Name, f.File, f.Line)})
			continue
		}
		first[key] = d
	}
	return out
}

// LineOf returns the line of a field (spec.subscriptions[0].image), or of the
// deepest part of it that is there.
func (d *Document) LineOf(field string) int {
	n, line := d.node, d.Line
	for _, key := range splitField(field) {
		next := child(n, key)
		if n != nil && n.Kind == yaml.SequenceNode {
			i, err := strconv.Atoi(key)
			if err != nil || i < 0 || i >= len(n.Content) {
				return line
			}
			next = n.Content[i]
		}
		if next == nil {
			return line
		}
		n, line = next, keyLine(n, key, next)
	}
	return line
}

// Finding returns a finding about a field of the document.
func (d *Document) Finding(severity Severity, field, message string) Finding {
	return Finding{Severity: severity, File: d.File, Document: d.Index, Line: d.LineOf(field), Field: field, Message: message}
}

// keyLine is the line of the key of a mapping, which is where people look.
func keyLine(n *yaml.Node, key string, value *yaml.Node) int {
	if n.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == key {
				return n.Content[i].Line
			}
		}
	}
	return value.Line
}

// child returns the value of a key of a mapping, or nil.
func child(n *yaml.Node, key string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

// drop removes keys of a mapping.
func drop(n *yaml.Node, keys ...string) {
	if n.Kind != yaml.MappingNode {
		return
	}
	kept := n.Content[:0]
	for i := 0; i+1 < len(n.Content); i += 2 {
		keep := true
		for _, k := range keys {
			keep = keep && n.Content[i].Value != k
		}
		if keep {
			kept = append(kept, n.Content[i], n.Content[i+1])
		}
	}
	n.Content = kept
}

func text(n *yaml.Node) string {
	if n == nil || n.Kind != yaml.ScalarNode || isNull(n) {
		return ""
	}
	return n.Value
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

func nodeKind(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "an object"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	case yaml.ScalarNode:
		switch n.Tag {
		case "!!str":
			return "text"
		case "!!int", "!!float":
			return "a number"
		case "!!bool":
			return "true or false"
		case "!!null":
			return "nothing"
		}
	}
	return "something else"
}
