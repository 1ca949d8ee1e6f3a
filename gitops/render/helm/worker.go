package helm

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"maps"
	"path"
	"runtime/debug"
	"slices"
	"strings"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/loader/archive"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	chartutil "helm.sh/helm/v4/pkg/chart/v2/util"
	"helm.sh/helm/v4/pkg/engine"
	"helm.sh/helm/v4/pkg/strvals"
	"sigs.k8s.io/yaml"
)

// WorkerArgument is the argument that makes the program a worker.
const WorkerArgument = "render-worker"

// memoryGoal is what the garbage collector works towards, below memoryLimit.
const memoryGoal = 384 << 20

// Serve makes the process a worker: it takes from it what rendering does not
// need, and then answers requests from in until in ends.
func Serve(in io.Reader, out io.Writer) error {
	if err := confine(); err != nil {
		return fmt.Errorf("confine the render worker: %w", err)
	}
	debug.SetMemoryLimit(memoryGoal)
	// Libraries may repeat values in their warnings; standard error is the server's
	// log.
	log.SetOutput(io.Discard)
	slog.SetDefault(slog.New(slog.DiscardHandler))
	requests := bufio.NewReader(in)
	for {
		var request Request
		if err := receive(requests, &request); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		manifests, err := template(&request)
		answer := response{Manifests: manifests}
		if err != nil {
			answer = response{Error: err.Error()}
		}
		if err := send(out, answer); errors.Is(err, errFrame) {
			err = send(out, response{Error: "the chart renders more than 64 MiB"})
			if err != nil {
				return err
			}
		} else if err != nil {
			return err
		}
		debug.FreeOSMemory()
	}
}

// template renders one chart.
func template(r *Request) (manifests []Manifest, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			manifests, err = nil, fmt.Errorf("rendering panicked: %v", cause)
		}
	}()
	files := make([]*archive.BufferedFile, 0, len(r.Files))
	for _, name := range slices.Sorted(maps.Keys(r.Files)) {
		files = append(files, &archive.BufferedFile{Name: name, Data: r.Files[name]})
	}
	c, err := loader.LoadFiles(files)
	if err != nil {
		return nil, err
	}
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if t := c.Metadata.Type; t != "" && t != "application" {
		return nil, fmt.Errorf("the chart is of type %q, which has nothing to install", t)
	}
	values, err := r.values()
	if err != nil {
		return nil, err
	}
	vendored := map[string]bool{}
	for _, d := range c.Dependencies() {
		vendored[d.Name()] = true
	}
	for _, d := range c.Metadata.Dependencies {
		if !vendored[d.Name] {
			return nil, fmt.Errorf("dependency %q is not in the charts folder; commit what helm dependency build downloads", d.Name)
		}
	}
	if err := chartutil.ProcessDependencies(c, values); err != nil {
		return nil, err
	}
	capabilities := common.DefaultCapabilities.Copy()
	if r.KubeVersion != "" {
		version, err := common.ParseKubeVersion(r.KubeVersion)
		if err != nil {
			return nil, err
		}
		capabilities.KubeVersion = *version
		// Only a version that was given is the cluster's; the library's own says nothing about what the chart allows.
		if wanted := c.Metadata.KubeVersion; wanted != "" && !chartutil.IsCompatibleRange(wanted, version.String()) {
			return nil, fmt.Errorf("the chart is for Kubernetes %s, and helm.kubeVersion is %s", wanted, version)
		}
	}
	if len(r.APIVersions) > 0 {
		capabilities.APIVersions = append(slices.Clone(capabilities.APIVersions), r.APIVersions...)
	}
	// As Argo CD: there are no releases, so every render is an installation.
	release := common.ReleaseOptions{Name: r.ReleaseName, Namespace: r.Namespace, Revision: 1, IsInstall: true}
	top, err := util.ToRenderValuesWithSchemaValidation(c, values, release, capabilities, r.SkipSchema)
	if err != nil {
		return nil, err
	}
	rendered, err := engine.Engine{}.RenderWithContext(context.Background(), c, top)
	if err != nil {
		return nil, err
	}
	if !r.SkipCRDs {
		for _, crd := range c.CRDObjects() {
			manifests = append(manifests, Manifest{Name: inChart(c.Name(), crd.Filename), Content: string(crd.File.Data)})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(rendered)) {
		if base := path.Base(name); base == "NOTES.txt" || strings.HasPrefix(base, "_") || strings.TrimSpace(rendered[name]) == "" {
			continue
		}
		manifests = append(manifests, Manifest{Name: inChart(c.Name(), name), Content: rendered[name]})
	}
	return manifests, nil
}

// inChart is a file's path from the chart's folder.
func inChart(chart, name string) string { return strings.TrimPrefix(name, chart+"/") }

// values merges all values but those of the chart itself.
func (r *Request) values() (map[string]any, error) {
	out := map[string]any{}
	for _, f := range r.ValueFiles {
		values, err := loader.LoadValues(strings.NewReader(string(f.Content)))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
		out = loader.MergeMaps(out, values)
	}
	if r.Values != "" {
		var values map[string]any
		if err := yaml.Unmarshal([]byte(r.Values), &values); err != nil {
			return nil, fmt.Errorf("helm.values: %w", err)
		}
		out = loader.MergeMaps(out, values)
	}
	if len(r.ValuesObject) > 0 {
		var values map[string]any
		if err := json.Unmarshal(r.ValuesObject, &values); err != nil {
			return nil, fmt.Errorf("helm.valuesObject: %w", err)
		}
		out = loader.MergeMaps(out, values)
	}
	for _, p := range r.Parameters {
		text := p.Name + "=" + parameterValue(p.Value)
		parse := strvals.ParseInto
		if p.ForceString {
			parse = strvals.ParseIntoString
		}
		if err := parse(text, out); err != nil {
			return nil, fmt.Errorf("helm.parameters %q: %w", p.Name, err)
		}
	}
	return out, nil
}

// parameterValue writes a value as --set takes it. A comma would begin another parameter; in braces it parts the items
// of a list, and a backslash before it is one that somebody wrote for --set.
func parameterValue(value string) string {
	if strings.HasPrefix(value, "{") && strings.HasSuffix(value, "}") {
		return value
	}
	const comma = "\x00"
	value = strings.ReplaceAll(value, `\,`, comma)
	value = strings.NewReplacer(`\`, `\\`, ",", `\,`).Replace(value)
	return strings.ReplaceAll(value, comma, `\,`)
}
