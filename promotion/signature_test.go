package promotion_test

import (
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/promotion"
)

// signed says that the image of f was found to be signed by whom by stands for.
func signed(f *v1alpha1.Freight, by string) *v1alpha1.Freight {
	f.Status.Signatures = []v1alpha1.FreightSignature{{RepoURL: f.Images[0].RepoURL, Wanted: by, VerifiedAt: at(0)}}
	return f
}

// wantedByKey is what the Warehouse of the tests asks for.
func wantedByKey() []promotion.WantedSignature {
	return []promotion.WantedSignature{{Origin: "guestbook", RepoURL: "registry.example/guestbook", By: "key"}}
}

func TestSignatureGate(t *testing.T) {
	refused := freight(1, "1.0.0")
	refused.Status.Signatures = []v1alpha1.FreightSignature{{RepoURL: refused.Images[0].RepoURL, Wanted: "key", Reason: "SignatureMissing", Message: "nobody signed it"}}
	other := wantedByKey()
	other[0].Origin = "another"
	elsewhere := wantedByKey()
	elsewhere[0].RepoURL = "registry.example/other"
	for _, tt := range []struct {
		name    string
		freight *v1alpha1.Freight
		wanted  []promotion.WantedSignature
		isAsked bool
		// closed is part of the reason; empty: open.
		closed string
	}{
		{"nobody asks", freight(1, "1.0.0"), nil, false, ""},
		{"another Warehouse asks", freight(1, "1.0.0"), other, false, ""},
		{"another image is meant", freight(1, "1.0.0"), elsewhere, true, ""},
		{"signed as asked", signed(freight(1, "1.0.0"), "key"), wantedByKey(), true, ""},
		{"older than the question", freight(1, "1.0.0"), wantedByKey(), true, "has not been looked at yet"},
		{"signed by whom was asked for before", signed(freight(1, "1.0.0"), "old key"), wantedByKey(), true, "has not been looked at yet"},
		{"not signed", refused, wantedByKey(), true, `image "registry.example/guestbook:1.0.0@sha256:1.0.0" is not known to be signed as Warehouse "guestbook" asks for: nobody signed it`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := observe(stage("test").auto(), tt.freight)
			o.Signatures = tt.wanted
			// By hand and with every bypass there is, by the flow, and by what Decide does.
			byHand := promotion.Ask{Kind: v1alpha1.KindPromote, Bypass: []v1alpha1.Gate{v1alpha1.GateSignature, v1alpha1.GateUpstream, v1alpha1.GateRejected}}
			for _, ask := range []promotion.Ask{byHand, {Kind: v1alpha1.KindPromote, Automatic: true}} {
				v := verdict(promotion.Gates(o, tt.freight, ask), v1alpha1.GateSignature)
				if (v != nil) != tt.isAsked {
					t.Fatalf("verdict %+v, want one: %v", v, tt.isAsked)
				}
				if v != nil && (v.Open != (tt.closed == "") || v.Bypassed || v.Group != promotion.GroupEntry || !strings.Contains(v.Reason, tt.closed)) {
					t.Errorf("verdict %+v, want closed with %q", v, tt.closed)
				}
			}
			if d := promotion.Decide(o); (d.Create != nil) != (tt.closed == "") {
				t.Errorf("Decide creates %+v although the gate says %q", d.Create, tt.closed)
			}
			rollback := promotion.Gates(o, tt.freight, promotion.Ask{Kind: v1alpha1.KindRollback})
			if v := verdict(rollback, v1alpha1.GateSignature); v != nil {
				t.Errorf("a rollback is asked for %+v", v)
			}
		})
	}
}

func verdict(all []v1alpha1.GateVerdict, gate v1alpha1.Gate) *v1alpha1.GateVerdict {
	for i := range all {
		if all[i].Gate == gate {
			return &all[i]
		}
	}
	return nil
}
