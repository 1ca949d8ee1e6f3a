package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/api/client"
)

// target is a Stage, Warehouse or Promotion of a Project.
type target struct{ project, name string }

func (t target) String() string { return t.project + "/" + t.name }

// target reads PROJECT/NAME, or NAME with the Project of flag, environment or
// context. what says what NAME is, for the error.
func (a *App) target(cmd *cobra.Command, x Context, arg, what string) (target, error) {
	project, name, isFull := strings.Cut(arg, "/")
	if !isFull {
		project, name = x.Project, arg
	}
	switch {
	case name == "" || project == "" && isFull || strings.Contains(name, "/"):
		return target{}, usagef(cmd, "%q does not name a %s: write PROJECT/%s", arg, what, strings.ToUpper(what))
	case project == "":
		f := usagef(cmd, "which Project is %q in?", arg)
		f.next = []string{fmt.Sprintf("write PROJECT/%s, or add -p PROJECT", arg), "waybill context project PROJECT   # for all commands from now on"}
		return target{}, f
	case isFull && a.flags.project != "" && a.flags.project != project:
		return target{}, usagef(cmd, "%q is not in the Project %q that -p names", arg, a.flags.project)
	}
	return target{project: project, name: name}, nil
}

// needProject returns the Project of the argument, the flag, the environment
// or the context.
func (a *App) needProject(cmd *cobra.Command, x Context, args []string) (string, error) {
	if len(args) > 0 {
		return args[0], nil
	}
	if x.Project != "" {
		return x.Project, nil
	}
	f := usagef(cmd, "which Project?")
	f.next = []string{"add -p PROJECT", "waybill get projects"}
	return "", f
}

// exactArgs is cobra.ExactArgs with an error that names what is missing; names
// are those in the command's Use line.
func exactArgs(names ...string) cobra.PositionalArgs { return rangeArgs(len(names), names...) }

// rangeArgs asks for at least least of the named arguments.
func rangeArgs(least int, names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < least {
			missing := strings.Join(names[len(args):least], " and ")
			verb := "is"
			if least-len(args) > 1 {
				verb = "are"
			}
			return usagef(cmd, "%s %s missing: %s", missing, verb, useLine(cmd))
		}
		if len(args) > len(names) {
			return usagef(cmd, "%q is one argument too many: %s", args[len(names)], useLine(cmd))
		}
		return nil
	}
}

// useLine is the command with its arguments.
func useLine(cmd *cobra.Command) string {
	if cmd.HasParent() {
		return cmd.Parent().CommandPath() + " " + cmd.Use
	}
	return cmd.Use
}

// notFound is a failure for a thing that is not there.
func notFound(what string, next ...string) *failure {
	return &failure{code: client.ExitNotFound, what: what, next: next}
}
