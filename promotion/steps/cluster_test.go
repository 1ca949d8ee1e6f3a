package steps_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	batchclient "k8s.io/client-go/kubernetes/typed/batch/v1"
	"k8s.io/utils/clock"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/gitops"
	"github.com/waybill-dev/waybill/gitops/cluster"
	"github.com/waybill-dev/waybill/promotion"
	"github.com/waybill-dev/waybill/promotion/engine"
	"github.com/waybill-dev/waybill/promotion/jobs"
	"github.com/waybill-dev/waybill/promotion/steps/runjob"
	"github.com/waybill-dev/waybill/test/env"
)

// jobNamespace is where the Jobs of examples run.
const jobNamespace = "guestbook-test"

// realCluster is one API server for all tests of this package that need one.
var realCluster struct {
	once sync.Once
	env  *env.Env
	err  error
}

func stopCluster() {
	if realCluster.env != nil {
		_ = realCluster.env.Stop() // the tests are over
	}
}

// exampleJobs are the Jobs of one test, in a real API server. Nothing runs them:
// the test ends them.
type exampleJobs struct {
	env   *env.Env
	batch batchclient.JobInterface
	*jobs.Runner
}

// needsCluster gives the engine a cluster, if a step needs one.
func (b *bench) needsCluster(step string) {
	b.t.Helper()
	isArgoCD := strings.HasPrefix(step, "argocd-")
	if step != "run-job" && !isArgoCD {
		return
	}
	if testing.Short() {
		b.t.Skip("needs a control plane")
	}
	realCluster.once.Do(func() {
		e, err := env.New(env.Options{Log: b.t.Output()})
		if err == nil {
			_, err = e.ApplyContext(context.Background(), "{apiVersion: v1, kind: Namespace, metadata: {name: "+jobNamespace+"}}")
		}
		realCluster.env, realCluster.err = e, err
	})
	if realCluster.err != nil {
		b.t.Fatal(realCluster.err)
	}
	if isArgoCD {
		b.needsArgoCD()
		return
	}
	to, err := cluster.Connect(v1alpha1.InCluster, realCluster.env.Config, clock.RealClock{})
	all, err2 := batchclient.NewForConfig(realCluster.env.Config)
	if err := errors.Join(err, err2); err != nil {
		b.t.Fatal(err)
	}
	b.jobs = &exampleJobs{env: realCluster.env, batch: all.Jobs(jobNamespace), Runner: jobs.NewRunner(jobs.Options{
		Clusters: cluster.NewRegistry(to),
		Stage:    func(context.Context, string, string) (*v1alpha1.Stage, error) { return stageWith(nil), nil },
		Limits:   func(context.Context, string) (gitops.Limits, error) { return gitops.Limits{Project: "guestbook"}, nil },
	})}
	b.engine.Steps["run-job"] = runjob.Step{Jobs: b.jobs}
}

// of returns the Jobs of a promotion, and how many of them were released.
func (j *exampleJobs) of(t *testing.T, p *v1alpha1.Promotion) (all []batchv1.Job, released int) {
	t.Helper()
	if j == nil {
		return nil, 0
	}
	list, err := j.batch.List(t.Context(), metav1.ListOptions{LabelSelector: "waybill.dev/promotion-uid=" + string(p.UID)})
	if err != nil {
		t.Fatal(err)
	}
	for i := range list.Items {
		if !*list.Items[i].Spec.Suspend {
			released++
		}
	}
	return list.Items, released
}

// others do what a promotion waits for: a person merges its pull request, two
// approve it, its Jobs end. Then it is time to look again.
func (b *bench) others(p *v1alpha1.Promotion) {
	b.t.Helper()
	if n := len(b.provider.Pulls()); n > 0 && !b.provider.Pulls()[n-1].IsMerged {
		b.provider.Merge(n)
	}
	if asked := promotion.AskedByStep(p); asked != nil {
		for _, who := range []string{"bob", "carol"} {
			b.approves(p, who, asked.Step, v1alpha1.DecisionApprove)
		}
	}
	if b.argo != nil {
		b.argo.look()
	}
	all, _ := b.jobs.of(b.t, p)
	for i := range all {
		isOver := slices.ContainsFunc(all[i].Status.Conditions, func(c batchv1.JobCondition) bool { return c.Type == batchv1.JobComplete })
		if *all[i].Spec.Suspend || isOver {
			continue
		}
		if err := b.jobs.env.EndJob(b.t.Context(), jobNamespace, all[i].Name, 0, `{"schema": "7"}`); err != nil {
			b.t.Fatal(err)
		}
	}
	lookNow(p)
}

// lookNow lets the step that waits look again at once.
func lookNow(p *v1alpha1.Promotion) {
	if next := promotion.Advance(p.Status.Steps, time.Now()); !next.Done {
		p.Status.Steps[next.Index].RetryAt = nil
	}
}

// maxRounds is how often an example may wait.
const maxRounds = 12

// runToEnd runs a promotion, doing what it waits for, until it waits no more.
func (b *bench) runToEnd(p *v1alpha1.Promotion) engine.Outcome {
	b.t.Helper()
	out := engine.Outcome{Waiting: "its turn"}
	for n := 0; out.Waiting != ""; n++ {
		if n == maxRounds {
			b.t.Fatalf("it still waits: %+v", out)
		}
		if n > 0 {
			b.others(p)
		}
		out = b.engine.Run(b.t.Context(), p, func(context.Context) error { return nil })
	}
	return out
}

// TestRunJobFails: what a failed Job leaves is there for the steps after it, and
// for people.
func TestRunJobFails(t *testing.T) {
	b := newBench(t, exampleRepo(t))
	b.needsCluster("run-job")
	p := promote(t, stageWith(readSteps(t, []byte(`
- {uses: run-job, as: migrate, config: {image: registry.example.com/migrate, env: [{name: TOKEN, value: "${{ ctx.promotion }}"}]}}
- {uses: compose-output, as: why, if: "${{ failure() }}", config: {code: "${{ outputs.migrate.exitCode }}", text: "${{ outputs.migrate.message }}"}}
`))))
	p.UID = "fails"
	var out engine.Outcome
	for n := 0; n < maxRounds && p.Status.Steps[0].State != v1alpha1.StepFailed; n++ {
		all, released := b.jobs.of(t, p)
		if released == 1 {
			if err := b.jobs.env.EndJob(t.Context(), jobNamespace, all[0].Name, 3, "no such table"); err != nil {
				t.Fatal(err)
			}
		}
		p.Status.Steps[0].RetryAt = nil
		out = b.engine.Run(t.Context(), p, func(context.Context) error { return nil })
	}
	if out.Failed == nil || out.Failed.Reason != "JobFailed" || !strings.Contains(out.Failed.Error(), "exit code 3") {
		t.Fatalf("it ended with %+v", out)
	}
	if got := canonical(p.Status.Steps[1].Output); got != `{"code":3,"text":"no such table"}` {
		t.Errorf("the step after it saw %s", got)
	}
}

// TestRunJobStops: a promotion that is aborted leaves no Job, and neither does a
// step whose time is over.
func TestRunJobStops(t *testing.T) {
	for _, how := range []string{"aborted", "out of time"} {
		t.Run(how, func(t *testing.T) {
			b := newBench(t, exampleRepo(t))
			b.needsCluster("run-job")
			p := promote(t, stageWith(readSteps(t, []byte(`
- {uses: run-job, config: {image: registry.example.com/migrate}, retry: {timeout: 1h}}
`))))
			p.UID = "stops"
			for range 3 {
				p.Status.Steps[0].RetryAt = nil
				b.engine.Run(t.Context(), p, func(context.Context) error { return nil })
			}
			if _, released := b.jobs.of(t, p); released != 1 {
				t.Fatalf("%d Jobs run: %s", released, states(p))
			}
			if how == "aborted" {
				if err := b.engine.Stop(t.Context(), p); err != nil {
					t.Fatal(err)
				}
			} else {
				p.Status.Steps[0].StartedAt = &metav1.MicroTime{Time: time.Now().Add(-2 * time.Hour)}
				p.Status.Steps[0].RetryAt = nil
				if out := b.engine.Run(t.Context(), p, func(context.Context) error { return nil }); out.Failed == nil || out.Failed.Reason != "StepTimeout" {
					t.Errorf("it ended with %+v", out)
				}
			}
			if all, _ := b.jobs.of(t, p); len(all) != 0 {
				t.Errorf("%d Jobs are left", len(all))
			}
		})
	}
}
