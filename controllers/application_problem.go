package controllers

import (
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/gitops"
	"github.com/waybill-dev/waybill/gitops/render"
	"github.com/waybill-dev/waybill/gitops/watch"
)

// problem is what a condition says: a stable reason, one sentence, and whether
// only a change of spec, Git or credentials can help.
type problem struct {
	reason, message string
	// retry is when to look again; zero: when something changes.
	retry time.Time
	// unknown: what runs cannot be seen.
	unknown bool
	// calm: not an error, only nothing to do yet.
	calm bool
}

// Reasons of the Ready condition of an Application.
const (
	reasonSynced             = "Synced"
	reasonNothingPromoted    = "NothingPromoted"
	reasonSuspended          = "Suspended"
	reasonClusterUnknown     = "ClusterUnknown"
	reasonClusterUnreachable = "ClusterUnreachable"
	reasonForbidden          = gitops.ReasonForbidden
	reasonBranchMissing      = "BranchMissing"
	reasonPathMissing        = "PathMissing"
	reasonRenderFailed       = "RenderFailed"
	reasonDecryptionFailed   = "DecryptionFailed"
	reasonImpersonationOff   = "ImpersonationOff"
	reasonNothingRendered    = "NothingRendered"
	reasonTooManyObjects     = "TooManyObjects"
	reasonPruneGuard         = "PruneGuard"
	reasonApplyFailed        = "ApplyFailed"
	reasonOutOfSync          = "OutOfSync"
	reasonDrifting           = "Drifting"
	reasonContested          = "Contested"
	reasonHealingPaused      = "HealingPaused"
	reasonHealingHeld        = "HealingHeld"
	reasonDeleting           = "Deleting"
	reasonInvalidSpec        = "InvalidSpec"
	reasonDependency         = "DependencyNotReady"
	reasonWaiting            = "WaitingForWave"
	reasonWaveFailed         = "WaveFailed"
	reasonHooksRunning       = "HooksRunning"
	reasonHookFailed         = "HookFailed"
	reasonTerminating        = "Terminating"
	reasonChartInvalid       = "ChartInvalid"
	reasonChartChanged       = "ChartChanged"
)

func branchMissing(app *v1alpha1.Application, err error) *problem {
	if app.Status.Sync.Revision == "" && app.Labels[v1alpha1.LabelStage] != "" {
		return &problem{
			reason: reasonNothingPromoted, calm: true,
			message: fmt.Sprintf("nothing was promoted yet: branch %q of %s does not exist", app.Spec.Source.TargetRevision, app.Spec.Source.RepoURL),
		}
	}
	return &problem{reason: reasonBranchMissing, message: err.Error() + "; create it or correct spec.source.targetRevision. What runs stays as it is"}
}

// gitProblem gives the kinds of Git failures their reasons.
func gitProblem(err error) *problem {
	reason := "GitUnreachable"
	for kind, name := range map[error]string{
		git.ErrAuthentication: "CredentialsInvalid", git.ErrNotFound: "RepositoryNotFound", git.ErrInvalidRemote: "RepositoryInvalid",
		git.ErrInvalidBranch: reasonBranchMissing, git.ErrRedirected: "RepositoryRedirected", git.ErrNotGit: "NotAGitServer",
		git.ErrTooLarge: "RepositoryTooLarge", git.ErrHostKey: "HostKeyNotTrusted",
	} {
		if errors.Is(err, kind) {
			reason = name
		}
	}
	return &problem{reason: reason, message: err.Error()}
}

// renderProblem says which file of which revision is at fault and that nothing
// was touched.
func renderProblem(o *observation, err error) *problem {
	p := &problem{
		reason:  reasonRenderFailed,
		message: fmt.Sprintf("render %q at %.7s: %v; correct it in Git. What runs stays as it is", o.app.Spec.Source.Path, o.revision, err),
	}
	if chart := o.app.Spec.Source.Chart; chart != "" {
		p.message = fmt.Sprintf("render chart %q %s: %v. What runs stays as it is", chart, o.revision, err)
	}
	switch {
	case errors.Is(err, render.ErrPathNotFound):
		p.reason = reasonPathMissing
	case errors.Is(err, render.ErrNothingRendered):
		p.reason = reasonNothingRendered
	case errors.Is(err, render.ErrDecryption):
		p.reason = reasonDecryptionFailed
		p.message = fmt.Sprintf("render %q at %.7s: %v. What runs stays as it is", o.app.Spec.Source.Path, o.revision, err)
	case errors.Is(err, render.ErrTimeout):
		p.retry = o.now.Add(maxApplyPause)
	}
	return p
}

// outage tells a cluster that does not answer from one that refuses a kind.
func outage(cluster string, out *watch.Outage) *problem {
	since := out.Since.UTC().Format(time.RFC3339)
	var answer apierrors.APIStatus
	if errors.As(out.Cause, &answer) {
		return &problem{reason: reasonClusterUnreachable, unknown: true,
			message: fmt.Sprintf("cluster %q does not let kind %q be watched since %s: %v", cluster, out.Kind, since, out.Cause)}
	}
	return &problem{reason: reasonClusterUnreachable, unknown: true,
		message: fmt.Sprintf("cluster %q does not answer since %s: %v", cluster, since, out.Cause)}
}

func firstError(errs []*gitops.ObjectError) string {
	if len(errs) == 1 {
		return errs[0].Error()
	}
	return fmt.Sprintf("%s (and %d more objects)", errs[0].Error(), len(errs)-1)
}
