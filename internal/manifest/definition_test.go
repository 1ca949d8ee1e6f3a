package manifest

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDefinition(t *testing.T) {
	for _, tt := range []struct{ name, why, given, want string }{
		{"a stage as the API shows it", "optional structs that are empty are Go's; required ones, and pointers to one, are a person's",
			`{"apiVersion":"waybill.dev/v1alpha1","kind":"Stage","metadata":{"name":"a","namespace":"p","uid":"u","generation":3,"labels":{"x":"y"},
			"annotations":{"waybill.dev/requested-at":"now"},"ownerReferences":[]},"status":{"lastSeq":1},
			"spec":{"rollback":{},"autoPromotion":{},"requestedFreight":[],"deploy":[{"destination":{},"source":{"path":"."},"syncPolicy":{"automated":{}}}]}}`,
			`{"apiVersion":"waybill.dev/v1alpha1","kind":"Stage","metadata":{"name":"a","namespace":"p","labels":{"x":"y"}},
			"spec":{"requestedFreight":[],"deploy":[{"destination":{},"source":{"path":"."},"syncPolicy":{"automated":{}}}]}}`},
		{"annotations of people", "they stay",
			`{"apiVersion":"waybill.dev/v1alpha1","kind":"Project","metadata":{"name":"p","annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{}","waybill.dev/keep-namespace":"true"}},"spec":{}}`,
			`{"apiVersion":"waybill.dev/v1alpha1","kind":"Project","metadata":{"name":"p","annotations":{"waybill.dev/keep-namespace":"true"}}}`},
		{"a kind of others", "nothing is known of its fields",
			`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},"spec":{"securityContext":{}}}`,
			`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},"spec":{"securityContext":{}}}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var given, before, want map[string]any
			if err := errors.Join(json.Unmarshal([]byte(tt.given), &given), json.Unmarshal([]byte(tt.given), &before), json.Unmarshal([]byte(tt.want), &want)); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, Definition(given)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.why, diff)
			}
			if diff := cmp.Diff(before, given); diff != "" {
				t.Errorf("the object was changed:\n%s", diff)
			}
		})
	}
}
