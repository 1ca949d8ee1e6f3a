package promotion

import (
	"fmt"
	"slices"
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

// Signatures returns what is known of the signatures of f that are among wanted,
// in the order they are asked for. Nothing is taken for granted: of an image that
// nobody has looked at the entry has no verifiedAt. Its Message is never empty.
func Signatures(wanted []WantedSignature, f *v1alpha1.Freight) []v1alpha1.FreightSignature {
	var out []v1alpha1.FreightSignature
	for _, want := range wanted {
		if want.Origin == f.Origin.Name && imageOf(f, want.RepoURL) != nil {
			out = append(out, known(f, want))
		}
	}
	return out
}

// known returns what is known of one signature.
func known(f *v1alpha1.Freight, want WantedSignature) v1alpha1.FreightSignature {
	s := f.Signature(want.RepoURL, want.By)
	if s == nil {
		return v1alpha1.FreightSignature{RepoURL: want.RepoURL, Wanted: want.By, Message: "its signature has not been looked at yet"}
	}
	out := *s
	if out.VerifiedAt != nil {
		out.Message = "signed as its Warehouse asks for"
	}
	return out
}

// imageOf returns the image of f with that URL, or nil.
func imageOf(f *v1alpha1.Freight, repoURL string) *v1alpha1.Image {
	for i := range f.Images {
		if f.Images[i].RepoURL == repoURL {
			return &f.Images[i]
		}
	}
	return nil
}

// isUnsigned reports whether one of wanted asks a signature of an image of f that
// is not known to have it.
func isUnsigned(wanted []WantedSignature, f *v1alpha1.Freight) bool {
	return slices.ContainsFunc(Signatures(wanted, f), func(s v1alpha1.FreightSignature) bool { return s.VerifiedAt == nil })
}

// wantsSignature reports whether the Warehouse of f wants one of its images
// signed.
func wantsSignature(o *Observation, f *v1alpha1.Freight) bool {
	return slices.ContainsFunc(o.Signatures, func(want WantedSignature) bool { return want.Origin == f.Origin.Name })
}

// signatureGate is closed while an image is not known to be signed by whom its
// Warehouse asks for now, also for Freight that is older than the question.
// Nobody may bypass it.
func signatureGate(o *Observation, f *v1alpha1.Freight) v1alpha1.GateVerdict {
	for _, s := range Signatures(o.Signatures, f) {
		if s.VerifiedAt == nil {
			return closed(v1alpha1.GateSignature, GroupEntry,
				fmt.Sprintf("image %q is not known to be signed as Warehouse %q asks for: %s", imageName(imageOf(f, s.RepoURL)), f.Origin.Name, s.Message),
				"its signature beside the image, which one of the next polls finds")
		}
	}
	return open(v1alpha1.GateSignature, GroupEntry, fmt.Sprintf("signed as Warehouse %q asks for", f.Origin.Name))
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
