package render

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/sops"
	"github.com/waybill-dev/waybill/internal/yamledit"
)

// Source is what to render.
type Source struct {
	// FS is the tree of one revision of a repository. It need not be safe against hostile names; it must be safe
	// for concurrent reading.
	FS fs.FS `json:"-"`
	// Path of the folder, from the root of the repository; "." or "" is the root.
	Path string
	// Directory selects files when the folder has neither chart nor kustomization. Names and meaning as in Argo CD.
	Directory Directory
	// Kustomize is put on top of the kustomization of the folder, Helm says how its chart is rendered. Without
	// either, and without Directory, what the folder holds decides.
	Kustomize *v1alpha1.KustomizeOptions
	Helm      *v1alpha1.HelmOptions
	// Release and Namespace are what a chart is told when Helm does not say.
	Release, Namespace string
	// Project and Decryption say where the keys for encrypted files are; nil: such files are refused.
	Project    string               `json:"-"`
	Decryption *v1alpha1.Decryption `json:"-"`
	// Keys are those, and KeysID tells them from others. Cache sets them.
	Keys   *sops.Keys `json:"-"`
	KeysID string
	// Charts renders Helm charts; nil: they are refused.
	Charts Charts `json:"-"`
}

// SourceOf returns the source of the Application called app, which deploys into namespace, in the repository files.
func SourceOf(files fs.FS, source v1alpha1.ApplicationSource, app, namespace string) Source {
	s := Source{FS: files, Path: source.Path, Kustomize: source.Kustomize, Helm: source.Helm, Release: app, Namespace: namespace}
	if d := source.Directory; d != nil {
		s.Directory = Directory{Recurse: d.Recurse, Include: d.Include, Exclude: d.Exclude}
	}
	return s
}

// Encrypted returns s with the keys that an Application of project names.
func (s Source) Encrypted(project string, d *v1alpha1.Decryption) Source {
	s.Project, s.Decryption = project, d
	return s
}

// Directory selects files of a folder of plain YAML.
type Directory struct {
	// Recurse into sub-folders.
	Recurse bool
	// Include and Exclude are globs over the file's path from Source.Path: * matches any text, folders included,
	// ? one character, [a-z] one of a set, {a,b} one of several. Empty: include everything, exclude nothing.
	Include, Exclude string
}

// Result is what a path renders to, and what that depends on.
type Result struct {
	// Objects in a fixed order: by file name and document for plain YAML, as kustomize orders them otherwise.
	// Never empty.
	Objects []*unstructured.Unstructured
	// Templates are the files that Objects came from, one for each, from Source.Path; "" for what kustomize made.
	Templates []string
	// Files are the paths, from the root of the repository, of all files that were read, sorted. For plain YAML a
	// file added to the folder changes the result too.
	Files []string
	// Outside says that some of Files do not lie under Source.Path: then the tree hash of the path alone does not
	// identify the result.
	Outside bool
}

// Render returns the objects of source. It is Run without what the result depends on.
func Render(ctx context.Context, source Source, limits Limits) ([]*unstructured.Unstructured, error) {
	result, err := Run(ctx, source, limits)
	return result.Objects, err
}

// Run renders source within limits. Errors are *Error with one of the kinds of this package, or the context's.
func Run(ctx context.Context, source Source, limits Limits) (Result, error) {
	limits = limits.withDefaults()
	if err := ctx.Err(); err != nil {
		return Result{}, err
	}
	timed, cancel := context.WithTimeoutCause(ctx, limits.Timeout, ErrTimeout)
	defer cancel()
	t := newTree(timed, source.FS, limits)
	t.keys = source.Keys

	result, err := recovered(t, source)
	if err != nil {
		if ctx.Err() != nil {
			return Result{}, ctx.Err()
		}
		if errors.Is(context.Cause(timed), ErrTimeout) && errors.Is(err, context.DeadlineExceeded) {
			err = &Error{File: source.Path, Err: fmt.Errorf("%w: more than %s", ErrTimeout, limits.Timeout)}
		}
		return Result{}, err
	}
	return result, nil
}

// recovered is run with a panic turned into an error: one hostile repository must not stop the others.
func recovered(t *tree, source Source) (result Result, err error) {
	defer func() {
		if r := recover(); r != nil {
			result, err = Result{}, &Error{File: source.Path, Err: fmt.Errorf("%w: rendering panicked: %s", ErrInvalid, oneLine(fmt.Sprint(r)))}
		}
	}()
	return run(t, source)
}

func run(t *tree, source Source) (Result, error) {
	root := clean(source.Path)
	if root == "" {
		return Result{}, &Error{File: source.Path, Err: fmt.Errorf("%w: it leads out of the repository", ErrPathNotFound)}
	}
	if !t.isDir(root) {
		err := ErrPathNotFound
		switch info, why := t.stat(root); {
		case why != nil && !errors.Is(why, fs.ErrNotExist):
			err = fmt.Errorf("%w: %w", ErrPathNotFound, why)
		case why == nil && info.Mode()&fs.ModeSymlink != 0:
			err = fmt.Errorf("%w: it is a symbolic link, which is never followed", ErrPathNotFound)
		case why == nil:
			err = fmt.Errorf("%w: it is a file, not a folder", ErrPathNotFound)
		}
		return Result{}, &Error{File: root, Err: err}
	}
	var found []located
	var err error
	kustomization, ambiguous := findKustomization(t, root)
	isChart := t.isFile(path.Join(root, chartFile))
	switch {
	case source.Helm != nil && !isChart:
		return Result{}, &Error{File: root, Err: fmt.Errorf("%w: helm is set and there is no %s", ErrPathNotFound, chartFile)}
	case source.Kustomize != nil && kustomization == "" && !ambiguous:
		return Result{}, &Error{File: root, Err: fmt.Errorf("%w: kustomize is set and there is no kustomization", ErrPathNotFound)}
	case source.Helm != nil, isChart && source.Kustomize == nil && source.Directory == (Directory{}):
		found, err = chart(t, root, source)
	case ambiguous:
		return Result{}, &Error{File: root, Err: fmt.Errorf("%w: more than one kustomization file", ErrInvalid)}
	case source.Kustomize != nil:
		found, err = overlaid(t, root, kustomization, source.Kustomize)
	case kustomization != "":
		found, err = kustomize(t, root)
	default:
		found, err = plain(t, root, source.Directory)
	}
	if err != nil {
		return Result{}, err
	}
	if len(found) == 0 {
		return Result{}, &Error{File: root, Err: ErrNothingRendered}
	}
	if err := rejectDuplicates(root, found); err != nil {
		return Result{}, err
	}
	if err := t.rejectShown(root, found); err != nil {
		return Result{}, err
	}
	result := Result{Files: t.inputs()}
	for _, o := range found {
		Normalize(o.object)
		result.Objects = append(result.Objects, o.object)
		result.Templates = append(result.Templates, strings.TrimPrefix(o.file, root+"/"))
	}
	for _, name := range result.Files {
		result.Outside = result.Outside || !under(name, root)
	}
	return result, nil
}

// findKustomization returns the path of the kustomization file of folder, or "". ambiguous: there are several.
func findKustomization(t *tree, folder string) (file string, ambiguous bool) {
	for _, name := range yamledit.KustomizationFileNames() {
		candidate := path.Join(folder, name)
		if _, err := t.stat(candidate); err != nil {
			continue
		}
		if file != "" {
			return "", true
		}
		file = candidate
	}
	return file, false
}

// located is an object and where it was written; file is empty for what kustomize made.
type located struct {
	object   *unstructured.Unstructured
	file     string
	document int
}

func (l located) String() string {
	if l.file == "" {
		return "the kustomization"
	}
	return fmt.Sprintf("%s, document %d", l.file, l.document)
}

// rejectDuplicates refuses two manifests of one object: which of them wins would be chance. The version is not part
// of what identifies an object.
func rejectDuplicates(root string, found []located) error {
	type key struct{ group, kind, namespace, name string }
	seen := make(map[key]located, len(found))
	for _, o := range found {
		gvk := o.object.GroupVersionKind()
		k := key{gvk.Group, gvk.Kind, o.object.GetNamespace(), o.object.GetName()}
		if first, ok := seen[k]; ok {
			name := k.name
			if k.namespace != "" {
				name = k.namespace + "/" + k.name
			}
			err := fmt.Errorf("%w: %s %q, first in %s", ErrDuplicateObject, k.kind, name, first)
			if o.file == "" {
				return &Error{File: root, Err: err}
			}
			return &Error{File: o.file, Document: o.document, Err: err}
		}
		seen[k] = o
	}
	return nil
}
