package cli

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/api/client"
	"github.com/waybill-dev/waybill/api/rest/model"
)

func (a *App) deleteCommand() *cobra.Command {
	var f manifestFlags
	var ignoreMissing bool
	cmd := &cobra.Command{
		Use:   "delete KIND NAME...",
		Short: "Delete definitions",
		Long: `Delete definitions by kind and name, or those that files name, in the opposite order of apply.
A Project goes when its Stages are gone; its Namespace goes with it when Waybill made it. What
Stages deployed stays, unless their deletionPolicy says otherwise.`,
		Example: `  waybill delete stage guestbook/prod
  waybill delete project guestbook
  waybill delete -f examples/guestbook`,
		ValidArgsFunction: a.completeKinds,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, x, err := a.client()
			if err != nil {
				return err
			}
			var doomed []definition
			switch {
			case len(f.names) > 0 && len(args) > 0:
				return usage(cmd, "name objects or files, not both")
			case len(f.names) > 0:
				doomed, err = a.definitionsInFiles(cmd, x, f)
			default:
				doomed, err = a.definitionsNamed(cmd, x, args)
			}
			if err != nil {
				return err
			}
			for _, d := range doomed {
				err := c.DeleteDefinition(cmd.Context(), d.project, d.kind.plural, d.name)
				if client.Code(err) == model.NotFound && ignoreMissing {
					continue
				}
				if err != nil {
					return err
				}
				if err := a.print("%s/%s deleted", d.kind.one, d.name); err != nil {
					return err
				}
				if d.kind.plural == client.KindProjects {
					a.sayWhatIsLeft(cmd.Context(), c, d.name)
				}
			}
			return nil
		},
	}
	addManifestFlags(cmd, &f)
	cmd.Flags().BoolVar(&ignoreMissing, "ignore-not-found", false, "what is gone already is no mistake")
	return cmd
}

// sayWhatIsLeft names the Stages that a deleted Project waits for.
func (a *App) sayWhatIsLeft(ctx context.Context, c *client.Client, project string) {
	stages, err := allDefinitions(ctx, c, project, model.Stages)
	if err != nil {
		return // it is gone already, and with it the right to look
	}
	var left []string
	for _, s := range stages {
		if s.text("metadata", "deletionTimestamp") == "" {
			left = append(left, project+"/"+s.text("metadata", "name"))
		}
	}
	if len(left) > 0 {
		a.say("It goes when its Stages are gone: waybill delete stage %s", strings.Join(left, " "))
	}
}

// definition is one object to delete.
type definition struct {
	target
	kind kind
}

func (a *App) definitionsNamed(cmd *cobra.Command, x Context, args []string) ([]definition, error) {
	if args = splitPair(args); len(args) < 2 {
		return nil, usagef(cmd, "KIND and NAME are missing: %s, or -f FILE", useLine(cmd))
	}
	k, err := findKind(cmd, args[0])
	if err != nil {
		return nil, err
	}
	var found []definition
	for _, name := range args[1:] {
		it, err := a.definitionTarget(cmd, x, k, name)
		if err != nil {
			return nil, err
		}
		found = append(found, definition{target: it, kind: k})
	}
	return found, nil
}

// definitionsInFiles returns what the files define, in the opposite order. What
// belongs to Kubernetes itself is left out: a Project takes its Namespace and
// Secrets along.
func (a *App) definitionsInFiles(cmd *cobra.Command, x Context, f manifestFlags) ([]definition, error) {
	files, err := a.readManifests(cmd, f)
	if err != nil {
		return nil, err
	}
	docs, err := parse(files, x.Project)
	if err != nil {
		return nil, err
	}
	var found []definition
	for _, d := range docs {
		if !strings.HasPrefix(d.APIVersion, "waybill.dev/") {
			continue
		}
		k, err := findKind(cmd, d.Kind)
		if err != nil {
			return nil, err
		}
		found = append(found, definition{target: target{project: firstOf(d.Namespace, d.Name), name: d.Name}, kind: k})
	}
	slices.Reverse(found)
	return found, nil
}
