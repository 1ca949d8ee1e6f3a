package promotion_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/promotion"
)

// TestReadRecord: what Trailers writes, ReadRecord reads; what is somebody
// else's, or was tampered with, says nothing.
func TestReadRecord(t *testing.T) {
	images := []v1alpha1.Image{{RepoURL: "registry.example.com:5000/app", Tag: "1.2.3", Digest: "sha256:aa"}}
	commits := []v1alpha1.Commit{{RepoURL: "git@git.example.com:team/app.git", ID: strings.Repeat("a", 40)}, {RepoURL: "https://git.example.com/x", ID: strings.Repeat("b", 40), Tag: "release/v1@2"}}
	charts := []v1alpha1.Chart{
		{RepoURL: "https://charts.example.com", Name: "app", Version: "1.0.0+b"},
		{RepoURL: "oci://registry.example.com:5000/charts/app", Version: "2.0.0", Digest: "sha256:cc"},
	}
	collection := []v1alpha1.StageFreight{{Origin: "app", Freight: "f1", Order: 7, Images: images, Commits: commits}, {Origin: "db", Freight: "f2", Order: 2, Charts: charts}}
	p := &v1alpha1.Promotion{}
	p.Namespace, p.Name, p.UID, p.Spec.Stage = "shop", "test.12.f1", "u", "test"
	written := promotion.Trailers(p, collection)
	artifacts := []v1alpha1.Artifacts{{Images: images}, {Commits: commits[:1]}, {Commits: commits[1:]}, {Charts: charts[:1]}, {Charts: charts[1:]}}
	want := &promotion.Record{Seq: 12, Artifacts: artifacts, Freight: []v1alpha1.StageFreight{
		{Origin: "app", Freight: "f1", Order: 7}, {Origin: "db", Freight: "f2", Order: 2},
	}}
	if d := cmp.Diff(want, promotion.ReadRecord("shop", "test", written)); d != "" {
		t.Error(d)
	}
	for why, c := range map[string]struct{ project, stage string }{
		"another Project": {"shopping", "test"}, "another Stage": {"shop", "tes"}, "a Stage that contains it": {"shop", "test.12"},
	} {
		if got := promotion.ReadRecord(c.project, c.stage, written); got != nil {
			t.Errorf("%s: %+v", why, got)
		}
	}
	without := promotion.ReadRecord("shop", "test", append([]promotion.Trailer{}, written[:4]...))
	if without == nil || len(without.Freight) != 0 {
		t.Errorf("without numbers: %+v", without)
	}
}

// FuzzReadRecord: whatever stands in a commit, reading it ends, and what was read
// belongs to the Stage.
func FuzzReadRecord(f *testing.F) {
	f.Add("Waybill-Promotion: shop/test.12.f1\nWaybill-Freight: app=f1\nWaybill-Freight-Order: app=7\nWaybill-Artifact: image a:b@c\nWaybill-Artifact: commit x@y z\nWaybill-Artifact: chart u n:1@sha256:d")
	f.Add("Waybill-Promotion: shop/test.-1.f1\nWaybill-Artifact: image @:")
	f.Fuzz(func(t *testing.T, text string) {
		var trailers []promotion.Trailer
		for line := range strings.SplitSeq(text, "\n") {
			k, v, _ := strings.Cut(line, ": ")
			trailers = append(trailers, promotion.Trailer{Key: k, Value: v})
		}
		r := promotion.ReadRecord("shop", "test", trailers)
		if r == nil {
			return
		}
		if r.Seq <= 0 {
			t.Errorf("number %d", r.Seq)
		}
		for _, fr := range r.Freight {
			if fr.Order <= 0 {
				t.Errorf("order %d", fr.Order)
			}
		}
	})
}
