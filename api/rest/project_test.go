package rest

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/api/v1alpha1"
)

const image = "registry.example.com/guestbook"

// digestOf is a digest that is easy to tell.
func digestOf(n int) string { return "sha256:" + strings.Repeat(fmt.Sprintf("%02x", n), 32) }

// nameOf is the name of a Freight.
func nameOf(n int) string { return "f" + strings.Repeat(fmt.Sprintf("%03d", n), 13) }

// fixture is a Project test -> uat -> prod, as the controllers would have left
// it: 1.26.0 runs everywhere, 1.27.0 in test, 1.28.0 nowhere.
type fixture struct {
	name string
	w    *world
}

func manifestOf(name string) string {
	stage := func(stage, sources, more string) string {
		return fmt.Sprintf(`---
apiVersion: waybill.dev/v1alpha1
kind: Stage
metadata: {name: %[2]s, namespace: %[1]s}
spec:
  requestedFreight:
  - {origin: {kind: Warehouse, name: main}, sources: %[3]s}
  promotionMechanisms:
    gitRepoUpdates:
    - repoURL: https://git.example.com/%[1]s.git
      readBranch: main
      writeBranch: stage/%[2]s
      kustomize: {images: [{image: %[5]s, path: stages/%[2]s}]}
  deploy:
  - {destination: {namespace: %[1]s-%[2]s}, source: {path: stages/%[2]s}}
%[4]s`, name, stage, sources, more, image)
	}
	return fmt.Sprintf(`---
apiVersion: waybill.dev/v1alpha1
kind: Project
metadata: {name: %[1]s}
---
apiVersion: v1
kind: Namespace
metadata: {name: %[1]s, labels: {waybill.dev/project: "true"}}
---
apiVersion: waybill.dev/v1alpha1
kind: Warehouse
metadata: {name: main, namespace: %[1]s}
spec:
  interval: 1m
  subscriptions: [{image: {repoURL: %[2]s, constraint: ^1.26.0}}]
`, name, image) +
		stage("test", "{direct: true}", "  autoPromotion: {enabled: true}\n") +
		stage("uat", "{stages: [test]}", "  autoPromotion: {enabled: true}\n") +
		stage("prod", "{stages: [uat], requiredSoakTime: 1h}", "")
}

// grantsOf binds the roles of people in a Project, as spec.access would.
func grantsOf(name string) string {
	binding := func(role, group string) string {
		return fmt.Sprintf("---\napiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: %s, namespace: %s}\nroleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: %s}\nsubjects: [{kind: Group, apiGroup: rbac.authorization.k8s.io, name: 'waybill:%s'}]\n", role, name, role, group)
	}
	return binding("waybill-promoter", "devs") + binding("waybill-viewer", "viewers") +
		binding("waybill-approver", "release-managers") + strings.Replace(binding("waybill-approver", "approvers"), "{name: waybill-approver,", "{name: waybill-approver-2,", 1)
}

// newProject makes the fixture under a name of its own.
func newProject(t *testing.T) fixture {
	t.Helper()
	name := strings.ToLower(strings.NewReplacer("/", "-", "_", "-").Replace(t.Name()))
	name = "p-" + name[max(0, len(name)-30):]
	f := fixture{name, shared}
	shared.env.Apply(t, manifestOf(name), grantsOf(name))
	verified := metav1.NewTime(time.Now().Add(-2 * time.Hour).Truncate(time.Second))
	for n, version := range map[int]string{1: "1.26.0", 2: "1.27.0", 3: "1.28.0"} {
		fr := &v1alpha1.Freight{
			ObjectMeta: metav1.ObjectMeta{Name: nameOf(n), Namespace: name},
			Alias:      []string{"", "calm-lynx", "tender-otter", "amber-heron"}[n],
			Origin:     v1alpha1.Origin{Kind: "Warehouse", Name: "main"}, Order: int64(n),
			Images: []v1alpha1.Image{{RepoURL: image, Tag: version, Digest: digestOf(n)}},
		}
		create(t, fr)
		fr.Status.Stages = map[string]v1alpha1.FreightInStage{}
		if n <= 2 {
			fr.Status.Stages["test"] = v1alpha1.FreightInStage{EnteredAt: &verified, VerifiedAt: &verified}
		}
		if n == 1 {
			fr.Status.Stages["uat"] = v1alpha1.FreightInStage{EnteredAt: &verified, VerifiedAt: &verified, Soak: v1alpha1.Soak{RunningSince: &verified}}
			fr.Status.Stages["prod"] = v1alpha1.FreightInStage{EnteredAt: &verified, VerifiedAt: &verified}
		}
		updateStatus(t, fr)
	}
	f.setStage(t, "test", 2, v1alpha1.HealthHealthy)
	f.setStage(t, "uat", 1, v1alpha1.HealthHealthy)
	f.setStage(t, "prod", 1, v1alpha1.HealthHealthy)
	eventually(t, func() error {
		a := shared.as(t, "admin").do(t, "GET", "/api/v1/projects/"+name+"/pipeline", nil)
		if a.status != http.StatusOK {
			return fmt.Errorf("status %d: %s", a.status, a.body)
		}
		var p model.Pipeline
		a.into(t, &p)
		if len(p.Freight) != 3 || len(p.Stages) != 3 || p.Stages[0].Freight.Version != "1.27.0" || p.Stages[2].Freight.Version != "1.26.0" ||
			len(p.Freight[2].Stages) != 3 || len(p.Freight[1].Stages) != 1 {
			return fmt.Errorf("the cache is behind: %s", a.body)
		}
		return nil
	})
	return f
}

func create(t *testing.T, o client.Object) {
	t.Helper()
	if err := shared.admin.Create(t.Context(), o); err != nil {
		t.Fatal(err)
	}
}

func updateStatus(t *testing.T, o client.Object) {
	t.Helper()
	if err := shared.admin.Status().Update(t.Context(), o); err != nil {
		t.Fatal(err)
	}
}

// setStage puts a Freight into a Stage.
func (f fixture) setStage(t *testing.T, name string, freight int, health v1alpha1.HealthStatus) {
	t.Helper()
	var st v1alpha1.Stage
	if err := shared.admin.Get(t.Context(), client.ObjectKey{Namespace: f.name, Name: name}, &st); err != nil {
		t.Fatal(err)
	}
	since := metav1.NewTime(time.Now().Add(-2 * time.Hour).Truncate(time.Second))
	version := []string{"", "1.26.0", "1.27.0", "1.28.0"}[freight]
	st.Status.Current = []v1alpha1.StageFreight{{
		Origin: "main", Freight: nameOf(freight), Since: &since, Commit: strings.Repeat("a", 40),
		Promotion: fmt.Sprintf("%s.%d.%s", name, freight, nameOf(freight)[:8]),
		Images:    []v1alpha1.Image{{RepoURL: image, Tag: version, Digest: digestOf(freight)}},
	}}
	st.Status.Synced = true
	st.Status.Health = &v1alpha1.Health{Status: health, Message: map[v1alpha1.HealthStatus]string{v1alpha1.HealthDegraded: `Deployment "guestbook": CrashLoopBackOff`}[health]}
	updateStatus(t, &st)
}

func (f fixture) path(rest string) string { return "/api/v1/projects/" + f.name + rest }
