package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/api/client"
	"github.com/waybill-dev/waybill/api/rest/model"
)

func (a *App) userCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "user",
		Short: "Make, change and remove local users, and change your password",
		Long: `Make, change and remove local users: people and programs that sign in with a password that Waybill
keeps. It needs an administrator of the installation, but for your own password. People who come by an
identity provider are not among them.`,
		Example: `  waybill user add ada --group release-managers
  waybill user list
  waybill user password                               # your own`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return usage(cmd, unknownCommand(cmd, args[0]))
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.userAddCommand(), a.userListCommand(), a.userSetCommand(), a.userDisableCommand(), a.userEnableCommand(), a.userPasswordCommand(), a.userRemoveCommand())
	return cmd
}

// completeUsers completes the first argument with the names of local users.
func (a *App) completeUsers(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return a.live(cmd, func(ctx context.Context, c *client.Client, _ Context) []string {
		if len(args) > 0 {
			return nil
		}
		list, err := c.Users(ctx)
		if err != nil {
			return nil
		}
		names := make([]string, len(list.Items))
		for i, u := range list.Items {
			names[i] = u.Name + "\t" + strings.Join(u.Groups, ", ")
		}
		return names
	})
}

// groupFlag takes a group each time, as it is written: some have commas.
func groupFlag(cmd *cobra.Command, what string) *[]string {
	return cmd.Flags().StringArray("group", nil, what+", without the prefix waybill: (may be repeated)")
}

func forceFlag(cmd *cobra.Command) *bool {
	return cmd.Flags().Bool("force", false, "although no local user is left who may manage users")
}

func (a *App) userAddCommand() *cobra.Command {
	var from passwordSource
	var groups *[]string
	cmd := &cobra.Command{
		Use:   "add NAME",
		Short: "Make a local user",
		Long: `Make a local user. The password is asked for on a terminal, or read from a file or standard input; it
is no argument, and has at least 8 characters. What the user may do is decided by the groups, and by the name:
see spec.access of Projects. The group administrators may do everything, this too.`,
		Example: `  waybill user add ada --group release-managers --group developers
  waybill user add ci --group deployers --password-file password.txt`,
		Args: exactArgs("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, x, err := a.client()
			if err != nil {
				return err
			}
			from.prompt = fmt.Sprintf("Password of %s: ", args[0])
			password, err := a.passwordFrom(cmd, from)
			if err != nil {
				return err
			}
			made, err := c.AddUser(cmd.Context(), model.AddUserRequest{Name: args[0], Password: password.Reveal(), Groups: *groups})
			if err != nil {
				return err
			}
			a.say("User %s is made, with %s.", made.Name, groupsText(made.Groups))
			a.say("To sign in: waybill login %s --username %s", x.Server, made.Name)
			return nil
		},
	}
	groups = groupFlag(cmd, "a `GROUP` the user is in")
	from.flags(cmd)
	return cmd
}

// groupsText names groups in a sentence.
func groupsText(groups []string) string {
	switch len(groups) {
	case 0:
		return "no groups"
	case 1:
		return "the group " + groups[0]
	default:
		return "the groups " + strings.Join(groups, ", ")
	}
}

func (a *App) userListCommand() *cobra.Command {
	var out *output
	cmd := &cobra.Command{
		Use: "list", Short: "Show the local users and their groups", Args: exactArgs(),
		Example: `  waybill user list
  waybill user list -o json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, _, err := a.client()
			if err != nil {
				return err
			}
			list, err := c.Users(cmd.Context())
			if err != nil {
				return err
			}
			switch {
			case out.isMachine():
				return out.encode(a.Stdout, list)
			case len(list.Items) == 0 && out.format == "table":
				a.say("There are no local users. waybill user add NAME makes one.")
				return nil
			}
			t := table{heads: []string{"NAME", "GROUPS", "NOTE"}}
			for _, u := range list.Items {
				if out.format == "name" {
					if err := a.print("%s", u.Name); err != nil {
						return err
					}
					continue
				}
				t.add(text(u.Name), text(strings.Join(u.Groups, ", ")), userNote(u))
			}
			if out.format == "name" {
				return nil
			}
			return a.printTable(t)
		},
	}
	out = outputFlag(cmd, "table", "json", "yaml", "name")
	return cmd
}

func userNote(u model.User) cell {
	switch {
	case u.Problem != "":
		return cell{text: u.Problem, style: red}
	case u.Disabled:
		return cell{text: "disabled", style: dim}
	case u.Current:
		return cell{text: "you", style: dim}
	default:
		return text("")
	}
}

func (a *App) userSetCommand() *cobra.Command {
	var groups *[]string
	var none bool
	var force *bool
	cmd := &cobra.Command{
		Use:   "set NAME",
		Short: "Give a local user other groups",
		Long: `Give a local user other groups: those that are named, and no others. They count at once, for sessions and
tokens that there are, too.`,
		Example: `  waybill user set ada --group release-managers --group developers
  waybill user set ada --no-groups`,
		Args: exactArgs("NAME"), ValidArgsFunction: a.completeUsers,
		RunE: func(cmd *cobra.Command, args []string) error {
			if none == (len(*groups) > 0) {
				return usage(cmd, "which groups? --group G for each, all of them; or --no-groups")
			}
			c, _, err := a.client()
			if err != nil {
				return err
			}
			list, err := c.Users(cmd.Context())
			if err != nil {
				return err
			}
			at := slices.IndexFunc(list.Items, func(u model.User) bool { return u.Name == args[0] })
			if at < 0 {
				return notFound(fmt.Sprintf("there is no local user %q", args[0]), "waybill user list")
			}
			before := list.Items[at]
			wanted := append([]string{}, *groups...)
			after, err := c.EditUser(cmd.Context(), before.Name, before.Etag, model.EditUserRequest{Groups: &wanted}, *force)
			if err != nil {
				return err
			}
			if slices.Equal(before.Groups, after.Groups) {
				a.say("User %s has %s, as before.", after.Name, groupsText(after.Groups))
				return nil
			}
			a.say("User %s has %s now; before: %s.", after.Name, groupsText(after.Groups), firstOf(strings.Join(before.Groups, ", "), "none"))
			return nil
		},
	}
	groups = groupFlag(cmd, "a `GROUP` the user is in from now on")
	cmd.Flags().BoolVar(&none, "no-groups", false, "the user is in no group")
	force = forceFlag(cmd)
	cmd.MarkFlagsMutuallyExclusive("group", "no-groups")
	return cmd
}

func (a *App) userDisableCommand() *cobra.Command {
	var force *bool
	cmd := &cobra.Command{
		Use:   "disable NAME",
		Short: "Keep a local user from signing in, and end their sessions",
		Long: `Keep a local user from signing in, and end their sessions and tokens: at once and for good, whether or not
the user is enabled again.`,
		Example: `  waybill user disable ada`,
		Args:    exactArgs("NAME"), ValidArgsFunction: a.completeUsers,
		RunE: func(cmd *cobra.Command, args []string) error {
			disabled := true
			return a.editUser(cmd, args[0], model.EditUserRequest{Disabled: &disabled}, *force, "User %s is disabled. All sessions and tokens of that user have ended.")
		},
	}
	force = forceFlag(cmd)
	return cmd
}

func (a *App) userEnableCommand() *cobra.Command {
	return &cobra.Command{
		Use: "enable NAME", Short: "Let a local user sign in again",
		Example: `  waybill user enable ada`,
		Args:    exactArgs("NAME"), ValidArgsFunction: a.completeUsers,
		RunE: func(cmd *cobra.Command, args []string) error {
			disabled := false
			return a.editUser(cmd, args[0], model.EditUserRequest{Disabled: &disabled}, false, "User %s is enabled.")
		},
	}
}

// editUser changes a user and says done, with the name.
func (a *App) editUser(cmd *cobra.Command, name string, body model.EditUserRequest, force bool, done string) error {
	c, _, err := a.client()
	if err != nil {
		return err
	}
	after, err := c.EditUser(cmd.Context(), name, "", body, force)
	if err != nil {
		return err
	}
	a.say(done, after.Name)
	return nil
}

func (a *App) userPasswordCommand() *cobra.Command {
	var from passwordSource
	var oldFile string
	cmd := &cobra.Command{
		Use:   "password [NAME]",
		Short: "Change your password, or as an administrator another user's",
		Long: `Change your password, or as an administrator that of another local user. Yours takes the old one. Passwords
are asked for on a terminal, or read from files or standard input; they are no arguments.

Sessions and tokens of the user end, tokens of programs too; but for the one that you change your own with.`,
		Example: `  waybill user password
  waybill user password --old-password-file old.txt --password-file new.txt
  waybill user password ada --password-stdin <password.txt`,
		Args: rangeArgs(0, "NAME"), ValidArgsFunction: a.completeUsers,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, _, err := a.client()
			if err != nil {
				return err
			}
			me, err := c.Me(cmd.Context())
			if err != nil {
				return err
			}
			if len(args) > 0 && args[0] != me.Name {
				if oldFile != "" {
					return usage(cmd, "--old-password-file is for your own password")
				}
				from.prompt = fmt.Sprintf("New password of %s: ", args[0])
				password, err := a.passwordFrom(cmd, from)
				if err != nil {
					return err
				}
				return a.editUser(cmd, args[0], model.EditUserRequest{Password: password.Reveal()}, false,
					"The password of %s is changed. All sessions and tokens of that user have ended.")
			}
			old, err := a.passwordFrom(cmd, passwordSource{file: oldFile, prompt: fmt.Sprintf("Old password of %s: ", me.Name), once: true, instead: "--old-password-file FILE"})
			if err != nil {
				return err
			}
			from.prompt = "New password: "
			password, err := a.passwordFrom(cmd, from)
			if err != nil {
				return err
			}
			if err := c.ChangePassword(cmd.Context(), model.PasswordChange{Old: old.Reveal(), New: password.Reveal()}); err != nil {
				return err
			}
			a.say("Your password is changed. Your other sessions and tokens have ended.")
			return nil
		},
	}
	from.flags(cmd)
	cmd.Flags().StringVar(&oldFile, "old-password-file", "", "read your old password from a file")
	return cmd
}

func (a *App) userRemoveCommand() *cobra.Command {
	var force *bool
	cmd := &cobra.Command{
		Use:   "remove NAME",
		Short: "Remove a local user, and end their sessions",
		Long: `Remove a local user, and end their sessions and tokens. What they did stays in the history, under the name:
whoever gets it later is taken for them there, which disabling avoids.`,
		Example: `  waybill user remove ada`,
		Args:    exactArgs("NAME"), ValidArgsFunction: a.completeUsers,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, _, err := a.client()
			if err != nil {
				return err
			}
			if err := c.RemoveUser(cmd.Context(), args[0], *force); err != nil {
				return err
			}
			a.say("User %s is removed.", args[0])
			return nil
		},
	}
	force = forceFlag(cmd)
	return cmd
}
