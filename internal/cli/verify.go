package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/api/client"
	"github.com/waybill-dev/waybill/api/rest/model"
)

func (a *App) verifyCommand() *cobra.Command {
	var out *output
	var w *waitFlags
	var request model.VerifyRequest
	cmd := &cobra.Command{
		Use:   "verify [PROJECT/]STAGE",
		Short: "Run a Stage's checks again, or stop them",
		Long: `Run the checks of a Stage again for what it runs. Freight that was inconclusive, or failed, is
verified when they all succeed; Freight whose checks fail is not verified any more, and is taken
back where rollback.onFailedVerification says so.

With --abort the checks that run are stopped: the promotion ends, what it brought stays, and it
is not verified.`,
		Example: `  waybill verify guestbook/prod --wait
  waybill verify guestbook/prod --abort --reason "the test data is wrong"`,
		Args:              exactArgs("[PROJECT/]STAGE"),
		ValidArgsFunction: a.completeStage(0),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, x, err := a.client()
			if err != nil {
				return err
			}
			stage, err := a.target(cmd, x, args[0], "stage")
			if err != nil {
				return err
			}
			p, err := c.Verify(cmd.Context(), stage.project, stage.name, request)
			if err != nil {
				return err
			}
			if request.Abort {
				a.say("Stopping the checks.")
			} else {
				a.say("The checks of %s run for %s.", stage, freightName(p.Freight))
			}
			var ended error
			if w.wait {
				if p, ended = a.waitForChecks(cmd.Context(), c, p, request.Abort, w.timeout); p == nil {
					return ended
				}
			}
			if err := a.printChecks(p, out); err != nil {
				return err
			}
			return ended
		},
	}
	out = outputFlag(cmd, "table", "json", "yaml", "name")
	w = addWaitFlags(cmd, "until the checks are done")
	cmd.Flags().BoolVar(&request.Abort, "abort", false, "stop the checks that run")
	cmd.Flags().StringVar(&request.Reason, "reason", "", "why, for the record")
	return cmd
}

// waitForChecks follows the run that was asked for to its end.
func (a *App) waitForChecks(ctx context.Context, c *client.Client, p *model.Promotion, isAbort bool, timeout time.Duration) (*model.Promotion, error) {
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	run := p.Verification.Run
	if !isAbort && isCheckDone(p.Verification.Phase) {
		run++ // it has not begun
	}
	seen := progress{}
	last := p
	err := c.WatchPromotion(limited, p.Project, p.Name, a.reconnecting, func(now *model.Promotion) error {
		last = now
		if now.Verification.Run < run {
			return nil
		}
		a.sayChecks(&seen, &now.Verification)
		if isCheckDone(now.Verification.Phase) && now.Finished {
			return client.ErrStop
		}
		return nil
	})
	switch {
	case ctx.Err() != nil:
		a.say("Interrupted. The checks go on: waybill watch %s/%s", p.Project, p.Name)
		return last, &failure{code: client.ExitInterrupted}
	case errors.Is(err, context.DeadlineExceeded) || limited.Err() != nil && err != nil:
		return last, timedOut(last, timeout)
	case err != nil:
		return nil, err
	case last.Verification.Phase == model.CheckPhaseSucceeded || isAbort:
		return last, nil
	default:
		return last, &failure{code: client.ExitFailed, what: fmt.Sprintf("not verified: %s", firstOf(last.Message, last.Verification.Message))}
	}
}

func isCheckDone(p model.CheckPhase) bool {
	return p != "" && p != model.CheckPhasePending && p != model.CheckPhaseRunning
}

// sayChecks says on standard error which checks ended since it was last asked.
func (a *App) sayChecks(seen *progress, v *model.Verification) {
	if seen.checks == nil {
		seen.checks = map[string]model.CheckPhase{}
	}
	width := 0
	for _, c := range v.Checks {
		width = max(width, len(c.Name))
	}
	for _, c := range v.Checks {
		if seen.checks[c.Name] == c.Phase {
			continue
		}
		seen.checks[c.Name] = c.Phase
		name := fmt.Sprintf("%-*s", width, c.Name)
		switch c.Phase {
		case model.CheckPhaseSucceeded:
			a.say("  %s %s", a.sign(true), join("  ", name, took(c.StartedAt, c.FinishedAt), c.Message))
		case model.CheckPhaseFailed, model.CheckPhaseInconclusive, model.CheckPhaseAborted:
			a.say("  %s %s", a.sign(false), join("  ", name, strings.ToLower(string(c.Phase)), c.Message))
		default: // what waits, runs or was skipped says nothing new
		}
	}
}

// printChecks shows the checks of a Promotion.
func (a *App) printChecks(p *model.Promotion, out *output) error {
	if out.isMachine() || out.format == "name" {
		return a.printPromotion(p, out)
	}
	if len(p.Verification.Checks) == 0 {
		return nil
	}
	return a.printTable(checksTable(&p.Verification))
}

// checksTable shows each check of a run in a line.
func checksTable(v *model.Verification) table {
	t := table{heads: []string{"CHECK", "KIND", "RESULT", "VALUE", "MEASURED", "TOOK", "MESSAGE"}}
	for _, c := range v.Checks {
		measured := ""
		if n := c.Succeeded + c.Failed + c.Inconclusive; n > 0 {
			measured = fmt.Sprintf("%d, %d bad", n, c.Failed+c.Inconclusive)
		}
		t.add(text(c.Name), text(string(c.Kind)), checkCell(c.Phase), text(c.Value), text(measured), text(took(c.StartedAt, c.FinishedAt)), text(c.Message))
	}
	return t
}

// checksText is how a run stands in a few words; empty when there is none.
func checksText(v *model.Verification) string {
	if v.Phase == "" {
		return ""
	}
	done := 0
	for _, c := range v.Checks {
		if c.Phase == model.CheckPhaseSucceeded {
			done++
		}
	}
	run := ""
	if v.Run > 1 {
		run = fmt.Sprintf(", run %d", v.Run)
	}
	return fmt.Sprintf("%s, %d of %d%s", v.Phase, done, len(v.Checks), run)
}

// checkLines describe each check of a run.
func checkLines(v *model.Verification) []string {
	var lines []string
	for _, c := range v.Checks {
		line := join(" ", string(c.Phase), c.Name, "("+string(c.Kind)+")", c.Value)
		if n := c.Succeeded + c.Failed + c.Inconclusive; n > 1 {
			line += fmt.Sprintf(", %d measured, %d bad", n, c.Failed+c.Inconclusive)
		}
		lines = append(lines, join(": ", line, c.Message))
	}
	return lines
}

func checkCell(p model.CheckPhase) cell {
	switch p {
	case model.CheckPhaseSucceeded:
		return cell{text: string(p), style: green}
	case model.CheckPhaseFailed:
		return cell{text: string(p), style: red}
	case model.CheckPhaseInconclusive:
		return cell{text: string(p), style: yellow}
	case model.CheckPhaseRunning:
		return cell{text: string(p), style: blue}
	default:
		return cell{text: string(p), style: dim}
	}
}
