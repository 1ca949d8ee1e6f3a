package controllers_test

import (
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// BenchmarkDriftToHealed measures, with a second client, the time from the
// answer to its own write to the watch event that shows the healed value
// (design 04: p50 < 50 ms, p99 < 500 ms).
func BenchmarkDriftToHealed(b *testing.B) {
	f := newAppFixture(b)
	f.application("test", "stage/test", "app")
	files := map[string]string{}
	const objects = 50 // fewer than five drifts of each in ten minutes are no contest
	for i := range objects {
		files[fmt.Sprintf("app/s%02d.yaml", i)] = fmt.Sprintf("apiVersion: v1\nkind: Service\nmetadata: {name: s%02d, labels: {tier: front}}\nspec: {selector: {app: x}, ports: [{port: 80}]}\n", i)
	}
	f.waitSynced("test", f.commit("stage/test", files))
	client, err := kubernetes.NewForConfig(f.Config)
	if err != nil {
		b.Fatal(err)
	}
	services := client.CoreV1().Services(f.project + "-test")
	watch, err := services.Watch(b.Context(), metav1.ListOptions{})
	if err != nil {
		b.Fatal(err)
	}
	defer watch.Stop()
	var took []time.Duration
	for n := range 200 {
		name := fmt.Sprintf("s%02d", n%objects)
		patch := fmt.Appendf(nil, `{"metadata":{"labels":{"tier":"x%d"}}}`, n)
		answer, err := services.Patch(b.Context(), name, "application/merge-patch+json", patch, metav1.PatchOptions{FieldManager: "second-client"})
		if err != nil {
			b.Fatal(err)
		}
		start, drifted := time.Now(), false
		timer := time.AfterFunc(10*time.Second, watch.Stop)
		for event := range watch.ResultChan() {
			s, ok := event.Object.(*corev1.Service)
			if !ok || s.Name != name {
				continue
			}
			drifted = drifted || s.ResourceVersion == answer.ResourceVersion
			if drifted && s.Labels["tier"] == "front" {
				took = append(took, time.Since(start))
				break
			}
		}
		if !timer.Stop() {
			b.Fatalf("drift %d is not healed", n)
		}
	}
	report(b, "heal", took)
	f.counter.take()
}

// BenchmarkMassSync brings 200 Applications of 10 objects each to Synced
// (design 04: < 12 s, < 3,000 requests), then measures one commit behind a
// second mass sync (< 0.5 s).
func BenchmarkMassSync(b *testing.B) {
	f := newAppFixture(b)
	const apps = 200
	head := ""
	for i := range apps + 1 {
		head = f.git.Commit("app", "main", "app", manyObjects(i, 1))
	}
	var usage syscall.Rusage
	cpu := func() time.Duration {
		_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
		return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	}
	f.counter.take()
	before, start := cpu(), time.Now()
	for i := range apps {
		f.application(fmt.Sprintf("a%03d", i), "main", fmt.Sprintf("apps/%03d", i))
	}
	f.allSynced(apps, head)
	b.ReportMetric(time.Since(start).Seconds(), "s/first-sync")
	b.ReportMetric((cpu() - before).Seconds(), "cpu-s/first-sync")
	b.ReportMetric(float64(len(f.counter.take())), "requests/first-sync")

	// All change at once, and one more Application in front of them.
	f.application("one", "one", "apps/200")
	one := f.commit("one", manyObjects(200, 1))
	f.waitSynced("one", one)
	files := map[string]string{}
	for i := range apps {
		for path, text := range manyObjects(i, 2) {
			files[path] = text
		}
	}
	start = time.Now()
	head = f.commit("main", files)
	one = f.commit("one", manyObjects(200, 2))
	f.waitSynced("one", one)
	b.ReportMetric(time.Since(start).Seconds(), "s/one-behind-all")
	f.allSynced(apps, head)
	b.ReportMetric(time.Since(start).Seconds(), "s/second-sync")
	b.ReportMetric(float64(len(f.counter.take())), "requests/second-sync")
}

// manyObjects are ten small objects of Application i.
func manyObjects(i, version int) map[string]string {
	out := map[string]string{}
	for n := range 10 {
		out[fmt.Sprintf("apps/%03d/m%d.yaml", i, n)] = fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m%d}\ndata: {version: '%d'}\n", n, version)
	}
	return out
}

func (f *appFixture) allSynced(n int, commit string) {
	f.t.Helper()
	var list v1alpha1.ApplicationList
	synced := 0
	if !eventually(func() bool {
		if err := f.client.List(f.t.Context(), &list); err != nil {
			return false
		}
		synced = 0
		for _, a := range list.Items {
			if a.Namespace == f.project && a.Status.Sync.Revision == commit && a.Status.Sync.Status == v1alpha1.SyncSynced {
				synced++
			}
		}
		return synced == n
	}) {
		f.t.Fatalf("%d of %d are synced to %s", synced, n, commit)
	}
}

// report prints the median and the 99th percentile.
func report(b *testing.B, what string, took []time.Duration) {
	slices.Sort(took)
	at := func(q float64) float64 { return took[int(q*float64(len(took)-1))].Seconds() * 1000 }
	b.ReportMetric(at(0.5), "ms/"+what+"-p50")
	b.ReportMetric(at(0.99), "ms/"+what+"-p99")
	b.ReportMetric(took[len(took)-1].Seconds()*1000, "ms/"+what+"-max")
	b.ReportMetric(0, "ns/op")
}
