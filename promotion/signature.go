package promotion

import (
	"fmt"
	"strings"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// WantedSignature is that a Warehouse wants an image signed.
type WantedSignature struct {
	// Origin is the Warehouse, RepoURL the image.
	Origin, RepoURL string
	// By stands for who has to have signed it (v1alpha1.ImageSignature.Digest).
	By string
}

// WantedSignatures returns the signatures that the Warehouse asks for now.
func WantedSignatures(w *v1alpha1.Warehouse) []WantedSignature {
	var out []WantedSignature
	for _, sub := range w.Spec.Subscriptions {
		if sub.Image != nil && sub.Image.Signature != nil {
			out = append(out, WantedSignature{Origin: w.Name, RepoURL: sub.Image.RepoURL, By: sub.Image.Signature.Digest()})
		}
	}
	return out
}

// unsigned is an image that counts as not signed, and why.
type unsigned struct {
	image *v1alpha1.Image
	why   string
}

// unsignedIn returns the first image of f that one of wanted asks a signature of
// and that is not known to have it, or nil. Nothing is taken for granted: an
// image that nobody has looked at is not signed.
func unsignedIn(wanted []WantedSignature, f *v1alpha1.Freight) *unsigned {
	for _, want := range wanted {
		if want.Origin != f.Origin.Name {
			continue
		}
		for i := range f.Images {
			image := &f.Images[i]
			if image.RepoURL != want.RepoURL {
				continue
			}
			if why := whyUnsigned(f, want); why != "" {
				return &unsigned{image, why}
			}
		}
	}
	return nil
}

// whyUnsigned returns "" for an image that was found signed as is wanted now.
func whyUnsigned(f *v1alpha1.Freight, want WantedSignature) string {
	switch s := f.Signature(want.RepoURL, want.By); {
	case s == nil:
		return "its signature has not been looked at yet"
	case s.VerifiedAt == nil:
		return s.Message
	default:
		return ""
	}
}

// wantsSignature reports whether the Warehouse of f wants one of its images
// signed.
func wantsSignature(o *Observation, f *v1alpha1.Freight) bool {
	for _, want := range o.Signatures {
		if want.Origin == f.Origin.Name {
			return true
		}
	}
	return false
}

// signatureGate is closed while an image is not known to be signed by whom its
// Warehouse asks for now, also for Freight that is older than the question.
// Nobody may bypass it.
func signatureGate(o *Observation, f *v1alpha1.Freight) v1alpha1.GateVerdict {
	u := unsignedIn(o.Signatures, f)
	if u == nil {
		return open(v1alpha1.GateSignature, GroupEntry, fmt.Sprintf("signed as Warehouse %q asks for", f.Origin.Name))
	}
	return closed(v1alpha1.GateSignature, GroupEntry,
		fmt.Sprintf("image %q is not known to be signed as Warehouse %q asks for: %s", imageName(u.image), f.Origin.Name, u.why),
		"its signature beside the image, which one of the next polls finds")
}

// imageName is the image with its tag and the beginning of its digest.
func imageName(i *v1alpha1.Image) string {
	name := i.RepoURL
	if i.Tag != "" {
		name += ":" + i.Tag
	}
	algorithm, digest, _ := strings.Cut(i.Digest, ":")
	return name + "@" + algorithm + ":" + digest[:min(len(digest), 12)]
}
