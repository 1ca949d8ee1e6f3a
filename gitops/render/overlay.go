package render

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// The inline options of an Application are a kustomization on top of that of the
// repository. It exists in memory only: an overlay beside the repository, in a
// file system that shows both.
const (
	overlayFolder = "overlay"
	overlaidRepo  = "repository"
)

// overlaid renders a kustomization with inline options on top.
func overlaid(t *tree, root string, options *v1alpha1.KustomizeOptions) ([]located, error) {
	text, err := overlay(t, root, options)
	if err != nil {
		return nil, err
	}
	files := &overlayFS{repository: t.files, kustomization: text}
	top := t.over(files)
	found, err := kustomize(top, overlayFolder)
	for _, name := range top.inputs() {
		if inside, ok := strings.CutPrefix(name, overlaidRepo+"/"); ok {
			t.mu.Lock()
			t.names[inside] = true
			t.mu.Unlock()
		}
	}
	var located *Error
	if errors.As(err, &located) {
		// Said of the repository as it is.
		at := *located
		switch {
		case at.File == overlayFolder, at.File == overlayFolder+"/kustomization.yaml":
			at.File = root
		default:
			at.File = strings.TrimPrefix(at.File, overlaidRepo+"/")
		}
		return nil, &at
	}
	return found, err
}

// overlay writes the kustomization of the options.
func overlay(t *tree, root string, o *v1alpha1.KustomizeOptions) ([]byte, error) {
	at := func(name string) (inRepository string, err error) {
		if inRepository = clean(path.Join(root, name)); inRepository == "" || path.IsAbs(name) {
			return "", &Error{File: root, Field: "kustomize", Err: fmt.Errorf("%w: %q leads out of the repository", ErrRemoteReference, name)}
		}
		return inRepository, nil
	}
	k := map[string]any{
		"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization",
		"resources": []string{path.Join("..", overlaidRepo, root)},
	}
	for field, value := range map[string]string{"namePrefix": o.NamePrefix, "nameSuffix": o.NameSuffix, "namespace": o.Namespace} {
		if value != "" {
			k[field] = value
		}
	}
	var images []map[string]string
	for _, text := range o.Images {
		images = append(images, imageOverride(text))
	}
	if images != nil {
		k["images"] = images
	}
	if len(o.Replicas) > 0 {
		k["replicas"] = o.Replicas
	}
	if len(o.CommonLabels) > 0 {
		k["labels"] = []map[string]any{{
			"pairs": o.CommonLabels, "includeSelectors": !o.LabelWithoutSelector, "includeTemplates": o.LabelIncludeTemplates,
		}}
	}
	if len(o.CommonAnnotations) > 0 {
		k["commonAnnotations"] = o.CommonAnnotations
	}
	var patches []map[string]any
	for i, p := range o.Patches {
		text := p.Patch
		if p.Path != "" {
			name, err := at(p.Path)
			if err != nil {
				return nil, err
			}
			content, err := t.read(name)
			if errors.Is(err, fs.ErrNotExist) {
				return nil, &Error{File: root, Field: fmt.Sprintf("kustomize.patches[%d]", i), Err: fmt.Errorf("%w: %q", ErrPathNotFound, p.Path)}
			}
			if err != nil {
				return nil, err
			}
			text = string(content)
		}
		patch := map[string]any{"patch": text}
		if p.Target != nil {
			patch["target"] = p.Target
		}
		if len(p.Options) > 0 {
			patch["options"] = p.Options
		}
		patches = append(patches, patch)
	}
	if patches != nil {
		k["patches"] = patches
	}
	var components []string
	for i, c := range o.Components {
		name, err := at(c)
		if err != nil {
			return nil, err
		}
		if !t.isDir(name) {
			if o.IgnoreMissingComponents {
				continue
			}
			return nil, &Error{File: root, Field: fmt.Sprintf("kustomize.components[%d]", i), Err: fmt.Errorf("%w: %q", ErrPathNotFound, c)}
		}
		components = append(components, path.Join("..", overlaidRepo, name))
	}
	if components != nil {
		k["components"] = components
	}
	text, err := yaml.Marshal(k)
	if err != nil {
		return nil, &Error{File: root, Field: "kustomize", Err: fmt.Errorf("%w: cannot be written", ErrInvalid)}
	}
	return text, nil
}

// imageOverride reads [OLD=]NEW[:TAG][@DIGEST].
func imageOverride(text string) map[string]string {
	name, image, renamed := strings.Cut(text, "=")
	if !renamed {
		name, image = "", text
	}
	out := map[string]string{}
	image, digest, hasDigest := strings.Cut(image, "@")
	if hasDigest {
		out["digest"] = digest
	}
	if colon := strings.LastIndexByte(image, ':'); colon > strings.LastIndexByte(image, '/') {
		out["newTag"] = image[colon+1:]
		image = image[:colon]
	}
	if renamed {
		out["name"], out["newName"] = name, image
	} else {
		out["name"] = image
	}
	return out
}

// overlayFS shows a repository in one folder and a kustomization in another.
type overlayFS struct {
	repository    fs.FS
	kustomization []byte
}

// split says where a name leads: into the repository, or to something of ours.
func (o *overlayFS) split(name string) (inside string, isRepository bool) {
	if name == overlaidRepo {
		return ".", true
	}
	return strings.CutPrefix(name, overlaidRepo+"/")
}

// Open is part of fs.FS.
func (o *overlayFS) Open(name string) (fs.File, error) {
	if inside, ok := o.split(name); ok {
		return o.repository.Open(inside)
	}
	switch name {
	case overlayFolder + "/kustomization.yaml":
		return &memoryFile{Reader: bytes.NewReader(o.kustomization), info: o.info(name)}, nil
	case overlayFolder, ".":
		return &memoryFile{Reader: bytes.NewReader(nil), info: o.info(name)}, nil
	default:
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
}

func (o *overlayFS) info(name string) memoryInfo {
	i := memoryInfo{name: path.Base(name), isDir: name == "." || name == overlayFolder}
	if !i.isDir {
		i.size = int64(len(o.kustomization))
	}
	return i
}

// ReadDir is part of fs.ReadDirFS.
func (o *overlayFS) ReadDir(name string) ([]fs.DirEntry, error) {
	if inside, ok := o.split(name); ok {
		return fs.ReadDir(o.repository, inside)
	}
	switch name {
	case ".":
		return []fs.DirEntry{fs.FileInfoToDirEntry(o.info(overlayFolder)), fs.FileInfoToDirEntry(memoryInfo{name: overlaidRepo, isDir: true})}, nil
	case overlayFolder:
		return []fs.DirEntry{fs.FileInfoToDirEntry(o.info(overlayFolder + "/kustomization.yaml"))}, nil
	default:
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: fs.ErrNotExist}
	}
}

// Lstat is part of fs.ReadLinkFS.
func (o *overlayFS) Lstat(name string) (fs.FileInfo, error) {
	if inside, ok := o.split(name); ok {
		return fs.Lstat(o.repository, inside)
	}
	f, err := o.Open(name)
	if err != nil {
		return nil, err
	}
	return f.Stat()
}

// ReadLink is part of fs.ReadLinkFS.
func (o *overlayFS) ReadLink(name string) (string, error) {
	if inside, ok := o.split(name); ok {
		return fs.ReadLink(o.repository, inside)
	}
	return "", &fs.PathError{Op: "readlink", Path: name, Err: fs.ErrInvalid}
}

// memoryFile is a file of overlayFS.
type memoryFile struct {
	io.Reader
	info memoryInfo
}

// Stat is part of fs.File.
func (f *memoryFile) Stat() (fs.FileInfo, error) { return f.info, nil }

// Close is part of fs.File.
func (f *memoryFile) Close() error { return nil }

type memoryInfo struct {
	name  string
	size  int64
	isDir bool
}

// Name is part of fs.FileInfo, as the methods below are.
func (i memoryInfo) Name() string { return i.name }

// Size is the length of the file.
func (i memoryInfo) Size() int64 { return i.size }

// Mode is that of a file or folder that can only be read.
func (i memoryInfo) Mode() fs.FileMode {
	if i.isDir {
		return fs.ModeDir | 0o555
	}
	return 0o444
}

// ModTime is not known.
func (i memoryInfo) ModTime() time.Time { return time.Time{} }

// IsDir says whether it is a folder.
func (i memoryInfo) IsDir() bool { return i.isDir }

// Sys is nil.
func (i memoryInfo) Sys() any { return nil }
