// Package kustomizesetimage is the step kustomize-set-image: it sets versions
// in the images list of a kustomization file and leaves every other byte alone.
// Output: commitMessage.
package kustomizesetimage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/internal/yamledit"
	"github.com/waybill-dev/waybill/promotion"
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
	// Image without tag and digest, as the Warehouse subscribes to it. With
	// neither tag nor digest the version is that of the Freight.
	Image string `json:"image"`
	// Name of the image in the manifests, when it is another one.
	Name string `json:"name,omitempty"`
	// NewName is written as newName.
	NewName string `json:"newName,omitempty"`
	// Tag to set.
	Tag string `json:"tag,omitempty"`
	// Digest to set.
	Digest string `json:"digest,omitempty"`
	// Pin says what is written. Default: what is given; TagAndDigest for the
	// version of the Freight.
	Pin string `json:"pin,omitempty" enum:"TagAndDigest,Tag,Digest"`
}

// version completes an image by the version that the promotion carries.
func (i Image) version(in step.Input) (Image, error) {
	if i.Tag == "" && i.Digest == "" {
		found, err := promotion.FindImage(in.Promotion.Status.Plan.Collection, i.Image)
		if err != nil {
			return i, step.Terminal("ImageMissing", err)
		}
		i.Tag, i.Digest = found.Tag, found.Digest
	}
	switch {
	case i.Pin != "":
	case i.Digest == "":
		i.Pin = string(yamledit.TagOnly)
	case i.Tag == "":
		i.Pin = string(yamledit.DigestOnly)
	}
	return i, nil
}

// Step is kustomize-set-image.
type Step struct{}

// NewConfig returns an empty configuration.
func (Step) NewConfig() any { return new(Config) }

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
		img, err := img.version(in)
		if err != nil {
			return step.Result{}, err
		}
		edited, _, err := yamledit.SetKustomizeImage(doc, yamledit.ImageUpdate{
			Name: cmp.Or(img.Name, img.Image), NewName: img.NewName, NewTag: img.Tag, Digest: img.Digest, Pin: yamledit.Pin(img.Pin),
		})
		if err != nil {
			return step.Result{}, step.Reasoned("KustomizationInvalid", fmt.Errorf("set image %q in %q: %w", img.Image, file, err))
		}
		doc = edited
		set = append(set, img.Image+":"+cmp.Or(img.Tag, img.Digest))
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
