package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/api/client"
	"github.com/waybill-dev/waybill/api/rest/model"
)

// noReason is recorded when a person gives none.
const noReason = "no reason given"

// allStages in a Freeze means every Stage of the Project.
const allStages = "*"

func (a *App) holdCommand() *cobra.Command {
	var out *output
	var reason, until string
	var heal bool
	cmd := &cobra.Command{
		Use:   "hold [PROJECT/]STAGE",
		Short: "Hold the automatic flow into a Stage, or pause its healing",
		Long: `Hold the automatic flow into a Stage. People may still promote.

--heal pauses the healing of its Applications instead: what people or programs change in the cluster
stays as it is until the end, is shown by waybill drift, and is healed then, unless it was accepted.
New revisions are synced all the same. It needs an end, and the verb promote on the Stage as every hold.`,
		Example: `  waybill hold guestbook/uat --reason "load test until noon"
  waybill hold guestbook/uat --for 2h
  waybill hold guestbook/uat --heal --for 1h --reason "looking at a leak"`,
		Args:              exactArgs("[PROJECT/]STAGE"),
		ValidArgsFunction: a.completeStage(0),
		RunE: func(cmd *cobra.Command, args []string) error {
			if heal && until == "" {
				return usage(cmd, "--heal needs an end: --for 1h")
			}
			c, stage, end, err := a.stopTarget(cmd, args[0], until)
			if err != nil {
				return err
			}
			freeze, err := c.Hold(cmd.Context(), stage.project, stage.name, model.HoldRequest{Reason: firstOf(reason, noReason), Until: end, Healing: heal})
			if err != nil {
				return err
			}
			sentence := fmt.Sprintf("The automatic flow into %s is held%s. To let it go on: waybill resume %s", stage, untilText(freeze), stage)
			if heal {
				sentence = fmt.Sprintf("The healing of %s is paused%s. To heal again: waybill resume %s --heal", stage, untilText(freeze), stage)
			}
			return a.printStop(freeze, out, sentence)
		},
	}
	out = outputFlag(cmd, "table", "json", "yaml", "name")
	addStopFlags(cmd, &reason, &until)
	cmd.Flags().StringVar(&until, "for", "", "the same as --until: how long (1h)")
	cmd.Flags().BoolVar(&heal, "heal", false, "pause the healing of drift, not the automatic flow")
	cmd.MarkFlagsMutuallyExclusive("for", "until")
	return cmd
}

func (a *App) resumeCommand() *cobra.Command {
	var out *output
	var heal bool
	cmd := &cobra.Command{
		Use:   "resume [PROJECT/]STAGE",
		Short: "Let the automatic flow into a Stage go on, or its healing",
		Example: `  waybill resume guestbook/uat
  waybill resume guestbook/uat --heal`,
		Args:              exactArgs("[PROJECT/]STAGE"),
		ValidArgsFunction: a.completeStage(0),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, stage, _, err := a.stopTarget(cmd, args[0], "")
			if err != nil {
				return err
			}
			lifted, err := c.Resume(cmd.Context(), stage.project, stage.name, heal)
			if err != nil {
				return err
			}
			none := fmt.Sprintf("%[1]s was not held. A pause of its healing ends by: waybill resume %[1]s --heal", stage)
			if heal {
				none = fmt.Sprintf("The healing of %s was not paused.", stage)
			}
			return a.printLifted(lifted, out, none)
		},
	}
	out = outputFlag(cmd, "table", "json", "yaml", "name")
	cmd.Flags().BoolVar(&heal, "heal", false, "end the pauses of healing; what drifted meanwhile is healed at once")
	return cmd
}

func (a *App) freezeCommand() *cobra.Command {
	var out *output
	var reason, until string
	var all, everything bool
	cmd := &cobra.Command{
		Use:   "freeze [PROJECT/]STAGE",
		Short: "Stop every promotion into a Stage, into all Stages of a Project, or everywhere",
		Example: `  waybill freeze guestbook/prod --until 2026-12-27T09:00:00Z --reason "holidays"
  waybill freeze guestbook --all --reason "incident 17"
  waybill freeze --everything --until 4h --reason "registry outage"`,
		Args:              rangeArgs(0, "[PROJECT/]STAGE"),
		ValidArgsFunction: a.completeStage(0),
		RunE: func(cmd *cobra.Command, args []string) error {
			if everything != (len(args) == 0) {
				return usage(cmd, "name a Stage, or a Project with --all, or give --everything alone")
			}
			if everything {
				return a.freezeEverything(cmd, reason, until, out)
			}
			c, stage, end, err := a.stopTarget(cmd, withAll(args[0], all), until)
			if err != nil {
				return err
			}
			freeze, err := c.Freeze(cmd.Context(), stage.project, model.FreezeRequest{Stage: stage.name, Reason: firstOf(reason, noReason), Until: end})
			if err != nil {
				return err
			}
			what, undo := stage.String(), stage.String()
			if stage.name == allStages {
				what, undo = "Every Stage of "+stage.project, stage.project+" --all"
			}
			return a.printStop(freeze, out, fmt.Sprintf("%s is frozen%s. To lift it: waybill thaw %s", what, untilText(freeze), undo))
		},
	}
	out = outputFlag(cmd, "table", "json", "yaml", "name")
	addStopFlags(cmd, &reason, &until)
	cmd.Flags().BoolVar(&all, "all", false, "every Stage of the Project that the argument names")
	cmd.Flags().BoolVar(&everything, "everything", false, "every Stage of every Project you see")
	return cmd
}

// freezeEverything freezes every Project, one by one: each is a decision of its
// own, which its own roles allow or refuse.
func (a *App) freezeEverything(cmd *cobra.Command, reason, until string, out *output) error {
	end, err := a.untilFlag(cmd, until)
	if err != nil {
		return err
	}
	made := &model.FreezeList{Items: []model.Freeze{}}
	err = a.everyProject(cmd, func(c *client.Client, project string) error {
		f, err := c.Freeze(cmd.Context(), project, model.FreezeRequest{Stage: allStages, Reason: firstOf(reason, noReason), Until: end})
		if err == nil {
			made.Items = append(made.Items, *f)
		}
		return err
	})
	if len(made.Items) > 0 {
		if out.format == "table" {
			a.say("Frozen: %s. To lift it: waybill thaw --everything", counted(len(made.Items), "Project"))
		}
		if printed := a.printFreezes(made.Items, made, out); printed != nil {
			return printed
		}
	}
	return err
}

// everyProject does something in each Project one sees, and says where it was
// refused.
func (a *App) everyProject(cmd *cobra.Command, do func(c *client.Client, project string) error) error {
	c, _, err := a.client()
	if err != nil {
		return err
	}
	page, err := c.Projects(cmd.Context())
	if err != nil {
		return err
	}
	refused := &failure{what: "not in every Project:"}
	for _, p := range page.Items {
		if err := do(c, p.Name); err != nil {
			refused.code = max(refused.code, client.ExitCode(err))
			refused.why = append(refused.why, fmt.Sprintf("%s: %v", p.Name, err))
		}
	}
	if len(refused.why) > 0 {
		return refused
	}
	return nil
}

// thawEverything lifts the freezes of whole Projects, in every Project.
func (a *App) thawEverything(cmd *cobra.Command, out *output) error {
	lifted := &model.FreezeList{Items: []model.Freeze{}}
	err := a.everyProject(cmd, func(c *client.Client, project string) error {
		inForce, err := c.Freezes(cmd.Context(), project)
		if err != nil {
			return err
		}
		for _, f := range inForce.Items {
			if f.ShownAs != model.FreezeShownAsFreeze || f.Stage != allStages {
				continue
			}
			if err := c.Thaw(cmd.Context(), project, f.Name); err != nil {
				return err
			}
			lifted.Items = append(lifted.Items, f)
		}
		return nil
	})
	if printed := a.printLifted(lifted, out, "No Project is frozen as a whole."); printed != nil {
		return printed
	}
	return err
}

// withAll turns the name of a Project into the name of all its Stages.
func withAll(arg string, all bool) string {
	if all && !strings.Contains(arg, "/") {
		return arg + "/" + allStages
	}
	return arg
}

func (a *App) thawCommand() *cobra.Command {
	var out *output
	var all, everything bool
	cmd := &cobra.Command{
		Use:   "thaw [PROJECT/]STAGE",
		Short: "Lift the freezes of a Stage, of a whole Project, or of all Projects",
		Example: `  waybill thaw guestbook/prod
  waybill thaw guestbook --all
  waybill thaw --everything`,
		Args:              rangeArgs(0, "[PROJECT/]STAGE"),
		ValidArgsFunction: a.completeStage(0),
		RunE: func(cmd *cobra.Command, args []string) error {
			if everything != (len(args) == 0) {
				return usage(cmd, "name a Stage, or a Project with --all, or give --everything alone")
			}
			if everything {
				return a.thawEverything(cmd, out)
			}
			c, stage, _, err := a.stopTarget(cmd, withAll(args[0], all), "")
			if err != nil {
				return err
			}
			inForce, err := c.Freezes(cmd.Context(), stage.project)
			if err != nil {
				return err
			}
			lifted := &model.FreezeList{Items: []model.Freeze{}}
			wider := false
			for _, f := range inForce.Items {
				if f.ShownAs != model.FreezeShownAsFreeze {
					continue
				}
				if f.Stage != stage.name {
					wider = wider || f.Stage == allStages
					continue
				}
				if err := c.Thaw(cmd.Context(), stage.project, f.Name); err != nil {
					return err
				}
				lifted.Items = append(lifted.Items, f)
			}
			if err := a.printLifted(lifted, out, fmt.Sprintf("%s has no freeze of its own.", stage)); err != nil {
				return err
			}
			if wider {
				a.say("All of %s is still frozen: waybill thaw %s --all", stage.project, stage.project)
			}
			return nil
		},
	}
	out = outputFlag(cmd, "table", "json", "yaml", "name")
	cmd.Flags().BoolVar(&all, "all", false, "the freezes of the whole Project that the argument names")
	cmd.Flags().BoolVar(&everything, "everything", false, "the freezes of whole Projects, in every Project you see")
	return cmd
}

func (a *App) rejectCommand() *cobra.Command {
	var out *output
	var reason, plan string
	cmd := &cobra.Command{
		Use:   "reject FREIGHT|PROJECT/PROMOTION|PROJECT/STAGE [[PROJECT/]STAGE]",
		Short: "Keep a Freight out of a Stage, or reject a promotion that waits for approval",
		Long: `Reject a Freight: it stays out of the Stage, or without a Stage out of all, until waybill unreject.
Or, with one argument that has a slash, reject the promotion that waits for approval: that one ends.`,
		Example: `  waybill reject 1.27.0 guestbook/prod --reason "memory leak"
  waybill reject 1.27.0 -p guestbook --reason "withdrawn"
  waybill reject guestbook/prod --reason "not before Monday"`,
		Args:              rangeArgs(1, "FREIGHT|PROJECT/PROMOTION", "[PROJECT/]STAGE"),
		ValidArgsFunction: a.completeStage(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 && strings.Contains(args[0], "/") {
				return a.rejectPromotion(cmd, args[0], reason, plan, out)
			}
			c, project, stage, err := a.rejectTarget(cmd, args)
			if err != nil {
				return err
			}
			freeze, err := c.Reject(cmd.Context(), project, args[0], model.RejectRequest{Stage: firstOf(stage, allStages), Reason: firstOf(reason, noReason)})
			if err != nil {
				return err
			}
			where := firstOf(stage, "every Stage of "+project)
			if stage != "" {
				where = project + "/" + stage
			}
			if out.format == "table" {
				a.say("%s is rejected for %s. To take that back: waybill unreject %s %s", args[0], where, args[0],
					firstOf(prefix(project+"/", stage), "-p "+project))
			}
			return a.printFreezes([]model.Freeze{*freeze}, freeze, out)
		},
	}
	out = outputFlag(cmd, "table", "json", "yaml", "name")
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the record")
	cmd.Flags().StringVar(&plan, "plan", "", "of a promotion: hash of the plan that you have seen (waybill diff)")
	return cmd
}

func (a *App) unrejectCommand() *cobra.Command {
	var out *output
	cmd := &cobra.Command{
		Use:   "unreject FREIGHT [PROJECT/]STAGE",
		Short: "Take rejections of a Freight back; without a Stage, all of them",
		Example: `  waybill unreject 1.27.0 guestbook/prod
  waybill unreject 1.27.0 -p guestbook`,
		Args:              rangeArgs(1, "FREIGHT", "[PROJECT/]STAGE"),
		ValidArgsFunction: a.completeStage(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, project, stage, err := a.rejectTarget(cmd, args)
			if err != nil {
				return err
			}
			lifted, err := c.Unreject(cmd.Context(), project, args[0], model.UnrejectRequest{Stage: stage})
			if err != nil {
				return err
			}
			return a.printLifted(lifted, out, fmt.Sprintf("%s was not rejected there.", args[0]))
		},
	}
	out = outputFlag(cmd, "table", "json", "yaml", "name")
	return cmd
}

// rejectTarget returns the Project and the Stage that args name after the
// Freight; the Stage is empty when they name none.
func (a *App) rejectTarget(cmd *cobra.Command, args []string) (*client.Client, string, string, error) {
	c, x, err := a.client()
	if err != nil {
		return nil, "", "", err
	}
	if len(args) == 2 {
		it, err := a.target(cmd, x, args[1], "stage")
		return c, it.project, it.name, err
	}
	project, err := a.needProject(cmd, x, nil)
	return c, project, "", err
}

func addStopFlags(cmd *cobra.Command, reason, until *string) {
	cmd.Flags().StringVar(reason, "reason", "", "why, for the record")
	cmd.Flags().StringVar(until, "until", "", "when it ends by itself: a time (2026-12-27T09:00:00Z) or a duration from now (2h)")
}

// stopTarget reads the Stage and the end of a hold or freeze.
func (a *App) stopTarget(cmd *cobra.Command, arg, until string) (*client.Client, target, time.Time, error) {
	end, err := a.untilFlag(cmd, until)
	if err != nil {
		return nil, target{}, end, err
	}
	c, x, err := a.client()
	if err != nil {
		return nil, target{}, end, err
	}
	stage, err := a.target(cmd, x, arg, "stage")
	return c, stage, end, err
}

// untilText is " until TIME" for a stop that ends by itself.
func untilText(f *model.Freeze) string {
	if f.Until.IsZero() {
		return ""
	}
	return " until " + f.Until.UTC().Format("2006-01-02 15:04:05Z")
}

// printStop reports a hold or freeze, with a sentence for people.
func (a *App) printStop(f *model.Freeze, out *output, sentence string) error {
	if out.format == "table" {
		a.say("%s", sentence)
	}
	return a.printFreezes([]model.Freeze{*f}, f, out)
}

func (a *App) printLifted(lifted *model.FreezeList, out *output, none string) error {
	if len(lifted.Items) == 0 && out.format == "table" {
		a.say("%s", none)
		return nil
	}
	if out.format == "table" {
		a.say("Lifted:")
	}
	return a.printFreezes(lifted.Items, lifted, out)
}

func (a *App) printFreezes(items []model.Freeze, whole any, out *output) error {
	if out.isMachine() {
		return out.encode(a.Stdout, whole)
	}
	if out.format == "name" {
		for _, f := range items {
			if err := a.print("freeze/%s", f.Name); err != nil {
				return err
			}
		}
		return nil
	}
	t := table{heads: []string{"NAME", "STAGE", "WHAT", "FREIGHT", "BY", "UNTIL", "REASON"}}
	for _, f := range items {
		var freight []string
		for _, r := range f.Freight {
			freight = append(freight, freightName(r))
		}
		until := ""
		if !f.Until.IsZero() {
			until = day(f.Until)
		}
		t.add(text(f.Name), text(f.Stage), text(string(f.ShownAs)), text(strings.Join(freight, ",")), text(person(f.By)), text(until), text(f.Reason))
	}
	return a.printTable(t)
}
