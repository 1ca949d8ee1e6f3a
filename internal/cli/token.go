package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/api/client"
	"github.com/waybill-dev/waybill/api/rest/model"
)

func (a *App) tokenCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Make, list and end your tokens",
		Long: `Make, list and end your tokens. A token does what you may do, in the header
"Authorization: Bearer TOKEN", or as WAYBILL_TOKEN for this program.`,
		Example: `  waybill token create ci --expires 24h >token.txt
  waybill token list
  waybill token revoke 4f1c2a90b7de`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.listTokens(cmd, &output{format: "table"}) },
	}
	cmd.AddCommand(a.tokenCreateCommand(), a.tokenListCommand(), a.tokenRevokeCommand())
	return cmd
}

func (a *App) tokenCreateCommand() *cobra.Command {
	var out *output
	var expires time.Duration
	var readOnly bool
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Make a token for a program, and print it this once",
		Long: `Make a token for a program, and print it this once; NAME says what it is for. It acts as you.

It ends after --expires: at most 30 days, or 24 hours for who came by the identity provider, and
not later than the token that you are signed in with.`,
		Example: `  waybill token create ci --expires 24h >token.txt
  WAYBILL_TOKEN=$(waybill token create screen --read-only) waybill status guestbook -w`,
		Args: exactArgs("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if expires != 0 && expires < time.Minute {
				return usagef(cmd, "--expires %s: want 1m or more", expires)
			}
			c, _, err := a.client()
			if err != nil {
				return err
			}
			request := model.AccessTokenRequest{Name: args[0], ReadOnly: readOnly}
			if expires != 0 {
				request.Lifetime = fmt.Sprintf("%ds", int64(expires/time.Second))
			}
			made, err := c.CreateToken(cmd.Context(), request)
			if err != nil {
				return err
			}
			if out.isMachine() {
				return out.encode(a.Stdout, made)
			}
			a.say("Token %s, until %s. It is not shown again.", made.Token.ID, day(made.Token.Expires))
			return a.print("%s", made.Value)
		},
	}
	out = outputFlag(cmd, "table", "json", "yaml")
	cmd.Flags().DurationVar(&expires, "expires", 0, "how long it lives (default: as long as can be)")
	cmd.Flags().BoolVar(&readOnly, "read-only", false, "it changes nothing, whatever you may")
	return cmd
}

func (a *App) tokenListCommand() *cobra.Command {
	var out *output
	cmd := &cobra.Command{
		Use: "list", Short: "Show where you are signed in, newest first", Args: exactArgs(),
		Example: `  waybill token list
  waybill token list -o json`,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.listTokens(cmd, out) },
	}
	out = outputFlag(cmd, "table", "json", "yaml", "name")
	return cmd
}

func (a *App) listTokens(cmd *cobra.Command, out *output) error {
	c, _, err := a.client()
	if err != nil {
		return err
	}
	list, err := c.Tokens(cmd.Context())
	if err != nil {
		return err
	}
	if out.isMachine() {
		return out.encode(a.Stdout, list)
	}
	t := table{heads: []string{"ID", "KIND", "FOR", "MAY", "MADE", "USED", "UNTIL"}}
	for _, one := range list.Items {
		if out.format == "name" {
			if err := a.print("%s", one.ID); err != nil {
				return err
			}
			continue
		}
		purpose, may := firstOf(one.Name, "the dashboard"), "all you may"
		if one.Current {
			purpose += " (this one)"
		}
		if one.ReadOnly {
			may = "look"
		}
		t.add(text(one.ID), text(string(one.Kind)), text(purpose), text(may), text(a.age(one.Created)), text(a.age(one.LastUsed)),
			text(day(one.Expires)))
	}
	if out.format == "name" {
		return nil
	}
	return a.printTable(t)
}

func (a *App) tokenRevokeCommand() *cobra.Command {
	return &cobra.Command{
		Use: "revoke ID...", Short: "End tokens and sessions of yours", Args: cobra.MinimumNArgs(1),
		Example: `  waybill token revoke 4f1c2a90b7de
  waybill token list -o name | xargs waybill token revoke   # all, this one too`,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, _, err := a.client()
			if err != nil {
				return err
			}
			ids, err := a.ownLast(cmd, c, args)
			if err != nil {
				return err
			}
			for _, id := range ids {
				if err := c.RevokeToken(cmd.Context(), id); err != nil {
					return err
				}
				a.say("%s has ended.", id)
			}
			return nil
		},
	}
}

// ownLast puts the token that this command itself uses behind the others, which it
// could not end any more.
func (a *App) ownLast(cmd *cobra.Command, c *client.Client, ids []string) ([]string, error) {
	if len(ids) == 1 {
		return ids, nil
	}
	list, err := c.Tokens(cmd.Context())
	if err != nil {
		return nil, err
	}
	var own []string
	others := make([]string, 0, len(ids))
	for _, id := range ids {
		isOwn := false
		for _, one := range list.Items {
			isOwn = isOwn || one.Current && one.ID == id
		}
		if isOwn {
			own = append(own, id)
		} else {
			others = append(others, id)
		}
	}
	return append(others, own...), nil
}
