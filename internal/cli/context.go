package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/api/client"
)

func (a *App) contextCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "context",
		Short: "List, choose and forget servers",
		Example: `  waybill context                    # list
  waybill context use staging        # another server from now on
  waybill context project guestbook  # STAGE means guestbook/STAGE from now on`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.listContexts(&output{format: "table"}) },
	}
	cmd.AddCommand(a.contextListCommand(), a.contextUseCommand(), a.contextProjectCommand(), a.contextDeleteCommand())
	return cmd
}

func (a *App) contextListCommand() *cobra.Command {
	var out *output
	cmd := &cobra.Command{
		Use: "list", Short: "List the contexts", Args: exactArgs(),
		Example: `  waybill context list
  waybill context list -o name`,
		RunE: func(*cobra.Command, []string) error { return a.listContexts(out) },
	}
	out = outputFlag(cmd, "table", "json", "yaml", "name")
	return cmd
}

// shownContext is a Context as it is printed: never with its token.
type shownContext struct {
	Name     string `json:"name"`
	Current  bool   `json:"current"`
	Server   string `json:"server"`
	User     string `json:"user,omitempty"`
	Project  string `json:"project,omitempty"`
	SignedIn bool   `json:"signedIn"`
}

func (a *App) listContexts(out *output) error {
	config, err := a.loadConfig()
	if err != nil {
		return err
	}
	shown := make([]shownContext, 0, len(config.Contexts))
	for _, x := range config.Contexts {
		shown = append(shown, shownContext{Name: x.Name, Current: x.Name == config.Current, Server: x.Server,
			User: x.User, Project: x.Project, SignedIn: x.Token != ""})
	}
	switch {
	case out.isMachine():
		return out.encode(a.Stdout, map[string]any{"items": shown})
	case len(shown) == 0:
		a.say("No contexts yet: waybill login URL, or waybill local up --demo for a server on this machine.")
		return nil
	}
	t := table{heads: []string{"CURRENT", "NAME", "SERVER", "USER", "PROJECT"}}
	for _, x := range shown {
		if out.format == "name" {
			if err := a.print("%s", x.Name); err != nil {
				return err
			}
			continue
		}
		mark, user := "", x.User
		if x.Current {
			mark = "*"
		}
		if !x.SignedIn {
			user = "signed out"
		}
		t.add(text(mark), text(x.Name), text(x.Server), text(user), text(x.Project))
	}
	if out.format == "name" {
		return nil
	}
	return a.printTable(t)
}

func (a *App) contextUseCommand() *cobra.Command {
	return &cobra.Command{
		Use: "use NAME", Short: "Make a context the current one", Args: exactArgs("NAME"),
		Example:           "  waybill context use staging",
		ValidArgsFunction: a.completeContexts,
		RunE: func(_ *cobra.Command, args []string) error {
			return a.changeContext(args[0], func(config *Config, x Context) {
				config.set(x)
				a.say("Context %q is current: %s.", x.Name, x.Server)
			})
		},
	}
}

func (a *App) contextProjectCommand() *cobra.Command {
	return &cobra.Command{
		Use: "project PROJECT", Short: "Set the Project of names that carry none", Args: exactArgs("PROJECT"),
		Example:           "  waybill context project guestbook",
		ValidArgsFunction: a.completeProjects,
		RunE: func(_ *cobra.Command, args []string) error {
			x, err := a.context()
			if err != nil {
				return err
			}
			return a.changeContext(x.Name, func(config *Config, x Context) {
				current := config.Current
				x.Project = args[0]
				config.set(x)
				config.Current = current
				a.say("In context %q, STAGE means %s/STAGE.", x.Name, x.Project)
			})
		},
	}
}

func (a *App) contextDeleteCommand() *cobra.Command {
	return &cobra.Command{
		Use: "delete NAME", Short: "Forget a context and its token", Args: exactArgs("NAME"),
		Example:           "  waybill context delete staging",
		ValidArgsFunction: a.completeContexts,
		RunE: func(_ *cobra.Command, args []string) error {
			return a.changeContext(args[0], func(config *Config, x Context) {
				config.remove(x.Name)
				a.say("Context %q is forgotten.", x.Name)
			})
		},
	}
}

// changeContext changes the named context in the file.
func (a *App) changeContext(name string, change func(*Config, Context)) error {
	config, err := a.loadConfig()
	if err != nil {
		return err
	}
	x, found := config.find(name)
	if !found {
		return &failure{code: client.ExitNotFound, what: fmt.Sprintf("there is no context %q", name), why: contextNames(config)}
	}
	change(&config, x)
	return a.saveConfig(config)
}
