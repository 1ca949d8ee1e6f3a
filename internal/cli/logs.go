package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/api/client"
	"github.com/waybill-dev/waybill/api/rest/model"
)

func (a *App) logsCommand() *cobra.Command {
	var isPods bool
	var f client.LogFilter
	cmd := &cobra.Command{
		Use:   "logs [PROJECT/]PROMOTION|STAGE [CHECK|STEP]",
		Short: "Print what the Jobs of steps and checks, or with --pods containers, wrote",
		Long: `Print the end of what the Jobs of a promotion's steps and checks wrote, as far as the node gave it. The
promotion is named itself, or as the last one into a Stage.

With --pods, print what the containers of a Stage or Application wrote last; KIND/NAME instead of CHECK
narrows that to one object and the Pods it owns. It needs the verb logs on the Application.`,
		Example: `  waybill logs guestbook/prod
  waybill logs guestbook/prod smoke
  waybill logs --pods guestbook/prod
  waybill logs --pods guestbook/prod deployment/guestbook --lines 20 -c web`,
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: a.completeStage(0),
		RunE: func(cmd *cobra.Command, args []string) error {
			if isPods {
				return a.podLogs(cmd, args, f)
			}
			c, found, err := a.promotionOf(cmd, args[0])
			if err != nil {
				return err
			}
			p, err := c.Promotion(cmd.Context(), found.Project, found.Name) // lists carry no logs
			if err != nil {
				return err
			}
			return a.printLogs(p, args[1:])
		},
	}
	cmd.Flags().BoolVar(&isPods, "pods", false, "what the containers of a Stage or Application wrote")
	cmd.Flags().StringVarP(&f.Container, "container", "c", "", "with --pods: only this container")
	cmd.Flags().IntVar(&f.Lines, "lines", 0, "with --pods: how many lines of each container (default 100)")
	return cmd
}

// podLogs prints what the containers of Applications wrote.
func (a *App) podLogs(cmd *cobra.Command, args []string, f client.LogFilter) error {
	if len(args) > 1 {
		var isPair bool
		if f.Kind, f.Name, isPair = strings.Cut(args[1], "/"); !isPair || f.Kind == "" || f.Name == "" {
			return usagef(cmd, "%q does not name an object: write KIND/NAME, such as deployment/web", args[1])
		}
	}
	c, x, err := a.client()
	if err != nil {
		return err
	}
	apps, err := a.applications(cmd, c, x, args[0])
	if err != nil {
		return err
	}
	printed := 0
	var missing error
	for _, app := range apps {
		logs, err := c.ApplicationLogs(cmd.Context(), app.Project, app.Name, f)
		if client.Code(err) == model.NotFound && len(apps) > 1 {
			missing = err // it may be in the next
			continue
		}
		if err != nil {
			return err
		}
		for _, l := range logs.Items {
			printed++
			if err := a.print("==> %s %s", l.Pod, l.Container); err != nil {
				return err
			}
			if l.Missing != "" {
				a.say("  %s", l.Missing)
				continue
			}
			if err := a.print("%s", strings.TrimSuffix(printable(l.Text), "\n")); err != nil {
				return err
			}
		}
		if logs.Cut {
			a.say("There are more containers; name an object to see one of them.")
		}
	}
	if printed == 0 && missing != nil {
		return missing
	}
	if printed == 0 {
		a.say("No container runs.")
	}
	return nil
}

// printLogs prints the log of one step or check, or of all under their names.
func (a *App) printLogs(p *model.Promotion, only []string) error {
	type entry struct{ name, title, log string }
	var all []entry
	for _, s := range p.Steps {
		all = append(all, entry{s.Name, string(s.State), s.Log})
	}
	for _, c := range p.Verification.Checks {
		all = append(all, entry{c.Name, firstOf(c.Value, string(c.Phase)), c.Log})
	}
	printed := false
	for _, e := range all {
		if len(only) > 0 && e.name != only[0] || e.log == "" {
			continue
		}
		if len(only) == 0 {
			if err := a.print("==> %s: %s", e.name, e.title); err != nil {
				return err
			}
		}
		if err := a.print("%s", strings.TrimSuffix(printable(e.log), "\n")); err != nil {
			return err
		}
		printed = true
	}
	switch {
	case printed:
		return nil
	case len(only) > 0:
		return notFound(fmt.Sprintf("there is no log of a step or check %q in %s", only[0], p.Name), fmt.Sprintf("waybill get promotions -p %s -o yaml", p.Project))
	default:
		a.say("No step or check of %s has written a log.", p.Name)
		return nil
	}
}

// printable drops what a terminal would obey: a log is somebody else's text.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && (r < 0x20 || r >= 0x7f && r < 0xa0) {
			return -1
		}
		return r
	}, s)
}
