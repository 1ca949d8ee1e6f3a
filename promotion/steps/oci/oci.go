// Package oci is what the steps oci-download and oci-push have in common.
package oci

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/waybill-dev/waybill/promotion/steps/step"
	"github.com/waybill-dev/waybill/warehouse/registry"
)

// Artifacts are what registries hold; *registry.Artifacts.
type Artifacts interface {
	Digest(ctx context.Context, project, ref string) (string, error)
	Download(ctx context.Context, project, ref, digest, mediaType string, maxBytes int64) (content []byte, found string, err error)
	Copy(ctx context.Context, project, src, digest, dest string, annotations map[string]string) (registry.Copied, error)
}

// Failure gives the errors of registries their words. What another configuration
// alone mends is not tried again.
func Failure(err error) error {
	var named *registry.Error
	switch {
	case err == nil || errors.Is(err, context.Canceled):
		return err
	case !errors.As(err, &named):
		return step.Reasoned("CredentialsInvalid", err)
	case errors.Is(err, registry.ErrInvalid):
		return step.Terminal("InvalidConfig", err)
	case errors.Is(err, registry.ErrUnsupported), errors.Is(err, registry.ErrRefused):
		return step.Terminal(registry.Reason(err), err)
	default:
		return step.Reasoned(registry.Reason(err), err)
	}
}

// Recorded is the digest that an earlier run of a step found, or "".
func Recorded(in step.Input, field string) string {
	var out map[string]any
	if in.Recorded == nil || json.Unmarshal(in.Recorded.Raw, &out) != nil {
		return ""
	}
	text, _ := out[field].(string)
	return text
}
