package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/api/client"
	"github.com/waybill-dev/waybill/api/rest/model"
)

// stageVerbs are what one may do to a Stage, in the order they are shown.
var stageVerbs = []struct { //nolint:gochecknoglobals // a table
	verb string
	may  func(model.StagePermissions) bool
}{
	{"promote", func(p model.StagePermissions) bool { return p.Promote }},
	{"approve", func(p model.StagePermissions) bool { return p.Approve }},
	{"rollback", func(p model.StagePermissions) bool { return p.Rollback }},
	{"hold", func(p model.StagePermissions) bool { return p.Hold }},
	{"freeze", func(p model.StagePermissions) bool { return p.Freeze }},
	{"bypass", func(p model.StagePermissions) bool { return p.Bypass }},
}

// projectVerbs are what one may do to every Stage of a Project, or to none.
var projectVerbs = []struct { //nolint:gochecknoglobals // a table
	verb string
	may  func(*model.Permissions) bool
}{
	{"sync", func(p *model.Permissions) bool { return p.Sync }},
	{"accept", func(p *model.Permissions) bool { return p.Accept }},
}

func (a *App) canICommand() *cobra.Command {
	var out *output
	cmd := &cobra.Command{
		Use:   "can-i [VERB [PROJECT/]STAGE]",
		Short: "Say what you may do: one thing, or everything in a Project",
		Long: `Say whether you may VERB a Stage: promote, approve, rollback, hold, freeze, bypass, sync or
accept (changes made in its cluster). Without arguments, everything you may do in the Project of -p.

Exit codes: 0 yes; 1 no.`,
		Example: `  waybill can-i approve guestbook/prod
  waybill can-i -p guestbook`,
		Args: rangeArgs(0, "VERB", "[PROJECT/]STAGE"),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return a.completeStage(1)(cmd, args, typed)
			}
			var verbs []string
			for _, v := range stageVerbs {
				verbs = append(verbs, v.verb)
			}
			for _, v := range projectVerbs {
				verbs = append(verbs, v.verb)
			}
			return verbs, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				return usagef(cmd, "which Stage? waybill can-i %s PROJECT/STAGE", args[0])
			}
			c, x, err := a.client()
			if err != nil {
				return err
			}
			if len(args) == 0 {
				return a.allPermissions(cmd, c, x, out)
			}
			to, err := a.target(cmd, x, args[1], "stage")
			if err != nil {
				return err
			}
			p, err := c.Permissions(cmd.Context(), to.project)
			if err != nil {
				return err
			}
			return a.oneAnswer(cmd, p, args[0], to, out)
		},
	}
	out = outputFlag(cmd, "table", "json", "yaml")
	return cmd
}

func (a *App) oneAnswer(cmd *cobra.Command, p *model.Permissions, verb string, to target, out *output) error {
	var st *model.StagePermissions
	for i := range p.Stages {
		if p.Stages[i].Stage == to.name {
			st = &p.Stages[i]
		}
	}
	if st == nil {
		return notFound(fmt.Sprintf("no Stage %q in Project %q", to.name, to.project), "waybill status -p "+to.project)
	}
	answers, known := map[string]bool{}, []string{}
	for _, v := range stageVerbs {
		answers[v.verb], known = v.may(*st), append(known, v.verb)
	}
	for _, v := range projectVerbs {
		answers[v.verb], known = v.may(p), append(known, v.verb)
	}
	yes, isVerb := answers[verb]
	if !isVerb {
		return usagef(cmd, "there is no verb %q; verbs are %s", verb, strings.Join(known, ", "))
	}
	var err error
	switch {
	case out.isMachine():
		err = out.encode(a.Stdout, map[string]any{"verb": verb, "project": to.project, "stage": to.name, "allowed": yes})
	case yes:
		err = a.print("yes")
	default:
		err = a.print("no")
	}
	if err == nil && !yes {
		return &failure{code: client.ExitFailed} // said already
	}
	return err
}

func (a *App) allPermissions(cmd *cobra.Command, c *client.Client, x Context, out *output) error {
	project, err := a.needProject(cmd, x, nil)
	if err != nil {
		return err
	}
	p, err := c.Permissions(cmd.Context(), project)
	if err != nil {
		return err
	}
	if out.isMachine() {
		return out.encode(a.Stdout, p)
	}
	t := table{heads: []string{"STAGE"}}
	for _, v := range stageVerbs {
		t.heads = append(t.heads, strings.ToUpper(v.verb))
	}
	answer := func(yes bool) cell {
		if yes {
			return cell{text: "yes", style: green}
		}
		return cell{text: "no", style: dim}
	}
	for _, st := range p.Stages {
		row := []cell{text(st.Stage)}
		for _, v := range stageVerbs {
			row = append(row, answer(v.may(st)))
		}
		t.add(row...)
	}
	if err := a.printTable(t); err != nil {
		return err
	}
	for _, line := range []struct {
		may  bool
		what string
	}{{p.Edit, "change Stages and Warehouses"}, {p.Refresh, "refresh Warehouses"}, {p.Abort, "abort promotions"}, {p.Sync, "sync Stages"}, {p.Accept, "accept changes made in the clusters"}, {p.FreezeAll, "freeze the whole Project"}, {p.DeleteProject, "delete the Project"}} {
		word := "may not"
		if line.may {
			word = "may"
		}
		a.say("You %s %s.", word, line.what)
	}
	return nil
}
