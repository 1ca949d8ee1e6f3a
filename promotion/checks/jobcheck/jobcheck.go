// Package jobcheck runs the job check of a verification: a Job in the cluster
// and namespace of the Stage, found again by its name after a crash.
package jobcheck

import (
	"context"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/gitops/cluster"
	"github.com/waybill-dev/waybill/promotion"
	"github.com/waybill-dev/waybill/promotion/jobs"
)

// Look takes the Job of an attempt one step further (jobs.Look), and says what
// that means for the check. c's expressions are evaluated.
func Look(ctx context.Context, to *cluster.Cluster, p *v1alpha1.Promotion, c *v1alpha1.Check, ref v1alpha1.CheckJobReference) promotion.Measurement {
	job := jobs.Job{Ref: ref, Promotion: p, Kind: "check", Name: c.Name, Template: c.Job.Template.Raw}
	if c.Job.Deadline != nil {
		job.Deadline = c.Job.Deadline.Duration
	}
	s := jobs.Look(ctx, to, job)
	m := promotion.Measurement{JobUID: s.UID, Message: s.Message, Log: s.Log}
	switch s.State {
	case jobs.Created:
		m.IsRecordedFirst = true
	case jobs.Running:
	case jobs.Succeeded:
		m.Outcome, m.Value = promotion.OutcomeSuccess, "exit code 0"
	case jobs.Failed:
		m.Outcome, m.Value = promotion.OutcomeFailure, s.Reason
		if s.ExitCode != nil && s.Reason != batchv1.JobReasonDeadlineExceeded {
			m.Value = fmt.Sprintf("exit code %d", *s.ExitCode)
		}
	case jobs.Lost, jobs.Refused:
		m.Outcome, m.IsFinal = promotion.OutcomeError, true
	default:
		m.Outcome = promotion.OutcomeError
	}
	return m
}
