package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/api/client"
	"github.com/waybill-dev/waybill/api/rest/model"
)

// kind is a kind of definitions and how its table looks.
type kind struct {
	plural model.Kind
	// one is the kind as in manifests, in lower case.
	one     string
	aliases []string
	heads   []string
	cells   func(a *App, o object) []cell
	// wide adds columns for -o wide.
	wideHeads []string
	wideCells func(o object) []cell
}

// kinds lists every kind that get and delete know.
func kinds() []kind {
	return []kind{
		{plural: client.KindProjects, one: "project", aliases: []string{"wbproj", "proj"},
			heads: []string{"READY", "STAGES", "AGE"},
			cells: func(a *App, o object) []cell {
				return []cell{o.ready(), text(o.text("status", "stages")), text(a.age(o.created()))}
			}},
		{plural: model.Warehouses, one: "warehouse", aliases: []string{"wbwh", "wh"},
			heads: []string{"READY", "LATEST", "INTERVAL", "POLLED", "NEXT POLL", "REQUESTS", "AGE"},
			cells: func(a *App, o object) []cell {
				polled, next, requests := o.polls()
				ago := a.age(polled)
				if ago != "" {
					ago += " ago"
				}
				in, _, _ := strings.Cut(dueText(next, a.Now()), " (")
				return []cell{o.ready(), text(short(o.text("status", "latestFreight"))), text(o.text("spec", "interval")), text(ago), text(in), text(requests), text(a.age(o.created()))}
			}},
		{plural: model.Freights, one: "freight", aliases: []string{"wbfr", "fr"},
			heads: []string{"ALIAS", "VERSION", "ORIGIN", "ORDER", "AGE"},
			cells: func(a *App, o object) []cell {
				version := firstOf(o.first("images").text("tag"), o.first("commits").text("tag"), short(o.first("commits").text("id")), o.first("charts").text("version"))
				return []cell{text(o.text("alias")), text(version), text(o.text("origin", "name")), text(o.text("order")), text(a.age(o.created()))}
			},
			wideHeads: []string{"IMAGE", "DIGEST"},
			wideCells: func(o object) []cell {
				return []cell{text(o.first("images").text("repoURL")), text(o.first("images").text("digest"))}
			}},
		{plural: model.Stages, one: "stage", aliases: []string{"wbst", "st"},
			heads: []string{"READY", "VERSION", "HEALTH", "AGE"},
			cells: func(a *App, o object) []cell {
				return []cell{o.ready(), text(o.first("status", "current").first("images").text("tag")), text(o.text("status", "health", "status")), text(a.age(o.created()))}
			}},
		{plural: model.Promotions, one: "promotion", aliases: []string{"wbpromo", "promo", "promos"},
			heads: []string{"STAGE", "KIND", "FREIGHT", "PHASE", "REASON", "AGE"},
			cells: func(a *App, o object) []cell {
				return []cell{text(o.text("spec", "stage")), text(o.text("spec", "kind")), text(short(o.text("spec", "freight"))),
					phaseCell(phaseOfObject(o)), text(o.text("status", "reason")), text(a.age(o.created()))}
			},
			wideHeads: []string{"COMMIT", "BY"},
			wideCells: func(o object) []cell {
				return []cell{text(short(o.text("status", "commit", "commit"))), text(o.text("spec", "requestedBy"))}
			}},
		{plural: model.Applications, one: "application", aliases: []string{"wbapp", "app", "apps"},
			heads: []string{"SYNC", "HEALTH", "REVISION", "NAMESPACE", "REASON", "AGE"},
			cells: func(a *App, o object) []cell {
				return []cell{text(o.text("status", "sync", "status")), text(o.text("status", "health", "status")), text(short(o.text("status", "sync", "revision"))),
					text(o.text("spec", "destination", "namespace")), text(o.condition("Ready").text("reason")), text(a.age(o.created()))}
			},
			wideHeads: []string{"PATH", "MESSAGE"},
			wideCells: func(o object) []cell {
				return []cell{text(o.text("spec", "source", "path")), text(o.text("status", "health", "message"))}
			}},
		{plural: model.Promotiontasks, one: "promotiontask", aliases: []string{"wbtask", "task", "tasks"},
			heads: []string{"AGE"},
			cells: func(a *App, o object) []cell { return []cell{text(a.age(o.created()))} }},
		{plural: model.Freezes, one: "freeze", aliases: []string{"wbfz", "fz"},
			heads: []string{"STAGE", "SCOPE", "BY", "UNTIL", "REASON", "AGE"},
			cells: func(a *App, o object) []cell {
				return []cell{text(o.text("spec", "stage")), text(o.text("spec", "scope")), text(o.text("spec", "by")), text(o.text("spec", "until")),
					text(o.text("spec", "reason")), text(a.age(o.created()))}
			}},
		{plural: model.Approvals, one: "approval", aliases: []string{"wbappr"},
			heads: []string{"PROMOTION", "DECISION", "ACTOR", "UNTIL", "REASON", "AGE"},
			cells: func(a *App, o object) []cell {
				return []cell{text(o.text("spec", "promotion")), text(o.text("spec", "decision")), text(o.text("spec", "actor")), text(o.text("spec", "until")),
					text(o.text("spec", "reason")), text(a.age(o.created()))}
			}},
	}
}

// findKind returns the kind that people may spell in several ways.
func findKind(cmd *cobra.Command, name string) (kind, error) {
	asked := strings.ToLower(strings.TrimSuffix(strings.ToLower(name), ".waybill.dev"))
	var known []string
	for _, k := range kinds() {
		if asked == k.one || asked == string(k.plural) || slices.Contains(k.aliases, asked) {
			return k, nil
		}
		known = append(known, string(k.plural))
	}
	f := usagef(cmd, "there is no kind %q", name)
	f.why = []string{"kinds: " + strings.Join(known, ", ")}
	return kind{}, f
}

func (a *App) completeKinds(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, k := range kinds() {
		names = append(names, string(k.plural))
	}
	names = append(names, "webhooks")
	return names, cobra.ShellCompDirectiveNoFileComp
}

// splitPair makes two arguments of a first one as kubectl has it: stage/prod is the kind
// stage and the name prod.
func splitPair(args []string) []string {
	if len(args) > 0 {
		if kind, name, isPair := strings.Cut(args[0], "/"); isPair {
			return append([]string{kind, name}, args[1:]...)
		}
	}
	return args
}

func (a *App) getCommand() *cobra.Command {
	var out *output
	cmd := &cobra.Command{
		Use:   "get KIND [NAME...]",
		Short: "Print definitions as Kubernetes has them",
		Long: `Print definitions as Kubernetes has them: projects, warehouses, freights, stages, promotions,
applications, freezes or promotiontasks. What runs where is said by waybill status.`,
		Example: `  waybill get projects
  waybill get stages -p guestbook
  waybill get stage guestbook/prod -o yaml
  waybill get freight -p guestbook -o wide
  waybill get webhooks -p guestbook
  waybill get webhook github -p guestbook     # with what it was sent`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef(cmd, "KIND is missing: %s", useLine(cmd))
			}
			return nil
		},
		ValidArgsFunction: a.completeKinds,
		RunE: func(cmd *cobra.Command, args []string) error {
			args = splitPair(args)
			names := args[1:]
			if isWebhooks(args[0]) {
				return a.getWebhooks(cmd, names, out)
			}
			k, err := findKind(cmd, args[0])
			if err != nil {
				return err
			}
			c, x, err := a.client()
			if err != nil {
				return err
			}
			if len(names) == 0 {
				return a.getAll(cmd, c, x, k, out)
			}
			var found []object
			for _, n := range names {
				it, err := a.definitionTarget(cmd, x, k, n)
				if err != nil {
					return err
				}
				o, err := c.Definition(cmd.Context(), it.project, k.plural, it.name)
				if err != nil {
					return err
				}
				found = append(found, object(o))
			}
			if len(found) == 1 && out.isMachine() {
				return out.encode(a.Stdout, found[0])
			}
			return a.printObjects(k, found, out)
		},
	}
	out = outputFlag(cmd, allFormats()...)
	return cmd
}

// definitionTarget reads NAME or PROJECT/NAME; a Project is in no Project.
func (a *App) definitionTarget(cmd *cobra.Command, x Context, k kind, name string) (target, error) {
	if k.plural == client.KindProjects {
		return target{project: name, name: name}, nil
	}
	return a.target(cmd, x, name, k.one)
}

func (a *App) getAll(cmd *cobra.Command, c *client.Client, x Context, k kind, out *output) error {
	project := ""
	if k.plural != client.KindProjects {
		var err error
		if project, err = a.needProject(cmd, x, nil); err != nil {
			return err
		}
	}
	found, err := allDefinitions(cmd.Context(), c, project, k.plural)
	if err != nil {
		return err
	}
	if len(found) == 0 && !out.isMachine() {
		where := ""
		if project != "" {
			where = " in " + project
		}
		a.say("There are no %s%s.", k.plural, where)
		return nil
	}
	return a.printObjects(k, found, out)
}

// allDefinitions reads every page of a kind.
func allDefinitions(ctx context.Context, c *client.Client, project string, plural model.Kind) ([]object, error) {
	found := []object{}
	for page := (client.Page{Limit: pageSize}); ; {
		list, err := c.Definitions(ctx, project, plural, page)
		if err != nil {
			return nil, err
		}
		for _, o := range list.Items {
			found = append(found, object(o))
		}
		if page.Token = list.NextPage; page.Token == "" {
			return found, nil
		}
	}
}

func (a *App) printObjects(k kind, items []object, out *output) error {
	switch {
	case out.isMachine():
		return out.encode(a.Stdout, map[string]any{"apiVersion": "v1", "kind": "List", "items": items})
	case out.format == "name":
		for _, o := range items {
			if err := a.print("%s/%s", k.one, o.text("metadata", "name")); err != nil {
				return err
			}
		}
		return nil
	}
	t := table{heads: append([]string{"NAME"}, k.heads...)}
	isWide := out.format == "wide" && k.wideCells != nil
	if isWide {
		t.heads = append(t.heads, k.wideHeads...)
	}
	for _, o := range items {
		row := append([]cell{text(o.text("metadata", "name"))}, k.cells(a, o)...)
		if isWide {
			row = append(row, k.wideCells(o)...)
		}
		t.add(row...)
	}
	return a.printTable(t)
}

// object is a definition in its Kubernetes shape.
type object map[string]any

// at returns what is at the path, nil when there is nothing.
func (o object) at(path ...string) any {
	var value any = map[string]any(o)
	for _, key := range path {
		m, ok := value.(map[string]any)
		if !ok {
			return nil
		}
		value = m[key]
	}
	return value
}

// text returns the value at the path as text, empty when there is nothing.
func (o object) text(path ...string) string {
	switch v := o.at(path...).(type) {
	case nil:
		return ""
	case float64: // JSON's only number
		return fmt.Sprintf("%.0f", v)
	default:
		return fmt.Sprint(v)
	}
}

// first returns the first object of the list at the path.
func (o object) first(path ...string) object {
	list, ok := o.at(path...).([]any)
	if !ok || len(list) == 0 {
		return nil
	}
	first, ok := list[0].(map[string]any)
	if !ok {
		return nil
	}
	return first
}

// polls returns when the subscriptions of a Warehouse were last asked, when the
// first is due, and what the last polls cost.
func (o object) polls() (last, next time.Time, requests string) {
	list, _ := o.at("status", "subscriptions").([]any)
	total := 0
	for _, item := range list {
		s, _ := item.(map[string]any)
		if at, err := time.Parse(time.RFC3339, object(s).text("lastPoll")); err == nil && at.After(last) {
			last = at
		}
		if at, err := time.Parse(time.RFC3339, object(s).text("nextPoll")); err == nil && (next.IsZero() || at.Before(next)) {
			next = at
		}
		if n, ok := s["requests"].(float64); ok {
			total += int(n)
		}
	}
	if len(list) == 0 {
		return last, next, ""
	}
	return last, next, fmt.Sprint(total)
}

func (o object) created() time.Time {
	t, err := time.Parse(time.RFC3339, o.text("metadata", "creationTimestamp"))
	if err != nil {
		return time.Time{}
	}
	return t
}

// condition returns the condition of that type.
func (o object) condition(name string) object {
	list, _ := o.at("status", "conditions").([]any)
	for _, item := range list {
		if c, ok := item.(map[string]any); ok && c["type"] == name {
			return c
		}
	}
	return nil
}

// ready shows the condition Ready, with its reason unless all is well.
func (o object) ready() cell {
	c := o.condition("Ready")
	switch c.text("status") {
	case "True":
		return cell{text: "yes", style: green}
	case "False":
		return cell{text: join(" ", "no", prefix("(", c.text("reason"))) + ")", style: red}
	default:
		return cell{text: "unknown", style: dim}
	}
}

// phaseOfObject is the phase of a Promotion in the API's words.
func phaseOfObject(o object) model.Phase {
	if reason := o.text("status", "reason"); reason == string(model.PhaseRejected) {
		return model.PhaseRejected
	}
	return model.Phase(o.text("status", "phase"))
}
