package promotion

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// Trailer is one line at the end of a commit message.
type Trailer struct{ Key, Value string }

// Keys of the trailers every commit of Waybill carries (01, identity).
const (
	TrailerPromotion    = "Waybill-Promotion"
	TrailerPromotionUID = "Waybill-Promotion-UID"
	TrailerStage        = "Waybill-Stage"
	TrailerFreight      = "Waybill-Freight"
	TrailerOrder        = "Waybill-Freight-Order"
	TrailerArtifact     = "Waybill-Artifact"
	TrailerReverts      = "Waybill-Reverts"
)

// Trailers returns the trailers of a Promotion's commit: enough to find it
// again and to make its Freight again from Git alone.
func Trailers(p *v1alpha1.Promotion, collection []v1alpha1.StageFreight) []Trailer {
	t := []Trailer{
		{TrailerPromotion, p.Namespace + "/" + p.Name},
		{TrailerPromotionUID, string(p.UID)},
		{TrailerStage, p.Spec.Stage},
	}
	for _, f := range collection {
		t = append(t, Trailer{TrailerFreight, f.Origin + "=" + f.Freight})
		if f.Order > 0 {
			t = append(t, Trailer{TrailerOrder, f.Origin + "=" + strconv.FormatInt(f.Order, 10)})
		}
	}
	for _, f := range collection {
		for _, line := range ArtifactLines(f.Artifacts()) {
			t = append(t, Trailer{TrailerArtifact, line})
		}
	}
	return t
}

// Record is what a commit on a Stage's branch says about the promotion that made
// it.
type Record struct {
	// Seq is the number of the Promotion.
	Seq int64
	// Freight of the collection, without its artifacts.
	Freight []v1alpha1.StageFreight
	// Artifacts of all of it, one in each, in the order of Freight.
	Artifacts []v1alpha1.Artifacts
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
			if a, ok := readArtifact(t.Value); ok {
				r.Artifacts = append(r.Artifacts, a)
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

// ArtifactLines are the values of TrailerArtifact for what a Freight holds, in its
// order: images, commits, charts. What identifies an artifact is in its line.
//
//	image REPOSITORY:TAG@DIGEST
//	commit REPOSITORY@ID [TAG]
//	chart REPOSITORY NAME:VERSION[@DIGEST]
//	chart oci://REPOSITORY:VERSION[@DIGEST]
func ArtifactLines(a v1alpha1.Artifacts) []string {
	var out []string
	for _, i := range a.Images {
		out = append(out, fmt.Sprintf("image %s:%s@%s", i.RepoURL, i.Tag, i.Digest))
	}
	for _, c := range a.Commits {
		out = append(out, strings.TrimSuffix(fmt.Sprintf("commit %s@%s %s", c.RepoURL, c.ID, c.Tag), " "))
	}
	for _, c := range a.Charts {
		version := strings.TrimSuffix(":"+c.Version+"@"+c.Digest, "@")
		if c.Name != "" {
			version = " " + c.Name + version
		}
		out = append(out, "chart "+c.RepoURL+version)
	}
	return out
}

// readArtifact reads a line of ArtifactLines.
func readArtifact(line string) (v1alpha1.Artifacts, bool) {
	kind, rest, _ := strings.Cut(line, " ")
	switch kind {
	case "image":
		name, digest, hasDigest := strings.Cut(rest, "@")
		repoURL, tag, ok := cutLast(name, ":")
		return v1alpha1.Artifacts{Images: []v1alpha1.Image{{RepoURL: repoURL, Tag: tag, Digest: digest}}}, ok && hasDigest
	case "commit":
		at, tag, _ := strings.Cut(rest, " ")
		repoURL, id, ok := cutLast(at, "@")
		return v1alpha1.Artifacts{Commits: []v1alpha1.Commit{{RepoURL: repoURL, ID: id, Tag: tag}}}, ok
	case "chart":
		var c v1alpha1.Chart
		where, version := "", rest
		if repoURL, named, isNamed := strings.Cut(rest, " "); isNamed {
			where, version = repoURL, named
		}
		if i := strings.LastIndex(version, "@sha256:"); i > 0 {
			version, c.Digest = version[:i], version[i+1:]
		}
		name, v, ok := cutLast(version, ":")
		if c.RepoURL, c.Name, c.Version = where, name, v; where == "" {
			c.RepoURL, c.Name = name, ""
		}
		return v1alpha1.Artifacts{Charts: []v1alpha1.Chart{c}}, ok
	}
	return v1alpha1.Artifacts{}, false
}

// cutLast cuts at the last sep that follows the last slash.
func cutLast(text, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(text, sep)
	if i <= strings.LastIndex(text, "/") {
		return "", "", false
	}
	return text[:i], text[i+1:], true
}
