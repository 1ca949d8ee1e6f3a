package gitops_test

import (
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/gitops"
)

func TestNamespaceLimits(t *testing.T) {
	widened := []v1alpha1.ProjectDestination{
		{Cluster: "in-cluster", Namespace: "infra"}, {Namespace: "team-*"}, {Cluster: "eu-*", Namespace: "bank"}, {Namespace: "*-edge"},
	}
	for _, c := range []struct {
		why, cluster, namespace string
		widened                 bool
		want                    string // part of the refusal; empty: allowed
	}{
		{"the Project's own", "in-cluster", "guest", false, ""},
		{"with its prefix", "in-cluster", "guest-test", false, ""},
		{"a prefix needs its dash", "in-cluster", "guestbook", false, `is no destination of Project "guest"`},
		{"another Project's own, with our prefix", "in-cluster", "guest-book", false, `belongs to Project "guest-book"`},
		{"of another Project with a longer name", "in-cluster", "guest-book-prod", false, `belongs to Project "guest-book"`},
		{"somebody's", "in-cluster", "bank", false, `belongs to Project "bank"`},
		{"the system's", "in-cluster", "kube-system", true, "never a destination"},
		{"Waybill's", "in-cluster", "waybill-system", true, "never a destination"},
		{"default is nobody's", "in-cluster", "default", false, "spec.destinations"},
		{"widened by name", "in-cluster", "infra", true, ""},
		{"of another cluster", "eu-1", "infra", true, "spec.destinations"},
		{"widened by pattern", "any", "team-a", true, ""},
		{"another Project's, named", "eu-1", "bank", true, ""},
		{"another Project's, elsewhere", "us-1", "bank", true, `belongs to Project "bank"`},
		{"a pattern does not reach into a Project", "in-cluster", "bank-edge", true, `belongs to Project "bank"`},
		{"a pattern with a star in front", "in-cluster", "far-edge", true, ""},
	} {
		l := gitops.Limits{Project: "guest", OtherProjects: []string{"guest-book", "bank"}, SystemNamespace: "waybill-system"}
		if c.widened {
			l.Destinations = widened
		}
		err := l.Namespace(c.cluster, c.namespace)
		switch {
		case err == nil && c.want != "":
			t.Errorf("%s: %q is allowed", c.why, c.namespace)
		case err != nil && (c.want == "" || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %q", c.why, err, c.want)
		}
	}
}

func TestCheckLimits(t *testing.T) {
	ns := func(name string) gitops.Desired { return prepare(t, object("v1", "Namespace", name))[0] }
	far := configMap("x")
	far.SetNamespace("bank")
	for _, c := range []struct {
		why   string
		obj   gitops.Desired
		kinds []v1alpha1.ProjectKind
		want  string
	}{
		{"a namespaced kind", prepare(t, configMap("x"))[0], nil, ""},
		{"elsewhere", prepare(t, far)[0], nil, "is no destination"},
		{"its Namespace", ns("shop-test"), nil, ""},
		{"somebody's Namespace", ns("bank"), nil, "is no destination"},
		{"a cluster-wide kind", prepare(t, object("rbac.authorization.k8s.io/v1", "ClusterRole", "r"))[0], nil, "is not namespaced"},
		{"a cluster-wide kind that is allowed", prepare(t, object("rbac.authorization.k8s.io/v1", "ClusterRole", "r"))[0],
			[]v1alpha1.ProjectKind{{Group: "rbac.*", Kind: "ClusterRole"}}, ""},
		{"Waybill's own kinds", prepare(t, object("waybill.dev/v1alpha1", "Promotion", "p"))[0], nil, "is Waybill's own"},
	} {
		errs := gitops.CheckLimits(gitops.Limits{Project: "shop", Kinds: c.kinds}, "in-cluster", []gitops.Desired{c.obj})
		got := ""
		if len(errs) > 0 {
			got = errs[0].Message
		}
		if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", c.why, got, c.want)
		}
	}
}
