package rest

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// bigView is a Project of many Stages in rows of ten, much Freight, and twenty
// Promotions per Stage.
func bigView(stages, freight int) *projectView {
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	v := &projectView{now: now, project: &v1alpha1.Project{ObjectMeta: metaOf("big")}}
	v.warehouses = []v1alpha1.Warehouse{{ObjectMeta: metav1.ObjectMeta{Name: "main", Namespace: "big"}}}
	for n := range freight {
		f := v1alpha1.Freight{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("f%039d", n), Namespace: "big", CreationTimestamp: metav1.NewTime(now.Add(time.Duration(n) * time.Minute))},
			Origin:     v1alpha1.Origin{Name: "main"}, Order: int64(n + 1),
			Images: []v1alpha1.Image{{RepoURL: image, Tag: fmt.Sprintf("1.%d.0", n), Digest: digestOf(n % 256)}},
		}
		v.freight = append(v.freight, f)
	}
	for n := range stages {
		st := v1alpha1.Stage{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("s%04d", n), Namespace: "big"}}
		r := v1alpha1.FreightRequest{Origin: v1alpha1.Origin{Name: "main"}, Sources: v1alpha1.FreightSources{Direct: n < 10}}
		if n >= 10 {
			r.Sources.Stages = []string{fmt.Sprintf("s%04d", n-10)}
			r.Sources.RequiredSoakTime = &metav1.Duration{Duration: time.Hour}
		}
		st.Spec.RequestedFreight = []v1alpha1.FreightRequest{r}
		st.Spec.PromotionMechanisms = &v1alpha1.PromotionMechanisms{}
		st.Status.Current = []v1alpha1.StageFreight{{Origin: "main", Freight: v.freight[0].Name, Images: v.freight[0].Images}}
		st.Status.Synced, st.Status.Health = true, &v1alpha1.Health{Status: v1alpha1.HealthHealthy}
		v.stages = append(v.stages, st)
		for i := range 20 {
			v.promotions = append(v.promotions, v1alpha1.Promotion{
				ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%s.%d.x", st.Name, i+1), Namespace: "big", CreationTimestamp: metav1.NewTime(now.Add(time.Duration(i) * time.Hour))},
				Spec:       v1alpha1.PromotionSpec{Stage: st.Name, Freight: v.freight[0].Name}, Status: v1alpha1.PromotionStatus{Phase: v1alpha1.PhaseSucceeded},
			})
		}
	}
	v.index()
	return v
}

func BenchmarkPipelinePage(b *testing.B) {
	for _, size := range [][2]int{{3, 20}, {60, 1000}, {600, 1000}} {
		b.Run(fmt.Sprintf("%dStages%dFreight", size[0], size[1]), func(b *testing.B) {
			v := bigView(size[0], size[1])
			b.ReportAllocs()
			for b.Loop() {
				v.index()
				page, _ := v.pipeline()
				data, err := json.Marshal(page)
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(len(data)), "bytes/page")
			}
		})
	}
}

// TestBigPipelineIsBounded: a page stays small enough to send, whatever the
// Project holds.
func TestBigPipelineIsBounded(t *testing.T) {
	v := bigView(600, 1000)
	page, _ := v.pipeline()
	if len(page.Freight) > railFewest+1 || len(page.Verdicts) > 4*600 {
		t.Fatalf("%d Freight, %d verdicts", len(page.Freight), len(page.Verdicts))
	}
	data, err := json.Marshal(page)
	if err != nil {
		t.Fatal(err)
	}
	if len(data) > 6<<20 {
		t.Fatalf("the page has %d bytes", len(data))
	}
	if v.ranks["s0599"] != 59 {
		t.Fatalf("rank %d", v.ranks["s0599"])
	}
}
