package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/api/rest/model"
)

func (a *App) freightCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "freight",
		Short: "Put Freight together by hand, or give it another alias",
		Long: `Put Freight together by hand, or give it another alias. What there is, is listed by waybill get freight;
keeping a version out is waybill reject.`,
		Example: `  waybill freight create guestbook/guestbook --with registry.example.com/guestbook=1.27.0
  waybill freight alias guestbook/1.27.0 spring-release`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.freightCreateCommand(), a.freightAliasCommand())
	return cmd
}

func (a *App) freightAliasCommand() *cobra.Command {
	var out *output
	cmd := &cobra.Command{
		Use:   "alias [PROJECT/]FREIGHT ALIAS",
		Short: "Give Freight another alias",
		Long: `Give Freight another alias: lower case letters, digits and hyphens, and nothing that names other Freight
of the Project. Nothing else of Freight can change. FREIGHT is a version, an alias or the beginning of an
id. You need the right to change Freight, as Project admins have it.`,
		Example: `  waybill freight alias guestbook/1.27.0 spring-release
  waybill freight alias amber-heron spring-release -p guestbook`,
		Args: exactArgs("[PROJECT/]FREIGHT", "ALIAS"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, x, err := a.client()
			if err != nil {
				return err
			}
			it, err := a.target(cmd, x, args[0], "freight")
			if err != nil {
				return err
			}
			f, err := c.RenameFreight(cmd.Context(), it.project, it.name, args[1])
			if err != nil {
				return err
			}
			switch {
			case out.isMachine():
				return out.encode(a.Stdout, f)
			case out.format == "name":
				return a.print("freight/%s", f.Name)
			}
			return a.print("freight/%s (%s) in %s is called %s", f.Name, f.Version, it.project, f.Alias)
		},
	}
	out = outputFlag(cmd, "table", "json", "yaml", "name")
	return cmd
}

func (a *App) freightCreateCommand() *cobra.Command {
	var out *output
	var with []string
	cmd := &cobra.Command{
		Use:   "create [PROJECT/]WAREHOUSE",
		Short: "Make Freight of candidates that you choose",
		Long: `Make Freight of candidates of a Warehouse: the versions that --with names, and the newest of every
subscription that it does not name. Only what the Warehouse has found itself can be chosen, and its
freightCreationCriteria hold. It is for freightCreationPolicy Manual, and for combinations that
Automatic passed over.

A version is a tag, a digest, the beginning of a commit (7 digits or more) or the version of a chart.
Where several charts come from one repository, REPOSITORY#CHART names one. You need the verb assemble
on the Warehouse.`,
		Example: `  waybill freight create guestbook/guestbook --with registry.example.com/guestbook=1.27.0
  waybill freight create main --with https://git.example.com/app=4f2a9c1 --with https://charts.example.com#app=2.0.1`,
		Args: rangeArgs(1, "[PROJECT/]WAREHOUSE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			body := model.AssembleRequest{Choices: []model.ArtifactChoice{}}
			for _, w := range with {
				// A version holds no equals sign; an address may.
				i := strings.LastIndexByte(w, '=')
				if i <= 0 || i == len(w)-1 {
					return usagef(cmd, "--with %q is not REPOSITORY=VERSION", w)
				}
				repoURL, chart, _ := strings.Cut(w[:i], "#")
				body.Choices = append(body.Choices, model.ArtifactChoice{RepoURL: repoURL, Chart: chart, Version: w[i+1:]})
			}
			c, x, err := a.client()
			if err != nil {
				return err
			}
			it, err := a.target(cmd, x, args[0], "warehouse")
			if err != nil {
				return err
			}
			f, err := c.AssembleFreight(cmd.Context(), it.project, it.name, body)
			if err != nil {
				return err
			}
			switch {
			case out.isMachine():
				return out.encode(a.Stdout, f)
			case out.format == "name":
				return a.print("freight/%s", f.Name)
			}
			return a.print("freight/%s %s in %s is there: %s", f.Name, f.Alias, it.project, f.Version)
		},
	}
	cmd.Flags().StringArrayVar(&with, "with", nil, "REPOSITORY=VERSION to take instead of the newest (may be repeated)")
	out = outputFlag(cmd, "table", "json", "yaml", "name")
	return cmd
}
