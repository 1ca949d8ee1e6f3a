package promotion

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"sort"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// Rendered is what one Application of the Stage is told by Git: before the
// promotion, and after.
type Rendered struct {
	// Application by name.
	Application string `json:"application"`
	// Before and After are digests of the objects; empty when there are none.
	Before string `json:"before"`
	After  string `json:"after"`
}

// PlanHash identifies what a plan does (02, Preview): the Stage, the steps with
// their configuration, the Freight, and what each Application is told before
// and after. Gate verdicts, approvals, live state, times and commit ids are no
// part of it: they may change, and it is still the plan that was approved.
func PlanHash(stage *v1alpha1.Stage, plan *v1alpha1.PromotionPlan, rendered []Rendered) (string, error) {
	type step struct {
		Uses   string `json:"uses"`
		As     string `json:"as"`
		Config any    `json:"config,omitempty"`
		If     string `json:"if,omitempty"`
		Go     bool   `json:"continueOnError,omitempty"`

		Vars []v1alpha1.Variable `json:"vars,omitempty"`
	}
	content := struct {
		Stage        string            `json:"stage"`
		Steps        []step            `json:"steps"`
		Collection   map[string]string `json:"collection"`
		Applications []Rendered        `json:"applications"`

		Vars []v1alpha1.Variable `json:"vars,omitempty"`
	}{Vars: plan.Vars, Stage: string(stage.UID), Steps: []step{}, Collection: map[string]string{}, Applications: append([]Rendered{}, rendered...)}
	for _, s := range plan.Steps {
		var config any
		if s.Config != nil {
			if err := json.Unmarshal(s.Config.Raw, &config); err != nil {
				return "", fmt.Errorf("config of step %q: %w", s.As, err)
			}
		}
		content.Steps = append(content.Steps, step{s.Uses, s.As, withoutCommits(config), s.If, s.ContinueOnError, s.Vars})
	}
	for _, c := range plan.Collection {
		content.Collection[c.Origin] = c.Freight
	}
	sort.Slice(content.Applications, func(i, j int) bool { return content.Applications[i].Application < content.Applications[j].Application })
	return digest(content)
}

var commitID = regexp.MustCompile(`^[0-9a-f]{40}$`)

// withoutCommits returns a decoded configuration with every commit id replaced:
// a branch that moved is no other plan as long as it renders to the same.
func withoutCommits(v any) any {
	switch v := v.(type) {
	case string:
		if commitID.MatchString(v) {
			return "(commit)"
		}
		return v
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = withoutCommits(v[i])
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for k := range v {
			out[k] = withoutCommits(v[k])
		}
		return out
	default:
		return v
	}
}

// ObjectsDigest returns a digest of rendered objects, in whatever order they
// come; "" for none. What Secrets hold goes in by its hash.
func ObjectsDigest(objects []*unstructured.Unstructured) (string, error) {
	if len(objects) == 0 {
		return "", nil
	}
	each := make([]string, 0, len(objects))
	for _, o := range objects {
		d, err := digest(withoutSecrets(o.Object))
		if err != nil {
			return "", err
		}
		each = append(each, d)
	}
	sort.Strings(each)
	return digest(each)
}

// withoutSecrets returns the object; of a Secret, with its values hashed.
func withoutSecrets(o map[string]any) map[string]any {
	if o["kind"] != "Secret" || o["apiVersion"] != "v1" {
		return o
	}
	out := make(map[string]any, len(o))
	for k, v := range o {
		out[k] = v
	}
	for _, field := range []string{"data", "stringData"} {
		values, ok := o[field].(map[string]any)
		if !ok {
			continue
		}
		hashed := make(map[string]any, len(values))
		for k, v := range values {
			sum := sha256.Sum256(fmt.Append(nil, v))
			hashed[k] = hex.EncodeToString(sum[:])
		}
		out[field] = hashed
	}
	return out
}

// digest hashes the canonical JSON of v: encoding/json writes the keys of maps in
// byte order, and fields of structs always in the same.
func digest(v any) (string, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("encode: %w", err)
	}
	sum := sha256.Sum256(raw)
	return "sha256:" + hex.EncodeToString(sum[:]), nil
}
