package gitops

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

func TestSelection(t *testing.T) {
	web := Key{Group: "apps", Kind: "Deployment", Namespace: "n", Name: "web"}
	service := Key{Kind: "Service", Namespace: "n", Name: "web"}
	for _, tc := range []struct {
		name      string
		resources []v1alpha1.SyncResource
		want      []Key
		unknown   string
	}{
		{"nothing named is all", nil, []Key{web, service}, ""},
		{"by kind and name", []v1alpha1.SyncResource{{Kind: "deployment", Name: "web"}}, []Key{web}, ""},
		{"another group", []v1alpha1.SyncResource{{Group: "batch", Kind: "Deployment", Name: "web"}}, nil, "Deployment web"},
		{"another namespace", []v1alpha1.SyncResource{{Kind: "Service", Namespace: "m", Name: "web"}}, nil, "Service web"},
		{"one of two is unknown", []v1alpha1.SyncResource{{Kind: "Service", Name: "web"}, {Kind: "Job", Name: "x"}}, []Key{service}, "Job x"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := SelectionOf(&v1alpha1.SyncRequest{Resources: tc.resources})
			var got []Key
			for _, k := range []Key{web, service} {
				if s.Has(k) {
					got = append(got, k)
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" || s.Unknown([]Key{web, service}) != tc.unknown {
				t.Errorf("%s; unknown %q", diff, s.Unknown([]Key{web, service}))
			}
		})
	}
	p := Plan{Prune: [][]Deletion{{{Key: web}}, {{Key: service}, {Key: Key{Kind: "Secret", Name: "s"}}}}}
	p.PruneOnly(SelectionOf(&v1alpha1.SyncRequest{Resources: []v1alpha1.SyncResource{{Kind: "Service", Name: "web"}}}))
	if diff := cmp.Diff(Plan{Prune: [][]Deletion{{{Key: service}}}, Kept: []Key{web, {Kind: "Secret", Name: "s"}}}, p); diff != "" {
		t.Error(diff)
	}
}
