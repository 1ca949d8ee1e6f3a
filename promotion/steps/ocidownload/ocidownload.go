// Package ocidownload is the step oci-download: it puts one layer of an OCI
// artifact into a file.
//
// The file is the layer as it is stored: unpack it with untar. It is checked
// against its digest and has at most 16 MiB. When the step is repeated after an
// interruption it downloads what it found the first time, whatever the tag leads to
// now. The Project's credentials of type image are used; with oci:// before the
// reference, those of type chart. Output: digest, that of the artifact.
package ocidownload

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/waybill-dev/waybill/promotion/steps/oci"
	"github.com/waybill-dev/waybill/promotion/steps/step"
)

// Config of oci-download.
type Config struct {
	// ImageRef is the artifact: repository:tag or repository@digest.
	ImageRef string `json:"imageRef"`
	// OutPath is the file.
	OutPath string `json:"outPath"`
	// MediaType of the layer; default: the first layer, whatever it is.
	MediaType string `json:"mediaType,omitempty"`
	// AllowOverwrite replaces a file that is there.
	AllowOverwrite bool `json:"allowOverwrite,omitempty"`
}

// Step is oci-download.
type Step struct {
	// Artifacts of registries.
	Artifacts oci.Artifacts
}

// NewConfig returns an empty configuration.
func (Step) NewConfig() any { return new(Config) }

// Run downloads the layer.
func (s Step) Run(ctx context.Context, in step.Input) (step.Result, error) {
	var c Config
	if err := step.Decode(in.Config, &c); err != nil {
		return step.Result{}, err
	}
	if !c.AllowOverwrite {
		if _, err := in.ReadFile(c.OutPath); err == nil {
			return step.Result{}, step.Terminal("FileExists", fmt.Errorf("file %q is there already; set allowOverwrite to replace it", c.OutPath))
		} else if !errors.Is(err, fs.ErrNotExist) {
			return step.Result{}, err
		}
	}
	content, digest, err := s.Artifacts.Download(ctx, in.Promotion.Namespace, c.ImageRef, oci.Recorded(in, "digest"), c.MediaType, step.MaxFileBytes)
	if err != nil {
		return step.Result{}, oci.Failure(err)
	}
	message := fmt.Sprintf("downloaded %d bytes of %s", len(content), c.ImageRef)
	return step.Result{Message: message, Output: map[string]any{"digest": digest}}, in.WriteFile(c.OutPath, content)
}
