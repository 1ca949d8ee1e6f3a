package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/waybill-dev/waybill/api/client"
	"github.com/waybill-dev/waybill/internal/browser"
)

// App is one run of the command line: where it reads and writes, and what it
// knows of its surroundings.
type App struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Getenv reads the environment.
	Getenv func(string) string
	// ConfigDir returns the directory of the user's configuration files.
	ConfigDir func() (string, error)
	// HomeDir returns the user's home directory.
	HomeDir func() (string, error)
	// Executable returns the path of the running program; waybilld and
	// waybill-kube are looked for beside it.
	Executable func() (string, error)
	// Now is the clock.
	Now func() time.Time
	// Terminal says whether standard output, standard error and standard input
	// are terminals.
	Terminal Terminal
	// OpenBrowser shows an address in the person's browser; an error when nobody
	// would see it.
	OpenBrowser func(ctx context.Context, address string) error
	// Version and Commit of this build.
	Version, Commit string

	flags   globalFlags
	running bool // a command's own code has begun: what fails now is no usage error
}

// Terminal says which streams a person looks at.
type Terminal struct {
	Stdin, Stdout, Stderr bool
}

// globalFlags are those every command has.
type globalFlags struct {
	context, server, project string
}

// New returns an App on the process's own streams, environment and clock.
func New(version, commit string) *App {
	isTerminal := func(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }
	return &App{
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		Getenv: os.Getenv, ConfigDir: os.UserConfigDir, HomeDir: os.UserHomeDir, Executable: os.Executable,
		OpenBrowser: func(ctx context.Context, address string) error { return browser.Open(ctx, address, os.Getenv) },
		Now:         time.Now,
		Terminal:    Terminal{Stdin: isTerminal(os.Stdin), Stdout: isTerminal(os.Stdout), Stderr: isTerminal(os.Stderr)},
		Version:     version, Commit: commit,
	}
}

// Run does what args (without the program's name) say and returns the exit
// code. SIGINT and SIGTERM end it in good order.
func (a *App) Run(ctx context.Context, args []string) int {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second Ctrl-C ends the process at once.
	context.AfterFunc(ctx, stop)

	root := a.root()
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return client.ExitDone
	}
	var f *failure
	if !a.running && !errors.As(err, &f) {
		err = usage(cmd, err.Error())
	}
	return a.fail(err)
}

// root builds the tree of commands.
func (a *App) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "waybill",
		Short: "Move software from a registry to production on Kubernetes, and keep it there",
		Long: `Waybill watches registries, writes each new version to one Git branch per Stage, keeps
the clusters equal to the branches, and takes a bad version back by itself.

STAGE is written PROJECT/STAGE, or STAGE with -p PROJECT or a Project in the context.
FREIGHT is a version, an alias, the start of a name, latest, prev or @STAGE (what runs there).

Exit codes, the same in every verb: 0 done; 1 the answer is no, or it failed; 2 usage, bad
manifest or server unreachable; 3 not found; 4 not signed in or forbidden; 5 conflict or plan changed;
6 waited too long, it goes on; 7 blocked by a gate; 130 interrupted.`,
		SilenceErrors: true, SilenceUsage: true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return usage(cmd, unknownCommand(cmd, args[0]))
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRun: func(*cobra.Command, []string) {
			a.running = true
		},
	}
	root.SetIn(a.Stdin)
	root.SetOut(a.Stdout)
	root.SetErr(a.Stderr)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usage(cmd, err.Error()) })
	flags := root.PersistentFlags()
	flags.StringVarP(&a.flags.project, "project", "p", "", "Project of names that carry none (env WAYBILL_PROJECT)")
	flags.StringVar(&a.flags.context, "context", "", "context to use instead of the current one (env WAYBILL_CONTEXT)")
	flags.StringVar(&a.flags.server, "server", "", "server to use instead of the context's (env WAYBILL_SERVER, WAYBILL_TOKEN)")
	_ = root.RegisterFlagCompletionFunc("project", a.completeProjects)
	_ = root.RegisterFlagCompletionFunc("context", a.completeContexts)

	group := func(id, title string, commands ...*cobra.Command) {
		root.AddGroup(&cobra.Group{ID: id, Title: title})
		for _, c := range commands {
			c.GroupID = id
			root.AddCommand(c)
		}
	}
	group("deliver", "Deliver:", a.promoteCommand(), a.approveCommand(), a.revokeCommand(), a.rollbackCommand(), a.holdCommand(), a.resumeCommand(),
		a.freezeCommand(), a.thawCommand(), a.rejectCommand(), a.unrejectCommand(), a.refreshCommand(), a.syncCommand(), a.freightCommand(), a.abortCommand(), a.retryCommand(), a.verifyCommand())
	group("look", "Look:", a.statusCommand(), a.inboxCommand(), a.describeCommand(), a.diffCommand(), a.driftCommand(), a.treeCommand(), a.traceCommand(), a.eventsCommand(), a.whyCommand(), a.historyCommand(), a.timelineCommand(), a.insightsCommand(), a.auditCommand(), a.watchCommand(), a.logsCommand(), a.getCommand(), a.healthCommand(), a.observeCommand())
	group("define", "Define:", a.applyCommand(), a.lintCommand(), a.editCommand(), a.exportCommand(), a.importCommand(), a.deleteCommand())
	group("operate", "Operate:", a.localCommand(), a.clusterCommand(), a.repoCommand(), a.registryCommand(), a.notifyCommand(), a.doctorCommand())
	group("access", "Access:", a.loginCommand(), a.logoutCommand(), a.whoamiCommand(), a.canICommand(), a.tokenCommand(), a.userCommand(), a.contextCommand())
	root.AddGroup(&cobra.Group{ID: "tools", Title: "Tools:"})
	root.SetHelpCommandGroupID("tools")
	root.SetCompletionCommandGroupID("tools")
	version := a.versionCommand()
	version.GroupID = "tools"
	root.AddCommand(version)
	return root
}

// unknownCommand says that there is no such command, and which one may have
// been meant.
func unknownCommand(cmd *cobra.Command, name string) string {
	text := fmt.Sprintf("there is no command %q", name)
	if near := cmd.SuggestionsFor(name); len(near) > 0 {
		text += "; did you mean " + strings.Join(near, " or ") + "?"
	}
	return text
}

// client returns a client for the server of this run, signed in.
func (a *App) client() (*client.Client, Context, error) {
	x, err := a.context()
	if err != nil {
		return nil, x, err
	}
	c, err := a.clientFor(x)
	return c, x, err
}

func (a *App) clientFor(x Context) (*client.Client, error) {
	c, err := client.New(client.Options{Server: x.Server, Token: x.Token, UserAgent: "waybill/" + a.Version})
	if err != nil {
		return nil, &failure{code: client.ExitUsage, what: err.Error()}
	}
	return c, nil
}

// say writes a line to standard error: progress, notes and hints.
func (a *App) say(format string, args ...any) {
	_, _ = fmt.Fprintf(a.Stderr, format+"\n", args...)
}

// print writes a line of data to standard output.
func (a *App) print(format string, args ...any) error {
	_, err := fmt.Fprintf(a.Stdout, format+"\n", args...)
	return err
}

// isColoured reports whether a stream gets colours: a terminal does, unless
// NO_COLOR (https://no-color.org) or TERM=dumb say otherwise; CLICOLOR_FORCE
// turns them on anywhere.
func (a *App) isColoured(isTerminal bool) bool {
	switch {
	case a.Getenv("NO_COLOR") != "":
		return false
	case a.Getenv("CLICOLOR_FORCE") != "" && a.Getenv("CLICOLOR_FORCE") != "0":
		return true
	default:
		return isTerminal && a.Getenv("TERM") != "dumb"
	}
}
