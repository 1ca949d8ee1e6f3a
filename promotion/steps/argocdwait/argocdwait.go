// Package argocdwait is the step argocd-wait: for those who keep Argo CD, it waits
// until Applications of Argo CD are as they should be.
//
// As for argocd-update, an Application has to name the Stage in its annotation
// waybill.dev/authorized-stage, and Waybill has to be installed with server.argoCD.
// Set retry.timeout to stop waiting. Output: apps, with namespace, name, health, sync
// and revision.
package argocdwait

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/waybill-dev/waybill/promotion/steps/argocd"
	"github.com/waybill-dev/waybill/promotion/steps/step"
)

// Config of argocd-wait.
type Config struct {
	// Apps to wait for.
	Apps []App `json:"apps"`
}

// App is one Application, or several.
type App struct {
	// Name of the Application.
	Name string `json:"name,omitempty" oneof:"app"`
	// Selector of Applications by their labels, in place of a name.
	Selector *argocd.Selector `json:"selector,omitempty" oneof:"app"`
	// Namespace of the Applications; default argocd.
	Namespace string `json:"namespace,omitempty"`
	// WaitFor is what has to be true: health (Healthy), suspended, degraded (any of
	// these three that are named), sync (Synced), operation (none runs, and the last
	// one succeeded). Default: health, sync and operation.
	WaitFor []string `json:"waitFor,omitempty"`
}

// Step is argocd-wait.
type Step struct {
	// Applications of Argo CD; nil: it is not reached.
	Applications *argocd.Applications
}

var _ step.Once = Step{}

// NewConfig returns an empty configuration.
func (Step) NewConfig() any { return new(Config) }

// NeedsWorkspace is false.
func (Step) NeedsWorkspace() bool { return false }

// Run looks at the Applications.
func (s Step) Run(ctx context.Context, in step.Input) (step.Result, error) {
	var c Config
	if err := step.Decode(in.Config, &c); err != nil {
		return step.Result{}, err
	}
	var waits []string
	var apps []any
	for _, wanted := range c.Apps {
		waitFor := wanted.WaitFor
		if len(waitFor) == 0 {
			waitFor = []string{"health", "sync", "operation"}
		}
		for _, w := range waitFor {
			if !slices.Contains([]string{"health", "sync", "operation", "suspended", "degraded"}, w) {
				return step.Result{}, step.Terminal("InvalidConfig", fmt.Errorf("waitFor: %q is none of health, sync, operation, suspended and degraded", w))
			}
		}
		found, err := s.Applications.Find(ctx, in, argocd.App{Name: wanted.Name, Selector: wanted.Selector, Namespace: wanted.Namespace})
		if err != nil {
			return step.Result{}, err
		}
		for _, o := range found {
			if why := lacks(o, waitFor); why != "" {
				waits = append(waits, fmt.Sprintf("Application %q %s", argocd.Name(o), why))
			}
			apps = append(apps, map[string]any{
				"namespace": o.GetNamespace(), "name": o.GetName(), "revision": argocd.Text(o, "status", "sync", "revision"),
				"health": argocd.Text(o, "status", "health", "status"), "sync": argocd.Text(o, "status", "sync", "status"),
			})
		}
	}
	result := step.Result{Message: fmt.Sprintf("%d Applications of Argo CD are as they should be", len(apps)), Output: map[string]any{"apps": apps}}
	if len(waits) > 0 {
		result.Message, result.Wait = strings.Join(waits, "; "), argocd.Poll
	}
	return result, nil
}

// lacks says what an Application is not yet, or "".
func lacks(o *unstructured.Unstructured, waitFor []string) string {
	if slices.Contains(waitFor, "operation") {
		_, isRequested, _ := unstructured.NestedMap(o.Object, "operation")
		phase := argocd.Text(o, "status", "operationState", "phase")
		switch {
		case isRequested:
			return "has an operation that has not begun"
		case phase != "" && phase != "Succeeded":
			return "has an operation that is " + phase
		}
	}
	if sync := argocd.Text(o, "status", "sync", "status"); slices.Contains(waitFor, "sync") && sync != "Synced" {
		return "is " + orUnknown(sync)
	}
	var allowed []string
	for word, state := range map[string]string{"health": "Healthy", "suspended": "Suspended", "degraded": "Degraded"} {
		if slices.Contains(waitFor, word) {
			allowed = append(allowed, state)
		}
	}
	if health := argocd.Text(o, "status", "health", "status"); len(allowed) > 0 && !slices.Contains(allowed, health) {
		return "is " + orUnknown(health)
	}
	return ""
}

func orUnknown(word string) string {
	if word == "" {
		return "Unknown"
	}
	return word
}
