package render

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/yaml"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// overlaid renders a kustomization with the inline options of an Application. As in Argo CD they are edits of the
// kustomization itself, as kustomize edit makes them, and not another one on top: a namePrefix takes the place of the
// one that is there, and a component that is added is renamed with the rest. Nothing is written; the build sees the
// repository with that one file changed.
func overlaid(t *tree, root, file string, options *v1alpha1.KustomizeOptions) ([]located, error) {
	text, err := edited(t, root, file, options)
	if err != nil {
		return nil, err
	}
	top := t.over(&editedFS{repository: t.files, name: file, content: text})
	found, err := kustomize(top, root)
	t.adopt(top)
	return found, err
}

// edited returns the kustomization file with the options in it.
func edited(t *tree, root, file string, o *v1alpha1.KustomizeOptions) ([]byte, error) {
	content, err := t.read(file)
	if err != nil {
		return nil, err
	}
	if err := t.checkYAML(file, content); err != nil {
		return nil, err
	}
	var k types.Kustomization
	if err := k.Unmarshal(content); err != nil {
		return nil, &Error{File: file, Err: fmt.Errorf("%w: %s", ErrInvalid, quoteKustomize(err))}
	}
	k.FixKustomization() // names of old versions, imageTags for one
	for _, edit := range []struct {
		field *string
		value string
	}{{&k.NamePrefix, o.NamePrefix}, {&k.NameSuffix, o.NameSuffix}, {&k.Namespace, o.Namespace}} {
		if edit.value != "" {
			*edit.field = edit.value
		}
	}
	for _, text := range o.Images {
		k.Images = setImage(k.Images, imageOverride(text))
	}
	for _, r := range o.Replicas {
		k.Replicas = slices.DeleteFunc(k.Replicas, func(there types.Replica) bool { return there.Name == r.Name })
		k.Replicas = append(k.Replicas, types.Replica{Name: r.Name, Count: int64(r.Count)})
	}
	if len(o.CommonLabels) > 0 {
		k.Labels = append(k.Labels, types.Label{
			Pairs: o.CommonLabels, IncludeSelectors: !o.LabelWithoutSelector, IncludeTemplates: o.LabelIncludeTemplates,
		})
	}
	for name, value := range o.CommonAnnotations {
		if k.CommonAnnotations == nil {
			k.CommonAnnotations = map[string]string{}
		}
		k.CommonAnnotations[name] = value
	}
	if err := addPatches(t, root, &k, o.Patches); err != nil {
		return nil, err
	}
	if err := addComponents(t, root, &k, o); err != nil {
		return nil, err
	}
	text, err := yaml.Marshal(k)
	if err != nil {
		return nil, &Error{File: root, Field: "kustomize", Err: fmt.Errorf("%w: cannot be written", ErrInvalid)}
	}
	return text, nil
}

// inRepository returns the path of name, which the options give from root.
func inRepository(root, name string) (string, error) {
	inside := clean(path.Join(root, name))
	if inside == "" || path.IsAbs(name) {
		return "", &Error{File: root, Field: "kustomize", Err: fmt.Errorf("%w: %q leads out of the repository", ErrRemoteReference, name)}
	}
	return inside, nil
}

// addPatches adds patches, those in files with their text: such a file may lie anywhere in the repository.
func addPatches(t *tree, root string, k *types.Kustomization, patches []v1alpha1.KustomizePatch) error {
	for i, p := range patches {
		patch := types.Patch{Patch: p.Patch}
		if len(p.Options) > 0 {
			patch.Options = &types.PatchArgs{AllowNameChange: p.Options["allowNameChange"], AllowKindChange: p.Options["allowKindChange"]}
		}
		if p.Path != "" {
			name, err := inRepository(root, p.Path)
			if err != nil {
				return err
			}
			content, err := t.read(name)
			if errors.Is(err, fs.ErrNotExist) {
				return &Error{File: root, Field: fmt.Sprintf("kustomize.patches[%d]", i), Err: fmt.Errorf("%w: %q", ErrPathNotFound, p.Path)}
			}
			if err != nil {
				return err
			}
			patch.Patch = string(content)
		}
		if target := p.Target; target != nil {
			encoded, err := yaml.Marshal(target)
			if err == nil {
				patch.Target = &types.Selector{}
				err = yaml.Unmarshal(encoded, patch.Target)
			}
			if err != nil {
				return &Error{File: root, Field: fmt.Sprintf("kustomize.patches[%d].target", i), Err: fmt.Errorf("%w: cannot be read", ErrInvalid)}
			}
		}
		k.Patches = append(k.Patches, patch)
	}
	return nil
}

func addComponents(t *tree, root string, k *types.Kustomization, o *v1alpha1.KustomizeOptions) error {
	for i, c := range o.Components {
		name, err := inRepository(root, c)
		if err != nil {
			return err
		}
		if !t.isDir(name) {
			if o.IgnoreMissingComponents {
				continue
			}
			return &Error{File: root, Field: fmt.Sprintf("kustomize.components[%d]", i), Err: fmt.Errorf("%w: %q", ErrPathNotFound, c)}
		}
		if !slices.Contains(k.Components, c) {
			k.Components = append(k.Components, c)
		}
	}
	return nil
}

// keepImagePart in the place of a new name, tag or digest keeps the one that is there.
const keepImagePart = "*"

// setImage puts an image in the place of the one of its name.
func setImage(images []types.Image, image types.Image) []types.Image {
	keep := func(part *string, there string) {
		if *part == keepImagePart {
			*part = there
		}
	}
	at := slices.IndexFunc(images, func(there types.Image) bool { return there.Name == image.Name })
	var there types.Image
	if at >= 0 {
		there = images[at]
	}
	keep(&image.NewName, there.NewName)
	keep(&image.NewTag, there.NewTag)
	keep(&image.Digest, there.Digest)
	if at < 0 {
		return append(images, image)
	}
	images[at] = image
	return images
}

// imageOverride reads [OLD=]NEW[:TAG][@DIGEST].
func imageOverride(text string) types.Image {
	var out types.Image
	name, image, renamed := strings.Cut(text, "=")
	if !renamed {
		name, image = "", text
	}
	image, out.Digest, _ = strings.Cut(image, "@")
	if colon := strings.LastIndexByte(image, ':'); colon > strings.LastIndexByte(image, '/') {
		image, out.NewTag = image[:colon], image[colon+1:]
	}
	if renamed {
		out.Name, out.NewName = name, image
	} else {
		out.Name = image
	}
	return out
}

// editedFS shows a repository in which one file is another.
type editedFS struct {
	repository fs.FS
	name       string
	content    []byte
}

// Open is part of fs.FS.
func (e *editedFS) Open(name string) (fs.File, error) {
	if name != e.name {
		return e.repository.Open(name)
	}
	return &memoryFile{Reader: bytes.NewReader(e.content), info: e.info()}, nil
}

func (e *editedFS) info() memoryInfo {
	return memoryInfo{name: path.Base(e.name), size: int64(len(e.content))}
}

// ReadDir is part of fs.ReadDirFS.
func (e *editedFS) ReadDir(name string) ([]fs.DirEntry, error) { return fs.ReadDir(e.repository, name) }

// Lstat is part of fs.ReadLinkFS.
func (e *editedFS) Lstat(name string) (fs.FileInfo, error) {
	if name != e.name {
		return fs.Lstat(e.repository, name)
	}
	return e.info(), nil
}

// ReadLink is part of fs.ReadLinkFS.
func (e *editedFS) ReadLink(name string) (string, error) {
	return fs.ReadLink(e.repository, name)
}
