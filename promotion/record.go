package promotion

import (
	"strconv"
	"strings"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// Record is what a commit on a Stage's branch says about the promotion that made
// it.
type Record struct {
	// Seq is the number of the Promotion.
	Seq int64
	// Freight of the collection, without images.
	Freight []v1alpha1.StageFreight
	// Images of all of it, in the order of Freight.
	Images []v1alpha1.Image
}

// ReadRecord reads the trailers of a commit (Trailers); nil when it is not of a
// promotion into this Stage of the Project. Freight whose number is missing or
// no number is left out: it could not be put in order.
func ReadRecord(project, stage string, trailers []Trailer) *Record {
	var r Record
	var name string
	orders := map[string]int64{}
	for _, t := range trailers {
		origin, value, isPair := strings.Cut(t.Value, "=")
		switch {
		case strings.EqualFold(t.Key, TrailerPromotion):
			p, found := strings.CutPrefix(t.Value, project+"/")
			if !found {
				return nil
			}
			name = p
		case strings.EqualFold(t.Key, TrailerStage) && t.Value != stage:
			return nil
		case strings.EqualFold(t.Key, TrailerFreight) && isPair:
			r.Freight = append(r.Freight, v1alpha1.StageFreight{Origin: origin, Freight: value})
		case strings.EqualFold(t.Key, TrailerOrder) && isPair:
			if n, err := strconv.ParseInt(value, 10, 64); err == nil && n > 0 {
				orders[origin] = n
			}
		case strings.EqualFold(t.Key, TrailerArtifact):
			if img, ok := readImage(t.Value); ok {
				r.Images = append(r.Images, img)
			}
		}
	}
	if r.Seq = Seq(name); r.Seq == 0 || !strings.HasPrefix(name, stage+".") {
		return nil
	}
	kept := r.Freight[:0]
	for _, f := range r.Freight {
		if f.Order = orders[f.Origin]; f.Order > 0 {
			kept = append(kept, f)
		}
	}
	r.Freight = kept
	return &r
}

// readImage reads "image <repository>:<tag>@<digest>".
func readImage(text string) (v1alpha1.Image, bool) {
	ref, isImage := strings.CutPrefix(text, "image ")
	name, digest, hasDigest := strings.Cut(ref, "@")
	if !isImage || !hasDigest {
		return v1alpha1.Image{}, false
	}
	i := strings.LastIndex(name, ":")
	if i <= strings.LastIndex(name, "/") {
		return v1alpha1.Image{}, false
	}
	return v1alpha1.Image{RepoURL: name[:i], Tag: name[i+1:], Digest: digest}, true
}
