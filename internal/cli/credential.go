package cli

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/api/client"
	"github.com/waybill-dev/waybill/api/rest/model"
)

// remoteKind is what waybill repo and waybill registry differ in.
type remoteKind struct {
	// name of the command, and what its addresses are of, in the plural.
	name, what string
	// types of the credentials; the first is that of a new one.
	types []model.CredentialType
	// url and more are of the examples.
	url, more string
	// flags that only this kind has, with what they say.
	flags func(cmd *cobra.Command, g *ingredients)
}

func (a *App) repoCommand() *cobra.Command {
	return a.remoteCommand(remoteKind{
		name: "repo", what: "Git repositories", types: []model.CredentialType{model.CredentialTypeGit}, url: "https://git.example.com/team",
		more: `
  waybill repo add git@git.example.com:team/ -p guestbook --ssh-key-file id_ed25519 --known-hosts-file known_hosts
  waybill repo add https://github.com/acme -p guestbook --github-app-id 1234 --github-app-installation 5678 --github-app-key-file app.pem`,
		flags: func(cmd *cobra.Command, g *ingredients) {
			g.file(cmd, "ssh-key-file", "sshPrivateKey", "private key for SSH, without a passphrase")
			g.file(cmd, "known-hosts-file", "known_hosts", "host keys to trust, as in OpenSSH's known_hosts")
			g.text(cmd, "github-app-id", "githubAppID", "number or client ID of a GitHub App")
			g.text(cmd, "github-app-installation", "githubAppInstallationID", "number of its installation")
			g.file(cmd, "github-app-key-file", "githubAppPrivateKey", "its private key, PEM")
		},
	})
}

func (a *App) registryCommand() *cobra.Command {
	return a.remoteCommand(remoteKind{
		name: "registry", what: "image registries and Helm repositories", types: []model.CredentialType{model.CredentialTypeImage, model.CredentialTypeChart}, url: "registry.example.com/team",
		more: `
  waybill registry add oci://registry.example.com/charts -p guestbook --charts --username bot --password-file token.txt
  waybill registry add 123456789012.dkr.ecr.eu-west-1.amazonaws.com -p guestbook --provider ecr --aws-access-key-id AKIA0EXAMPLE --aws-secret-key-file key.txt`,
		flags: func(cmd *cobra.Command, g *ingredients) {
			cmd.Flags().BoolVar(&g.isChart, "charts", false, "for charts, not images")
			g.text(cmd, "provider", "provider", "cloud whose keys these are: ecr")
			g.text(cmd, "aws-access-key-id", "awsAccessKeyID", "with --provider ecr: which key of an AWS user")
			g.file(cmd, "aws-secret-key-file", "awsSecretAccessKey", "with --provider ecr: that key")
		},
	})
}

func (a *App) remoteCommand(k remoteKind) *cobra.Command {
	cmd := &cobra.Command{
		Use:   k.name,
		Short: "Keep the credentials of a Project for " + k.what,
		Long: fmt.Sprintf(`Keep the credentials that a Project has for %s. Each is a Secret of the Project's
Namespace, which Kubernetes lets you write or not; what it holds is never shown.`, k.what),
		Example: fmt.Sprintf(`  waybill %[1]s add %[2]s -p guestbook --username bot --password-stdin <token.txt
  waybill %[1]s list -p guestbook`, k.name, k.url),
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return usage(cmd, unknownCommand(cmd, args[0]))
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.remoteAddCommand(k), a.remoteListCommand(k), a.remoteTestCommand(k), a.remoteRemoveCommand(k))
	return cmd
}

// ingredients are the flags that say what a credential holds. Values that are secret are
// in files.
type ingredients struct {
	texts, files map[string]*string // by key of the Secret
	flags        map[string]string  // of files, by key
	isChart      bool
}

func (g *ingredients) text(cmd *cobra.Command, flag, key, what string) {
	g.texts[key] = cmd.Flags().String(flag, "", what)
}

func (g *ingredients) file(cmd *cobra.Command, flag, key, what string) {
	g.files[key], g.flags[key] = cmd.Flags().String(flag, "", what+", from this file"), flag
}

// data reads the files. isEnough says that no password is needed.
func (g *ingredients) data(cmd *cobra.Command) (data map[string]string, isEnough bool, err error) {
	data = map[string]string{}
	for key, value := range g.texts {
		if *value != "" {
			data[key] = *value
		}
	}
	for key, name := range g.files {
		if *name == "" {
			continue
		}
		content, err := os.ReadFile(*name)
		if err != nil {
			return nil, false, usagef(cmd, "--%s: %v", g.flags[key], err)
		}
		if len(content) > maxSecretBytes {
			return nil, false, usagef(cmd, "%s is larger than %d bytes", *name, maxSecretBytes)
		}
		data[key] = string(content)
	}
	return data, len(data) > 0, nil
}

func (a *App) remoteAddCommand(k remoteKind) *cobra.Command {
	var out *output
	var name, username, passwordFile string
	var isStdin, isPattern, isReplacing bool
	g := ingredients{texts: map[string]*string{}, files: map[string]*string{}, flags: map[string]string{}}
	cmd := &cobra.Command{
		Use:   "add URL",
		Short: "Add a credential for an address, or for all that begin with it",
		Long: `Add a credential for an address, or for all that begin with it up to a slash. The password (or token; any user
name does for one) is read from a file or standard input, or asked for on a terminal; no value is an argument,
is printed or comes back from the server.

The longest address that fits is used, a Project's own before one that is shared with it.`,
		Example: fmt.Sprintf("  waybill %s add %s -p guestbook --username bot --password-stdin <token.txt", k.name, k.url) + k.more,
		Args:    exactArgs("URL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, x, err := a.client()
			if err != nil {
				return err
			}
			project, err := a.needProject(cmd, x, nil)
			if err != nil {
				return err
			}
			data, isEnough, err := g.data(cmd)
			if err != nil {
				return err
			}
			if !isEnough || username != "" || passwordFile != "" || isStdin {
				password, err := a.readPassword(cmd, &username, passwordFile, isStdin)
				if err != nil {
					return err
				}
				data["username"], data["password"] = username, password.Reveal()
			}
			data["repoURL"] = args[0]
			if isPattern {
				data["repoURLIsRegex"] = "true"
			}
			request := model.AddCredentialRequest{Name: name, Type: k.types[0], Data: data, Replace: isReplacing}
			if g.isChart {
				request.Type = model.CredentialTypeChart
			}
			made, err := c.AddCredential(cmd.Context(), project, request)
			if err != nil {
				return err
			}
			if out.format != "table" {
				return a.printCredentials([]model.Credential{*made}, out)
			}
			a.say("Try it: waybill %s test -p %s", k.name, project)
			return a.print("Credential %s is kept for %s.", made.Name, strings.Join(made.RepoURLs, ", "))
		},
	}
	f := cmd.Flags()
	f.StringVar(&name, "name", "", "name of the Secret (default: made of the address)")
	f.StringVar(&username, "username", "", "user name")
	f.StringVar(&passwordFile, "password-file", "", "read the password or token from this file")
	f.BoolVar(&isStdin, "password-stdin", false, "read the password or token from standard input")
	f.BoolVar(&isPattern, "pattern", false, "URL is a regular expression (RE2) for whole addresses")
	f.BoolVar(&isReplacing, "replace", false, "replace the credential of that name")
	g.file(cmd, "ca-file", "caCert", "certificates to trust besides the system's, PEM")
	k.flags(cmd, &g)
	cmd.MarkFlagsMutuallyExclusive("password-file", "password-stdin")
	out = outputFlag(cmd, "table", "json", "yaml", "name")
	return cmd
}

func (a *App) remoteListCommand(k remoteKind) *cobra.Command {
	var out *output
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Show the credentials, and what uses each",
		Long: `Show the credentials that the Project has for ` + k.what + `, those that are shared with it among
them, and which of its Warehouses, Stages and Applications use each. What they hold is not shown.`,
		Example: fmt.Sprintf("  waybill %s list -p guestbook\n  waybill %s list -p guestbook -o json", k.name, k.name),
		Args:    exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, x, err := a.client()
			if err != nil {
				return err
			}
			project, err := a.needProject(cmd, x, nil)
			if err != nil {
				return err
			}
			list, err := k.list(cmd.Context(), c, project)
			if err != nil {
				return err
			}
			if len(list) == 0 && out.format == "table" {
				a.say("There are none: access is anonymous. waybill %s add URL -p %s adds one.", k.name, project)
				return nil
			}
			return a.printCredentials(list, out)
		},
	}
	out = outputFlag(cmd, "table", "json", "yaml", "name")
	return cmd
}

// list returns the credentials of this kind.
func (k remoteKind) list(ctx context.Context, c *client.Client, project string) ([]model.Credential, error) {
	all, err := c.Credentials(ctx, project)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all.Items, func(one model.Credential) bool { return !slices.Contains(k.types, one.Type) }), nil
}

func (a *App) printCredentials(list []model.Credential, out *output) error {
	if out.isMachine() {
		return out.encode(a.Stdout, model.CredentialList{Items: append([]model.Credential{}, list...)})
	}
	t := table{heads: []string{"NAME", "FOR", "URL", "WITH", "USED BY", "AGE", "NOTE"}}
	for _, one := range list {
		if out.format == "name" {
			if err := a.print("credential/%s", one.Name); err != nil {
				return err
			}
			continue
		}
		addresses := strings.Join(one.RepoURLs, ", ")
		if one.Pattern {
			addresses = "/" + addresses + "/"
		}
		note := cell{text: one.Problem, style: red}
		if one.Problem == "" && one.Shared {
			note = cell{text: "shared by the installation", style: dim}
		}
		t.add(text(one.Name), text(string(one.Type)), text(addresses), text(one.Means), text(usedBy(one.UsedBy)), text(a.age(one.CreatedAt)), note)
	}
	if out.format == "name" {
		return nil
	}
	return a.printTable(t)
}

// usedBy names what uses a credential, as Kind/name; of more than three it counts each kind,
// in the order in which they come.
func usedBy(all []string) string {
	if len(all) <= 3 {
		return strings.Join(all, ", ")
	}
	var kinds []string
	count := map[string]int{}
	for _, one := range all {
		kind, _, _ := strings.Cut(one, "/")
		if count[kind]++; count[kind] == 1 {
			kinds = append(kinds, kind)
		}
	}
	for i, kind := range kinds {
		kinds[i] = counted(count[kind], kind)
	}
	return strings.Join(kinds, ", ")
}

func (a *App) remoteTestCommand(k remoteKind) *cobra.Command {
	var out *output
	cmd := &cobra.Command{
		Use:   "test [URL]",
		Short: "Ask repositories whether they let the Project read, now",
		Long: `Ask a repository, or all that the Project's Warehouses, Stages and Applications use, from the server, with the
credential that the Project has for each, and show what it said. Only reading is tried. Of a registry, name one
image or chart. It needs the verb refresh on Warehouses, and create for an address that nothing there uses.

Exit codes: 0 each answered; 1 one did not.`,
		Example: fmt.Sprintf("  waybill %[1]s test -p guestbook\n  waybill %[1]s test %[2]s/app -p guestbook", k.name, k.url),
		Args:    rangeArgs(0, "URL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, x, err := a.client()
			if err != nil {
				return err
			}
			project, err := a.needProject(cmd, x, nil)
			if err != nil {
				return err
			}
			request := model.TestCredentialsRequest{Types: k.types}
			if len(args) > 0 {
				request.RepoURL, request.Types = args[0], k.types[:1]
				if len(k.types) > 1 && strings.Contains(args[0], "://") {
					request.Types = k.types[1:] // images have no scheme
				}
			}
			list, err := c.TestCredentials(cmd.Context(), project, request)
			if err != nil {
				return err
			}
			return a.printTests(list, out)
		},
	}
	out = outputFlag(cmd, "table", "json", "yaml")
	return cmd
}

func (a *App) printTests(list *model.CredentialTestList, out *output) error {
	failed := 0
	t := table{heads: []string{"URL", "FOR", "ANSWER", "WITH", "SAID", "USED BY"}}
	for _, one := range list.Items {
		answer := cell{text: "yes", style: green}
		if !one.Reached {
			failed++
			answer = cell{text: "no", style: red}
		}
		t.add(text(one.RepoURL), text(string(one.Type)), answer, text(firstOf(one.Credential, "(anonymous)")), text(one.Message), text(usedBy(one.UsedBy)))
	}
	switch {
	case out.isMachine():
		if err := out.encode(a.Stdout, list); err != nil {
			return err
		}
	case len(list.Items) == 0:
		a.say("The Project uses none.")
	default:
		if err := a.printTable(t); err != nil {
			return err
		}
	}
	if list.Cut {
		a.say("There are more; name one to ask it.")
	}
	if failed > 0 {
		return &failure{code: client.ExitFailed, what: fmt.Sprintf("%d of %d did not answer as wanted", failed, len(list.Items))}
	}
	return nil
}

func (a *App) remoteRemoveCommand(k remoteKind) *cobra.Command {
	var isForced bool
	cmd := &cobra.Command{
		Use:   "remove NAME",
		Short: "Delete a credential of the Project",
		Long: `Delete a credential of the Project. One that a Warehouse, Stage or Application uses stays, unless --force: the
next that fits is used then, or none.`,
		Example: fmt.Sprintf("  waybill %s remove %s -p guestbook", k.name, string(k.types[0])+"-"+strings.NewReplacer("https://", "", ".", "-", "/", "-").Replace(k.url)),
		Args:    exactArgs("NAME"),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			return a.live(cmd, func(ctx context.Context, c *client.Client, x Context) []string {
				if len(args) > 0 || x.Project == "" {
					return nil
				}
				list, err := k.list(ctx, c, x.Project)
				if err != nil {
					return nil
				}
				var names []string
				for _, one := range list {
					if !one.Shared {
						names = append(names, one.Name+"\t"+strings.Join(one.RepoURLs, " "))
					}
				}
				return names
			})
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			c, x, err := a.client()
			if err != nil {
				return err
			}
			project, err := a.needProject(cmd, x, nil)
			if err != nil {
				return err
			}
			if err := c.RemoveCredential(cmd.Context(), project, args[0], isForced); err != nil {
				return err
			}
			a.say("Credential %s is removed from %s.", args[0], project)
			return nil
		},
	}
	cmd.Flags().BoolVar(&isForced, "force", false, "although something uses it")
	return cmd
}
