package planner

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/gitops"
	"github.com/waybill-dev/waybill/promotion"
)

// RehearseRollback works out what taking p back would do: p is what the observed
// Stage runs. Nothing is fetched. What cannot be worked out is said in the
// answer; errors are those of the context.
func (l *Planner) RehearseRollback(ctx context.Context, o *promotion.Observation, p *v1alpha1.Promotion) (*v1alpha1.RollbackRehearsal, error) {
	out := &v1alpha1.RollbackRehearsal{Promotion: p.Name}
	target, err := promotion.FindRollbackTarget(o, p, "")
	if errors.Is(err, promotion.ErrNothingToRestore) {
		out.Summary = promotion.Shorten(err.Error(), maxBroken)
		return out, nil
	}
	if err != nil {
		return nil, err //nolint:wrapcheck // names the Stage already
	}
	out.IsPossible = true
	if len(target.Collection) > 0 {
		out.Freight = target.Collection[0].Freight
	}
	sentences, err := l.compareCommits(ctx, o, target, out)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		out.Summary = promotion.Shorten("it is not known what changes: "+err.Error(), maxBroken)
		return out, nil //nolint:nilerr // it is in the answer
	}
	promotion.SayRehearsal(out, target.Collection, sentences)
	return out, nil
}

// compareCommits counts how the Stage's Applications differ between what runs
// and what is restored, and returns what is risky about it.
func (l *Planner) compareCommits(ctx context.Context, o *promotion.Observation, target promotion.RollbackTarget, out *v1alpha1.RollbackRehearsal) ([]string, error) {
	var sentences []string
	for i := range o.Stage.Spec.Deploy {
		d := &o.Stage.Spec.Deploy[i]
		app := Application{Name: promotion.ApplicationName(o.Stage, d), Source: promotion.ApplicationSource(o.Stage, d), Project: o.Stage.Namespace, Decryption: d.Decryption, Files: map[string]bool{}}
		k := slices.IndexFunc(target.Reverts, func(r promotion.Revert) bool {
			return app.Source.TargetRevision == r.Undo.Branch && promotion.IsSameRepository(app.Source.RepoURL, r.Undo.RepoURL)
		})
		if k < 0 {
			continue
		}
		if err := l.renderBoth(ctx, o.Stage.Namespace, &app, target.Reverts[k], d.Destination.Namespace); err != nil {
			return nil, err
		}
		for _, c := range gitops.Compare(app.Before, app.After) {
			switch c.Kind {
			case gitops.ObjectDeleted:
				out.Deleted++
			case gitops.ObjectCreated:
				out.Created++
			default:
				out.Changed++
			}
			for _, r := range c.Risks {
				if !slices.Contains(out.Risks, string(r.Flag)) {
					out.Risks = append(out.Risks, string(r.Flag))
				}
				sentences = append(sentences, r.Sentence)
			}
		}
	}
	return sentences, nil
}

// renderBoth renders what an Application is told now and after a revert.
func (l *Planner) renderBoth(ctx context.Context, project string, app *Application, r promotion.Revert, namespace string) error {
	mirror, err := l.Repositories.Open(ctx, project, r.Undo.RepoURL)
	if err != nil {
		return err //nolint:wrapcheck // names the repository already
	}
	now, nowErr := git.ParseHash(r.Undo.Commit)
	then, thenErr := git.ParseHash(r.To)
	if err := errors.Join(nowErr, thenErr); err != nil {
		return err
	}
	if !mirror.Has(now) || !mirror.Has(then) {
		return fmt.Errorf("commit %s or %s is not here", now.Short(), then.Short())
	}
	if app.Before, app.WasBroken, _, err = l.renderTree(ctx, mirror, now, app, namespace); err != nil {
		return err
	}
	if app.After, app.Broken, _, err = l.renderTree(ctx, mirror, then, app, namespace); err != nil {
		return err
	}
	if app.Broken != "" {
		return errors.New(app.Broken)
	}
	return nil
}
