package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/controllers"
	"github.com/waybill-dev/waybill/git/gitserver"
	"github.com/waybill-dev/waybill/internal/failpoint"
)

// hooked is an Application with hooks and waves, and a watch on the Jobs that
// were ever made for it.
type hooked struct {
	*world
	namespace string
	jobs      *jobLog
	// round is how often the branch was committed to; subtests share it.
	round *int
}

// TestKillDuringASyncWithHooks kills waybilld (SIGKILL) at every point of a sync
// with hooks and waves. The next process finishes: every hook of the revision ran
// once, what the cluster has is what the branch says, and nothing is left over.
func TestKillDuringASyncWithHooks(t *testing.T) {
	t.Parallel()
	h := newHooked(t, "hooks")
	type row struct {
		why, point, at string
		// movesOn: the branch gets another commit before the next process starts.
		movesOn bool
	}
	tests := []row{
		{"the PreSync Job is made, the status does not know", controllers.FailAfterHook, "@1", false},
		{"the inventory is stored, nothing is applied", controllers.FailBeforeApply, "@1", false},
		{"one object of the first wave is applied", controllers.FailDuringApply, "@1", false},
		{"an object of the second wave is applied", controllers.FailDuringApply, "@4", false},
		{"the Sync Job is made", controllers.FailAfterHook, "@2", false},
		{"all is applied, the status does not know", controllers.FailAfterApply, "@1", false},
		{"the PostSync Job is made", controllers.FailAfterHook, "@3", false},
		{"half is applied, and the branch moves on", controllers.FailDuringApply, "@4", true},
		{"the Sync Job is made, and the branch moves on", controllers.FailAfterHook, "@2", true},
	}
	for _, name := range slices.Concat(controllers.ApplicationFailpoints(), controllers.HookFailpoints()) {
		if !slices.ContainsFunc(tests, func(tt row) bool { return tt.point == name }) {
			t.Errorf("no row kills at failpoint %q", name)
		}
	}
	for _, tt := range tests {
		t.Run(tt.why, func(t *testing.T) {
			h := h.in(t)
			h.server.stop()
			h.startServer(failpoint.Env + "=" + tt.point + "=kill" + tt.at)
			head := h.commit()
			h.eventually("waybilld kills itself", h.server.wasKilled)
			if tt.movesOn {
				head = h.commit()
			}
			h.startServer()
			h.isInSync(head)
			h.ranOnce(head)
		})
	}
}

// TestKillAtRandomDuringASyncWithHooks kills it from outside, whenever: one
// to three times in each of five revisions. WAYBILL_SEED repeats a run.
func TestKillAtRandomDuringASyncWithHooks(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(seed(t), 1))
	h := newHooked(t, "hookr")
	killed := 0
	for range 5 {
		head := h.commit()
		for range 1 + random.IntN(3) {
			select {
			case <-h.server.done:
				t.Fatalf("waybilld ended by itself: %s", h.server.cmd.ProcessState)
			case <-time.After(time.Duration(random.Int64N(int64(2500 * time.Millisecond)))): // the moment is the test's input
			}
			h.server.kill()
			killed++
			h.startServer()
		}
		h.isInSync(head)
		h.ranOnce(head)
	}
	h.neverTwice()
	t.Logf("killed %d times, %d Jobs", killed, h.jobs.count())
}

// newHooked makes the Application and waits until its first revision is in sync.
func newHooked(t *testing.T, project string) *hooked {
	t.Helper()
	w := newWorld(t, project)
	w.guestbook()
	w.startServer()
	w.pipeline([]string{"test"})
	h := &hooked{world: w, namespace: project + "-hooked", round: new(int)}
	h.jobs = w.watchJobs(h.namespace)
	head := h.commit()
	app := &v1alpha1.Application{Spec: v1alpha1.ApplicationSpec{
		Source:      v1alpha1.ApplicationSource{RepoURL: w.gitURL, TargetRevision: "hooked", Path: "app"},
		Destination: v1alpha1.Destination{Namespace: h.namespace},
		SyncPolicy: v1alpha1.SyncPolicy{
			Automated: &v1alpha1.AutomatedSync{Prune: true, SelfHeal: true}, SyncOptions: []string{"CreateNamespace=true"},
		},
	}}
	app.Namespace, app.Name = project, "hooked"
	if err := w.client.Create(t.Context(), app); err != nil {
		t.Fatal(err)
	}
	h.isInSync(head)
	h.ranOnce(head)
	return h
}

// in is the same in a subtest.
func (h *hooked) in(t *testing.T) *hooked {
	sub := *h
	sub.world = h.world.in(t)
	return &sub
}

// commit makes the next revision: two waves of two objects whose content changes,
// one object of a name that no other revision has, and a hook of each phase.
func (h *hooked) commit() string {
	h.t.Helper()
	*h.round++
	c := gitserver.Commit{Branch: "hooked", Message: fmt.Sprintf("revision %d", *h.round), Files: map[string]gitserver.File{}}
	files := map[string]string{
		fmt.Sprintf("app/only%d.yaml", *h.round): h.configMap(fmt.Sprintf("only%d", *h.round), 1),
		"app/pre.yaml":                           hookJob("pre", "PreSync"),
		"app/during.yaml":                        hookJob("during", "Sync"),
		"app/post.yaml":                          hookJob("post", "PostSync"),
	}
	for i, name := range []string{"a", "b", "c", "d"} {
		files["app/"+name+".yaml"] = h.configMap(name, i/2)
	}
	for path, content := range files {
		c.Files[path] = gitserver.File{Content: content}
	}
	if *h.round > 1 {
		c.Remove = []string{fmt.Sprintf("app/only%d.yaml", *h.round-1)}
	}
	return h.git.CommitFiles("guestbook", c)
}

func (h *hooked) configMap(name string, wave int) string {
	return fmt.Sprintf(`apiVersion: v1
kind: ConfigMap
metadata: {name: %s, annotations: {argocd.argoproj.io/sync-wave: "%d"}}
data: {round: "%d"}
`, name, wave, *h.round)
}

// hookJob is a Job that the control plane completes at once.
func hookJob(name, phase string) string {
	return fmt.Sprintf(`apiVersion: batch/v1
kind: Job
metadata: {name: %s, annotations: {argocd.argoproj.io/hook: %s}}
spec:
  backoffLimit: 0
  template:
    spec:
      restartPolicy: Never
      containers: [{name: run, image: registry.example.com/run:1}]
`, name, phase)
}

// isInSync waits until a revision is applied with its hooks, and compares what the
// cluster has with what the branch says: nothing missing, nothing left over.
func (h *hooked) isInSync(revision string) {
	h.t.Helper()
	h.eventually("revision "+revision+" is in sync", func() error {
		a := &v1alpha1.Application{}
		h.get("hooked", a)
		switch op := a.Status.Operation; {
		case op == nil || op.Revision != revision || op.Phase != v1alpha1.OperationSucceeded:
			return fmt.Errorf("the operation is %+v", op)
		case a.Status.Sync.Status != v1alpha1.SyncSynced || a.Status.Sync.Revision != revision:
			return fmt.Errorf("sync is %+v", a.Status.Sync)
		case a.Status.Health == nil || a.Status.Health.Status != v1alpha1.HealthHealthy:
			return fmt.Errorf("health is %+v", a.Status.Health)
		}
		return h.holdsExactly([]string{"a", "b", "c", "d", fmt.Sprintf("only%d", *h.round)})
	})
}

// holdsExactly compares the ConfigMaps that carry our label with names.
func (h *hooked) holdsExactly(names []string) error {
	var found corev1.ConfigMapList
	if err := h.client.List(h.t.Context(), &found, client.InNamespace(h.namespace), client.HasLabels{v1alpha1.LabelManagedBy}); err != nil {
		return err
	}
	var got []string
	for _, c := range found.Items {
		got = append(got, c.Name)
		if !strings.HasPrefix(c.Name, "only") && c.Data["round"] != fmt.Sprint(*h.round) {
			return fmt.Errorf("%s is of revision %s, want %d", c.Name, c.Data["round"], *h.round)
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, names) {
		return fmt.Errorf("the cluster has %v, want %v", got, names)
	}
	return nil
}

// ranOnce asserts that each hook of a revision's sync was made once, however many
// processes worked on it.
func (h *hooked) ranOnce(revision string) {
	h.t.Helper()
	a := &v1alpha1.Application{}
	h.get("hooked", a)
	op := a.Status.Operation
	if op == nil || op.Revision != revision {
		h.t.Errorf("the operation is %+v, want that of %s", op, revision)
		return
	}
	for name, phase := range map[string]string{"pre": "PreSync", "during": "Sync", "post": "PostSync"} {
		h.eventually("the watch has seen "+name, func() error {
			if h.jobs.of(name, op.ID+"."+phase) == 0 {
				return errors.New("no Job yet")
			}
			return nil
		})
	}
	h.neverTwice()
}

// neverTwice asserts that no run of a hook has two objects.
func (h *hooked) neverTwice() {
	h.t.Helper()
	for run, uids := range h.jobs.all() {
		if uids > 1 {
			h.t.Errorf("%d Jobs were made for %s", uids, run)
		}
	}
}

// jobLog is every Job of a namespace that ever was, as a watch told it.
type jobLog struct {
	mu   sync.Mutex
	uids map[string]map[string]bool // by name and run
}

// watchJobs follows the Jobs of a namespace until the test ends.
func (w *world) watchJobs(namespace string) *jobLog {
	t := w.t
	t.Helper()
	kube, err := kubernetes.NewForConfig(w.cluster.Config)
	if err != nil {
		t.Fatal(err)
	}
	jobs := kube.BatchV1().Jobs(namespace)
	list, err := jobs.List(t.Context(), apimeta.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	follow := &cache.ListWatch{WatchFuncWithContext: func(ctx context.Context, o apimeta.ListOptions) (watch.Interface, error) {
		return jobs.Watch(ctx, o)
	}}
	watcher, err := watchtools.NewRetryWatcherWithContext(t.Context(), list.ResourceVersion, follow)
	if err != nil {
		t.Fatal(err)
	}
	l := &jobLog{uids: map[string]map[string]bool{}}
	go func() {
		for e := range watcher.ResultChan() {
			if j, isJob := e.Object.(*batchv1.Job); isJob {
				l.saw(j)
			}
		}
	}()
	t.Cleanup(watcher.Stop)
	return l
}

func (l *jobLog) saw(j *batchv1.Job) {
	l.mu.Lock()
	defer l.mu.Unlock()
	run := j.Name + " " + j.Annotations[v1alpha1.AnnotationHookRun]
	if l.uids[run] == nil {
		l.uids[run] = map[string]bool{}
	}
	l.uids[run][string(j.UID)] = true
}

// of is how many Jobs of a name were made for a run.
func (l *jobLog) of(name, run string) int { return l.all()[name+" "+run] }

// count is how many Jobs there were.
func (l *jobLog) count() int {
	n := 0
	for _, uids := range l.all() {
		n += uids
	}
	return n
}

func (l *jobLog) all() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := map[string]int{}
	for run, uids := range l.uids {
		out[run] = len(uids)
	}
	return out
}
