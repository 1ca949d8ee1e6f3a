// Package ocipush is the step oci-push: it copies an image, with all its platforms,
// or any other OCI artifact, to another repository or under another tag.
//
// What srcRef leads to is looked up first and recorded; exactly that is copied, by
// digest and at most 1 GiB of it. So a repeated step changes nothing, and a tag that
// moves meanwhile moves nothing here. What the destination has already is not sent
// again; a tag that is there is moved. The Project's credentials of type image are
// used, for reading and for writing; with oci:// before a reference, those of type
// chart. Outputs: image (repository:tag@digest), tag and digest, which is another one
// than the source's when annotations are set; and sourceDigest.
package ocipush

import (
	"context"
	"fmt"
	"time"

	"github.com/waybill-dev/waybill/promotion/steps/oci"
	"github.com/waybill-dev/waybill/promotion/steps/step"
)

// atOnce: what was recorded is copied in the next pass.
const atOnce = time.Millisecond

// Config of oci-push.
type Config struct {
	// SrcRef is what to copy: repository:tag or repository@digest.
	SrcRef string `json:"srcRef"`
	// DestRef is where it goes: repository:tag.
	DestRef string `json:"destRef"`
	// Annotations to put onto its manifest.
	Annotations map[string]string `json:"annotations,omitempty"`
}

// Step is oci-push.
type Step struct {
	// Artifacts of registries.
	Artifacts oci.Artifacts
}

var _ step.Once = Step{}

// NewConfig returns an empty configuration.
func (Step) NewConfig() any { return new(Config) }

// NeedsWorkspace is false.
func (Step) NeedsWorkspace() bool { return false }

// Run looks the source up, or copies what was found.
func (s Step) Run(ctx context.Context, in step.Input) (step.Result, error) {
	var c Config
	if err := step.Decode(in.Config, &c); err != nil {
		return step.Result{}, err
	}
	source := oci.Recorded(in, "sourceDigest")
	if source == "" {
		digest, err := s.Artifacts.Digest(ctx, in.Promotion.Namespace, c.SrcRef)
		if err != nil {
			return step.Result{}, oci.Failure(err)
		}
		return step.Result{Message: "found " + digest, Output: map[string]any{"sourceDigest": digest}, Wait: atOnce}, nil
	}
	done, err := s.Artifacts.Copy(ctx, in.Promotion.Namespace, c.SrcRef, source, c.DestRef, c.Annotations)
	if err != nil {
		return step.Result{}, oci.Failure(err)
	}
	image := fmt.Sprintf("%s:%s@%s", done.Repository, done.Tag, done.Digest)
	return step.Result{
		Message: fmt.Sprintf("%s:%s is %s", done.Repository, done.Tag, done.Digest),
		Output:  map[string]any{"image": image, "tag": done.Tag, "digest": done.Digest, "sourceDigest": source},
	}, nil
}
