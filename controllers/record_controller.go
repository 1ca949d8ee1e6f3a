package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/promotion"
	"github.com/waybill-dev/waybill/promotion/steps/step"
	"github.com/waybill-dev/waybill/warehouse"
)

const (
	// recordDepth is how many commits back a branch is searched for the last
	// promotion.
	recordDepth = 500
	// recordRecheck is how often a branch is tried again that could not be read.
	recordRecheck = 15 * time.Second
	// recordPatience is how long after its creation a Stage whose branch cannot
	// be reached keeps Freight from being numbered, and promotions from starting:
	// after a restore everything arrives at once, in any order.
	recordPatience = 20 * time.Second
)

// RecordOptions are what a RecordReconciler needs.
type RecordOptions struct {
	// Client reads from the cache and writes.
	Client client.Client
	// Repositories opens Git repositories.
	Repositories step.Repositories
	// Clock tells the time; never nil.
	Clock clock.PassiveClock
}

// RecordReconciler reads, once for every Stage, what its branch says about
// promotions before: after a restore with an empty etcd the Stage shows the
// Freight it runs, the Freight is made again under its number, and nothing is
// promoted anew (10-contracts, Reached).
type RecordReconciler struct {
	RecordOptions
	turns turns
}

// NewRecordReconciler returns a reconciler for the records of Stages.
func NewRecordReconciler(o RecordOptions) *RecordReconciler {
	return &RecordReconciler{RecordOptions: o}
}

// SetupWithManager registers the controller.
func (r *RecordReconciler) SetupWithManager(mgr ctrl.Manager) error {
	err := ctrl.NewControllerManagedBy(mgr).
		Named("record").
		For(&v1alpha1.Stage{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WithOptions(controller.Options{MaxConcurrentReconciles: networkWorkers}).
		Complete(r)
	if err != nil {
		return fmt.Errorf("set up the controller of records: %w", err)
	}
	return nil
}

// Reconcile reads the branch of one Stage, if nobody has yet.
func (r *RecordReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	var s v1alpha1.Stage
	if err := r.Client.Get(ctx, req.NamespacedName, &s); err != nil {
		return settle(ctrl.Result{}, err)
	}
	if s.DeletionTimestamp != nil || s.Status.Record != nil && s.Status.Record.ReadAt != nil {
		return ctrl.Result{}, nil
	}
	now := r.Clock.Now()
	if rec := s.Status.Record; rec != nil && rec.RetryAt != nil && now.Before(rec.RetryAt.Time) && s.Status.ObservedGeneration == s.Generation {
		return lookAgain(now, rec.RetryAt.Time), nil
	}
	end, later := r.turns.take(s.Namespace, projectShare)
	if end == nil {
		return later, nil
	}
	defer end()
	after := s.DeepCopy()
	record, err := r.read(ctx, &s)
	switch {
	case ctx.Err() != nil:
		return ctrl.Result{}, ctx.Err()
	case err != nil:
		retry := metav1.NewTime(now.Add(recordRecheck))
		after.Status.Record = &v1alpha1.StageRecord{RetryAt: &retry, Message: truncate(err.Error(), 1024), IsUnreachable: errors.Is(err, git.ErrUnreachable)}
		return settle(lookAgain(now, retry.Time), patchStatus(ctx, r.Client, &s, after))
	}
	if err := r.restore(ctx, &s, record); err != nil {
		return settle(ctrl.Result{}, err)
	}
	at := metav1.NewTime(now)
	record.ReadAt = &at
	after.Status.Record = record
	return settle(ctrl.Result{}, patchStatus(ctx, r.Client, &s, after))
}

// read returns what the Stage's branches say; an empty record when they say
// nothing, or when the Stage knows more already. Of several branches the one with
// the newest promotion says what runs.
func (r *RecordReconciler) read(ctx context.Context, s *v1alpha1.Stage) (*v1alpha1.StageRecord, error) {
	writes := promotion.Writes(s)
	if len(writes) == 0 || len(s.Status.Current) > 0 || s.Status.LastSeq > 0 {
		return &v1alpha1.StageRecord{}, nil
	}
	home := promotion.Home(writes)
	var newest *promotion.Record
	var at git.Commit
	var written []v1alpha1.BranchCommit
	for _, w := range writes {
		if slices.ContainsFunc(written, func(b v1alpha1.BranchCommit) bool { return b.Branch == w.Branch && b.RepoURL == w.RepoURL }) {
			continue
		}
		found, c, err := r.last(ctx, s, w)
		switch {
		case err != nil:
			return nil, err
		case found == nil:
			continue
		}
		isHome := w.RepoURL == home.RepoURL && w.Branch == home.Branch
		if newest == nil || found.Seq > newest.Seq || found.Seq == newest.Seq && isHome {
			newest, at = found, c
		}
		written = append(written, v1alpha1.BranchCommit{RepoURL: w.RepoURL, Branch: w.Branch, Commit: c.Hash.String()})
	}
	if newest == nil {
		return &v1alpha1.StageRecord{}, nil
	}
	return r.complete(newest, at, promotion.Branches(written)), nil
}

// last returns what the newest promotion of the Stage on a branch says, and its
// commit; nil when there is none.
func (r *RecordReconciler) last(ctx context.Context, s *v1alpha1.Stage, w promotion.Write) (*promotion.Record, git.Commit, error) {
	mirror, err := r.Repositories.Open(ctx, s.Namespace, w.RepoURL)
	if err != nil {
		return nil, git.Commit{}, err //nolint:wrapcheck // names the repository already
	}
	refs, err := mirror.Fetch(ctx, w.Branch)
	if err != nil {
		return nil, git.Commit{}, err //nolint:wrapcheck // names the repository already
	}
	head, exists := refs.Branches[w.Branch]
	if !exists {
		return nil, git.Commit{}, nil
	}
	for c, err := range mirror.FirstParents(head, git.Hash{}, recordDepth) {
		if errors.Is(err, git.ErrTooLarge) {
			return nil, git.Commit{}, nil
		}
		if err != nil {
			return nil, git.Commit{}, fmt.Errorf("read the record of branch %q: %w", w.Branch, err)
		}
		if c.Author != c.Committer {
			continue // somebody picked or amended it
		}
		var trailers []promotion.Trailer
		for _, t := range c.Trailers {
			trailers = append(trailers, promotion.Trailer(t))
		}
		if found := promotion.ReadRecord(s.Namespace, s.Name, trailers); found != nil {
			return found, c, nil
		}
	}
	return nil, git.Commit{}, nil
}

// complete attributes the artifacts of a commit to its Freight: a Freight's name is
// the digest of its content, so only what was really in it fits.
func (r *RecordReconciler) complete(found *promotion.Record, c git.Commit, written []v1alpha1.BranchCommit) *v1alpha1.StageRecord {
	record := &v1alpha1.StageRecord{Commit: c.Hash.String(), Seq: found.Seq}
	left := found.Artifacts
	for _, f := range found.Freight {
		var held v1alpha1.Artifacts
		for n, a := range left {
			held.Images, held.Commits, held.Charts = append(held.Images, a.Images...), append(held.Commits, a.Commits...), append(held.Charts, a.Charts...)
			name, err := warehouse.FreightName(v1alpha1.Origin{Kind: warehouse.OriginKind, Name: f.Origin}, held)
			if err != nil || name != f.Freight {
				continue
			}
			f.Commit, f.Images, f.Commits, f.Charts = c.Hash.String(), held.Images, held.Commits, held.Charts
			f.Written = written
			record.Freight = append(record.Freight, f)
			left = left[n+1:]
			break
		}
	}
	return record
}

// restore makes the Freight of a record again that is gone.
func (r *RecordReconciler) restore(ctx context.Context, s *v1alpha1.Stage, record *v1alpha1.StageRecord) error {
	if len(record.Freight) == 0 {
		return nil
	}
	var existing v1alpha1.FreightList
	if err := r.Client.List(ctx, &existing, client.InNamespace(s.Namespace)); err != nil {
		return fmt.Errorf("list Freight of %q: %w", s.Namespace, err)
	}
	for i := range record.Freight {
		f := warehouse.RestoreFreight(s.Namespace, record.Freight[i], existing.Items)
		if f == nil {
			continue
		}
		if err := r.Client.Create(ctx, f); err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("make Freight %q again: %w", f.Name, err)
		}
	}
	return nil
}

// awaitsRecord returns until when the Stage's branch may still tell what it
// runs; zero when it has, or when nobody waits for it any longer.
func awaitsRecord(s *v1alpha1.Stage, now time.Time) time.Time {
	if len(promotion.Writes(s)) == 0 || s.Status.Record != nil && (s.Status.Record.ReadAt != nil || !s.Status.Record.IsUnreachable) {
		return time.Time{}
	}
	if until := s.CreationTimestamp.Add(recordPatience); now.Before(until) {
		return until
	}
	return time.Time{}
}
