// Package helmtemplate is the step helm-template: it renders a chart and writes
// what comes out.
//
// The chart renders in a process of its own, without network and within limits
// of memory and time. What the chart depends on has to lie in its charts folder,
// or buildDependencies fetches it first. Values files lie in the repository of the
// chart.
package helmtemplate

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/gitops/render"
	"github.com/waybill-dev/waybill/promotion/steps/manifests"
	"github.com/waybill-dev/waybill/promotion/steps/step"
)

// Config of helm-template.
type Config struct {
	// Path of the folder with Chart.yaml.
	Path string `json:"path"`
	// OutPath is where the manifests go: one file if its name ends in .yaml or
	// .yml, else a folder with a file for each object.
	OutPath string `json:"outPath"`
	// OutLayout of a folder: flat (default), a file for each object named
	// kind-name.yaml; or helm, a file for each template below the chart's name, as
	// helm template --output-dir.
	OutLayout string `json:"outLayout,omitempty" enum:"flat,helm"`
	// ReleaseName is what the chart is told as .Release.Name.
	ReleaseName string `json:"releaseName"`
	// UseReleaseName puts the files of layout helm into a folder with the name of
	// the release.
	UseReleaseName bool `json:"useReleaseName,omitempty"`
	// BuildDependencies first fetches what the chart depends on, in the versions of
	// its Chart.lock, or the newest that fit when there is none.
	BuildDependencies bool `json:"buildDependencies,omitempty"`
	// Namespace is what the chart is told as .Release.Namespace.
	Namespace string `json:"namespace,omitempty"`
	// ValuesFiles in the workspace, later ones over earlier ones.
	ValuesFiles []string `json:"valuesFiles,omitempty"`
	// IgnoreMissingValueFiles passes over values files that are not there.
	IgnoreMissingValueFiles bool `json:"ignoreMissingValueFiles,omitempty"`
	// SetValues over those of the files.
	SetValues []Value `json:"setValues,omitempty"`
	// IncludeCRDs writes what is in the chart's crds folder; default true.
	IncludeCRDs *bool `json:"includeCRDs,omitempty"`
	// DisableHooks leaves out objects that Helm runs as hooks.
	DisableHooks bool `json:"disableHooks,omitempty"`
	// SkipTests leaves out objects that helm test runs.
	SkipTests bool `json:"skipTests,omitempty"`
	// KubeVersion is what the chart is told as .Capabilities.KubeVersion.
	KubeVersion string `json:"kubeVersion,omitempty"`
	// APIVersions are added to .Capabilities.APIVersions.
	APIVersions []string `json:"apiVersions,omitempty"`
}

// Value is one value to set.
type Value struct {
	// Key of the value, as helm --set takes it: image.tag.
	Key string `json:"key"`
	// Value to set.
	Value string `json:"value"`
	// Literal takes the value as text, also when it reads as a number.
	Literal bool `json:"literal,omitempty"`
}

// Step is helm-template.
type Step struct {
	// Charts renders; nil: charts are refused.
	Charts render.Charts
	// Dependencies fetches what a chart depends on.
	Dependencies Dependencies
}

// Dependencies fetches what the chart in a folder of the workspace depends on.
type Dependencies interface {
	Build(ctx context.Context, in step.Input, folder string) error
}

// NewConfig returns an empty configuration.
func (Step) NewConfig() any { return new(Config) }

// Run renders the chart.
func (s Step) Run(ctx context.Context, in step.Input) (step.Result, error) {
	var c Config
	if err := step.Decode(in.Config, &c); err != nil {
		return step.Result{}, err
	}
	tree, dir, err := in.Workspace.Locate(c.Path)
	if err != nil {
		return step.Result{}, step.Terminal("InvalidConfig", err)
	}
	options := &v1alpha1.HelmOptions{
		ReleaseName: c.ReleaseName, Namespace: c.Namespace, KubeVersion: c.KubeVersion, APIVersions: c.APIVersions,
		SkipCrds: c.IncludeCRDs != nil && !*c.IncludeCRDs, IgnoreMissingValueFiles: c.IgnoreMissingValueFiles,
	}
	for _, name := range c.ValuesFiles {
		in, rel, err := in.Workspace.Locate(name)
		if err == nil && in != tree {
			err = fmt.Errorf("values file %q is not in the repository of the chart; copy it there first", name)
		}
		if err != nil {
			return step.Result{}, step.Terminal("InvalidConfig", err)
		}
		options.ValueFiles = append(options.ValueFiles, "/"+rel)
	}
	for _, v := range c.SetValues {
		options.Parameters = append(options.Parameters, v1alpha1.HelmParameter{Name: v.Key, Value: v.Value, ForceString: v.Literal})
	}
	if c.BuildDependencies {
		if err := s.Dependencies.Build(ctx, in, c.Path); err != nil {
			return step.Result{}, err //nolint:wrapcheck // a step's error already
		}
	}
	files, err := tree.FS()
	if err != nil {
		return step.Result{}, err //nolint:wrapcheck // names the tree already
	}
	rendered, err := render.Run(ctx, render.Source{FS: files, Path: path.Join(".", dir), Helm: options, Charts: s.Charts}, render.Limits{})
	switch {
	case errors.Is(err, context.Canceled):
		return step.Result{}, err //nolint:wrapcheck // the context's own
	case err != nil:
		return step.Result{}, step.Reasoned("RenderFailed", fmt.Errorf("render %q: %w", c.Path, err))
	}
	var kept []*unstructured.Unstructured
	var templates []string
	for i, o := range rendered.Objects {
		hook := o.GetAnnotations()["helm.sh/hook"]
		if hook == "" || !c.DisableHooks && !(c.SkipTests && strings.HasPrefix(hook, "test")) {
			kept, templates = append(kept, o), append(templates, rendered.Templates[i])
		}
	}
	if c.OutLayout != "helm" || manifests.IsFile(c.OutPath) {
		return manifests.Write(in, c.OutPath, c.OutLayout, kept)
	}
	folder, err := chartName(in, c.Path)
	if err != nil {
		return step.Result{}, err
	}
	if c.UseReleaseName {
		folder = path.Join(c.ReleaseName, folder)
	}
	for i := range templates {
		templates[i] = path.Join(folder, templates[i])
	}
	return manifests.WriteFiles(in, c.OutPath, templates, kept)
}

// chartName is what the chart in a folder calls itself.
func chartName(in step.Input, folder string) (string, error) {
	raw, err := in.ReadFile(path.Join(folder, "Chart.yaml"))
	if err != nil {
		return "", err
	}
	var meta struct {
		Name string `json:"name"`
	}
	if err := yaml.Unmarshal(raw, &meta); err != nil || meta.Name == "" || strings.ContainsAny(meta.Name, `/\`) || meta.Name == ".." {
		return "", step.Reasoned("FileInvalid", fmt.Errorf("file %q does not say what the chart is called", path.Join(folder, "Chart.yaml")))
	}
	return meta.Name, nil
}
