package cli

import (
	"bufio"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/json"
	yamlstream "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"github.com/waybill-dev/waybill/api/client"
	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/gitops/health"
)

// objectHealth is what is printed of one object.
type objectHealth struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Namespace  string `json:"namespace,omitempty"`
	Name       string `json:"name"`
	// Health is one of the six words, or none.
	Health string `json:"health"`
	// Reason is the rule's word for programs.
	Reason  string `json:"reason"`
	Message string `json:"message,omitempty"`
	// RecheckAt is when time alone may change the verdict.
	RecheckAt *time.Time `json:"recheckAt,omitempty"`
}

// noHealth is shown for a kind that says nothing about its health.
const noHealth = "none"

func (a *App) healthCommand() *cobra.Command {
	var (
		out   *output
		flags manifestFlags
		check bool
	)
	cmd := &cobra.Command{
		Use:   "health -f FILE",
		Short: "Say how well objects are, from their own status and without a cluster",
		Long: `Say how well each object in the files is: Healthy, Progressing, Degraded, Suspended, Unknown,
or none for a kind that says nothing about its health. The rules are those by which Waybill
promotes and rolls back. Nothing is asked of any server or cluster: the objects are judged as
they are in the files, for instance as kubectl get -o yaml printed them. ReplicaSets and Pods
beside a workload are used for it, as Waybill does. Missing is only said by the server.

A file holds YAML documents, JSON values or lists of objects; - is standard input. With -o json
the answer is {"items": [...]}, one item for each object in the order of the files, each with
apiVersion, kind, namespace (when it has one), name, health, reason, message (when there is
one) and recheckAt (when time alone may change the verdict).

The exit code is 0 whatever the health is; with --check it is 1 unless every object is
Healthy or says nothing; it is 2 when a file cannot be read, which names the file, the document
and the line.`,
		Example: `  kubectl get deployment web -o yaml | waybill health -f -
  kubectl get deploy,rs,pod -o json | waybill health -f - -o json
  waybill health -f dump/ -R --check`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			files, err := a.readManifests(cmd, flags)
			if err != nil {
				return err
			}
			items, err := judge(files, a.Now())
			if err != nil {
				return err
			}
			if err := a.printHealth(items, out); err != nil {
				return err
			}
			for _, item := range items {
				if check && item.Health != noHealth && item.Health != string(model.HealthHealthy) {
					return &failure{code: client.ExitFailed, what: fmt.Sprintf("%s %s is %s", item.Kind, item.Name, item.Health)}
				}
			}
			return nil
		},
	}
	addManifestFlags(cmd, &flags)
	out = outputFlag(cmd, "table", "wide", "json", "yaml")
	cmd.Flags().BoolVar(&check, "check", false, "exit with 1 unless every object is Healthy or says nothing")
	return cmd
}

// judge returns the health of every object in files, in their order.
func judge(files []model.ManifestFile, now time.Time) ([]objectHealth, error) {
	var (
		objects     []*unstructured.Unstructured
		pods        = map[string][]health.PodState{} // by namespace
		replicaSets = map[string][]health.ReplicaSetState{}
	)
	for _, file := range files {
		found, err := readObjects(file)
		if err != nil {
			return nil, err
		}
		objects = append(objects, found...)
	}
	for _, obj := range objects {
		switch {
		case obj.GetAPIVersion() == "v1" && obj.GetKind() == "Pod":
			if state, err := health.PodStateFrom(obj); err == nil { // otherwise said of the Pod itself
				pods[obj.GetNamespace()] = append(pods[obj.GetNamespace()], state)
			}
		case obj.GetAPIVersion() == "apps/v1" && obj.GetKind() == "ReplicaSet":
			replicaSets[obj.GetNamespace()] = append(replicaSets[obj.GetNamespace()], health.ReplicaSetStateOf(obj))
		}
	}
	out := make([]objectHealth, 0, len(objects))
	for _, obj := range objects {
		namespace := obj.GetNamespace()
		r := health.AssessWorkload(obj, replicaSets[namespace], pods[namespace], now)
		item := objectHealth{
			APIVersion: obj.GetAPIVersion(), Kind: obj.GetKind(), Namespace: namespace, Name: obj.GetName(),
			Health: noHealth, Reason: "NoHealth", Message: "what is there says nothing about health",
		}
		if r.Counts() {
			item.Health, item.Reason, item.Message = string(r.Status), r.Reason, r.Message
		}
		if !r.Recheck.IsZero() {
			at := r.Recheck.UTC()
			item.RecheckAt = &at
		}
		out = append(out, item)
	}
	return out, nil
}

// maxListDepth bounds lists of lists.
const maxListDepth = 4

// readObjects returns the objects of a file of YAML documents or JSON values, lists taken apart.
func readObjects(file model.ManifestFile) ([]*unstructured.Unstructured, error) {
	name := file.Name
	if name == "-" {
		name = "standard input"
	}
	content := strings.TrimPrefix(strings.ReplaceAll(file.Content, "\r\n", "\n"), "\uFEFF")
	wrong := func(number int, format string, args ...any) error {
		return &failure{code: client.ExitUsage, what: fmt.Sprintf("%s: document %d: %s", name, number, fmt.Sprintf(format, args...))}
	}
	var out []*unstructured.Unstructured
	if values, ok := jsonValues(content); ok {
		for i, value := range values {
			var err error
			if out, err = flatten(out, value, 0); err != nil {
				return nil, wrong(i+1, "%v", err)
			}
		}
		return out, nil
	}
	documents := yamlstream.NewYAMLReader(bufio.NewReader(strings.NewReader(content)))
	behind := 0 // of content: where the next document is looked for
	for number := 1; ; number++ {
		text, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, wrong(number, "cannot be read: %v", err)
		}
		lines := 0 // of the file before the document
		if at := strings.Index(content[behind:], strings.TrimSuffix(string(text), "\n")); at >= 0 {
			behind += at
			lines = strings.Count(content[:behind], "\n")
		}
		encoded, err := yaml.YAMLToJSONStrict(text)
		if err != nil {
			return nil, wrong(number, "%s", inFile(err, lines))
		}
		var value any
		if err := json.Unmarshal(encoded, &value); err != nil {
			return nil, wrong(number, "cannot be read: %v", err)
		}
		if value == nil {
			continue
		}
		if out, err = flatten(out, value, 0); err != nil {
			return nil, wrong(number, "%v (the document begins at line %d)", err, lines+1)
		}
	}
}

// jsonValues reads content as JSON, one value after the other as some tools write it. ok is false when it is none.
func jsonValues(content string) (values []any, ok bool) {
	if !strings.HasPrefix(strings.TrimSpace(content), "{") {
		return nil, false
	}
	stream := stdjson.NewDecoder(strings.NewReader(content))
	for {
		var (
			raw   stdjson.RawMessage
			value any
		)
		if err := stream.Decode(&raw); errors.Is(err, io.EOF) {
			return values, true
		} else if err != nil {
			return nil, false // YAML may begin with a brace as well
		}
		if err := json.Unmarshal(raw, &value); err != nil { // whole numbers stay whole
			return nil, false
		}
		values = append(values, value)
	}
}

var lineNumber = regexp.MustCompile(`\bline (\d+)`)

// inFile makes one line of an error of the YAML decoder, whose lines are the document's, and gives those of the file.
func inFile(err error, lines int) string {
	text := strings.ReplaceAll(err.Error(), "error converting YAML to JSON: ", "")
	text = lineNumber.ReplaceAllStringFunc(text, func(found string) string {
		n, _ := strconv.Atoi(strings.TrimPrefix(found, "line "))
		return "line " + strconv.Itoa(n+lines)
	})
	return strings.Join(strings.Fields(text), " ")
}

// flatten adds the object that value is, or those of the list it is.
func flatten(out []*unstructured.Unstructured, value any, depth int) ([]*unstructured.Unstructured, error) {
	fields, isMap := value.(map[string]any)
	if !isMap {
		return nil, errors.New("is not an object; every document needs apiVersion and kind")
	}
	obj := &unstructured.Unstructured{Object: fields}
	items, isList := fields["items"].([]any)
	if isList = isList || fields["items"] == nil && obj.GetAPIVersion() == "v1" && obj.GetKind() == "List"; isList && strings.HasSuffix(obj.GetKind(), "List") {
		if depth == maxListDepth {
			return nil, fmt.Errorf("lists are nested deeper than %d", maxListDepth)
		}
		for _, item := range items {
			var err error
			if out, err = flatten(out, item, depth+1); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	if obj.GetAPIVersion() == "" || obj.GetKind() == "" {
		return nil, errors.New("apiVersion or kind is missing")
	}
	return append(out, obj), nil
}

func (a *App) printHealth(items []objectHealth, out *output) error {
	if out.isMachine() {
		return out.encode(a.Stdout, struct {
			Items []objectHealth `json:"items"`
		}{items})
	}
	t := table{heads: []string{"KIND", "NAMESPACE", "NAME", "HEALTH", "REASON", "MESSAGE"}}
	for _, item := range items {
		t.add(text(item.Kind), text(item.Namespace), text(item.Name), healthCell(item.Health), text(item.Reason), text(item.Message))
	}
	if out.format == "wide" {
		return t.write(a.Stdout, a.isColoured(a.Terminal.Stdout)) // whole lines
	}
	return a.printTable(t)
}

// healthCell shows a word of health in its colour.
func healthCell(word string) cell {
	var style style
	switch model.Health(word) {
	case model.HealthHealthy:
		style = green
	case model.HealthProgressing:
		style = blue
	case model.HealthSuspended:
		style = yellow
	case model.HealthDegraded, model.HealthMissing:
		style = red
	case model.HealthUnknown:
		style = violet
	default:
		style = dim
	}
	return cell{text: word, style: style}
}
