package jobs_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	batchclient "k8s.io/client-go/kubernetes/typed/batch/v1"
	"k8s.io/utils/clock"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/gitops"
	"github.com/waybill-dev/waybill/gitops/cluster"
	"github.com/waybill-dev/waybill/promotion"
	"github.com/waybill-dev/waybill/promotion/jobs"
	"github.com/waybill-dev/waybill/test/env"
)

// patience bounds every wait of these tests.
const patience = 2 * time.Minute

// rig is a real API server with a namespace for Jobs.
type rig struct {
	*testing.T
	env    *env.Env
	to     *cluster.Cluster
	runner *jobs.Runner
	stage  *v1alpha1.Stage
	limits *gitops.Limits
	ended  chan types.NamespacedName
	batch  batchclient.JobInterface
}

func newRig(t *testing.T) *rig {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a control plane")
	}
	e := env.Start(t, env.Options{})
	r := &rig{T: t, env: e, stage: &v1alpha1.Stage{}, limits: &gitops.Limits{Project: "guestbook", SystemNamespace: "waybill-system"}, ended: make(chan types.NamespacedName, 8)}
	const namespace = "guestbook-test"
	e.Apply(t, "{apiVersion: v1, kind: Namespace, metadata: {name: "+namespace+"}}")
	r.stage.Namespace, r.stage.Name = "guestbook", "test"
	r.stage.Spec.Deploy = []v1alpha1.Deployment{{Destination: v1alpha1.Destination{Cluster: v1alpha1.InCluster, Namespace: namespace}}}
	var err error
	if r.to, err = cluster.Connect(v1alpha1.InCluster, e.Config, clock.RealClock{}); err != nil {
		t.Fatal(err)
	}
	all, err := batchclient.NewForConfig(e.Config)
	if err != nil {
		t.Fatal(err)
	}
	r.batch = all.Jobs(namespace)
	r.runner = jobs.NewRunner(jobs.Options{
		Clusters: cluster.NewRegistry(r.to),
		Stage:    func(context.Context, string, string) (*v1alpha1.Stage, error) { return r.stage, nil },
		Limits:   func(context.Context, string) (gitops.Limits, error) { return *r.limits, nil },
	})
	r.runner.OnEnd(func(p types.NamespacedName) { r.ended <- p })
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = r.runner.Start(ctx)
	}()
	t.Cleanup(func() { cancel(); <-done })
	return r
}

// job is what the step "migrate" of a promotion with this UID runs.
func (r *rig) job(uid string) jobs.Job {
	r.Helper()
	p := &v1alpha1.Promotion{}
	p.Namespace, p.Name, p.UID, p.Spec.Stage = "guestbook", "test.1.f1", types.UID(uid), "test"
	template, err := promotion.JobTemplate(nil, promotion.JobContainer{Image: "registry.example.com/migrate:1", Command: []string{"migrate"}})
	if err != nil {
		r.Fatal(err)
	}
	j := jobs.Job{Promotion: p, Kind: "step", Name: "migrate", Template: template}
	if j.Ref, err = r.runner.Place(r.Context(), p, "migrate", ""); err != nil {
		r.Fatal(err)
	}
	return j
}

// look wants a state.
func (r *rig) look(j jobs.Job, want jobs.State) jobs.Sight {
	r.Helper()
	s, err := r.runner.Look(r.Context(), j)
	if err != nil || s.State != want {
		r.Fatalf("it is %+v, %v; want state %d", s, err, want)
	}
	return s
}

func (r *rig) get(j jobs.Job) *batchv1.Job {
	r.Helper()
	job, err := r.batch.Get(r.Context(), j.Ref.Name, metav1.GetOptions{})
	if err != nil {
		r.Fatal(err)
	}
	return job
}

// remove deletes a Job as somebody else would.
func (r *rig) remove(j jobs.Job) {
	r.Helper()
	background := metav1.DeletePropagationBackground
	if err := r.batch.Delete(r.Context(), j.Ref.Name, metav1.DeleteOptions{PropagationPolicy: &background}); err != nil {
		r.Fatal(err)
	}
}

// isTold waits until the end of a Job is told.
func (r *rig) isTold() {
	r.Helper()
	select {
	case key := <-r.ended:
		if key.String() != "guestbook/test.1.f1" {
			r.Errorf("%s is told", key)
		}
	case <-time.After(patience):
		r.Fatal("nobody was told that the Job has ended")
	}
}

// TestJob: a Job on a real API server, from its first pass to its last, and all
// that may happen to it in between.
func TestJob(t *testing.T) {
	r := newRig(t)
	t.Run("once", func(t *testing.T) { r.with(t).once() })
	t.Run("deleted before its UID is recorded", func(t *testing.T) { r.with(t).deletedEarly() })
	t.Run("deleted afterwards", func(t *testing.T) { r.with(t).deletedLate() })
	t.Run("created too late", func(t *testing.T) { r.with(t).tooLate() })
	t.Run("failed", func(t *testing.T) { r.with(t).failed() })
	t.Run("stopped", func(t *testing.T) { r.with(t).stopped() })
	t.Run("refused", func(t *testing.T) { r.with(t).refused() })
}

func (r *rig) with(t *testing.T) *rig {
	out := *r
	out.T = t
	return &out
}

func (r *rig) once() {
	j := r.job("once")
	s := r.look(j, jobs.Created)
	if again := r.look(j, jobs.Created); again.UID != s.UID { // killed before that was recorded
		r.Errorf("another Job: %q, %q", s.UID, again.UID)
	}
	made := r.get(j)
	if !*made.Spec.Suspend || *made.Spec.Template.Spec.AutomountServiceAccountToken || *made.Spec.BackoffLimit != 0 {
		r.Errorf("the Job is not suspended, or has rights: %+v", made.Spec)
	}
	security := made.Spec.Template.Spec.Containers[0].SecurityContext
	if security == nil || *security.AllowPrivilegeEscalation || len(security.Capabilities.Drop) != 1 {
		r.Errorf("the container may do too much: %+v", security)
	}
	j.Ref.UID = s.UID
	r.look(j, jobs.Running)
	r.look(j, jobs.Running) // killed before that was recorded
	if *r.get(j).Spec.Suspend {
		r.Error("the Job was not released")
	}
	if err := r.env.EndJob(r.Context(), j.Ref.Namespace, j.Ref.Name, 0, `{"schema": 7}`); err != nil {
		r.Fatal(err)
	}
	r.isTold()
	s = r.look(j, jobs.Succeeded)
	if s.ExitCode == nil || *s.ExitCode != 0 || s.Termination != `{"schema": 7}` {
		r.Errorf("it ended with %+v", s)
	}
}

// Nothing has run, so it may be created anew.
func (r *rig) deletedEarly() {
	j := r.job("early")
	first := r.look(j, jobs.Created)
	r.remove(j)
	second := r.look(j, jobs.Created)
	if first.UID == second.UID {
		r.Error("it was not deleted")
	}
	j.Ref.UID = first.UID
	r.look(j, jobs.Lost) // who recorded the first does not release the second
	if !*r.get(j).Spec.Suspend {
		r.Error("another's Job was released")
	}
}

func (r *rig) deletedLate() {
	j := r.job("late")
	j.Ref.UID = r.look(j, jobs.Created).UID
	r.look(j, jobs.Running)
	r.remove(j)
	r.isTold()
	r.look(j, jobs.Lost)
	if _, err := r.batch.Get(r.Context(), j.Ref.Name, metav1.GetOptions{}); err == nil {
		r.Error("it was created again")
	}
}

// tooLate: a server that was paused between its decision and its request
// creates the Job again after it has run and is gone. It never runs.
func (r *rig) tooLate() {
	j := r.job("paused")
	paused := j
	j.Ref.UID = r.look(j, jobs.Created).UID
	r.look(j, jobs.Running)
	r.remove(j)
	r.isTold()
	r.look(paused, jobs.Created)
	if !*r.get(paused).Spec.Suspend {
		r.Error("a Job that came too late runs")
	}
}

func (r *rig) failed() {
	j := r.job("failed")
	j.Ref.UID = r.look(j, jobs.Created).UID
	r.look(j, jobs.Running)
	if err := r.env.EndJob(r.Context(), j.Ref.Namespace, j.Ref.Name, 3, "no such table"); err != nil {
		r.Fatal(err)
	}
	r.isTold()
	s := r.look(j, jobs.Failed)
	if s.ExitCode == nil || *s.ExitCode != 3 || s.Message != `container "job" ended with exit code 3` || s.Termination != "no such table" {
		r.Errorf("it ended with %+v", s)
	}
}

func (r *rig) stopped() {
	j := r.job("stopped")
	if err := r.runner.Stop(r.Context(), j.Ref); err != nil {
		r.Errorf("stop of what was never created: %v", err)
	}
	j.Ref.UID = r.look(j, jobs.Created).UID
	r.look(j, jobs.Running)
	other := j.Ref
	other.UID = "another"
	if err := r.runner.Stop(r.Context(), other); err != nil {
		r.Errorf("stop of another's: %v", err)
	}
	r.get(j)
	if err := r.runner.Stop(r.Context(), j.Ref); err != nil {
		r.Fatal(err)
	}
	r.look(j, jobs.Lost)
}

func (r *rig) refused() {
	j := r.job("refused")
	j.Template = []byte(`{"spec": {"containers": [{"name": "job"}]}}`)
	if s := r.look(j, jobs.Refused); !strings.Contains(s.Message, "image") {
		r.Errorf("the message does not say what is wrong: %s", s.Message)
	}
	other := r.job("theirs")
	r.look(other, jobs.Created)
	other.Promotion.UID = "ours"
	if s := r.look(other, jobs.Lost); !strings.Contains(s.Message, "another's") {
		r.Errorf("message %q", s.Message)
	}
	r.limits.SystemNamespace = j.Ref.Namespace
	if _, err := r.runner.Look(r.Context(), j); !errors.Is(err, promotion.ErrJobPlace) {
		r.Errorf("a Job in Waybill's own namespace: %v", err)
	}
	r.stage.Spec.Deploy = nil
	if _, err := r.runner.Place(r.Context(), j.Promotion, "migrate", ""); !errors.Is(err, promotion.ErrJobPlace) {
		r.Errorf("a Stage that deploys nothing: %v", err)
	}
}
