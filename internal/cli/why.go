package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/api/rest/model"
)

func (a *App) whyCommand() *cobra.Command {
	var out *output
	cmd := &cobra.Command{
		Use:   "why FREIGHT [PROJECT/]STAGE",
		Short: "Say which gates keep a Freight out of a Stage, and what opens each",
		Example: `  waybill why latest guestbook/prod
  waybill why 1.27.0 guestbook/prod -o json
  waybill why @uat guestbook/prod`,
		Args:              exactArgs("FREIGHT", "[PROJECT/]STAGE"),
		ValidArgsFunction: a.completeStage(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, x, err := a.client()
			if err != nil {
				return err
			}
			to, err := a.target(cmd, x, args[1], "stage")
			if err != nil {
				return err
			}
			why, err := c.Why(cmd.Context(), to.project, to.name, args[0])
			if err != nil {
				return err
			}
			if out.isMachine() {
				return out.encode(a.Stdout, why)
			}
			return a.printWhy(why)
		},
	}
	out = outputFlag(cmd, "table", "json", "yaml")
	return cmd
}

func (a *App) printWhy(why *model.Why) error {
	if err := a.print("%s", whyHeadline(why)); err != nil {
		return err
	}
	t := table{heads: []string{"GATE", "STATE", "WHY"}}
	for _, g := range why.Gates {
		state := cell{text: "open", style: green}
		if !g.Open {
			state = cell{text: "closed", style: red}
		}
		t.add(text(string(g.Gate)), state, text(g.Reason))
		if opener := opensBy(g); opener != "" {
			t.add(blank(), blank(), cell{text: opener, style: dim})
		}
	}
	// Whole lines: nothing here may be cut.
	if err := t.write(a.Stdout, a.isColoured(a.Terminal.Stdout)); err != nil {
		return err
	}
	for i := range why.Verifications {
		v := &why.Verifications[i]
		if err := a.print("\nChecks of %s in %s: %s", firstOf(v.Version, freightName(why.Freight)), v.Stage, checksText(v)); err != nil {
			return err
		}
		if err := a.printTable(checksTable(v)); err != nil {
			return err
		}
	}
	a.sayShutOut(why.Newer)
	return nil
}

// whyHeadline is the answer in one sentence.
func whyHeadline(why *model.Why) string {
	what := fmt.Sprintf("%s into %s/%s", freightName(why.Freight), why.Project, why.Stage)
	entry, start := closedGates(why.Gates)
	switch {
	case why.State == model.WhyStateCurrent:
		return fmt.Sprintf("%s runs in %s/%s.", freightName(why.Freight), why.Project, why.Stage)
	case why.State == model.WhyStateArriving:
		return what + ": it is on its way."
	case entry+start == 0:
		return what + ": every gate is open."
	case why.MayPromote && why.MayFlow:
		return fmt.Sprintf("%s: it may be promoted, and then waits for %s.", what, gateCount(start))
	case why.MayPromote:
		return fmt.Sprintf("%s: a person may promote it; %s closed.", what, gatesAre(entry+start))
	default:
		return fmt.Sprintf("%s: %s closed.", what, gatesAre(entry+start))
	}
}

// closedGates counts the closed gates of either group.
func closedGates(gates []model.GateVerdict) (entry, start int) {
	for _, g := range gates {
		switch {
		case g.Open:
		case g.Group == model.Entry:
			entry++
		default:
			start++
		}
	}
	return entry, start
}

func gateCount(n int) string {
	if n == 1 {
		return "1 gate"
	}
	return fmt.Sprintf("%d gates", n)
}

func gatesAre(n int) string {
	if n == 1 {
		return "1 gate is"
	}
	return fmt.Sprintf("%d gates are", n)
}

// sayShutOut says on standard error that `latest` passed over a newer Freight,
// and why.
func (a *App) sayShutOut(newer model.ShutOut) {
	if newer.Freight.Name == "" {
		return
	}
	a.say("A newer Freight, %s, is shut out:", freightName(newer.Freight))
	for _, line := range gateLines(newer.Closed) {
		a.say("  %s", line)
	}
}
