package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/api/client"
	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/internal/local"
)

func (a *App) localCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "local",
		Short: "Run Waybill on this machine, without containers",
		Long: `Run Waybill on this machine, without containers: the server, a Kubernetes control plane and,
with --demo, a Git server, a registry and a sample Project. Everything listens on 127.0.0.1 and
keeps its data in one directory.`,
		Example: `  waybill local up --demo
  waybill local push 1.27.0
  waybill local down`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.localUpCommand(), a.localDownCommand(), a.localPushCommand(), a.localStatusCommand())
	return cmd
}

// dataFlag adds --data; the value is completed by dataDir.
func dataFlag(cmd *cobra.Command) *string {
	return cmd.Flags().String("data", "", "data directory (default: waybill in $XDG_DATA_HOME or ~/.local/share)")
}

func (a *App) dataDir(flag string) (string, error) {
	if flag != "" {
		return filepath.Abs(flag)
	}
	return local.DefaultDataDir(a.Getenv, a.HomeDir)
}

// upFlags are those of local up.
type upFlags struct {
	demo, detach, supervised bool
	port                     int
	kubeconfig               string
	data                     *string
	out                      *output
}

func (a *App) localUpCommand() *cobra.Command {
	var f upFlags
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Start Waybill, sign in and make it the current context",
		Long: fmt.Sprintf(`Start Waybill on this machine, sign in and make it the current context. It stays in the
foreground until Ctrl-C; with --detach it returns when Waybill is ready. The data stays, and
the next up with the same directory goes on with it.

It uses %d consecutive ports: server, registry, Git, Kubernetes, etcd.`, local.PortCount),
		Example: `  waybill local up --demo
  waybill local up --demo --detach --data /tmp/waybill -o json
  waybill local up --port 9000
  waybill local up --kubeconfig ~/.kube/config   # an existing cluster`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.localUp(cmd, f) },
	}
	f.data = dataFlag(cmd)
	f.out = outputFlag(cmd, "table", "json")
	cmd.Flags().BoolVar(&f.demo, "demo", false, "with a Git server, a registry and the sample Project guestbook")
	cmd.Flags().BoolVarP(&f.detach, "detach", "d", false, "return when it is ready and leave it running")
	cmd.Flags().IntVar(&f.port, "port", 0, fmt.Sprintf("first port (default: that of the last start, else %d)", local.DefaultPort))
	cmd.Flags().StringVar(&f.kubeconfig, "kubeconfig", "", "use an existing cluster instead of an own control plane")
	cmd.Flags().BoolVar(&f.supervised, "supervised", false, "")
	_ = cmd.Flags().MarkHidden("supervised") // how --detach starts this program again
	return cmd
}

func (a *App) localUp(cmd *cobra.Command, f upFlags) error {
	dataDir, err := a.dataDir(*f.data)
	if err != nil {
		return err
	}
	executable, err := a.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	if f.detach && !f.supervised {
		return a.localDetach(cmd.Context(), executable, dataDir, f)
	}
	binaries, err := local.FindBinaries(executable, f.kubeconfig == "")
	if err != nil {
		return explainLocal(err, dataDir)
	}
	up := &localUp{app: a, flags: f, dataDir: dataDir}
	if f.supervised {
		up.reporter = local.NewReporter()
		defer up.reporter.Close()
	}
	err = explainLocal(up.run(cmd.Context(), binaries), dataDir)
	switch {
	case up.reporter != nil && err != nil:
		x := a.explain(err)
		up.reporter.Send(local.Report{Failure: &local.Failure{Code: x.code, What: x.what, Why: x.why, Next: x.next}})
	case up.reporter != nil:
	case err == nil && up.isUp && cmd.Context().Err() != nil:
		a.say("Stopped. The data is in %s; start it again with: %s", tilde(a, dataDir), up.againLine())
	case cmd.Context().Err() != nil:
		a.say("Interrupted; everything that was started is stopped.")
	}
	return err
}

// localUp is one start, seen from the command line.
type localUp struct {
	app      *App
	flags    upFlags
	dataDir  string
	reporter *local.Reporter // nil in the foreground
	isUp     bool
}

// run starts the instance and stays until it is interrupted, unless it runs
// already.
func (u *localUp) run(ctx context.Context, binaries local.Binaries) error {
	err := local.Up(ctx, local.Options{
		DataDir: u.dataDir, Port: u.flags.port, Demo: u.flags.demo, Kubeconfig: u.flags.kubeconfig, Binaries: binaries,
		Progress: u.progress,
	}, u.ready)
	var running *local.RunningError
	if errors.As(err, &running) {
		return u.alreadyRuns(ctx, running.Instance)
	}
	return err
}

func (u *localUp) progress(text string) {
	u.app.say("  %s", text)
	if u.reporter != nil {
		u.reporter.Send(local.Report{Progress: text})
	}
}

// ready signs in, applies the demo's definitions as a person would, and says
// where everything is.
func (u *localUp) ready(ctx context.Context, i local.Instance, applied bool) error {
	c, err := u.app.signInLocally(ctx, i, u.dataDir)
	if err != nil {
		return err
	}
	if i.GitURL != "" && !applied {
		u.progress("applying the sample Project " + local.DemoProject)
		if err := u.app.applyDemo(ctx, c, i); err != nil {
			return err
		}
	}
	u.isUp = true
	if u.reporter != nil {
		u.reporter.Send(local.Report{Ready: &i})
		u.reporter.Close()
		return nil
	}
	return u.app.sayWhere(i, u.flags)
}

func (u *localUp) alreadyRuns(ctx context.Context, i local.Instance) error {
	a := u.app
	if asked := fmt.Sprintf("127.0.0.1:%d", u.flags.port); u.flags.port != 0 && i.Server != "http://"+asked {
		return &failure{code: client.ExitConflict, what: fmt.Sprintf("Waybill runs there already, at %s", i.Server),
			next: []string{"waybill local down --data " + u.dataDir + "   # first, to move it to other ports"}}
	}
	if _, err := a.signInLocally(ctx, i, u.dataDir); err != nil {
		return err
	}
	if u.reporter != nil {
		u.reporter.Send(local.Report{Ready: &i})
		return nil
	}
	a.say("Waybill runs already.")
	return a.sayWhere(i, u.flags)
}

func (u *localUp) againLine() string {
	line := "waybill local up"
	if u.flags.demo {
		line += " --demo"
	}
	if *u.flags.data != "" {
		line += " --data " + *u.flags.data
	}
	return line
}

// localDetach starts this program again as a supervisor in the background and
// relays its progress until it is ready.
func (a *App) localDetach(ctx context.Context, executable, dataDir string, f upFlags) error {
	args := []string{"local", "up", "--supervised", "--data", dataDir}
	if f.demo {
		args = append(args, "--demo")
	}
	if f.port != 0 {
		args = append(args, "--port", fmt.Sprint(f.port))
	}
	if f.kubeconfig != "" {
		path, err := filepath.Abs(f.kubeconfig)
		if err != nil {
			return fmt.Errorf("kubeconfig %q: %w", f.kubeconfig, err)
		}
		args = append(args, "--kubeconfig", path)
	}
	var ready *local.Instance
	var failed *local.Failure
	err := local.Detach(ctx, executable, args, dataDir, func(r local.Report) {
		switch {
		case r.Progress != "":
			a.say("  %s", r.Progress)
		case r.Failure != nil:
			failed = r.Failure
		case r.Ready != nil:
			ready = r.Ready
		}
	})
	switch {
	case failed != nil:
		return &failure{code: failed.Code, what: failed.What, why: failed.Why, next: failed.Next}
	case ctx.Err() != nil:
		a.say("Interrupted; everything that was started is stopped.")
		return &failure{code: client.ExitInterrupted}
	case err != nil:
		return explainLocal(err, dataDir)
	}
	return a.sayWhere(*ready, f)
}

// signInLocally writes the context of the instance, signed in, and makes it
// current. A token that still works is kept.
func (a *App) signInLocally(ctx context.Context, i local.Instance, dataDir string) (*client.Client, error) {
	standard, err := local.DefaultDataDir(a.Getenv, a.HomeDir)
	if err != nil {
		return nil, err
	}
	x := Context{Name: "local", Server: i.Server, User: i.User}
	if dataDir != standard {
		x.Name = "local-" + i.Server[strings.LastIndexByte(i.Server, ':')+1:]
	}
	config, err := a.loadConfig()
	if err != nil {
		return nil, err
	}
	c, err := a.clientFor(x)
	if err != nil {
		return nil, err
	}
	if before, found := config.find(x.Name); found && before.Server == x.Server && before.Token != "" {
		x.Project = before.Project
		if _, err := c.WithToken(before.Token).Me(ctx); err == nil {
			x.Token = before.Token
		}
	}
	if x.Token == "" {
		result, err := c.Login(ctx, i.User, i.Password, "waybill local up")
		if err != nil {
			return nil, fmt.Errorf("sign in to %s: %w", i.Server, err)
		}
		x.Token = result.Token
	}
	config.set(x)
	return c.WithToken(x.Token), a.saveConfig(config)
}

// applyDemo applies the sample Project's definitions.
func (a *App) applyDemo(ctx context.Context, c *client.Client, i local.Instance) error {
	manifests, err := i.DemoManifests()
	if err != nil {
		return err
	}
	files := make([]model.ManifestFile, len(manifests))
	for n, m := range manifests {
		files[n] = model.ManifestFile{Name: m.Name, Content: m.Content}
	}
	result, err := c.Apply(ctx, files, client.ApplyOptions{})
	if err != nil {
		return fmt.Errorf("apply the sample Project: %w", err)
	}
	if failed := applyFailure(result); failed != nil {
		for _, d := range result.Items {
			if d.Action == model.DocumentResultActionFailed {
				a.sayDocument(d, strings.ToLower(d.Kind)+"/"+d.Name)
			}
		}
		return fmt.Errorf("apply the sample Project: %w", failed)
	}
	return nil
}

// sayWhere says where to look and what to type next.
func (a *App) sayWhere(i local.Instance, f upFlags) error {
	if f.out.format == "json" {
		return f.out.encode(a.Stdout, i)
	}
	rows := [][2]string{
		{"  Dashboard", i.Server},
		{"  Sign in", i.User + ", password: cat " + tilde(a, i.PasswordFile())},
	}
	if i.GitURL != "" {
		rows = append(rows, [2]string{"  Git", i.GitURL}, [2]string{"  Registry", i.Registry})
	}
	if kubectl := i.Kubectl(); kubectl != "" {
		rows = append(rows, [2]string{"  kubectl", tilde(a, kubectl)})
	}
	rows = append(rows,
		[2]string{"", "export KUBECONFIG=" + tilde(a, i.Kubeconfig)},
		[2]string{"  Logs", tilde(a, i.Logs())})
	return a.print("\nWaybill is ready.\n\n%s\nType next\n%s%s", columns(rows), columns(a.nextLines(i, f)), a.lastLine(i, f))
}

// nextLines are commands to type, with what each does.
func (a *App) nextLines(i local.Instance, f upFlags) [][2]string {
	data := ""
	if *f.data != "" {
		data = " --data " + *f.data
	}
	rows := [][2]string{
		{"  waybill apply -f examples/guestbook", "a first Project, once the addresses in it are yours"},
		{"  waybill status", "see what runs where"},
	}
	if i.GitURL != "" {
		rows = [][2]string{
			{"  waybill status guestbook -w", "see what runs where"},
			{"  waybill local push 1.27.0" + data, "publish a new image: it reaches test and uat by itself"},
			{"  waybill promote latest guestbook/prod --wait", "take it to prod"},
			{"  waybill local push 1.27.1 --broken" + data, "publish one that crashes: it is taken back by itself"},
		}
	}
	if f.detach {
		rows = append(rows, [2]string{"  waybill local down" + data, "stop it; the data stays"})
	}
	return rows
}

func (a *App) lastLine(i local.Instance, f upFlags) string {
	if f.detach {
		return ""
	}
	return "\nCtrl-C stops it; the data stays in " + tilde(a, i.DataDir) + "."
}

// columns puts the second of each pair below the others.
func columns(rows [][2]string) string {
	width := 0
	for _, r := range rows {
		width = max(width, len(r[0]))
	}
	var b strings.Builder
	for _, r := range rows {
		fmt.Fprintf(&b, "%-*s   %s\n", width, r[0], r[1])
	}
	return b.String()
}

// tilde writes the home directory as ~, as a shell reads it.
func tilde(a *App, path string) string {
	home, err := a.HomeDir()
	if err != nil || home == "" || home == "/" {
		return path
	}
	if rest, found := strings.CutPrefix(path, home+string(filepath.Separator)); found {
		return "~/" + rest
	}
	return path
}

// explainLocal says what to do about the errors of local mode.
func explainLocal(err error, dataDir string) error {
	var missing *local.MissingBinaryError
	var taken *local.PortTakenError
	var busy *local.BusyError
	var stopped *local.NotRunningError
	switch {
	case errors.As(err, &missing):
		return &failure{code: client.ExitUsage, what: err.Error(), next: []string{"make build   # builds waybill, waybilld and waybill-kube into bin/"}}
	case errors.As(err, &taken):
		return &failure{code: client.ExitConflict, what: err.Error(),
			why:  []string{"Another Waybill may be running: waybill local status"},
			next: []string{fmt.Sprintf("waybill local up --port %d   # other ports, for this data directory from now on", taken.Base+100)}}
	case errors.As(err, &busy):
		return &failure{code: client.ExitConflict, what: err.Error(), next: []string{"wait a moment, then: waybill local status --data " + dataDir}}
	case errors.As(err, &stopped):
		return &failure{code: client.ExitNotFound, what: err.Error(), next: []string{"waybill local up --demo --data " + dataDir}}
	default:
		return err
	}
}

func (a *App) localDownCommand() *cobra.Command {
	var data *string
	cmd := &cobra.Command{
		Use:   "down",
		Short: "Stop Waybill on this machine; its data stays",
		Example: `  waybill local down
  waybill local down --data /tmp/waybill`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			dataDir, err := a.dataDir(*data)
			if err != nil {
				return err
			}
			ran, err := local.Down(cmd.Context(), dataDir, func(text string) { a.say("  %s", text) })
			switch {
			case err != nil:
				return explainLocal(err, dataDir)
			case ran:
				a.say("Stopped. The data is in %s.", tilde(a, dataDir))
			default:
				a.say("Waybill was not running in %s.", tilde(a, dataDir))
			}
			return nil
		},
	}
	data = dataFlag(cmd)
	return cmd
}

func (a *App) localStatusCommand() *cobra.Command {
	var data *string
	var out *output
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Say whether Waybill runs on this machine, and where",
		Long:  "Say whether Waybill runs on this machine, and where. The exit code is 1 when it does not.",
		Example: `  waybill local status
  waybill local status --data /tmp/waybill -o json`,
		Args: exactArgs(),
		RunE: func(*cobra.Command, []string) error {
			dataDir, err := a.dataDir(*data)
			if err != nil {
				return err
			}
			state, i, err := local.Status(dataDir)
			if err != nil {
				return err
			}
			if err := a.printLocalStatus(state, i, out); err != nil {
				return err
			}
			if state != local.Running {
				return &failure{code: client.ExitFailed}
			}
			return nil
		},
	}
	data = dataFlag(cmd)
	out = outputFlag(cmd, "table", "json", "yaml")
	return cmd
}

// printLocalStatus prints everything but the password.
func (a *App) printLocalStatus(state local.State, i local.Instance, out *output) error {
	shown := struct {
		State        local.State `json:"state"`
		Server       string      `json:"server,omitempty"`
		Kubeconfig   string      `json:"kubeconfig,omitempty"`
		Kubectl      string      `json:"kubectl,omitempty"`
		GitURL       string      `json:"gitURL,omitempty"`
		Registry     string      `json:"registry,omitempty"`
		User         string      `json:"user,omitempty"`
		PasswordFile string      `json:"passwordFile,omitempty"`
		DataDir      string      `json:"dataDir"`
	}{State: state, DataDir: i.DataDir}
	if state == local.Running {
		shown.Server, shown.Kubeconfig, shown.Kubectl, shown.GitURL, shown.Registry = i.Server, i.Kubeconfig, i.Kubectl(), i.GitURL, i.Registry
		shown.User, shown.PasswordFile = i.User, i.PasswordFile()
	}
	if out.isMachine() {
		return out.encode(a.Stdout, shown)
	}
	var t table
	for _, row := range [][2]string{
		{"State", string(shown.State)}, {"Server", shown.Server}, {"User", shown.User}, {"Password in", tilde(a, shown.PasswordFile)},
		{"Kubeconfig", tilde(a, shown.Kubeconfig)}, {"kubectl", tilde(a, shown.Kubectl)}, {"Git", shown.GitURL}, {"Registry", shown.Registry},
		{"Data", tilde(a, shown.DataDir)},
	} {
		if row[1] != "" {
			t.add(text(row[0]), text(row[1]))
		}
	}
	return a.printTable(t)
}

func (a *App) localPushCommand() *cobra.Command {
	var data *string
	var out *output
	var broken bool
	cmd := &cobra.Command{
		Use:   "push TAG",
		Short: "Publish a new image of the demo and wake its Warehouse",
		Example: `  waybill local push 1.27.0
  waybill local push 1.27.1 --broken   # its containers crash`,
		Args: exactArgs("TAG"),
		RunE: func(cmd *cobra.Command, args []string) error {
			dataDir, err := a.dataDir(*data)
			if err != nil {
				return err
			}
			state, i, err := local.Status(dataDir)
			if err != nil {
				return err
			}
			if state != local.Running {
				return explainLocal(&local.NotRunningError{DataDir: dataDir, State: state}, dataDir)
			}
			if i.Registry == "" {
				return &failure{code: client.ExitConflict, what: "this Waybill runs without the demo, so it has no registry of its own",
					next: []string{"waybill local down && waybill local up --demo"}}
			}
			pushed, err := local.Push(cmd.Context(), i, args[0], broken)
			if err != nil {
				return err
			}
			if err := a.printPushed(pushed, out); err != nil {
				return err
			}
			return a.wakeDemo(cmd.Context(), i)
		},
	}
	data = dataFlag(cmd)
	out = outputFlag(cmd, "table", "json", "name")
	cmd.Flags().BoolVar(&broken, "broken", false, "an image whose containers crash")
	return cmd
}

func (a *App) printPushed(p local.Pushed, out *output) error {
	switch out.format {
	case "json":
		return out.encode(a.Stdout, p)
	case "name":
		return a.print("%s@%s", p.Image, p.Digest)
	}
	note := ""
	if p.Broken {
		note = "  (its containers crash)"
	}
	return a.print("published %s  %s%s", p.Image, p.Digest, note)
}

// wakeDemo makes the demo's Warehouse look at the registry now. It signs in as
// the instance's own user, whatever the current context is, and out again.
func (a *App) wakeDemo(ctx context.Context, i local.Instance) error {
	c, err := a.clientFor(Context{Server: i.Server})
	if err != nil {
		return err
	}
	login, err := c.Login(ctx, i.User, i.Password, "waybill local push")
	if err != nil {
		return fmt.Errorf("sign in to wake the Warehouse: %w", err)
	}
	c = c.WithToken(login.Token)
	_, err = c.Refresh(ctx, local.DemoProject, local.DemoProject)
	if client.Code(err) == model.NotFound {
		a.say("There is no Warehouse %s/%s to wake.", local.DemoProject, local.DemoProject)
		err = nil
	}
	return errors.Join(err, c.Logout(context.WithoutCancel(ctx)))
}
