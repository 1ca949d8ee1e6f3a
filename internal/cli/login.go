package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/waybill-dev/waybill/api/client"
	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/internal/secret"
)

// maxSecretBytes bounds a password or token that is read from a file or stream.
const maxSecretBytes = 64 << 10

func (a *App) loginCommand() *cobra.Command {
	var username, passwordFile, name string
	var passwordStdin, tokenStdin, sso, noBrowser bool
	cmd := &cobra.Command{
		Use:   "login [URL]",
		Short: "Sign in to a server and make it the current context",
		Example: `  waybill login https://waybill.example.com
  waybill login https://waybill.example.com --sso
  waybill login https://waybill.example.com --username alice --password-stdin <password.txt
  waybill login https://waybill.example.com --token-stdin <token.txt`,
		Args: rangeArgs(0, "URL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			x := Context{Project: a.flags.project}
			if len(args) > 0 {
				x.Server = trimServer(args[0])
			} else {
				known, err := a.context()
				if err != nil {
					return usage(cmd, "which server? write its URL")
				}
				x.Server, x.Project, x.Name = known.Server, known.Project, known.Name
			}
			c, err := a.clientFor(x)
			if err != nil {
				return err
			}
			x.Name = firstOf(name, a.flags.context, x.Name, contextName(x.Server))
			if tokenStdin {
				return a.loginWithToken(cmd, c, x)
			}
			if sso || username == "" && passwordFile == "" && !passwordStdin && a.isOnlySSO(cmd.Context(), c) {
				return a.loginWithSSO(cmd.Context(), c, x, !noBrowser)
			}
			password, err := a.readPassword(cmd, &username, passwordFile, passwordStdin)
			if err != nil {
				return err
			}
			return a.login(cmd.Context(), c, x, username, password)
		},
	}
	cmd.Flags().StringVarP(&username, "username", "u", "", "who signs in")
	cmd.Flags().StringVar(&passwordFile, "password-file", "", "read the password from a file")
	cmd.Flags().BoolVar(&passwordStdin, "password-stdin", false, "read the password from standard input")
	cmd.Flags().BoolVar(&tokenStdin, "token-stdin", false, "read a token from standard input instead of signing in with a password")
	cmd.Flags().BoolVar(&sso, "sso", false, "sign in at the server's identity provider, in a browser")
	cmd.Flags().BoolVar(&noBrowser, "no-browser", false, "with --sso: print the address only")
	cmd.Flags().StringVar(&name, "name", "", "name of the context (default: the server's host)")
	cmd.MarkFlagsMutuallyExclusive("password-file", "password-stdin", "token-stdin", "sso")
	return cmd
}

// login exchanges the password for a token and keeps the token.
func (a *App) login(ctx context.Context, c *client.Client, x Context, username string, password secret.Text) error {
	result, err := c.Login(ctx, username, password.Reveal(), a.purpose())
	if err != nil {
		return err
	}
	return a.signedIn(x, result)
}

// purpose is what the token is for, in the server's audit.
func (a *App) purpose() string {
	if host, err := os.Hostname(); err == nil {
		return "waybill command line on " + host
	}
	return "waybill command line"
}

// signedIn keeps what signing in gave.
func (a *App) signedIn(x Context, result *model.LoginResult) error {
	x.User, x.Token = result.Me.Name, result.Token
	if err := a.keep(x); err != nil {
		return err
	}
	a.say("Signed in to %s as %s. Context %q is current.", x.Server, x.User, x.Name)
	return nil
}

func (a *App) loginWithToken(cmd *cobra.Command, c *client.Client, x Context) error {
	token, err := readSecret(a.Stdin)
	if err != nil {
		return err
	}
	if token == "" {
		return usage(cmd, "there is no token on standard input")
	}
	me, err := c.WithToken(token).Me(cmd.Context())
	if err != nil {
		return err
	}
	x.User, x.Token = me.Name, token
	if err := a.keep(x); err != nil {
		return err
	}
	a.say("Signed in to %s as %s. Context %q is current.", x.Server, x.User, x.Name)
	return nil
}

// keep writes the context to the configuration and makes it current. The
// Project of an earlier context of that name stays when none is given.
func (a *App) keep(x Context) error {
	config, err := a.loadConfig()
	if err != nil {
		return err
	}
	if before, found := config.find(x.Name); found && x.Project == "" && before.Server == x.Server {
		x.Project = before.Project
	}
	config.set(x)
	return a.saveConfig(config)
}

// readPassword returns the password, and asks for it and for the user name on
// a terminal.
func (a *App) readPassword(cmd *cobra.Command, username *string, file string, stdin bool) (secret.Text, error) {
	canAsk := a.Terminal.Stdin && a.Terminal.Stderr
	if *username == "" {
		if !canAsk || stdin {
			return secret.Text{}, usage(cmd, "who signs in? add --username NAME")
		}
		_, _ = fmt.Fprint(a.Stderr, "User name: ")
		line, err := bufio.NewReader(a.Stdin).ReadString('\n')
		if err != nil && line == "" {
			return secret.Text{}, fmt.Errorf("read user name: %w", err)
		}
		*username = strings.TrimSpace(line)
	}
	return a.passwordFrom(cmd, passwordSource{file: file, stdin: stdin, prompt: "Password: ", once: true})
}

// passwordSource is where a password comes from: a file, standard input, or a terminal.
type passwordSource struct {
	file  string
	stdin bool
	// prompt asks for it on a terminal, twice unless once: a new one is typed blindly.
	prompt string
	once   bool
	// instead are the flags to use without a terminal, if they are not those of flags.
	instead string
}

// flags adds those that name a file or standard input.
func (s *passwordSource) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.file, "password-file", "", "read the password from a file")
	cmd.Flags().BoolVar(&s.stdin, "password-stdin", false, "read the password from standard input")
	cmd.MarkFlagsMutuallyExclusive("password-file", "password-stdin")
}

// passwordFrom reads a password, or asks for it.
func (a *App) passwordFrom(cmd *cobra.Command, from passwordSource) (secret.Text, error) {
	var password string
	var err error
	switch {
	case from.file != "":
		var f *os.File
		if f, err = os.Open(from.file); err == nil { //nolint:gosec // The user names the file.
			password, err = readSecret(f)
			err = errors.Join(err, f.Close())
		}
	case from.stdin:
		password, err = readSecret(a.Stdin)
	case a.Terminal.Stdin && a.Terminal.Stderr:
		var again string
		password, err = a.typedSecret(from.prompt)
		if err == nil && password != "" && !from.once {
			if again, err = a.typedSecret("The same again: "); err == nil && again != password {
				return secret.Text{}, usage(cmd, "the two passwords differ")
			}
		}
	default:
		return secret.Text{}, usagef(cmd, "there is no terminal to ask for the password on: add %s", firstOf(from.instead, "--password-stdin or --password-file FILE"))
	}
	if err != nil {
		return secret.Text{}, &failure{code: client.ExitUsage, what: fmt.Sprintf("read password: %v", err)}
	}
	if password == "" {
		return secret.Text{}, usage(cmd, "the password is empty")
	}
	return secret.New(password), nil
}

// typedSecret asks for what is typed on the terminal, which does not show it.
func (a *App) typedSecret(prompt string) (string, error) {
	_, _ = fmt.Fprint(a.Stderr, prompt)
	typed, err := term.ReadPassword(int(os.Stdin.Fd()))
	_, _ = fmt.Fprintln(a.Stderr)
	return string(typed), err
}

// readSecret reads everything, without the line break at the end.
func readSecret(r io.Reader) (string, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxSecretBytes))
	if err != nil {
		return "", fmt.Errorf("read secret: %w", err)
	}
	return strings.TrimRight(string(data), "\r\n"), nil
}

// contextName makes a context's name of the server's host.
func contextName(server string) string {
	u, err := url.Parse(server)
	if err != nil || u.Host == "" {
		return "default"
	}
	return u.Host
}

func (a *App) logoutCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "logout",
		Short: "Revoke the token of the current context and forget it",
		Example: `  waybill logout
  waybill logout --context staging`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, x, err := a.client()
			if err != nil {
				return err
			}
			// A token that the server no longer knows is as good as revoked.
			err = c.Logout(cmd.Context())
			if err != nil && client.Code(err) == "" {
				return err
			}
			config, err := a.loadConfig()
			if err != nil {
				return err
			}
			if kept, found := config.find(x.Name); found {
				kept.Token = ""
				current := config.Current
				config.set(kept)
				config.Current = current
				if err := a.saveConfig(config); err != nil {
					return err
				}
			}
			a.say("Signed out of %s.", x.Server)
			return nil
		},
	}
}

func (a *App) whoamiCommand() *cobra.Command {
	var out *output
	cmd := &cobra.Command{
		Use:   "whoami",
		Short: "Say who is signed in, and where",
		Example: `  waybill whoami
  waybill whoami -o json`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, x, err := a.client()
			if err != nil {
				return err
			}
			me, err := c.Me(cmd.Context())
			if err != nil {
				return err
			}
			if out.isMachine() {
				return out.encode(a.Stdout, map[string]any{"server": x.Server, "context": x.Name, "user": me.User, "name": me.Name,
					"groups": me.Groups, "expiresAt": me.ExpiresAt})
			}
			if out.format == "name" {
				return a.print("%s", me.Name)
			}
			var t table
			t.add(text("User"), text(me.Name))
			t.add(text("Groups"), text(strings.Join(me.Groups, ", ")))
			t.add(text("Server"), text(x.Server))
			t.add(text("Context"), text(x.Name))
			t.add(text("Until"), text(day(me.ExpiresAt)))
			return a.printTable(t)
		},
	}
	out = outputFlag(cmd, "table", "json", "yaml", "name")
	return cmd
}
