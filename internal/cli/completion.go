package cli

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/api/client"
)

// completionPatience is how long a Tab key may wait for the server.
const completionPatience = 300 * time.Millisecond

type completer = func(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective)

// live completes with what the server knows; without an answer in time there
// is nothing to offer.
func (a *App) live(cmd *cobra.Command, names func(context.Context, *client.Client, Context) []string) ([]string, cobra.ShellCompDirective) {
	c, x, err := a.client()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completionPatience)
	defer cancel()
	return names(ctx, c, x), cobra.ShellCompDirectiveNoFileComp
}

func (a *App) completeProjects(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	return a.live(cmd, func(ctx context.Context, c *client.Client, _ Context) []string { return projectNames(ctx, c) })
}

func projectNames(ctx context.Context, c *client.Client) []string {
	page, err := c.Projects(ctx)
	if err != nil {
		return nil
	}
	names := make([]string, len(page.Items))
	for i, p := range page.Items {
		names[i] = p.Name
	}
	return names
}

func (a *App) completeContexts(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	config, err := a.loadConfig()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	names := make([]string, len(config.Contexts))
	for i, x := range config.Contexts {
		names[i] = x.Name
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeStage completes argument number at with [PROJECT/]STAGE, and the one
// before it, if any, with FREIGHT.
func (a *App) completeStage(at int) completer {
	return func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		return a.live(cmd, func(ctx context.Context, c *client.Client, x Context) []string {
			switch {
			case len(args) == at:
				return stageNames(ctx, c, x, typed)
			case len(args) == at-1:
				return freightNames(ctx, c, x)
			default:
				return nil
			}
		})
	}
}

// completeStageNames completes with the Stages of the Project that the first
// argument, or the context, names.
func (a *App) completeStageNames(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return a.live(cmd, func(ctx context.Context, c *client.Client, x Context) []string {
		if len(args) > 0 {
			x.Project = args[0]
		}
		if x.Project == "" {
			return nil
		}
		return stageNames(ctx, c, x, "")
	})
}

func stageNames(ctx context.Context, c *client.Client, x Context, typed string) []string {
	project, _, isFull := strings.Cut(typed, "/")
	if !isFull {
		project = x.Project
	}
	if project == "" {
		page, err := c.Projects(ctx)
		if err != nil {
			return nil
		}
		var names []string
		for _, p := range page.Items {
			for _, s := range p.Stages {
				names = append(names, p.Name+"/"+s.Name)
			}
		}
		return names
	}
	stages, err := c.Stages(ctx, project)
	if err != nil {
		return nil
	}
	var names []string
	for _, s := range stages.Items {
		name := s.Name
		if isFull {
			name = project + "/" + name
		}
		names = append(names, name+"\t"+strings.TrimSpace(s.Freight.Version+" "+string(s.Status.Word)))
	}
	return names
}

func freightNames(ctx context.Context, c *client.Client, x Context) []string {
	names := []string{"latest\tthe newest that may go there", "prev\twhat ran there before"}
	if x.Project == "" {
		return names
	}
	list, err := c.FreightList(ctx, x.Project, "", client.Page{})
	if err != nil {
		return names
	}
	for _, f := range list.Items {
		if f.Version != "" {
			names = append(names, f.Version+"\t"+f.Alias)
		}
	}
	return names
}
