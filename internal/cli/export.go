package cli

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/api/client"
	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/internal/importer"
	"github.com/waybill-dev/waybill/internal/manifest"
)

// exportedKinds are those that people define, in the order in which apply wants them.
func exportedKinds() []model.Kind {
	return []model.Kind{client.KindProjects, model.Warehouses, model.Promotiontasks, model.Stages, model.Applications}
}

func (a *App) exportCommand() *cobra.Command {
	var out *output
	cmd := &cobra.Command{
		Use:   "export [KIND...]",
		Short: "Print the definitions of a Project, so that apply takes them back",
		Long: `Print the definitions of a Project, so that waybill apply -f - takes them back: the Project, its
Warehouses, PromotionTasks, Stages and the Applications that people made, or only those of the KINDs,
always in the same order. What the server sets is left out, and what controllers make: status,
Freight, Promotions and the Applications of Stages.

No Secret is in it. Comments name the Secrets and clusters that the definitions need; with -o json
they are on standard error.`,
		Example: `  waybill export -p guestbook > guestbook.yaml
  waybill export -p guestbook stages warehouses
  waybill export -p guestbook -o json
  waybill export -p guestbook --context old | waybill apply --context new -f -`,
		ValidArgs: []string{"projects", "warehouses", "promotiontasks", "stages", "applications"},
		RunE: func(cmd *cobra.Command, args []string) error {
			wanted, err := exportKinds(cmd, args)
			if err != nil {
				return err
			}
			c, x, err := a.client()
			if err != nil {
				return err
			}
			project, err := a.needProject(cmd, x, nil)
			if err != nil {
				return err
			}
			all, err := exportProject(cmd.Context(), c, project, wanted)
			if err != nil {
				return err
			}
			notes := exportNotes(project, all)
			if out.format == "json" {
				for _, line := range notes {
					a.say("%s", line)
				}
			} else if len(all) > 0 {
				all[0].Comments = notes
			}
			if len(all) == 0 && out.format != "json" {
				a.say("There is nothing of these kinds in %s.", project)
				return nil
			}
			text, err := encodeManifests(all, out)
			if err != nil {
				return err
			}
			_, err = a.Stdout.Write(text)
			return err //nolint:wrapcheck // of a stream the caller has
		},
	}
	out = outputFlag(cmd, "yaml", "json")
	return cmd
}

// exportKinds returns the kinds that are asked for, in the order of exportedKinds.
func exportKinds(cmd *cobra.Command, args []string) ([]model.Kind, error) {
	if len(args) == 0 {
		return exportedKinds(), nil
	}
	asked := map[model.Kind]bool{}
	for _, name := range args {
		k, err := findKind(cmd, name)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(exportedKinds(), k.plural) {
			f := usagef(cmd, "%s are no definitions: they say what happened, or what somebody decided", k.plural)
			f.next = []string{fmt.Sprintf("waybill get %s -o yaml", k.plural)}
			return nil, f
		}
		asked[k.plural] = true
	}
	return slices.DeleteFunc(exportedKinds(), func(k model.Kind) bool { return !asked[k] }), nil
}

// exportProject reads the definitions of a Project, in order.
func exportProject(ctx context.Context, c *client.Client, project string, kinds []model.Kind) ([]importer.Manifest, error) {
	var out []importer.Manifest
	for _, plural := range kinds {
		var found []object
		var err error
		if plural == client.KindProjects {
			var o model.Definition
			if o, err = c.Definition(ctx, project, plural, project); err == nil {
				found = []object{object(o)}
			}
		} else {
			found, err = allDefinitions(ctx, c, project, plural)
		}
		if err != nil {
			return nil, err
		}
		slices.SortFunc(found, func(a, b object) int {
			return strings.Compare(a.text("metadata", "name"), b.text("metadata", "name"))
		})
		for _, o := range found {
			if isDefinition(o) {
				out = append(out, importer.Manifest{Kind: o.text("kind"), Namespace: o.text("metadata", "namespace"), Name: o.text("metadata", "name"), Object: manifest.Definition(o)})
			}
		}
	}
	return out, nil
}

// isDefinition reports whether a person made the object, and it stays: what has an
// owner is made again by it.
func isDefinition(o object) bool {
	owners, _ := o.at("metadata", "ownerReferences").([]any)
	return len(owners) == 0 && o.text("metadata", "deletionTimestamp") == ""
}

// secretCall finds secret('name') in expressions.
var secretCall = regexp.MustCompile(`\bsecret\(\s*['"]([a-z0-9][a-z0-9.-]*)['"]`)

// exportNotes says what definitions need that is not in them.
func exportNotes(project string, all []importer.Manifest) []string {
	secrets, clusters := map[string]bool{}, map[string]bool{}
	for i := range all {
		eachValue(all[i].Object, func(key string, value any) {
			switch v := value.(type) {
			case map[string]any:
				if name, ok := v["name"].(string); ok && key == "secretRef" {
					secrets[name] = true
				}
				if name, ok := v["cluster"].(string); ok && key == "destination" && name != "in-cluster" {
					clusters[name] = true
				}
			case string:
				if key == "channel" {
					secrets[v] = true
				}
				for _, m := range secretCall.FindAllStringSubmatch(v, -1) {
					secrets[m[1]] = true
				}
			}
		})
	}
	notes := []string{fmt.Sprintf("Definitions of the Project %s. No Secret is in here.", project)}
	if len(secrets) > 0 {
		notes = append(notes, "Secrets that are named: "+strings.Join(slices.Sorted(maps.Keys(secrets)), ", "))
	}
	notes = append(notes, fmt.Sprintf("Credentials of repositories and registries: waybill repo list -p %[1]s, waybill registry list -p %[1]s", project))
	if len(clusters) > 0 {
		notes = append(notes, "Clusters that are named (waybill cluster add): "+strings.Join(slices.Sorted(maps.Keys(clusters)), ", "))
	}
	return notes
}

// eachValue calls look for every value of a tree with the key it has; the values of lists
// have that of the list.
func eachValue(tree any, look func(key string, value any)) {
	switch v := tree.(type) {
	case map[string]any:
		for key, value := range v {
			look(key, value)
			eachItem(key, value, look)
		}
	case []any:
		for _, item := range v {
			eachValue(item, look)
		}
	}
}

func eachItem(key string, value any, look func(key string, value any)) {
	items, isList := value.([]any)
	if !isList {
		eachValue(value, look)
		return
	}
	for _, item := range items {
		look(key, item)
		eachItem(key, item, look)
	}
}
