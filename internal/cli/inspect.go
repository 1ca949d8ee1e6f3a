package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/api/client"
	"github.com/waybill-dev/waybill/api/rest/model"
)

// applications returns the Application that arg names, or those of the Stage it
// names.
func (a *App) applications(cmd *cobra.Command, c *client.Client, x Context, arg string) ([]model.Application, error) {
	it, err := a.target(cmd, x, arg, "application")
	if err != nil {
		return nil, err
	}
	list, err := c.Applications(cmd.Context(), it.project)
	if err != nil {
		return nil, err
	}
	var ofStage []model.Application
	for _, app := range list.Items {
		if app.Name == it.name {
			return []model.Application{app}, nil
		}
		if app.Stage == it.name {
			ofStage = append(ofStage, app)
		}
	}
	if len(ofStage) == 0 {
		return nil, notFound(fmt.Sprintf("there is no Application %s, and no Stage of that name deploys anything", it), "waybill get applications -p "+it.project)
	}
	return ofStage, nil
}

// eachApplication is a command that reads something about every Application its
// one argument names, and prints it.
func eachApplication[T any](a *App, cmd *cobra.Command, arg string, out *output, read func(*client.Client, model.Application) (T, error), show func(model.Application, T) error) error {
	c, x, err := a.client()
	if err != nil {
		return err
	}
	apps, err := a.applications(cmd, c, x, arg)
	if err != nil {
		return err
	}
	all := map[string]T{}
	for _, app := range apps {
		found, err := read(c, app)
		if err != nil {
			return err
		}
		all[app.Name] = found
	}
	if out.isMachine() {
		if len(apps) == 1 {
			return out.encode(a.Stdout, all[apps[0].Name])
		}
		return out.encode(a.Stdout, all)
	}
	for i, app := range apps {
		if len(apps) > 1 {
			gap := ""
			if i > 0 {
				gap = "\n"
			}
			if err := a.print("%s%s (%s)", gap, app.Name, join("/", app.Cluster, app.Namespace)); err != nil {
				return err
			}
		}
		if err := show(app, all[app.Name]); err != nil {
			return err
		}
	}
	return nil
}

func (a *App) treeCommand() *cobra.Command {
	var out *output
	cmd := &cobra.Command{
		Use:   "tree [PROJECT/]STAGE|APPLICATION",
		Short: "Show the objects of a Stage in its cluster, and what they own",
		Long: `Show what a Stage or Application has in its cluster: the objects that were applied, and below each
what it owns (ReplicaSets, Pods, Jobs), with their health.`,
		Example: `  waybill tree guestbook/prod
  waybill tree guestbook/prod -o json`,
		Args:              exactArgs("[PROJECT/]STAGE|APPLICATION"),
		ValidArgsFunction: a.completeStage(0),
		RunE: func(cmd *cobra.Command, args []string) error {
			return eachApplication(a, cmd, args[0], out, func(c *client.Client, app model.Application) (*model.ResourceTree, error) {
				return c.ApplicationTree(cmd.Context(), app.Project, app.Name)
			}, func(_ model.Application, tree *model.ResourceTree) error { return a.printTree(tree) })
		},
	}
	out = outputFlag(cmd, "table", "json", "yaml")
	return cmd
}

func (a *App) printTree(tree *model.ResourceTree) error {
	children := map[string][]model.ResourceNode{}
	for _, n := range tree.Items {
		children[n.Parent] = append(children[n.Parent], n)
	}
	t := table{heads: []string{"OBJECT", "HEALTH", "AGE", "MESSAGE"}}
	var add func(n model.ResourceNode, indent string, depth int)
	add = func(n model.ResourceNode, indent string, depth int) {
		name := n.Kind + "/" + n.Name
		t.add(cell{text: indent + name, isVerbatim: true}, healthCell(n.Health), text(a.age(n.CreatedAt)), text(firstOf(n.Message, n.Reason)))
		below := children[n.UID]
		if n.UID == "" || depth > maxTreeDepth {
			return
		}
		for i, child := range below {
			branch := a.branch(i == len(below)-1)
			add(child, strings.Repeat("   ", depth)+branch, depth+1)
		}
	}
	for _, n := range children[""] {
		add(n, "", 0)
	}
	if len(tree.Items) == 0 {
		a.say("Nothing was applied.")
		return nil
	}
	if err := a.printTable(t); err != nil {
		return err
	}
	if tree.Cut {
		a.say("There is more than is shown.")
	}
	return nil
}

// maxTreeDepth bounds how deep a tree is drawn.
const maxTreeDepth = 8

// branch draws the line to one object below another.
func (a *App) branch(isLast bool) string {
	switch {
	case !a.isUTF8():
		return "`- "
	case isLast:
		return "└─ "
	default:
		return "├─ "
	}
}

func (a *App) eventsCommand() *cobra.Command {
	var out *output
	var isWarnings bool
	cmd := &cobra.Command{
		Use:   "events [PROJECT/]STAGE|APPLICATION",
		Short: "Show what happened to the objects of a Stage in its cluster",
		Long: `Show the Kubernetes events of a Stage or Application: about the objects that were applied, what they
own, and what Waybill itself did, newest first. A cluster forgets its events after an hour; what Waybill
decided stays in waybill history.`,
		Example: `  waybill events guestbook/prod
  waybill events guestbook/prod --warnings`,
		Args:              exactArgs("[PROJECT/]STAGE|APPLICATION"),
		ValidArgsFunction: a.completeStage(0),
		RunE: func(cmd *cobra.Command, args []string) error {
			return eachApplication(a, cmd, args[0], out, func(c *client.Client, app model.Application) (*model.ObjectEventList, error) {
				list, err := c.ApplicationEvents(cmd.Context(), app.Project, app.Name)
				if err != nil || !isWarnings {
					return list, err
				}
				kept := &model.ObjectEventList{Items: []model.ObjectEvent{}}
				for _, e := range list.Items {
					if e.Warning {
						kept.Items = append(kept.Items, e)
					}
				}
				return kept, nil
			}, func(_ model.Application, list *model.ObjectEventList) error { return a.printEvents(list) })
		},
	}
	out = outputFlag(cmd, "table", "json", "yaml")
	cmd.Flags().BoolVar(&isWarnings, "warnings", false, "only what went wrong")
	return cmd
}

func (a *App) printEvents(list *model.ObjectEventList) error {
	if len(list.Items) == 0 {
		a.say("There are no events.")
		return nil
	}
	t := table{heads: []string{"LAST", "TYPE", "OBJECT", "REASON", "COUNT", "MESSAGE"}}
	for _, e := range list.Items {
		kind := cell{text: "Normal", style: dim}
		if e.Warning {
			kind = cell{text: "Warning", style: yellow}
		}
		t.add(text(a.age(e.LastAt)+" ago"), kind, text(e.Kind+"/"+e.Name), text(e.Reason), text(fmt.Sprint(e.Count)), text(printable(e.Message)))
	}
	return a.printTable(t)
}

// liveDiff shows what a sync would change; exit code 1 says that something would.
func (a *App) liveDiff(cmd *cobra.Command, args []string, out *output) error {
	if len(args) != 1 {
		return usagef(cmd, "--live compares a Stage or Application with its branch: FREIGHT has no meaning there")
	}
	isDifferent := false
	err := eachApplication(a, cmd, args[0], out, func(c *client.Client, app model.Application) (*model.LiveDiff, error) {
		d, err := c.ApplicationDiff(cmd.Context(), app.Project, app.Name)
		if err == nil {
			isDifferent = isDifferent || len(d.Application.Objects)+len(d.Failed) > 0 || d.Application.Broken != ""
		}
		return d, err
	}, func(_ model.Application, d *model.LiveDiff) error { return a.printLiveDiff(d) })
	if err != nil {
		return aboveOne(a.explain(err))
	}
	if isDifferent {
		return &failure{code: client.ExitFailed} // the answer, not a failure: nothing is said
	}
	return nil
}

func (a *App) printLiveDiff(d *model.LiveDiff) error {
	coloured := a.isColoured(a.Terminal.Stdout)
	lines := []string{fmt.Sprintf("%s/%s against %s", d.Project, d.Application.Name, short(d.Revision))}
	switch {
	case d.Application.Broken != "":
		lines = append(lines, "  cannot be rendered, so nothing would be applied: "+d.Application.Broken)
	case len(d.Application.Objects)+len(d.Failed) == 0:
		lines = append(lines, fmt.Sprintf("Nothing differs: %s as in Git.", counted(d.Application.Unchanged, "object")))
	}
	lines = append(lines, changeLines(&d.Application, coloured)...)
	for _, f := range d.Failed {
		lines = append(lines, "", paint(fmt.Sprintf("%s %s would be refused: %s", f.Kind, f.Name, f.Message), red, coloured))
	}
	for i, line := range lines {
		lines[i] = strings.TrimRight(line, " ")
	}
	return a.print("%s", strings.Join(lines, "\n"))
}

func (a *App) driftCommand() *cobra.Command {
	var out *output
	var flags driftFlags
	var w *waitFlags
	cmd := &cobra.Command{
		Use:   "drift [PROJECT/]STAGE|APPLICATION",
		Short: "Show who changed what in the cluster, and what became of it",
		Long: `Show the last 20 changes that somebody made to the objects of a Stage or Application in its cluster:
the field, what Git says, what was found, who did it, and whether it was taken back.

--revert takes back a change that was left alone. The object is applied whole, so other changes of its
fields go too; waybill diff --live shows them. It needs the verb sync on the Application.

--accept writes the live value into the file that declares it, on the Stage's branch, in a commit that names
you. Nothing else may change by it: what cannot be written so is refused with the reason, and so are images
(promote them) and secrets. It needs the verb accept on the Application, and bypass on a Stage that requires
approvals.

Exit codes: 0 the cluster is as Git says; 1 it differs and is not being healed; above 1 an error.`,
		Example: `  waybill drift guestbook/prod
  waybill drift guestbook/prod -o json
  waybill drift guestbook/prod --revert spec.replicas --wait
  waybill drift guestbook/prod --revert deployment/web
  waybill drift guestbook/prod --accept spec.replicas --reason "load test showed that one is not enough"`,
		Args:              exactArgs("[PROJECT/]STAGE|APPLICATION"),
		ValidArgsFunction: a.completeStage(0),
		RunE: func(cmd *cobra.Command, args []string) error {
			if done, err := a.acceptOrRevert(cmd, args[0], flags, w, out); done {
				return err
			}
			isDrifting := false
			err := eachApplication(a, cmd, args[0], out, func(_ *client.Client, app model.Application) (model.Application, error) {
				isDrifting = isDrifting || app.Drifting
				return app, nil
			}, func(_ model.Application, app model.Application) error { return a.printDrift(&app) })
			if err != nil {
				return aboveOne(a.explain(err))
			}
			if isDrifting {
				return &failure{code: client.ExitFailed} // the answer, not a failure: nothing is said
			}
			return nil
		},
	}
	out = outputFlag(cmd, "table", "json", "yaml")
	w = addWaitFlags(cmd, "with --revert: until it is taken back")
	cmd.Flags().StringVar(&flags.accept, "accept", "", "commit changes of this FIELD, or of the object KIND/NAME")
	cmd.Flags().StringVar(&flags.reason, "reason", "", "why it is accepted, for the commit and the history")
	cmd.Flags().StringVar(&flags.revert, "revert", "", "take back changes of this FIELD, or of the object KIND/NAME")
	return cmd
}

func (a *App) printDrift(app *model.Application) error {
	if pause := app.HealingPaused; pause.Name != "" {
		a.say("Healing of %s/%s is paused by %s%s: %s", app.Project, app.Name, person(pause.By), untilText(&pause), pause.Reason)
	}
	if len(app.Drifts) == 0 {
		a.say("Nobody changed what %s/%s applied.", app.Project, app.Name)
		return nil
	}
	t := table{heads: []string{"WHEN", "OBJECT", "FIELD", "GIT", "FOUND", "BY", "ACTION"}}
	for _, d := range app.Drifts {
		field, found := d.Field, d.Got
		if field == "" {
			field, found = "(the object)", firstOf(found, "deleted")
		}
		t.add(text(a.age(d.At)+" ago"), text(d.Kind+"/"+d.Name), text(field), text(d.Want), text(found), text(d.Manager), driftCell(d.Action))
	}
	if err := a.printTable(t); err != nil {
		return err
	}
	switch {
	case app.Drifting && app.HealingPaused.Name != "":
		a.say("The cluster differs from Git until then. To heal at once: waybill resume %s/%s --heal", app.Project, app.Stage)
	case app.Drifting:
		a.say("The cluster differs from Git and is left as it is: waybill diff --live %s/%s", app.Project, app.Name)
	}
	return nil
}

func driftCell(action string) cell {
	switch action {
	case "Healed":
		return cell{text: action, style: green}
	case "Contested":
		return cell{text: action, style: red}
	default:
		return cell{text: action, style: yellow}
	}
}
