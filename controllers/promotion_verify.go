package controllers

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/gitops"
	"github.com/waybill-dev/waybill/gitops/cluster"
	"github.com/waybill-dev/waybill/promotion"
	"github.com/waybill-dev/waybill/promotion/checks/httpcheck"
	"github.com/waybill-dev/waybill/promotion/checks/jobcheck"
	"github.com/waybill-dev/waybill/promotion/checks/promcheck"
	"github.com/waybill-dev/waybill/promotion/jobs"
)

// stopTime bounds the deletion of a Job that is not wanted any more. One that
// cannot be deleted ends at its deadline.
const stopTime = 5 * time.Second

// verify carries the checks of a Promotion that is Verifying as far as they go
// now, in after.Status.Verification. It returns when to look again.
func (r *PromotionReconciler) verify(ctx context.Context, o *promotion.Observation, p, after *v1alpha1.Promotion, reach promotion.Reach) (time.Time, error) {
	v := o.Stage.Spec.Verification
	s := after.Status.Verification
	switch {
	case !promotion.HasChecks(o.Stage):
		if s != nil && !s.Phase.IsFinished() {
			r.stopChecks(ctx, p, s)
			promotion.EndVerification(s, v1alpha1.CheckSucceeded, "the Stage has no checks any more", o.Now)
		}
		return time.Time{}, nil
	case s == nil:
		after.Status.Verification = promotion.BeginVerification(v, promotion.NextRun(p), "", o.Now)
		return time.Time{}, nil
	case s.Phase.IsFinished():
		return time.Time{}, nil
	case s.Digest != promotion.ChecksDigest(v):
		r.stopChecks(ctx, p, s)
		after.Status.Verification = promotion.BeginVerification(v, promotion.NextRun(p), s.RequestedBy, o.Now)
		return time.Time{}, nil
	}
	if req := p.Spec.Verify; req != nil && req.Action == v1alpha1.VerifyAbort && req.Run == s.Run {
		r.stopChecks(ctx, p, s)
		promotion.EndVerification(s, v1alpha1.CheckAborted, "its checks were "+abortText(&v1alpha1.Abort{By: req.By, Reason: req.Reason}), o.Now)
		return time.Time{}, nil
	}
	if !reach.Reached {
		look := promotion.Interrupt(s, reach.Message, promotion.HealthTimeout(o.Stage), o.Now)
		if s.Phase.IsFinished() {
			r.stopChecks(ctx, p, s)
		}
		return look, nil
	}
	s.InterruptedSince = nil
	due, next := promotion.DueChecks(v, s, o.Now)
	for _, i := range due {
		c := checkByName(v, s.Checks[i].Name)
		if c == nil {
			continue
		}
		promotion.StartCheck(c, &s.Checks[i], o.Now)
		if at := s.Checks[i].NextAt; at != nil && o.Now.Before(at.Time) {
			next = sooner(next, at.Time)
			continue
		}
		at, err := r.check(ctx, o, p, c, &s.Checks[i], s.Run, reach.Health)
		if err != nil {
			return time.Time{}, err
		}
		next = sooner(next, at)
		if at := s.Checks[i].NextAt; at != nil {
			next = sooner(next, at.Time)
		}
	}
	promotion.ConcludeVerification(v, s, o.Now)
	if s.Phase.IsFinished() {
		r.stopChecks(ctx, p, s)
	} else if again, _ := promotion.DueChecks(v, s, o.Now); !slices.Equal(due, again) {
		next = sooner(next, o.Now) // the next of ordered checks
	}
	return next, nil
}

func checkByName(v *v1alpha1.Verification, name string) *v1alpha1.Check {
	for i := range v.Checks {
		if v.Checks[i].Name == name {
			return &v.Checks[i]
		}
	}
	return nil
}

// check looks at one check that is due. It returns when to come back for it.
func (r *PromotionReconciler) check(ctx context.Context, o *promotion.Observation, p *v1alpha1.Promotion, c *v1alpha1.Check, s *v1alpha1.CheckStatus, run int32, health v1alpha1.Health) (time.Time, error) {
	if c.Wait != nil {
		promotion.RecordWait(c.Wait, s, health, o.Now)
		return time.Time{}, nil
	}
	ask, err := r.asking(ctx, o, p, c, s, run)
	if err != nil {
		promotion.RecordMeasurement(c, s, promotion.Measurement{Outcome: promotion.OutcomeError, IsFinal: true, Message: err.Error()}, o.Now)
		return time.Time{}, nil //nolint:nilerr // recorded: nothing is tried again
	}
	if ask == nil {
		return o.Now, nil // the intent is written first
	}
	key := lookKey(p, run, s)
	m, at := r.Checks.take(key, client.ObjectKeyFromObject(p), p.Spec.Stage, o.Now, ask)
	if m == nil {
		return at, nil
	}
	if m.Outcome != promotion.OutcomeRunning {
		r.Checks.forget(key)
		if c.Job == nil {
			s.Attempts++
		}
	}
	promotion.RecordMeasurement(c, s, *m, o.Now)
	return at, nil
}

// lookKey names one look at a check: a result is recorded once.
func lookKey(p *v1alpha1.Promotion, run int32, s *v1alpha1.CheckStatus) string {
	return fmt.Sprintf("%s/%d/%s/%d", p.UID, run, s.Name, s.Attempts)
}

// asking returns what looks at the check. For a Job the intent is written first:
// then it returns nil.
func (r *PromotionReconciler) asking(ctx context.Context, o *promotion.Observation, p *v1alpha1.Promotion, c *v1alpha1.Check, s *v1alpha1.CheckStatus, run int32) (func(context.Context) promotion.Measurement, error) {
	scope, err := promotion.CheckScope(o.Stage.Spec.Verification, p)
	if err != nil {
		return nil, err //nolint:wrapcheck // says which argument
	}
	resolved, err := promotion.ResolveCheck(c, scope)
	if err != nil {
		return nil, err //nolint:wrapcheck // says which field
	}
	if c.Job != nil {
		return r.askJob(ctx, o, p, resolved, s, run)
	}
	_, project, err := r.limits(ctx, p.Namespace)
	if err != nil {
		return nil, err
	}
	transport, err := r.CheckTransports(project.Spec.AllowedHosts)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) promotion.Measurement {
		if c.HTTP != nil {
			return httpcheck.Measure(ctx, transport, resolved.HTTP, scope)
		}
		return promcheck.Measure(ctx, transport, resolved.Prometheus, scope)
	}, nil
}

func (r *PromotionReconciler) askJob(ctx context.Context, o *promotion.Observation, p *v1alpha1.Promotion, c *v1alpha1.Check, s *v1alpha1.CheckStatus, run int32) (func(context.Context) promotion.Measurement, error) {
	if s.Job == nil {
		to, err := promotion.CheckDeployment(o.Stage, c.Job.Deploy)
		if err != nil {
			return nil, err //nolint:wrapcheck // a sentence of its own
		}
		name := to.Destination.Cluster
		if name == "" {
			name = v1alpha1.InCluster
		}
		s.Attempts++
		s.Job = &v1alpha1.CheckJobReference{
			Cluster: name, Namespace: to.Destination.Namespace,
			Name: promotion.JobName(p, c.Name, run, s.Attempts),
		}
		s.Message = "the Job is about to be created"
		return nil, nil
	}
	limits, _, err := r.limits(ctx, p.Namespace)
	if err != nil {
		return nil, err
	}
	if err := limits.Namespace(s.Job.Cluster, s.Job.Namespace); err != nil {
		return nil, err //nolint:wrapcheck // a sentence of its own
	}
	ref := *s.Job
	to, err := r.Clusters.Get(ref.Cluster)
	if err != nil {
		return nil, err //nolint:wrapcheck // names the clusters there are
	}
	return func(ctx context.Context) promotion.Measurement { return jobcheck.Look(ctx, to, p, c, ref) }, nil
}

// limits returns how far the Project reaches, and the Project.
func (r *PromotionReconciler) limits(ctx context.Context, name string) (gitops.Limits, *v1alpha1.Project, error) {
	return projectLimits(ctx, r.Client, name, r.SystemNamespace)
}

// projectLimits returns how far a Project reaches. The Project is empty when
// there is none of that name.
func projectLimits(ctx context.Context, c client.Reader, name, systemNamespace string) (gitops.Limits, *v1alpha1.Project, error) {
	var projects v1alpha1.ProjectList
	if err := c.List(ctx, &projects); err != nil {
		return gitops.Limits{}, nil, fmt.Errorf("list Projects: %w", err)
	}
	own := &v1alpha1.Project{}
	l := gitops.Limits{Project: name, SystemNamespace: systemNamespace}
	for i := range projects.Items {
		if p := &projects.Items[i]; p.Name == name {
			l.Destinations, l.Kinds, own = p.Spec.Destinations, p.Spec.Kinds, p
		} else {
			l.OtherProjects = append(l.OtherProjects, p.Name)
		}
	}
	return l, own, nil
}

// ProjectLimits returns what the Project of that name may touch.
func ProjectLimits(ctx context.Context, c client.Reader, name, systemNamespace string) (gitops.Limits, error) {
	l, _, err := projectLimits(ctx, c, name, systemNamespace)
	return l, err
}

// stopChecks ends what runs for the checks of p, as v records it. The Jobs of
// checks that run, or were aborted, are deleted; what cannot be reached now ends
// at its deadline.
func (r *PromotionReconciler) stopChecks(ctx context.Context, p *v1alpha1.Promotion, v *v1alpha1.VerificationStatus) {
	if v == nil {
		return
	}
	for i := range v.Checks {
		s := &v.Checks[i]
		r.Checks.forget(lookKey(p, v.Run, s))
		if s.Job == nil || s.Phase != v1alpha1.CheckRunning && s.Phase != v1alpha1.CheckAborted {
			continue
		}
		to, err := r.Clusters.Get(s.Job.Cluster)
		if err == nil {
			err = stopJob(ctx, to, *s.Job)
		}
		if err != nil {
			logf.FromContext(ctx).Info("a Job that is not wanted any more could not be deleted", "promotion", p.Name, "error", err.Error())
		}
	}
}

// stopRunning ends the checks of a Promotion that ends while they run, and what
// its steps left running.
func (r *PromotionReconciler) stopRunning(ctx context.Context, p *v1alpha1.Promotion) {
	if err := r.Engine.Stop(ctx, p); err != nil {
		logf.FromContext(ctx).Info("what a step left running could not be stopped", "promotion", p.Name, "error", err.Error())
	}
	if v := p.Status.Verification; v != nil && !v.Phase.IsFinished() {
		r.stopChecks(ctx, p, v)
	}
}

func stopJob(ctx context.Context, to *cluster.Cluster, ref v1alpha1.CheckJobReference) error {
	ctx, cancel := context.WithTimeout(ctx, stopTime)
	defer cancel()
	return jobs.Stop(ctx, to, ref) //nolint:wrapcheck // names the Job
}

// verifyAgain opens a Promotion for another run of the checks.
func (r *PromotionReconciler) verifyAgain(ctx context.Context, o *promotion.Observation, p *v1alpha1.Promotion) (ctrl.Result, error) {
	r.stopChecks(ctx, p, p.Status.Verification)
	after := p.DeepCopy()
	req := p.Spec.Verify
	after.Status.Verification = promotion.BeginVerification(o.Stage.Spec.Verification, req.Run, req.By, o.Now)
	after.Status.FinishedAt = nil
	r.phase(after, v1alpha1.PhaseVerifying, promotion.ReasonVerifying, "its checks run again, asked for by "+strings.TrimPrefix(req.By, "waybill:"))
	return ctrl.Result{}, patchStatus(ctx, r.Client, p, after)
}

// beginVerifying moves a Promotion that is Healthy to its checks.
func (r *PromotionReconciler) beginVerifying(ctx context.Context, o *promotion.Observation, p, after *v1alpha1.Promotion, v promotion.HealthVerdict) (ctrl.Result, error) {
	requestedBy := ""
	run := promotion.NextRun(p)
	if promotion.RerunDue(o, p) {
		run, requestedBy = p.Spec.Verify.Run, p.Spec.Verify.By
	}
	after.Status.Verification = promotion.BeginVerification(o.Stage.Spec.Verification, run, requestedBy, o.Now)
	r.phase(after, v.Phase, v.Reason, v.Message)
	return ctrl.Result{}, patchStatus(ctx, r.Client, p, after)
}

// hasProgressed reports whether the checks of two statuses differ in more than
// words.
func hasProgressed(before, after *v1alpha1.VerificationStatus) bool {
	bare := func(v *v1alpha1.VerificationStatus) *v1alpha1.VerificationStatus {
		v = v.DeepCopy()
		if v != nil {
			for i := range v.Checks {
				if !v.Checks[i].Phase.IsFinished() {
					v.Checks[i].Message = ""
				}
			}
		}
		return v
	}
	return !apiequality.Semantic.DeepEqual(bare(before), bare(after))
}
