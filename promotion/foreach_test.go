package promotion

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// deployStage returns a Stage with one deploy entry.
func deployStage(f *v1alpha1.ForEach) *v1alpha1.Stage {
	s := &v1alpha1.Stage{Spec: v1alpha1.StageSpec{Deploy: []v1alpha1.Deployment{{
		Name: "web", ForEach: f,
		Destination: v1alpha1.Destination{Cluster: v1alpha1.InCluster, Namespace: "web"},
		Source:      v1alpha1.DeploymentSource{Path: "sites/{name}", Helm: &v1alpha1.HelmOptions{ValueFiles: []string{"common.yaml", "{name}.yaml"}}},
	}}}}
	s.Name = "prod"
	return s
}

func labelled(name string, labels map[string]string) v1alpha1.Cluster {
	return v1alpha1.Cluster{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
}

func TestExpandDeploy(t *testing.T) {
	edge := map[string]string{"tier": "edge"}
	leaving := labelled("gone", edge)
	leaving.DeletionTimestamp = &metav1.Time{}
	clusters := []v1alpha1.Cluster{labelled("us", edge), labelled("lab", nil), leaving, labelled("eu", edge)}
	byLabel := &metav1.LabelSelector{MatchLabels: edge}
	for _, tc := range []struct {
		name     string
		forEach  *v1alpha1.ForEach
		want     []string // Application, cluster, namespace, path, second values file
		problems []string
	}{
		{"none", nil, []string{"prod in-cluster/web sites/{name} {name}.yaml"}, nil},
		{"a list", &v1alpha1.ForEach{List: []v1alpha1.ForEachItem{
			{Name: "eu", Cluster: "eu"}, {Name: "blue", Cluster: v1alpha1.InCluster, Namespace: "web-blue", Path: "blue/{name}"},
		}}, []string{"prod-web-eu eu/web sites/eu eu.yaml", "prod-web-blue in-cluster/web-blue blue/blue blue.yaml"}, nil},
		{"one item is called as if there were more", &v1alpha1.ForEach{List: []v1alpha1.ForEachItem{{Name: "eu", Cluster: "eu"}}},
			[]string{"prod-web-eu eu/web sites/eu eu.yaml"}, nil},
		{"clusters by label, in order", &v1alpha1.ForEach{Clusters: byLabel},
			[]string{"prod-web-eu eu/web sites/eu eu.yaml", "prod-web-us us/web sites/us us.yaml"}, nil},
		{"no cluster", &v1alpha1.ForEach{Clusters: &metav1.LabelSelector{MatchLabels: map[string]string{"tier": "core"}}},
			[]string{"not known"}, []string{ReasonNoCluster}},
		{"no selector", &v1alpha1.ForEach{Clusters: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Near"}}}},
			[]string{"not known"}, []string{ReasonInvalidForEach}},
		{"a name that is too long", &v1alpha1.ForEach{List: []v1alpha1.ForEachItem{{Name: strings.Repeat("a", 60), Cluster: "eu"}}},
			[]string{"prod-web-" + strings.Repeat("a", 60) + " eu/web sites/" + strings.Repeat("a", 60) + " " + strings.Repeat("a", 60) + ".yaml"}, []string{ReasonInvalidForEach}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := deployStage(tc.forEach)
			ExpandDeploy(s, clusters)
			again := s.DeepCopy()
			ExpandDeploy(again, clusters)
			if diff := cmp.Diff(s, again); diff != "" {
				t.Errorf("a second time it is different:\n%s", diff)
			}
			var got []string
			for i := range s.Spec.Deploy {
				d := &s.Spec.Deploy[i]
				if IsUnexpanded(d) {
					got = append(got, "not known")
					continue
				}
				got = append(got, ApplicationName(s, d)+" "+d.Destination.Cluster+"/"+d.Destination.Namespace+" "+d.Source.Path+" "+d.Source.Helm.ValueFiles[1])
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			var problems []string
			for _, p := range CheckForEach(s) {
				problems = append(problems, p.Reason)
			}
			if diff := cmp.Diff(tc.problems, problems); diff != "" {
				t.Errorf("problems -want +got:\n%s", diff)
			}
		})
	}
}

func TestExpandedNamesThatMeet(t *testing.T) {
	s := deployStage(&v1alpha1.ForEach{List: []v1alpha1.ForEachItem{{Name: "eu-west", Cluster: "a"}}})
	other := s.Spec.Deploy[0]
	other.Name, other.ForEach = "web-eu", &v1alpha1.ForEach{List: []v1alpha1.ForEachItem{{Name: "west", Cluster: "b"}}}
	s.Spec.Deploy = append(s.Spec.Deploy, other)
	ExpandDeploy(s, nil)
	if p := CheckForEach(s); len(p) != 1 || !strings.Contains(p[0].Message, `"prod-web-eu-west"`) {
		t.Errorf("%+v", p)
	}
}
