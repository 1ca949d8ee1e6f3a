package v1alpha1

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
)

// Digest stands for who must have signed: what was proven for it stays proven
// while it is the same. It is empty when s is nil: nobody has to.
func (s *ImageSignature) Digest() string {
	if s == nil {
		return ""
	}
	text, err := json.Marshal(s)
	if err != nil {
		return "" // its fields are texts
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// Signature returns what is known of the signature of the image with this URL by
// whom wanted stands for (ImageSignature.Digest), or nil: nobody has looked.
func (f *Freight) Signature(repoURL, wanted string) *FreightSignature {
	for i := range f.Status.Signatures {
		if s := &f.Status.Signatures[i]; s.RepoURL == repoURL && s.Wanted == wanted {
			return s
		}
	}
	return nil
}
