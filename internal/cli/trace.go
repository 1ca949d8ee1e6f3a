package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/api/client"
	"github.com/waybill-dev/waybill/api/rest/model"
)

func (a *App) traceCommand() *cobra.Command {
	var out *output
	var asked client.TracedObject
	cmd := &cobra.Command{
		Use:   "trace KIND/NAME",
		Short: "Say where an object in a cluster came from",
		Long: `Say where an object in a cluster came from: which Application applied it or what owns it, from which file
and commit, which promotion wrote that, who asked and who approved, which Freight that brought and from where,
and what was changed by hand since.

The kind is written as for kubectl: deploy/web, deployments.apps/web, or deploy web. Without --namespace and
--cluster, all that your Applications deploy to are looked into; when several have such an object, each is
told of. What no Application of a Project that you may see manages is not found, whether it exists or not.`,
		Example: `  waybill trace deploy/web -n guestbook-prod
  waybill trace pod web-5d4f8-x2x7q -n guestbook-prod
  waybill trace certificates.cert-manager.io/web --cluster prod-eu -o yaml`,
		Args:              rangeArgs(1, "KIND/NAME", "NAME"),
		ValidArgsFunction: completeTraced,
		RunE: func(cmd *cobra.Command, args []string) error {
			var isPair bool
			asked.Kind, asked.Name, isPair = strings.Cut(args[0], "/")
			if len(args) == 2 {
				isPair, asked.Name = !isPair, args[1]
			}
			if !isPair || asked.Kind == "" || asked.Name == "" {
				return usagef(cmd, "%q does not name an object: write KIND/NAME, such as deploy/web", strings.Join(args, " "))
			}
			c, _, err := a.client()
			if err != nil {
				return err
			}
			trace, err := c.Trace(cmd.Context(), asked)
			if err != nil {
				return err
			}
			if out.isMachine() {
				return out.encode(a.Stdout, trace)
			}
			return a.printTrace(trace)
		},
	}
	out = outputFlag(cmd, "table", "json", "yaml")
	cmd.Flags().StringVarP(&asked.Namespace, "namespace", "n", "", "Namespace of the object (default: any)")
	cmd.Flags().StringVar(&asked.Cluster, "cluster", "", "cluster it is in (default: any)")
	return cmd
}

// completeTraced completes the kinds that people ask about most.
func completeTraced(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	kinds := []string{"deployment/", "statefulset/", "daemonset/", "pod/", "job/", "cronjob/", "service/", "ingress/", "configmap/", "secret/", "persistentvolumeclaim/"}
	return kinds, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

// printTrace prints each way from an object to its commit, from the top down.
func (a *App) printTrace(trace *model.Trace) error {
	for i := range trace.Items {
		item := &trace.Items[i]
		gap := ""
		if i > 0 {
			gap = "\n"
		}
		if err := a.print("%s%s", gap, nodeText(item.Path[0], true)); err != nil {
			return err
		}
		t := table{}
		add := func(label, format string, args ...any) {
			if what := fmt.Sprintf(format, args...); strings.TrimSpace(what) != "" {
				t.add(cell{text: "  " + label, style: dim, isVerbatim: true}, text(what))
			}
		}
		for _, n := range item.Path[1:] {
			add("owned by", "%s", nodeText(n, false))
		}
		a.traceApplication(item, add)
		a.tracePromotion(item, add)
		traceFreight(item, add)
		for _, d := range item.Application.Drifts {
			if isTraced(item, d) {
				field, found := firstOf(d.Field, "the object"), firstOf(d.Got, "deleted")
				add("changed since", "%s from %s to %s by %s, %s ago (%s)", field, firstOf(d.Want, "nothing"), found, firstOf(d.Manager, "nobody knows whom"), a.age(d.At), d.Action)
			}
		}
		for _, m := range item.Missing {
			add("not known", "%s", m)
		}
		// Whole lines: nothing here may be cut.
		if err := t.write(a.Stdout, a.isColoured(a.Terminal.Stdout)); err != nil {
			return err
		}
		if p := item.Promotion.Name; p != "" {
			a.say("More: waybill describe promotion %s/%s", item.Application.Project, p)
		}
	}
	for _, name := range trace.Unreachable {
		a.say("Cluster %q does not answer: what lives there now is not known.", name)
	}
	if trace.Cut {
		a.say("There may be more; name a Namespace with -n.")
	}
	return nil
}

// nodeText names an object and says how it is.
func nodeText(n model.ResourceNode, withNamespace bool) string {
	name := n.Kind + " " + n.Name
	if withNamespace {
		name = n.Kind + " " + join("/", n.Namespace, n.Name)
	}
	if how := join(": ", n.Health, firstOf(n.Message, n.Reason)); how != "" {
		name += " (" + how + ")"
	}
	return name
}

type addLine = func(label, format string, args ...any)

// traceApplication tells of the Application, the file and the commit.
func (a *App) traceApplication(item *model.TraceItem, add addLine) {
	app := &item.Application
	applied := ""
	if !app.SyncedAt.IsZero() {
		applied = ", last " + a.age(app.SyncedAt) + " ago"
	}
	add("applied by", "Application %s/%s to cluster %s%s (%s)", app.Project, app.Name, app.Cluster, applied,
		join(", ", string(app.Sync), join(": ", string(app.Health), app.HealthMessage)))
	add("declared in", "%s", item.File)
	c := item.Commit
	switch {
	case app.Chart != "":
		add("from", "chart %s %s of %s", app.Chart, app.Revision, app.RepoURL)
	case c.ID == "":
		add("at commit", "%s", join(" ", short(app.Revision), prefix("on ", app.Branch), prefix("of ", app.RepoURL)))
	default:
		add("at commit", "%s on %s of %s", short(c.ID), firstOf(c.Branch, "the default branch"), c.RepoURL)
		add("", "%q by %s, %s ago", c.Message, c.Author, a.age(c.Date))
	}
	if item.AcceptedBy != "" {
		add("accepted by", "%s, as changed in the cluster", person(item.AcceptedBy))
	}
	if app.Stage == "" {
		add("for", "no Stage: nothing is promoted there")
	}
}

// tracePromotion tells who wanted it.
func (a *App) tracePromotion(item *model.TraceItem, add addLine) {
	p := &item.Promotion
	if p.Name == "" {
		if item.Application.Stage != "" && len(item.Missing) == 0 {
			add("written by", "no promotion that is on record into Stage %s", item.Application.Stage)
		}
		return
	}
	label, what := "written by", "promotion"
	if p.Kind == model.PromotionKindRollback {
		what = "rollback"
	}
	if !item.Wrote {
		add("written by", "no promotion that is on record")
		label = "which follows"
	}
	at := p.FinishedAt
	if at.IsZero() {
		at = p.CreatedAt
	}
	add(label, "%s %s into Stage %s, %s %s ago", what, p.Name, p.Stage, p.Phase, a.age(at))
	by := person(p.RequestedBy)
	if p.Automatic {
		by += " (automatic)"
	}
	add("asked for by", "%s", join(": ", by, p.RequestReason))
	var approved []string
	for _, ap := range p.Approvals {
		if ap.Decision == model.Approve && ap.Standing == model.Counts {
			approved = append(approved, join(": ", person(ap.Actor), ap.Reason))
		}
	}
	add("approved by", "%s", strings.Join(approved, "; "))
	var bypassed []string
	for _, g := range p.Bypass {
		bypassed = append(bypassed, string(g))
	}
	add("bypassing", "%s", strings.Join(bypassed, ", "))
}

// traceFreight tells what was brought, and what runs beside it.
func traceFreight(item *model.TraceItem, add addLine) {
	for i, f := range item.Freight {
		label := "beside"
		if i == 0 {
			label = "which brought"
		}
		name := freightOf(f)
		if f.Alias != "" && f.Alias != name {
			name += " (" + f.Alias + ")"
		}
		add(label, "Freight %s of Warehouse %s", name, f.Origin)
		for _, img := range f.Images {
			add("", "image %s", join("@", join(":", img.RepoURL, img.Tag), img.Digest))
		}
		for _, c := range f.Commits {
			add("", "commit %s of %s %s", short(c.ID), c.RepoURL, join(" ", c.Tag, c.Message))
		}
		for _, c := range f.Charts {
			add("", "chart %s of %s", join(" ", c.Name, c.Version), c.RepoURL)
		}
	}
}

// isTraced reports whether a change by hand was of an object on the way.
func isTraced(item *model.TraceItem, d model.Drift) bool {
	return slices.ContainsFunc(item.Path, func(n model.ResourceNode) bool {
		return n.Group == d.Group && n.Kind == d.Kind && n.Namespace == d.Namespace && n.Name == d.Name
	})
}
