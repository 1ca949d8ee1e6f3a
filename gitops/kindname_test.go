package gitops

import (
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

func TestKindName(t *testing.T) {
	deployment := schema.GroupKind{Group: "apps", Kind: "Deployment"}
	for _, c := range []struct {
		why, text string
		kind      schema.GroupKind
		want      bool
	}{
		{"as in a manifest", "Deployment", deployment, true},
		{"as kubectl prints it", "deployment.apps", deployment, true},
		{"plural", "deployments", deployment, true},
		{"plural with group", "deployments.apps", deployment, true},
		{"with version and group", "deployments.v1.apps", deployment, true},
		{"with an early version", "deployments.v1beta2.apps", deployment, true},
		{"of another group", "deployments.example.com", deployment, false},
		{"another kind", "deploymen", deployment, false},
		{"a short name is for the cluster to say", "deploy", deployment, false},
		{"core kind", "pods", schema.GroupKind{Kind: "Pod"}, true},
		{"core kind with a version", "pods.v1.", schema.GroupKind{Kind: "Pod"}, true},
		{"ends in s", "ingresses.networking.k8s.io", schema.GroupKind{Group: "networking.k8s.io", Kind: "Ingress"}, true},
		{"ends in y", "networkpolicies", schema.GroupKind{Group: "networking.k8s.io", Kind: "NetworkPolicy"}, true},
		{"a group that begins like a version", "widgets.v2x.example.com", schema.GroupKind{Group: "v2x.example.com", Kind: "Widget"}, true},
		{"nothing", "", schema.GroupKind{}, false},
	} {
		if got := ParseKindName(c.text).Fits(c.kind); got != c.want {
			t.Errorf("%s: %q and %s: %v, want %v", c.why, c.text, c.kind, got, c.want)
		}
	}
}

// FuzzKindName: whatever is typed, a name is read back as itself and a kind fits its
// own name with and without its group.
func FuzzKindName(f *testing.F) {
	for _, seed := range []string{"deploy", "deployments.apps", "Deployment.v1.apps", "pods.v1.", "...", ".apps", "a..b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n := ParseKindName(text)
		if again := ParseKindName(n.String()); again.Name != n.Name {
			t.Errorf("%q: %+v, read again %+v", text, n, again)
		}
		gk := schema.GroupKind{Group: n.Group, Kind: n.Name}
		if n.Name != "" && (!n.Fits(gk) || !(KindName{Name: n.Name}).Fits(gk)) {
			t.Errorf("%q: %+v does not fit its own kind", text, n)
		}
	})
}
