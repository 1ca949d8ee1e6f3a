package promotion

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/expression"
)

// Limits of the deadline of a Job, the same as for checks.
const (
	minJobDeadline = time.Second
	maxJobDeadline = 24 * time.Hour
	// maxJobRetries bounds the pods that are tried after one that failed.
	maxJobRetries = 10
)

// JobContainer is the container of a step's Job in the short form.
type JobContainer struct {
	Image         string
	Command, Args []string
	// Env is as in a Pod: objects with name and value or valueFrom.
	Env []any
}

// JobTemplate returns the template of the Pod of a step's Job, JSON: that of the
// author, with the short form laid over its first container. A container of
// which the author says nothing but the short form gets no right that it does
// not need.
func JobTemplate(template map[string]any, c JobContainer) ([]byte, error) {
	out := maps.Clone(template)
	if out == nil {
		out = map[string]any{}
	}
	for key := range out {
		if key != "metadata" && key != "spec" {
			return nil, fmt.Errorf("template.%s: there is no such field; known are metadata, spec", key)
		}
	}
	spec, isObject := out["spec"].(map[string]any)
	if !isObject && out["spec"] != nil {
		return nil, errors.New("template.spec is no object")
	}
	spec = maps.Clone(spec)
	if spec == nil {
		spec = map[string]any{}
	}
	containers, isList := spec["containers"].([]any)
	if !isList && spec["containers"] != nil {
		return nil, errors.New("template.spec.containers is no list")
	}
	containers = slices.Clone(containers)
	if len(containers) == 0 {
		containers = []any{bareContainer()}
	}
	first, isObject := containers[0].(map[string]any)
	if !isObject {
		return nil, errors.New("template.spec.containers[0] is no object")
	}
	first = maps.Clone(first)
	if err := c.over(first); err != nil {
		return nil, err
	}
	containers[0] = first
	spec["containers"], out["spec"] = containers, spec
	raw, err := json.Marshal(out)
	if err != nil {
		return nil, fmt.Errorf("template: %w", err)
	}
	if len(raw) > maxJobTemplate {
		return nil, fmt.Errorf("template has %d bytes, more than %d", len(raw), maxJobTemplate)
	}
	return raw, nil
}

func bareContainer() map[string]any {
	return map[string]any{
		"name": "job",
		"securityContext": map[string]any{
			"allowPrivilegeEscalation": false,
			"capabilities":             map[string]any{"drop": []any{"ALL"}},
			"seccompProfile":           map[string]any{"type": "RuntimeDefault"},
		},
	}
}

// over lays the short form over a container.
func (c JobContainer) over(container map[string]any) error {
	if c.Image != "" {
		container["image"] = c.Image
	}
	if container["image"] == nil || container["image"] == "" {
		return errors.New("set image, or that of template.spec.containers[0]")
	}
	if len(c.Command) > 0 {
		container["command"] = c.Command
	}
	if len(c.Args) > 0 {
		container["args"] = c.Args
	}
	if len(c.Env) > 0 {
		env, _ := container["env"].([]any)
		container["env"] = append(slices.Clone(env), c.Env...)
	}
	return nil
}

// JobDeadline reads the deadline of a step's Job; an empty text is zero.
func JobDeadline(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("deadline %q is no duration such as 30s or 10m", text)
	}
	if d < minJobDeadline || d > maxJobDeadline {
		return 0, fmt.Errorf("deadline %q is not between %s and %s", text, minJobDeadline, maxJobDeadline)
	}
	return d, nil
}

// JobRetries checks how many pods may be tried after one that failed.
func JobRetries(n int64) (int32, error) {
	if n < 0 || n > maxJobRetries {
		return 0, fmt.Errorf("backoffLimit %d is not between 0 and %d", n, maxJobRetries)
	}
	return int32(n), nil //nolint:gosec // at most 10
}

// checkRunJob returns what would fail when the step run-job runs. What holds an
// expression is not known yet.
func checkRunJob(stage *v1alpha1.Stage, config map[string]any) []string {
	var out []string
	report := func(err error) {
		if err != nil {
			out = append(out, err.Error())
		}
	}
	if deploy, _ := config["deploy"].(string); !expression.Has(deploy) {
		_, err := CheckDeployment(stage, deploy)
		report(err)
	}
	if deadline, _ := config["deadline"].(string); !expression.Has(deadline) {
		_, err := JobDeadline(deadline)
		report(err)
	}
	if n, isNumber := config["backoffLimit"].(float64); isNumber {
		_, err := JobRetries(int64(n))
		report(err)
	}
	template, isObject := config["template"].(map[string]any)
	if config["template"] == nil || isObject {
		image, _ := config["image"].(string)
		_, err := JobTemplate(template, JobContainer{Image: image})
		report(err)
	}
	return out
}
