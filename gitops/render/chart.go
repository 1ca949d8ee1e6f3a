package render

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/gitops/render/helm"
)

// Charts renders Helm charts; *helm.Pool does, in processes of their own.
type Charts interface {
	Render(ctx context.Context, r *helm.Request, timeout time.Duration) ([]helm.Manifest, error)
}

// chartFile is what makes a folder a chart.
const chartFile = "Chart.yaml"

// chart renders a folder with a Helm chart.
func chart(t *tree, root string, s Source) ([]located, error) {
	if s.Charts == nil {
		return nil, &Error{File: root, Err: fmt.Errorf("%w: Helm charts are not rendered here", ErrUnsupported)}
	}
	options := s.Helm
	if options == nil {
		options = &v1alpha1.HelmOptions{}
	}
	request := &helm.Request{
		Files: map[string][]byte{}, ReleaseName: s.Release, Namespace: s.Namespace,
		Values: options.Values, KubeVersion: options.KubeVersion, APIVersions: options.APIVersions,
		SkipCRDs: options.SkipCrds, SkipSchema: options.SkipSchemaValidation,
	}
	if options.ReleaseName != "" {
		request.ReleaseName = options.ReleaseName
	}
	if options.Namespace != "" {
		request.Namespace = options.Namespace
	}
	if options.ValuesObject != nil {
		request.Values, request.ValuesObject = "", options.ValuesObject.Raw // in place of values, as in Argo CD
	}
	for _, p := range options.Parameters {
		request.Parameters = append(request.Parameters, helm.Parameter{Name: p.Name, Value: p.Value, ForceString: p.ForceString})
	}
	if err := readChart(t, root, request.Files); err != nil {
		return nil, err
	}
	for i, name := range options.ValueFiles {
		file := clean(path.Join(root, name))
		if strings.HasPrefix(name, "/") {
			file = clean(strings.TrimPrefix(name, "/"))
		}
		field := fmt.Sprintf("helm.valueFiles[%d]", i)
		if file == "" {
			return nil, &Error{File: root, Field: field, Err: fmt.Errorf("%w: %q leads out of the repository", ErrRemoteReference, name)}
		}
		content, err := t.read(file)
		if errors.Is(err, fs.ErrNotExist) {
			if options.IgnoreMissingValueFiles {
				continue
			}
			return nil, &Error{File: root, Field: field, Err: fmt.Errorf("%w: %q", ErrPathNotFound, name)}
		}
		if err != nil {
			return nil, err
		}
		if err := t.checkYAML(file, content); err != nil {
			return nil, err
		}
		request.ValueFiles = append(request.ValueFiles, helm.ValueFile{Name: file, Content: content})
	}
	manifests, err := s.Charts.Render(t.ctx, request, t.limits.Timeout)
	switch {
	case err == nil:
	case errors.Is(err, helm.ErrTimeout):
		return nil, &Error{File: root, Err: fmt.Errorf("%w: more than %s", ErrTimeout, t.limits.Timeout)}
	case errors.Is(err, helm.ErrWorker):
		return nil, &Error{File: root, Err: fmt.Errorf("%w: %s", ErrTooLarge, oneLine(err.Error()))}
	case errors.Is(err, helm.ErrChart):
		return nil, &Error{File: root, Err: fmt.Errorf("%w: %s", ErrHelm, oneLine(strings.TrimPrefix(err.Error(), "helm: ")))}
	default:
		return nil, err
	}
	var out []located
	size := 0
	for _, m := range manifests {
		if size += len(m.Content); int64(size) > t.limits.Bytes {
			return nil, &Error{File: root, Err: fmt.Errorf("%w: the chart renders more than %d bytes", ErrTooLarge, t.limits.Bytes)}
		}
		objects, err := decodeRendered(t, path.Join(root, m.Name), []byte(m.Content))
		if err != nil {
			return nil, err
		}
		if out = append(out, objects...); len(out) > t.limits.Objects {
			return nil, &Error{File: root, Err: fmt.Errorf("%w: more than %d objects", ErrTooLarge, t.limits.Objects)}
		}
	}
	return out, nil
}

// readChart reads the files of a chart's folder, but those that its .helmignore
// names.
func readChart(t *tree, root string, files map[string][]byte) error {
	rules, err := t.readRaw(path.Join(root, helm.IgnoreFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	isIgnored, err := helm.Ignored(rules)
	if err != nil {
		return &Error{File: path.Join(root, helm.IgnoreFile), Err: fmt.Errorf("%w: %s", ErrHelm, oneLine(err.Error()))}
	}
	return readFolder(t, root, root, files, isIgnored)
}

func readFolder(t *tree, root, folder string, files map[string][]byte, isIgnored func(string, fs.FileInfo) bool) error {
	entries, err := t.list(folder)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), ".") && entry.Name() != helm.IgnoreFile {
			continue
		}
		name := path.Join(folder, entry.Name())
		inside := name
		if root != "." {
			inside = strings.TrimPrefix(name, root+"/")
		}
		info, err := entry.Info()
		if err != nil {
			return &Error{File: name, Err: fmt.Errorf("%w: %s", ErrUnsupported, cause(err))}
		}
		switch {
		case isIgnored(inside, info):
		case entry.IsDir():
			if err := readFolder(t, root, name, files, isIgnored); err != nil {
				return err
			}
		default:
			// Values are given by helm.valueFiles; what lies beside is the chart's own.
			if files[inside], err = t.readRaw(name); err != nil {
				return err
			}
		}
	}
	return nil
}
