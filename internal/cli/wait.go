package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/api/client"
	"github.com/waybill-dev/waybill/api/rest/model"
)

func (a *App) watchCommand() *cobra.Command {
	var out *output
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "watch [PROJECT/]PROMOTION|STAGE",
		Short: "Follow a promotion to its end",
		Long: `Follow a promotion, named itself or as what is on its way into a Stage, until it Succeeded and
the Stage is Healthy. Exit codes are those of promote --wait.`,
		Example: `  waybill watch guestbook/prod
  waybill watch guestbook/prod.3.f01234567 --timeout 20m`,
		Args:              exactArgs("[PROJECT/]PROMOTION|STAGE"),
		ValidArgsFunction: a.completeStage(0),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, p, err := a.promotionOf(cmd, args[0])
			if err != nil {
				return err
			}
			return a.promoted(cmd, c, p, &waitFlags{wait: true, timeout: timeout}, out)
		},
	}
	out = outputFlag(cmd, "table", "json", "yaml", "name")
	cmd.Flags().DurationVar(&timeout, "timeout", 10*time.Minute, "how long to follow")
	return cmd
}

// promotionOf returns the Promotion that arg names, as findPromotion does, with a
// client for what is to be done with it.
func (a *App) promotionOf(cmd *cobra.Command, arg string) (*client.Client, *model.Promotion, error) {
	c, x, err := a.client()
	if err != nil {
		return nil, nil, err
	}
	it, err := a.target(cmd, x, arg, "promotion")
	if err != nil {
		return nil, nil, err
	}
	p, err := a.findPromotion(cmd.Context(), c, it)
	return c, p, err
}

// findPromotion returns the Promotion of that name or, when the name is a
// Stage's, the one that is on its way into it, else its latest.
func (a *App) findPromotion(ctx context.Context, c *client.Client, it target) (*model.Promotion, error) {
	p, err := c.Promotion(ctx, it.project, it.name)
	if err == nil || client.Code(err) != model.NotFound {
		return p, err
	}
	stage, stageErr := c.Stage(ctx, it.project, it.name)
	if client.Code(stageErr) == model.NotFound {
		return nil, notFound(fmt.Sprintf("%q is neither a promotion nor a Stage of %s", it.name, it.project),
			"waybill history -p "+it.project)
	}
	if stageErr != nil {
		return nil, stageErr
	}
	if s := stage.Stage; s.ActivePromotion.Name != "" {
		return &s.ActivePromotion, nil
	} else if len(s.PendingPromotions) > 0 {
		return &s.PendingPromotions[0], nil
	}
	if len(stage.Promotions) == 0 {
		return nil, notFound(fmt.Sprintf("nothing was promoted into %s yet", it), "waybill promote latest "+it.String())
	}
	return &stage.Promotions[0], nil
}

// progress is how far the lines on standard error have got.
type progress struct {
	steps  map[string]model.StepState
	checks map[string]model.CheckPhase
	said   string // last line about the whole
}

// waitFor follows a Promotion until it Succeeded and its Stage is Healthy. It
// returns the Promotion as last seen, with an error that says how it ended
// otherwise: failed, blocked by a gate, time up, interrupted.
func (a *App) waitFor(ctx context.Context, c *client.Client, p *model.Promotion, timeout time.Duration) (*model.Promotion, error) {
	deployed, err := a.isDeployed(ctx, c, p)
	if err != nil {
		return p, err
	}
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	deadline := a.Now().Add(timeout)
	seen := progress{steps: map[string]model.StepState{}}
	last := p
	var ended error
	err = c.WatchPromotion(limited, p.Project, p.Name, a.reconnecting, func(now *model.Promotion) error {
		last = now
		a.sayProgress(&seen, now)
		var isEnd bool
		if isEnd, ended = verdict(now, deployed, deadline); isEnd {
			return client.ErrStop
		}
		return nil
	})
	switch {
	case ctx.Err() != nil:
		a.say("Interrupted. The promotion goes on: waybill watch %s/%s", p.Project, p.Name)
		return last, &failure{code: client.ExitInterrupted}
	case errors.Is(err, context.DeadlineExceeded) || limited.Err() != nil && err != nil:
		return last, timedOut(last, timeout)
	case err != nil:
		return last, err
	}
	if ended == nil {
		a.say("  %s %s, %s", a.sign(true), firstOf(string(last.StageHealth), "done"), firstOf(tookPromotion(last), "done"))
	}
	return last, ended
}

// tookPromotion is how long a Promotion took from leaving Pending.
func tookPromotion(p *model.Promotion) string {
	if p.StartedAt.IsZero() {
		return took(p.CreatedAt, p.FinishedAt)
	}
	return took(p.StartedAt, p.FinishedAt)
}

// isDeployed reports whether the Promotion's Stage runs something whose health
// can be waited for.
func (a *App) isDeployed(ctx context.Context, c *client.Client, p *model.Promotion) (bool, error) {
	stage, err := c.Stage(ctx, p.Project, p.Stage)
	if err != nil {
		return false, err
	}
	return len(stage.Stage.Destinations) > 0 || len(stage.Applications) > 0, nil
}

// verdict says whether there is nothing more to wait for, and what went wrong.
func verdict(p *model.Promotion, deployed bool, deadline time.Time) (isEnd bool, _ error) {
	switch p.Phase {
	case model.PhaseSucceeded:
		// Healthy may still be on its way to the Stage's status, and verified to the
		// Freight's: who is told that it is done may promote it into the next Stage.
		isKnown := p.Kind == model.PromotionKindRollback || p.Verified
		return isKnown && (!deployed || p.StageHealth == model.HealthHealthy), nil
	case model.PhasePending:
		if blocked := lastingGates(p.Gates, deadline); len(blocked) > 0 {
			return true, &failure{code: client.ExitBlocked,
				what: fmt.Sprintf("%s/%s is not taking it: %s closed", p.Project, p.Stage, gatesAre(len(closedOf(p.Gates)))),
				why:  gateLines(p.Gates),
				next: []string{"open the gate, then: waybill watch " + p.Project + "/" + p.Name,
					"waybill abort " + p.Project + "/" + p.Name + "   # or give it up"}}
		}
		return false, nil
	case model.PhaseFailed, model.PhaseRejected, model.PhaseAborted, model.PhaseSuperseded, model.PhaseRolledBack:
		return true, ended(p)
	default:
		return false, nil
	}
}

// lastingGates are the closed gates that nothing opens before the deadline but
// a person: busy and health open by themselves.
func lastingGates(gates []model.GateVerdict, deadline time.Time) []model.GateVerdict {
	var lasting []model.GateVerdict
	for _, g := range closedOf(gates) {
		opensInTime := !g.OpensAt.IsZero() && g.OpensAt.Before(deadline)
		if g.Gate != model.GateNameBusy && g.Gate != model.GateNameHealth && !opensInTime {
			lasting = append(lasting, g)
		}
	}
	return lasting
}

func closedOf(gates []model.GateVerdict) []model.GateVerdict {
	return slices.DeleteFunc(slices.Clone(gates), func(g model.GateVerdict) bool { return g.Open || g.Bypassed })
}

// ended is the failure of a Promotion that did not succeed.
func ended(p *model.Promotion) error {
	f := &failure{code: client.ExitFailed, what: fmt.Sprintf("%s/%s: promotion %s", p.Project, p.Stage, endedHow(p))}
	if p.Message != "" && p.Phase != model.PhaseRejected {
		f.why = append(f.why, join(": ", p.Reason, p.Message))
	}
	if p.Reason == "GateClosed" {
		f.code = client.ExitBlocked
		f.why = append(f.why, gateLines(p.Gates)...)
	}
	for _, s := range p.Steps {
		if s.State == model.StepStateFailed && s.Message != "" && s.Message != p.Message {
			f.why = append(f.why, "step "+s.Name+": "+s.Message)
		}
	}
	f.next = []string{fmt.Sprintf("waybill history %s/%s", p.Project, p.Stage)}
	if p.MayRetry {
		f.next = append(f.next, fmt.Sprintf("waybill retry %s/%s   # when the cause is gone", p.Project, p.Name))
	}
	return f
}

func endedHow(p *model.Promotion) string {
	switch p.Phase {
	case model.PhaseAborted:
		return join(" ", "was aborted", join(": ", prefix("by ", p.Abort.By), p.Abort.Reason))
	case model.PhaseRejected:
		return "was " + p.Message
	case model.PhaseSuperseded:
		return join(" ", "was superseded", prefix("by ", p.SupersededBy))
	case model.PhaseRolledBack:
		return join(" ", "was rolled back", prefix("by ", p.RolledBackBy))
	default:
		return "failed"
	}
}

func prefix(before, s string) string {
	if s == "" {
		return ""
	}
	return before + s
}

func timedOut(p *model.Promotion, timeout time.Duration) error {
	f := &failure{code: client.ExitTimeout,
		what: fmt.Sprintf("%s/%s is not done after %s; it goes on", p.Project, p.Stage, timeout),
		next: []string{fmt.Sprintf("waybill watch %s/%s", p.Project, p.Name)}}
	f.why = append(f.why, join(": ", string(p.Phase), firstOf(p.Message, p.StageStatus.Sentence)))
	f.why = append(f.why, gateLines(p.Gates)...)
	return f
}

// sayProgress writes a line for each step that moved and for each new state of
// the whole.
func (a *App) sayProgress(seen *progress, p *model.Promotion) {
	width := 0
	for _, s := range p.Steps {
		width = max(width, len(stepName(s)))
	}
	for _, s := range p.Steps {
		if seen.steps[s.Name] == s.State {
			continue
		}
		seen.steps[s.Name] = s.State
		name := fmt.Sprintf("%-*s", width, stepName(s))
		switch s.State {
		case model.StepStateSucceeded:
			a.say("  %s %s", a.sign(true), join("  ", name, took(s.StartedAt, s.FinishedAt), stepNote(p, s)))
		case model.StepStateFailed, model.StepStateAborted:
			a.say("  %s %s", a.sign(false), join("  ", name, took(s.StartedAt, s.FinishedAt), s.Message))
		case model.StepStateWaiting:
			a.say("    %s", join("  ", name, "waiting", s.Message))
		default: // Pending, Running and Skipped say nothing new
		}
	}
	a.sayChecks(seen, &p.Verification)
	var line string
	switch p.Phase {
	case model.PhasePending:
		for _, g := range closedOf(p.Gates) {
			line = join("; ", line, fmt.Sprintf("%s: %s", g.Gate, g.Reason))
		}
		line = prefix("waiting for ", line)
	case model.PhaseSyncing:
		line = join(": ", "syncing", firstOf(p.Message, p.StageStatus.Sentence))
	case model.PhaseSucceeded:
		if p.StageHealth != model.HealthHealthy {
			line = join(": ", "succeeded; waiting for Healthy", p.StageStatus.Sentence)
		}
	default: // the steps say what is going on; an end is said by the result
	}
	if line != "" && line != seen.said {
		seen.said = line
		a.say("    %s", line)
	}
}

// stepName is the name a step was given, or, when it was only numbered, what it
// uses.
func stepName(s model.Step) string {
	if number, found := strings.CutPrefix(s.Name, s.Uses+"-"); found && strings.Trim(number, "0123456789") == "" {
		return s.Uses
	}
	return s.Name
}

// stepNote says what a step made.
func stepNote(p *model.Promotion, s model.Step) string {
	switch {
	case s.Uses != "git-push" || p.Commit.Commit == "" || len(p.Commits) > 0: // of several each says its own
		return s.Message
	case p.Commit.Unchanged:
		return p.Commit.Branch + " already held this content"
	default:
		return "commit " + short(p.Commit.Commit) + " on " + p.Commit.Branch
	}
}

// sign is a tick or a cross, in words where the locale has no signs.
func (a *App) sign(good bool) string {
	coloured := a.isColoured(a.Terminal.Stderr)
	switch {
	case good && a.isUTF8():
		return paint("✓", green, coloured)
	case good:
		return "ok"
	case a.isUTF8():
		return paint("✗", red, coloured)
	default:
		return "failed"
	}
}
