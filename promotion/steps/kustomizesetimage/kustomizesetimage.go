// Package kustomizesetimage is the step kustomize-set-image: it sets versions
// in the images list of a kustomization file and leaves every other byte alone.
package kustomizesetimage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/internal/yamledit"
	"github.com/waybill-dev/waybill/promotion/steps/step"
	"github.com/waybill-dev/waybill/promotion/workspace"
)

// Config of kustomize-set-image.
type Config struct {
	// Path of the folder with the kustomization file.
	Path string `json:"path"`
	// Images to set.
	Images []Image `json:"images"`
}

// Image is one version to set.
type Image struct {
	// Image without tag and digest.
	Image string `json:"image"`
	// Tag and Digest of the version; Pin says which are written.
	Tag    string `json:"tag,omitempty"`
	Digest string `json:"digest,omitempty"`
	// Pin: TagAndDigest (default), Tag or Digest.
	Pin string `json:"pin,omitempty"`
}

// Step is kustomize-set-image.
type Step struct{}

// Run edits the file.
func (Step) Run(_ context.Context, in step.Input) (step.Result, error) {
	var c Config
	if err := step.Decode(in.Config, &c); err != nil {
		return step.Result{}, err
	}
	tree, dir, err := in.Workspace.Locate(c.Path)
	if err != nil {
		return step.Result{}, step.Terminal("InvalidConfig", err)
	}
	file, doc, err := kustomization(tree, dir)
	if err != nil {
		return step.Result{}, err
	}
	var set []string
	for _, img := range c.Images {
		edited, _, err := yamledit.SetKustomizeImage(doc, yamledit.ImageUpdate{
			Name: img.Image, NewTag: img.Tag, Digest: img.Digest, Pin: yamledit.Pin(img.Pin),
		})
		if err != nil {
			return step.Result{}, step.Reasoned("KustomizationInvalid", fmt.Errorf("set image %q in %q: %w", img.Image, file, err))
		}
		doc = edited
		set = append(set, img.Image+":"+img.Tag)
	}
	message := "set " + strings.Join(set, ", ")
	return step.Result{Message: message, Output: map[string]any{"commitMessage": message}}, tree.Edit(git.SetFile(file, doc))
}

// ErrNoKustomization is returned for a folder without a kustomization file.
var ErrNoKustomization = errors.New("no kustomization file")

func kustomization(t *workspace.Tree, dir string) (string, []byte, error) {
	for _, name := range yamledit.KustomizationFileNames() {
		file := path.Join(dir, name)
		doc, err := t.ReadFile(file)
		switch {
		case err == nil:
			return file, doc, nil
		case errors.Is(err, fs.ErrNotExist):
			continue
		default:
			return "", nil, fmt.Errorf("read %q: %w", file, err)
		}
	}
	shown := dir
	if shown == "" {
		shown = "."
	}
	return "", nil, step.Reasoned("KustomizationMissing",
		fmt.Errorf("%w in folder %q of %s; add one, or correct the path in the Stage", ErrNoKustomization, shown, t.RepoURL))
}
