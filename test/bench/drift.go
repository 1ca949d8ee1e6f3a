package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// The Application that is made to drift. Four heals of the same fields of an
// object within ten minutes are healed at once, the fifth makes a contest; more
// than half of the objects at once make a storm (04-gitops, rule 4). So 200
// drifts need 13 Deployments for four kinds of change, and an Application of
// twice that size.
const (
	driftProject   = "drift"
	driftNamespace = "drift-web"
	driftObjects   = 30
	driftTargets   = 13
	driftImage     = "registry.example/web:1.0"

	// maxDrifts is how many drifts there can be without a contest.
	maxDrifts = driftTargets * 4 * 4
	// driftPatience is how long one heal may take before it counts as this long.
	driftPatience = 15 * time.Second
)

// change is one way to drift.
type change struct {
	name string
	// make changes the Deployment as a person would and returns what the API
	// server answered; for a deletion, what there was.
	make func(ctx context.Context, b *bench, name string) (*appsv1.Deployment, error)
	// isHealed reports whether a Deployment holds Git's value again.
	isHealed func(d *appsv1.Deployment) bool
}

// changes are the ways, with the field managers of the kubectl commands.
func changes() []change {
	patch := func(manager string, how types.PatchType, body string) func(context.Context, *bench, string) (*appsv1.Deployment, error) {
		return func(ctx context.Context, b *bench, name string) (*appsv1.Deployment, error) {
			return b.kube.AppsV1().Deployments(driftNamespace).Patch(ctx, name, how, []byte(body), metav1.PatchOptions{FieldManager: manager})
		}
	}
	scale := func(ctx context.Context, b *bench, name string) (*appsv1.Deployment, error) {
		return b.kube.AppsV1().Deployments(driftNamespace).Patch(ctx, name, types.MergePatchType,
			[]byte(`{"spec":{"replicas":3}}`), metav1.PatchOptions{FieldManager: "kubectl"}, "scale")
	}
	return []change{
		{"scale", scale, func(d *appsv1.Deployment) bool { return *d.Spec.Replicas == 1 }},
		{
			"set image", patch("kubectl-set", types.StrategicMergePatchType, `{"spec":{"template":{"spec":{"containers":[{"name":"app","image":"registry.example/web:9.9"}]}}}}`),
			func(d *appsv1.Deployment) bool { return d.Spec.Template.Spec.Containers[0].Image == driftImage },
		},
		{
			"change a label", patch("kubectl-label", types.MergePatchType, `{"metadata":{"labels":{"app":"somebody"}}}`),
			func(d *appsv1.Deployment) bool { return d.Labels["app"] == d.Name },
		},
		{"delete", deleteDeployment, func(d *appsv1.Deployment) bool { return true }},
	}
}

func deleteDeployment(ctx context.Context, b *bench, name string) (*appsv1.Deployment, error) {
	deployments := b.kube.AppsV1().Deployments(driftNamespace)
	was, err := deployments.Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	background := metav1.DeletePropagationBackground
	return was, deployments.Delete(ctx, name, metav1.DeleteOptions{PropagationPolicy: &background, Preconditions: &metav1.Preconditions{UID: &was.UID}})
}

// drift measures how long n changes by hand last, one at a time, each on a
// Deployment at rest: from the answer to the change to the event that shows
// Git's value.
func (b *bench) drift(ctx context.Context, n int) error {
	if err := b.driftApplication(ctx); err != nil {
		return err
	}
	all := changes()
	for i := range min(n, maxDrifts) {
		if err := b.child.isRunning(); err != nil {
			return err
		}
		name := fmt.Sprintf("web-%02d", i/len(all)%driftTargets)
		took, err := b.oneDrift(ctx, name, all[i%len(all)])
		if err != nil {
			return fmt.Errorf("drift %d (%s of %q): %w", i, all[i%len(all)].name, name, err)
		}
		b.report.add(driftToHealed, seconds(took))
		b.report.add(driftKind(all[i%len(all)].name), seconds(took))
	}
	b.report.keepLast(driftToHealed, lateDrifts, 20)
	return nil
}

func (b *bench) oneDrift(ctx context.Context, name string, c change) (time.Duration, error) {
	if err := b.awaitRest(ctx, name); err != nil {
		return 0, err
	}
	b.seen.forget()
	answer, err := c.make(ctx, b, name)
	if apierrors.IsNotFound(err) {
		return 0, errors.New("the Deployment is not there")
	}
	if err != nil {
		return 0, err
	}
	answered := time.Now()
	patience, cancel := context.WithTimeout(ctx, driftPatience)
	defer cancel()
	after := version(answer)
	healed, err := b.seen.await(patience, "the heal", func(e event) bool {
		d, ok := e.Object.(*appsv1.Deployment)
		return ok && e.Type != watch.Deleted && d.Namespace == driftNamespace && d.Name == name &&
			version(d) > after && c.isHealed(d) && (c.name != "delete" || d.UID != answer.UID)
	})
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return driftPatience, nil // a miss is shown as one
	}
	if err != nil {
		return 0, err
	}
	// The event may overtake the answer; then there was no time in between.
	return max(healed.At.Sub(answered), 0), nil
}

// version returns a resource version as a number; within one resource they grow
// (Kubernetes API conventions, since 1.35).
func version(d *appsv1.Deployment) int64 {
	n, err := strconv.ParseInt(d.ResourceVersion, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// awaitRest waits until the Deployment is rolled out.
func (b *bench) awaitRest(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		d, err := b.kube.AppsV1().Deployments(driftNamespace).Get(ctx, name, metav1.GetOptions{})
		if err == nil && isRolledOut(d) {
			return nil
		}
		if err != nil && !apierrors.IsNotFound(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for Deployment %q to be rolled out: %w", name, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// driftApplication sets up the Application and waits until it is Healthy.
func (b *bench) driftApplication(ctx context.Context) error {
	var manifests strings.Builder
	for i := range driftObjects {
		fmt.Fprintf(&manifests, "---\n"+deployment, fmt.Sprintf("web-%02d", i), driftImage)
	}
	url, err := b.newRepository(ctx, driftProject, map[string]string{"web/all.yaml": manifests.String()})
	if err != nil {
		return err
	}
	b.seen.forget()
	if _, err := b.env.ApplyContext(ctx, projectManifest(driftProject, url), applicationManifest(driftProject, "web", driftNamespace, url, "web")); err != nil {
		return err
	}
	_, err = b.seen.await(ctx, "the Application that is to drift", func(e event) bool {
		a, ok := e.Object.(*v1alpha1.Application)
		return ok && a.Namespace == driftProject && isSyncedAndHealthy(a)
	})
	return err
}

func isSyncedAndHealthy(a *v1alpha1.Application) bool {
	return a.Status.Sync.Status == v1alpha1.SyncSynced && a.Status.Health != nil && a.Status.Health.Status == v1alpha1.HealthHealthy
}

func applicationManifest(project, name, namespace, url, path string) string {
	return strings.NewReplacer("<project>", project, "<namespace>", namespace, "<name>", name, "<url>", url, "<path>", path).Replace(`
apiVersion: waybill.dev/v1alpha1
kind: Application
metadata: {name: <name>, namespace: <project>}
spec:
  source: {repoURL: "<url>", path: <path>}
  destination: {namespace: <namespace>}
  syncPolicy: {automated: {prune: true, selfHeal: true}, syncOptions: [CreateNamespace=true]}
`)
}
