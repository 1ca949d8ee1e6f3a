package promotion_test

import (
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/promotion"
)

// noon is when every test happens.
var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func at(d time.Duration) *metav1.Time { return &metav1.Time{Time: noon.Add(d)} }

func micro(d time.Duration) *metav1.MicroTime { return &metav1.MicroTime{Time: noon.Add(d)} }

// stageBuilder builds a Stage that promotes Freight of Warehouse "guestbook".
type stageBuilder struct{ v1alpha1.Stage }

func stage(name string) *stageBuilder {
	b := &stageBuilder{}
	b.Namespace, b.Name, b.UID = "guestbook", name, "stage-uid"
	b.Spec.RequestedFreight = []v1alpha1.FreightRequest{{Origin: v1alpha1.Origin{Name: "guestbook"}, Sources: v1alpha1.FreightSources{Direct: true}}}
	b.Spec.PromotionMechanisms = &v1alpha1.PromotionMechanisms{GitRepoUpdates: []v1alpha1.GitRepoUpdate{{
		RepoURL: "https://git.example/guestbook.git", ReadBranch: "main", WriteBranch: "stage/" + name,
		Kustomize: v1alpha1.KustomizeUpdate{Images: []v1alpha1.KustomizeImage{{Image: "registry.example/guestbook", Path: "stages/" + name}}},
	}}}
	b.Spec.Deploy = []v1alpha1.Deployment{{Source: v1alpha1.DeploymentSource{Path: "stages/" + name}}}
	b.Status.Synced, b.Status.Health = true, &v1alpha1.Health{Status: v1alpha1.HealthHealthy}
	return b
}

func (b *stageBuilder) after(names ...string) *stageBuilder {
	b.Spec.RequestedFreight[0].Sources = v1alpha1.FreightSources{Stages: names, AvailabilityStrategy: v1alpha1.AvailableFromOne}
	return b
}

func (b *stageBuilder) all() *stageBuilder {
	b.Spec.RequestedFreight[0].Sources.AvailabilityStrategy = v1alpha1.AvailableFromAll
	return b
}

func (b *stageBuilder) soak(d time.Duration) *stageBuilder {
	b.Spec.RequestedFreight[0].Sources.RequiredSoakTime = &metav1.Duration{Duration: d}
	return b
}

func (b *stageBuilder) auto() *stageBuilder {
	b.Spec.AutoPromotion.Enabled = true
	return b
}

func (b *stageBuilder) reverts(after time.Duration) *stageBuilder {
	b.Spec.Rollback = v1alpha1.RollbackPolicy{OnUnhealthy: "Revert", After: &metav1.Duration{Duration: after}}
	return b
}

func (b *stageBuilder) running(f *v1alpha1.Freight, byPromotion string) *stageBuilder {
	b.Status.Current = []v1alpha1.StageFreight{{Origin: f.Origin.Name, Freight: f.Name, Promotion: byPromotion, Commit: "c-" + byPromotion, Images: f.Images}}
	return b
}

func freight(order int64, version string) *v1alpha1.Freight {
	f := &v1alpha1.Freight{Origin: v1alpha1.Origin{Kind: "Warehouse", Name: "guestbook"}, Order: order}
	f.Namespace, f.Name = "guestbook", "f"+strings.ReplaceAll(version, ".", "")
	f.Images = []v1alpha1.Image{{RepoURL: "registry.example/guestbook", Tag: version, Digest: "sha256:" + version}}
	return f
}

func verified(f *v1alpha1.Freight, in string, soak v1alpha1.Soak) *v1alpha1.Freight {
	if f.Status.Stages == nil {
		f.Status.Stages = map[string]v1alpha1.FreightInStage{}
	}
	f.Status.Stages[in] = v1alpha1.FreightInStage{EnteredAt: at(-time.Hour), VerifiedAt: at(-time.Hour), Soak: soak}
	return f
}

func promo(stage string, seq int64, f *v1alpha1.Freight, phase v1alpha1.PromotionPhase) *v1alpha1.Promotion {
	p := &v1alpha1.Promotion{Spec: v1alpha1.PromotionSpec{Stage: stage, Freight: f.Name, Kind: v1alpha1.KindPromote, Automatic: true}}
	p.Namespace, p.Name, p.UID = "guestbook", promotion.Name(stage, seq, f.Name), "uid"
	p.Status.Phase = phase
	return p
}

func freeze(name string, spec v1alpha1.FreezeSpec) v1alpha1.Freeze {
	z := v1alpha1.Freeze{Spec: spec}
	z.Namespace, z.Name = "guestbook", name
	return z
}

func observe(s *stageBuilder, fs ...*v1alpha1.Freight) *promotion.Observation {
	o := &promotion.Observation{Now: noon, Stage: &s.Stage}
	for _, f := range fs {
		o.Freight = append(o.Freight, *f)
	}
	return o
}

func raw(json string) *runtime.RawExtension { return &runtime.RawExtension{Raw: []byte(json)} }
