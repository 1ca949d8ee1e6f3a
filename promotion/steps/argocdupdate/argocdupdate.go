// Package argocdupdate is the step argocd-update: for those who keep Argo CD, it
// changes Applications of Argo CD, has them synced, and waits until that is done.
//
// An Application has to say which Stages may touch it, in its annotation
// waybill.dev/authorized-stage: PROJECT:STAGE. Waybill needs the right to read and
// patch Applications of Argo CD in its own cluster: install it with server.argoCD.
//
// The sync carries the name of the promotion, so there is one for each, whatever is
// killed in between. While another operation runs the step waits for its end. A sync
// that fails, or that reached another revision than desiredRevision, fails the step.
// Set retry.timeout to stop waiting. Output: apps, with namespace, name and revision.
package argocdupdate

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/waybill-dev/waybill/promotion"
	"github.com/waybill-dev/waybill/promotion/steps/argocd"
	"github.com/waybill-dev/waybill/promotion/steps/step"
)

// Config of argocd-update.
type Config struct {
	// Apps to change and sync.
	Apps []App `json:"apps"`
}

// App is one Application, or several with the same sources.
type App struct {
	// Name of the Application.
	Name string `json:"name,omitempty" oneof:"app"`
	// Selector of Applications by their labels, in place of a name.
	Selector *argocd.Selector `json:"selector,omitempty" oneof:"app"`
	// Namespace of the Applications; default argocd.
	Namespace string `json:"namespace,omitempty"`
	// Sources to change, of those the Application has; none: it is only synced.
	Sources []Source `json:"sources,omitempty"`
}

// Source is one of an Application.
type Source struct {
	// RepoURL of the source, as the Application spells it.
	RepoURL string `json:"repoURL"`
	// Chart of the source, for one of a Helm repository.
	Chart string `json:"chart,omitempty"`
	// DesiredRevision is what the sync has to reach: a commit or a version.
	DesiredRevision string `json:"desiredRevision,omitempty"`
	// UpdateTargetRevision writes desiredRevision into targetRevision as well.
	UpdateTargetRevision bool `json:"updateTargetRevision,omitempty"`
	// Kustomize sets images.
	Kustomize *Kustomize `json:"kustomize,omitempty"`
	// Helm sets parameters.
	Helm *Helm `json:"helm,omitempty"`
}

// Kustomize is what is set of a source with a kustomization.
type Kustomize struct {
	// Images to set.
	Images []KustomizeImage `json:"images"`
}

// KustomizeImage is one image.
type KustomizeImage struct {
	// RepoURL of the image, as the manifests spell it.
	RepoURL string `json:"repoURL"`
	// Tag to set.
	Tag string `json:"tag,omitempty"`
	// Digest to set; it wins over the tag.
	Digest string `json:"digest,omitempty"`
	// NewName replaces the image's name.
	NewName string `json:"newName,omitempty"`
}

// Helm is what is set of a source with a chart.
type Helm struct {
	// Images are parameters to set.
	Images []HelmParameter `json:"images"`
}

// HelmParameter is one value by its path.
type HelmParameter struct {
	// Key of the parameter: image.tag.
	Key string `json:"key"`
	// Value of it.
	Value string `json:"value"`
}

// Step is argocd-update.
type Step struct {
	// Applications of Argo CD; nil: it is not reached.
	Applications *argocd.Applications
}

var _ step.Once = Step{}

// NewConfig returns an empty configuration.
func (Step) NewConfig() any { return new(Config) }

// NeedsWorkspace is false.
func (Step) NeedsWorkspace() bool { return false }

// Run takes every Application one step further.
func (s Step) Run(ctx context.Context, in step.Input) (step.Result, error) {
	var c Config
	if err := step.Decode(in.Config, &c); err != nil {
		return step.Result{}, err
	}
	var waits []string
	var apps []any
	for _, wanted := range c.Apps {
		found, err := s.Applications.Find(ctx, in, argocd.App{Name: wanted.Name, Selector: wanted.Selector, Namespace: wanted.Namespace})
		if err != nil {
			return step.Result{}, err
		}
		for _, o := range found {
			revision, waiting, err := s.sync(ctx, in, wanted, o)
			switch {
			case err != nil:
				return step.Result{}, err
			case waiting != "":
				waits = append(waits, waiting)
			}
			apps = append(apps, map[string]any{"namespace": o.GetNamespace(), "name": o.GetName(), "revision": revision})
		}
	}
	result := step.Result{Message: fmt.Sprintf("%d Applications of Argo CD are synced", len(apps)), Output: map[string]any{"apps": apps}}
	if len(waits) > 0 {
		result.Message, result.Wait = strings.Join(waits, "; "), argocd.Poll
	}
	return result, nil
}

// promotionInfo is the name of the item of an operation that says whose it is.
const promotionInfo = "waybill.dev/promotion"

// sync takes one Application one step further. waiting is empty when its sync is
// done.
func (s Step) sync(ctx context.Context, in step.Input, wanted App, o *unstructured.Unstructured) (revision, waiting string, err error) {
	id := fmt.Sprintf("%s/%s", in.Promotion.UID, in.As)
	if _, isRequested, _ := unstructured.NestedMap(o.Object, "operation"); isRequested {
		return "", fmt.Sprintf("Application %q has an operation that has not begun", argocd.Name(o)), nil
	}
	phase := argocd.Text(o, "status", "operationState", "phase")
	isOurs := infoOf(o) == id
	switch {
	case phase == "Running" || phase == "Terminating":
		return "", fmt.Sprintf("Application %q is in an operation", argocd.Name(o)), nil
	case isOurs && phase == "Succeeded":
		return reached(wanted, o)
	case isOurs:
		return "", "", step.Terminal("ArgoCDSyncFailed", fmt.Errorf("the sync of Application %q ended as %s: %.500s", argocd.Name(o), phase, argocd.Text(o, "status", "operationState", "message")))
	}
	after := o.DeepCopy()
	revisions, err := change(wanted, after)
	if err != nil {
		return "", "", step.Terminal("InvalidConfig", fmt.Errorf("Application %q: %w", argocd.Name(o), err))
	}
	request(in, id, revisions, after)
	if err := s.Applications.Write(ctx, o, after); err != nil {
		return "", "", err
	}
	return "", fmt.Sprintf("Application %q is about to be synced", argocd.Name(o)), nil
}

// infoOf returns whose the last operation was.
func infoOf(o *unstructured.Unstructured) string {
	items, _, _ := unstructured.NestedSlice(o.Object, "status", "operationState", "operation", "info")
	for _, item := range items {
		if m, ok := item.(map[string]any); ok && m["name"] == promotionInfo {
			value, _ := m["value"].(string)
			return value
		}
	}
	return ""
}

// reached compares what was synced with what was wanted.
func reached(wanted App, o *unstructured.Unstructured) (revision, waiting string, err error) {
	synced := []string{argocd.Text(o, "status", "operationState", "syncResult", "revision")}
	if _, isMany, _ := unstructured.NestedSlice(o.Object, "spec", "sources"); isMany {
		synced, _, _ = unstructured.NestedStringSlice(o.Object, "status", "operationState", "syncResult", "revisions")
	}
	sources, _ := sourcesOf(o)
	for _, w := range wanted.Sources {
		i := indexOf(sources, w)
		if w.DesiredRevision == "" || i < 0 {
			continue
		}
		if i >= len(synced) || synced[i] != w.DesiredRevision {
			return "", "", step.Terminal("ArgoCDSyncFailed", fmt.Errorf("the sync of Application %q reached %q of %q, not %q", argocd.Name(o), strings.Join(synced, ", "), w.RepoURL, w.DesiredRevision))
		}
	}
	return strings.Join(synced, ","), "", nil
}

// sourcesOf returns the sources of an Application, and where they are.
func sourcesOf(o *unstructured.Unstructured) (sources []map[string]any, isMany bool) {
	list, isMany, _ := unstructured.NestedSlice(o.Object, "spec", "sources")
	if !isMany {
		one, ok, _ := unstructured.NestedMap(o.Object, "spec", "source")
		if !ok {
			return nil, false
		}
		return []map[string]any{one}, false
	}
	for _, item := range list {
		m, _ := item.(map[string]any)
		sources = append(sources, m)
	}
	return sources, true
}

// indexOf finds the source that w means, or returns -1.
func indexOf(sources []map[string]any, w Source) int {
	for i, s := range sources {
		repoURL, _ := s["repoURL"].(string)
		chart, _ := s["chart"].(string)
		if chart == w.Chart && promotion.IsSameRepository(repoURL, w.RepoURL) {
			return i
		}
	}
	return -1
}

// change writes what is wanted into the sources of o, and returns the revisions to
// sync to: one for each source, empty for its targetRevision.
func change(wanted App, o *unstructured.Unstructured) ([]string, error) {
	sources, isMany := sourcesOf(o)
	if len(sources) == 0 {
		return nil, errors.New("it has no source")
	}
	revisions := make([]string, len(sources))
	for i, s := range sources {
		revisions[i], _ = s["targetRevision"].(string)
	}
	for _, w := range wanted.Sources {
		i := indexOf(sources, w)
		if i < 0 {
			return nil, fmt.Errorf("it has no source of %q", strings.TrimSpace(w.RepoURL+" "+w.Chart))
		}
		if w.UpdateTargetRevision && w.DesiredRevision == "" {
			return nil, fmt.Errorf("updateTargetRevision of %q needs desiredRevision", w.RepoURL)
		}
		if w.DesiredRevision != "" {
			revisions[i] = w.DesiredRevision
		}
		if w.UpdateTargetRevision {
			sources[i]["targetRevision"] = w.DesiredRevision
		}
		if err := w.set(sources[i]); err != nil {
			return nil, err
		}
	}
	if !isMany {
		return revisions, unstructured.SetNestedMap(o.Object, sources[0], "spec", "source") //nolint:wrapcheck // of what was read there
	}
	list := make([]any, len(sources))
	for i, s := range sources {
		list[i] = s
	}
	return revisions, unstructured.SetNestedSlice(o.Object, list, "spec", "sources") //nolint:wrapcheck // of what was read there
}

// set writes images and parameters into a source.
func (w Source) set(source map[string]any) error {
	if w.Kustomize != nil {
		old, _, err := unstructured.NestedStringSlice(source, "kustomize", "images")
		if err != nil {
			return err //nolint:wrapcheck // names the field already
		}
		for _, image := range w.Kustomize.Images {
			old = replace(old, image.RepoURL, image.text())
		}
		if err := unstructured.SetNestedStringSlice(source, old, "kustomize", "images"); err != nil {
			return err //nolint:wrapcheck // names the field already
		}
	}
	if w.Helm == nil {
		return nil
	}
	parameters, _, err := unstructured.NestedSlice(source, "helm", "parameters")
	if err != nil {
		return err //nolint:wrapcheck // names the field already
	}
	for _, p := range w.Helm.Images {
		parameters = setParameter(parameters, p)
	}
	return unstructured.SetNestedSlice(source, parameters, "helm", "parameters") //nolint:wrapcheck // names the field already
}

// text is an image as kustomize takes it: [OLD=]NEW[:TAG][@DIGEST].
func (i KustomizeImage) text() string {
	out := i.RepoURL
	if i.NewName != "" {
		out += "=" + i.NewName
	}
	switch {
	case i.Digest != "":
		return out + "@" + i.Digest
	case i.Tag != "":
		return out + ":" + i.Tag
	}
	return out
}

// replace puts text in the place of what is said about an image now, or at the end.
func replace(images []string, name, text string) []string {
	for i, old := range images {
		rest, isIt := strings.CutPrefix(old, name)
		if isIt && (rest == "" || strings.ContainsAny(rest[:1], "=:@")) {
			images[i] = text
			return images
		}
	}
	return append(images, text)
}

func setParameter(all []any, p HelmParameter) []any {
	for _, item := range all {
		if m, ok := item.(map[string]any); ok && m["name"] == p.Key {
			m["value"] = p.Value
			return all
		}
	}
	return append(all, map[string]any{"name": p.Key, "value": p.Value})
}

// request asks Argo CD to sync o. It says whose sync it is, and has the repository
// read anew.
func request(in step.Input, id string, revisions []string, o *unstructured.Unstructured) {
	sync := map[string]any{}
	if _, isMany := sourcesOf(o); isMany {
		list := make([]any, len(revisions))
		for i, r := range revisions {
			list[i] = r
		}
		sync["revisions"] = list
	} else if revisions[0] != "" {
		sync["revision"] = revisions[0]
	}
	if options, ok, _ := unstructured.NestedStringSlice(o.Object, "spec", "syncPolicy", "syncOptions"); ok {
		list := make([]any, len(options))
		for i, option := range options {
			list[i] = option
		}
		sync["syncOptions"] = list
	}
	if prune, _, _ := unstructured.NestedBool(o.Object, "spec", "syncPolicy", "automated", "prune"); prune {
		sync["prune"] = true
	}
	operation := map[string]any{
		"initiatedBy": map[string]any{"username": "waybill", "automated": true},
		"info": []any{
			map[string]any{"name": "Reason", "value": fmt.Sprintf("Promotion %s/%s", in.Promotion.Namespace, in.Promotion.Name)},
			map[string]any{"name": promotionInfo, "value": id},
		},
		"sync": sync,
	}
	if retry, ok, _ := unstructured.NestedMap(o.Object, "spec", "syncPolicy", "retry"); ok {
		operation["retry"] = retry
	}
	o.Object["operation"] = operation
	annotations := o.GetAnnotations()
	annotations["argocd.argoproj.io/refresh"] = "hard"
	o.SetAnnotations(annotations)
}
