package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/api/client"
	"github.com/waybill-dev/waybill/api/rest/model"
)

func (a *App) syncCommand() *cobra.Command {
	var out *output
	var w *waitFlags
	var only []string
	var prune, dryRun bool
	cmd := &cobra.Command{
		Use:   "sync [PROJECT/]STAGE|APPLICATION",
		Short: "Make the cluster of a Stage equal to its branch now",
		Long: `Ask the branch of a Stage or Application where it is, apply its head, take back changes made in the cluster
whatever the drift policy says, and try again at once what failed. It promotes nothing.

--only does that for single objects, at the revision the Application is held to. --prune deletes what left the
branch although automatic pruning is off, and agrees to as many deletions as there are. --dry-run shows what
would change, as waybill diff --live does. It needs the verb sync on the Application.

With --wait it ends when everything is applied and Healthy, with exit code 1 when it failed.`,
		Example: `  waybill sync guestbook/prod --wait
  waybill sync guestbook/prod --only deployment/web --only service/web
  waybill sync guestbook/prod --prune --dry-run`,
		Args:              exactArgs("[PROJECT/]STAGE|APPLICATION"),
		ValidArgsFunction: a.completeStage(0),
		RunE: func(cmd *cobra.Command, args []string) error {
			body := model.SyncRequest{Prune: prune}
			for _, name := range only {
				r, err := resourceNamed(cmd, name)
				if err != nil {
					return err
				}
				body.Resources = append(body.Resources, r)
			}
			if dryRun {
				return eachApplication(a, cmd, args[0], out, func(c *client.Client, app model.Application) (*model.LiveDiff, error) {
					return c.ApplicationDiff(cmd.Context(), app.Project, app.Name)
				}, func(_ model.Application, d *model.LiveDiff) error {
					return a.printLiveDiff(onlyThese(d, body.Resources))
				})
			}
			c, x, err := a.client()
			if err != nil {
				return err
			}
			apps, err := a.applications(cmd, c, x, args[0])
			if err != nil {
				return err
			}
			return a.syncAll(cmd, c, apps, body, w, out)
		},
	}
	out = outputFlag(cmd, "table", "json", "yaml", "name")
	w = addWaitFlags(cmd, "until it is applied and Healthy")
	cmd.Flags().StringArrayVar(&only, "only", nil, "sync this object only, as KIND/NAME; may be repeated")
	cmd.Flags().BoolVar(&prune, "prune", false, "delete what left the branch")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "show what would change, and change nothing")
	return cmd
}

// resourceNamed reads KIND/NAME, or KIND.GROUP/NAME.
func resourceNamed(cmd *cobra.Command, text string) (model.SyncResource, error) {
	kind, name, isPair := strings.Cut(text, "/")
	kind, group, _ := strings.Cut(kind, ".")
	if !isPair || kind == "" || name == "" {
		return model.SyncResource{}, usagef(cmd, "%q does not name an object: write KIND/NAME, such as deployment/web", text)
	}
	return model.SyncResource{Group: group, Kind: kind, Name: name}, nil
}

// onlyThese leaves the changes of the named objects.
func onlyThese(d *model.LiveDiff, named []model.SyncResource) *model.LiveDiff {
	if len(named) == 0 {
		return d
	}
	kept := *d
	kept.Application.Objects = []model.ObjectChange{}
	for _, o := range d.Application.Objects {
		for _, r := range named {
			if strings.EqualFold(r.Kind, o.Kind) && r.Name == o.Name && (r.Group == "" || r.Group == o.Group) {
				kept.Application.Objects = append(kept.Application.Objects, o)
				break
			}
		}
	}
	return &kept
}

// syncAll asks for a sync of each Application, and waits for all when that is
// wanted.
func (a *App) syncAll(cmd *cobra.Command, c *client.Client, apps []model.Application, body model.SyncRequest, w *waitFlags, out *output) error {
	ctx, cancel := context.WithTimeout(cmd.Context(), w.timeout)
	defer cancel()
	requests := map[string]string{}
	for _, app := range apps {
		r, err := c.SyncApplication(ctx, app.Project, app.Name, body)
		if err != nil {
			return err
		}
		requests[app.Name] = r.Request
	}
	var shown []model.Application
	var failed error
	for _, app := range apps {
		if !w.wait {
			a.say("Sync of %s/%s is asked for.", app.Project, app.Name)
			shown = append(shown, app)
			continue
		}
		found, err := a.awaitSync(ctx, c, app, requests[app.Name], len(body.Resources) == 0)
		if cmd.Context().Err() != nil {
			return &failure{code: client.ExitInterrupted}
		}
		if found != nil {
			shown = append(shown, *found)
		}
		if err != nil && failed == nil {
			failed = err
		}
	}
	if !w.wait && out.format == "table" {
		return nil
	}
	if err := a.printApplications(shown, out); err != nil {
		return err
	}
	return failed
}

const syncPause = 300 * time.Millisecond

// awaitSync waits for the end of a requested sync and, unless it was of single
// objects, until the Application is well or will not be.
func (a *App) awaitSync(ctx context.Context, c *client.Client, app model.Application, request string, isAll bool) (*model.Application, error) {
	tick := time.NewTicker(syncPause)
	defer tick.Stop()
	name := app.Project + "/" + app.Name
	for {
		found, err := c.Application(ctx, app.Project, app.Name)
		if err != nil && ctx.Err() == nil {
			return nil, err
		}
		if err == nil && found.LastSync.ID == request {
			switch {
			case found.LastSync.Phase == model.SyncResultPhaseFailed:
				return found, &failure{code: client.ExitFailed, what: fmt.Sprintf("sync of %s failed: %s", name, found.LastSync.Message)}
			case found.LastSync.Phase == model.SyncResultPhaseRunning:
			case !isAll || found.Health == model.HealthHealthy || found.Health == model.HealthSuspended:
				return found, nil
			case found.Health == model.HealthDegraded:
				return found, &failure{code: client.ExitFailed, what: fmt.Sprintf("%s is applied and %s: %s", name, found.Health, found.HealthMessage), next: []string{"waybill tree " + name}}
			}
		}
		select {
		case <-ctx.Done():
			return found, &failure{code: client.ExitTimeout, what: fmt.Sprintf("sync of %s goes on", name), next: []string{"waybill tree " + name}}
		case <-tick.C:
		}
	}
}

func (a *App) printApplications(apps []model.Application, out *output) error {
	if out.isMachine() {
		if len(apps) == 1 {
			return out.encode(a.Stdout, apps[0])
		}
		return out.encode(a.Stdout, apps)
	}
	t := table{heads: []string{"APPLICATION", "SYNC", "REVISION", "HEALTH", "MESSAGE"}}
	for _, app := range apps {
		if out.format == "name" {
			if err := a.print("application/%s", app.Name); err != nil {
				return err
			}
			continue
		}
		t.add(text(app.Name), text(string(app.Sync)), text(short(app.Revision)), healthCell(string(app.Health)), text(firstOf(app.LastSync.Message, app.SyncMessage, app.HealthMessage)))
	}
	if out.format == "name" {
		return nil
	}
	return a.printTable(t)
}

// revert takes back recorded changes: of the objects in which a field was changed,
// or of one object.
func (a *App) revert(cmd *cobra.Command, arg, what string, w *waitFlags, out *output) error {
	c, x, err := a.client()
	if err != nil {
		return err
	}
	apps, err := a.applications(cmd, c, x, arg)
	if err != nil {
		return err
	}
	var concerned []model.Application
	var body model.SyncRequest
	for _, app := range apps {
		before := len(body.Resources)
		for _, d := range app.Drifts {
			isNamed := d.Field == what || strings.EqualFold(d.Kind+"/"+d.Name, what)
			r := model.SyncResource{Group: d.Group, Kind: d.Kind, Namespace: d.Namespace, Name: d.Name}
			if isNamed && d.Action != "Healed" && !hasResource(body.Resources, r) {
				body.Resources = append(body.Resources, r)
			}
		}
		if len(body.Resources) > before {
			concerned = append(concerned, app)
		}
	}
	if len(concerned) == 0 {
		return notFound(fmt.Sprintf("no change of %q is left to take back", what), "waybill drift "+arg)
	}
	for _, r := range body.Resources {
		a.say("Taking back what was changed in %s/%s.", r.Kind, r.Name)
	}
	if len(concerned) > 1 { // each has its own objects
		for _, app := range concerned {
			mine := model.SyncRequest{}
			for _, d := range app.Drifts {
				r := model.SyncResource{Group: d.Group, Kind: d.Kind, Namespace: d.Namespace, Name: d.Name}
				if hasResource(body.Resources, r) && !hasResource(mine.Resources, r) {
					mine.Resources = append(mine.Resources, r)
				}
			}
			if err := a.syncAll(cmd, c, []model.Application{app}, mine, w, out); err != nil {
				return err
			}
		}
		return nil
	}
	return a.syncAll(cmd, c, concerned, body, w, out)
}

func hasResource(list []model.SyncResource, r model.SyncResource) bool {
	for _, other := range list {
		if other == r {
			return true
		}
	}
	return false
}
