package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	apimeta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/git/gitserver"
)

// scales are how many Applications of four objects there are in the big runs: those
// of Flux's published benchmark, whose application is the same.
func scales() []int { return []int{100, 500, 1000} }

const (
	// atOnce is how many requests this program has under way.
	atOnce = 8
	// stormSize is how many Deployments drift at once: those of the largest scale.
	stormSize = 1000
	// manyObjects is for how many objects memory is measured.
	manyObjects = 10000
	// perApplication is how many of those an Application of the filling has.
	perApplication = 450
)

// fourObjects is the application of Flux's benchmark: its Deployment has no
// replicas, so that the control plane's pods are not what is measured.
const fourObjects = `apiVersion: v1
kind: ServiceAccount
metadata: {name: %[1]s}
---
apiVersion: v1
kind: Service
metadata: {name: %[1]s}
spec: {selector: {app: %[1]s}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: %[1]s, labels: {version: %[2]q}}
spec:
  replicas: 0
  selector: {matchLabels: {app: %[1]s}}
  template:
    metadata: {labels: {app: %[1]s}}
    spec: {serviceAccountName: %[1]s, containers: [{name: app, image: "registry.example/web:1.0"}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: %[1]s}
spec: {rules: [{host: %[1]s.example.com, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: %[1]s, port: {number: 80}}}}]}}]}
`

func scaleProject(n int) string { return fmt.Sprintf("scale%d", n) }

func scaleFiles(n int, version string) map[string]gitserver.File {
	files := map[string]gitserver.File{}
	for i := range n {
		files[fmt.Sprintf("apps/%04d/all.yaml", i)] = gitserver.File{Content: fmt.Sprintf(fourObjects, fmt.Sprintf("app-%04d", i), version)}
	}
	return files
}

// scale measures n Applications of four objects: all made at once until the last is
// synced, and then one commit that changes one field of each.
func (b *bench) scale(ctx context.Context, n int) error {
	name := scaleProject(n)
	if err := b.servers.git.CreateRepo(ctx, name); err != nil {
		return err
	}
	commit := gitserver.Commit{Branch: gitserver.DefaultBranch, Message: "install", When: time.Now(), Files: scaleFiles(n, "1")}
	head, err := b.servers.git.Commit(ctx, name, commit)
	if err != nil {
		return err
	}
	url := b.servers.git.URL(name)
	if _, err := b.env.ApplyContext(ctx, projectManifest(name, url)); err != nil {
		return err
	}
	err = b.costOf(ctx, scaleKey("install", n), func(ctx context.Context) error {
		if err := b.createApplications(ctx, name, url, n); err != nil {
			return err
		}
		return b.awaitSynced(ctx, name, head, n)
	})
	if err != nil {
		return fmt.Errorf("install: %w", err)
	}
	commit = gitserver.Commit{Branch: gitserver.DefaultBranch, Message: "upgrade", When: time.Now(), Files: scaleFiles(n, "2")}
	if head, err = b.servers.git.Commit(ctx, name, commit); err != nil {
		return err
	}
	err = b.costOf(ctx, scaleKey("upgrade", n), func(ctx context.Context) error {
		// As a webhook would: one Application asks, and the branch is everybody's.
		if err := b.ask(ctx, &v1alpha1.Application{}, name, "app-0000"); err != nil {
			return err
		}
		return b.awaitSynced(ctx, name, head, n)
	})
	if err != nil {
		return fmt.Errorf("upgrade: %w", err)
	}
	return nil
}

// createApplications makes n Applications in one namespace.
func (b *bench) createApplications(ctx context.Context, name, url string, n int) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for i := range n {
		a := application(name, fmt.Sprintf("app-%04d", i), url, fmt.Sprintf("apps/%04d", i))
		group.Go(func() error { return b.client.Create(ctx, a) })
	}
	return group.Wait()
}

func application(project, name, url, path string) *v1alpha1.Application {
	a := &v1alpha1.Application{Spec: v1alpha1.ApplicationSpec{
		Source:      v1alpha1.ApplicationSource{RepoURL: url, TargetRevision: gitserver.DefaultBranch, Path: path},
		Destination: v1alpha1.Destination{Namespace: project},
		SyncPolicy:  v1alpha1.SyncPolicy{Automated: &v1alpha1.AutomatedSync{Prune: true, SelfHeal: true}},
	}}
	a.Namespace, a.Name = project, name
	return a
}

// ask wakes an object as `waybill refresh` does.
func (b *bench) ask(ctx context.Context, o client.Object, namespace, name string) error {
	o.SetNamespace(namespace)
	o.SetName(name)
	wake := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%q}}}`, v1alpha1.AnnotationRequestedAt, time.Now().Format(time.RFC3339Nano))
	return b.client.Patch(ctx, o, client.RawPatch(types.MergePatchType, wake))
}

// awaitSynced waits until n Applications of a Project run a commit.
func (b *bench) awaitSynced(ctx context.Context, namespace, commit string, n int) error {
	synced := map[string]bool{}
	_, err := b.seen.await(ctx, fmt.Sprintf("%d Applications at %.7s", n, commit), func(e event) bool {
		a, ok := e.Object.(*v1alpha1.Application)
		if ok && a.Namespace == namespace && a.Status.Sync.Status == v1alpha1.SyncSynced && a.Status.Sync.Revision == commit {
			synced[a.Name] = true
		}
		return len(synced) == n
	})
	if err != nil {
		return fmt.Errorf("%w (%d are)", err, len(synced))
	}
	return nil
}

// costOf measures what a piece of work takes under the keys of key.
func (b *bench) costOf(ctx context.Context, key string, work func(context.Context) error) error {
	if err := b.quiet(ctx, settleTime); err != nil {
		return err
	}
	b.seen.forget()
	b.child.forgetPeak()
	before, err := b.usage(ctx)
	if err != nil {
		return err
	}
	start := time.Now()
	if err := work(ctx); err != nil {
		return err
	}
	took := time.Since(start)
	after, err := b.usage(ctx)
	if err != nil {
		return err
	}
	peak, err := b.child.memory("VmHWM")
	if err != nil {
		return err
	}
	cost := after.minus(before)
	b.report.add(key, seconds(took))
	b.report.add(key+costCPU, cost.CPU)
	b.report.add(key+costAPI, cost.API[schemaRequests])
	b.report.add(key+costGit, float64(cost.Git))
	b.report.add(key+costPeak, peak)
	return nil
}

// storm scales a thousand Deployments at once, as somebody with a script would, and
// measures until each is as Git says.
func (b *bench) storm(ctx context.Context) error {
	namespace := scaleProject(stormSize)
	return b.costOf(ctx, stormHealed, func(ctx context.Context) error {
		group, limited := errgroup.WithContext(ctx)
		group.SetLimit(atOnce)
		for i := range stormSize {
			name := fmt.Sprintf("app-%04d", i)
			group.Go(func() error {
				_, err := b.kube.AppsV1().Deployments(namespace).Patch(limited, name, types.MergePatchType, []byte(`{"metadata":{"labels":{"version":"drifted"}}}`), apimeta.PatchOptions{FieldManager: "kubectl-label"})
				return err
			})
		}
		if err := group.Wait(); err != nil {
			return err
		}
		drifted, healed := map[string]bool{}, map[string]bool{}
		_, err := b.seen.await(ctx, "every Deployment to be healed", func(e event) bool {
			d, ok := e.Object.(*appsv1.Deployment)
			if ok && d.Namespace == namespace {
				if d.Labels["version"] == "drifted" {
					drifted[d.Name] = true
				} else if drifted[d.Name] {
					healed[d.Name] = true
				}
			}
			return len(healed) == stormSize
		})
		if err != nil {
			return fmt.Errorf("%w (%d of %d are)", err, len(healed), len(drifted))
		}
		return nil
	})
}

// memory fills up to 10,000 managed objects and measures what waybilld holds then.
func (b *bench) memory(ctx context.Context) error {
	const name = "filling"
	have := 0
	for _, n := range scales() {
		have += 4 * n
	}
	files := map[string]gitserver.File{}
	applications := 0
	for left := manyObjects - have; left > 0; applications++ {
		var text strings.Builder
		for i := range min(left, perApplication) {
			fmt.Fprintf(&text, "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c-%d-%d}\ndata: {k: v}\n", applications, i)
		}
		files[fmt.Sprintf("apps/%04d/all.yaml", applications)] = gitserver.File{Content: text.String()}
		left -= perApplication
	}
	if err := b.servers.git.CreateRepo(ctx, name); err != nil {
		return err
	}
	head, err := b.servers.git.Commit(ctx, name, gitserver.Commit{Branch: gitserver.DefaultBranch, Message: "fill", When: time.Now(), Files: files})
	if err != nil {
		return err
	}
	url := b.servers.git.URL(name)
	if _, err := b.env.ApplyContext(ctx, projectManifest(name, url)); err != nil {
		return err
	}
	b.seen.forget()
	if err := b.createApplications(ctx, name, url, applications); err != nil {
		return err
	}
	if err := b.awaitSynced(ctx, name, head, applications); err != nil {
		return err
	}
	if err := pause(ctx, restPause); err != nil { // what the work itself took is given back
		return err
	}
	rss, err := b.child.memory("VmRSS")
	if err != nil {
		return err
	}
	b.report.add(manyRSS, rss)
	b.report.add(manyAbove, rss-b.baseline)
	own, err := b.child.memory("RssAnon")
	if err != nil {
		return err
	}
	b.report.add(manyOwn, own)
	if b.opts.profile != "" {
		return b.child.profile(ctx, "heap", filepath.Join(b.opts.profile, "objects-heap.pprof"))
	}
	return nil
}

// emptyServer measures what waybilld holds before there is anything.
func (b *bench) emptyServer(ctx context.Context) error {
	for {
		if _, err := b.usage(ctx); err == nil {
			break
		}
		if err := errors.Join(pause(ctx, time.Second), b.child.isRunning()); err != nil {
			return err
		}
	}
	if err := pause(ctx, 15*time.Second); err != nil { // until its caches are full
		return err
	}
	rss, err := b.child.memory("VmRSS")
	if err != nil {
		return err
	}
	b.baseline = rss
	b.report.add(bigBaseline, rss)
	return nil
}

// bigRest looks for a minute at a server with all of that and nothing to do.
func (b *bench) bigRest(ctx context.Context) error {
	if err := b.quiet(ctx, settleTime); err != nil {
		return err
	}
	before, err := b.usage(ctx)
	if err != nil {
		return err
	}
	const window = time.Minute
	if err := pause(ctx, window); err != nil {
		return err
	}
	after, err := b.usage(ctx)
	if err != nil {
		return err
	}
	cost := after.minus(before)
	b.report.add(bigRequests, cost.API[schemaRequests])
	b.report.add(bigCPU, 100*cost.CPU/window.Seconds())
	return nil
}
