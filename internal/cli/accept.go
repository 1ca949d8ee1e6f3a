package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/api/rest/model"
)

// accept has recorded changes committed: those of a field, or of one object.
func (a *App) accept(cmd *cobra.Command, arg, what, reason string, out *output) error {
	c, x, err := a.client()
	if err != nil {
		return err
	}
	apps, err := a.applications(cmd, c, x, arg)
	if err != nil {
		return err
	}
	var results []model.AcceptResult
	for _, app := range apps {
		fields := leftAlone(&app, what)
		if len(fields) == 0 {
			continue
		}
		r, err := c.AcceptDrift(cmd.Context(), app.Project, app.Name, model.AcceptRequest{Fields: fields, Reason: reason})
		if err != nil {
			return err
		}
		results = append(results, *r)
		a.sayAccepted(&app, r)
	}
	if len(results) == 0 {
		return notFound(fmt.Sprintf("no change of %q is left to accept", what), "waybill drift "+arg)
	}
	if out.isMachine() {
		return out.encode(a.Stdout, oneOrAll(results))
	}
	return nil
}

// addedByHand stands in a record for the value of a field that is not in Git.
const addedByHand = "added"

// leftAlone returns the recorded changes of a field, or of an object, that nobody
// took back; each field once.
func leftAlone(app *model.Application, what string) []model.AcceptField {
	var fields []model.AcceptField
	seen := map[model.AcceptField]bool{}
	for _, d := range app.Drifts {
		isNamed := d.Field == what || strings.EqualFold(d.Kind+"/"+d.Name, what)
		f := model.AcceptField{Group: d.Group, Kind: d.Kind, Namespace: d.Namespace, Name: d.Name, Field: d.Field}
		if isNamed && d.Field != "" && d.Action != "Healed" && !seen[f] {
			seen[f] = true
			if d.Got != addedByHand {
				f.Seen = d.Got
			}
			fields = append(fields, f)
		}
	}
	return fields
}

func (a *App) sayAccepted(app *model.Application, r *model.AcceptResult) {
	for _, c := range r.Changes {
		a.say("%s/%s %s: %s -> %s in %s", c.Kind, c.Name, c.Field, firstOf(c.Before, "(nothing)"), firstOf(c.After, "(nothing)"), c.File)
	}
	switch {
	case r.IsNew:
		a.say("Branch %s says so since commit %s. A promotion that writes this branch anew overwrites it, as its plan says: change what the branch is written from as well.", r.Branch, short(r.Commit))
	case r.Commit != "":
		a.say("Branch %s says so already, since commit %s.", r.Branch, short(r.Commit))
	default:
		a.say("Branch %s of %s/%s says so already.", r.Branch, app.Project, app.Name)
	}
}

func oneOrAll(results []model.AcceptResult) any {
	if len(results) == 1 {
		return results[0]
	}
	return results
}

// acceptOrRevert does what the flags of drift ask for; done is false when they ask
// to look only.
func (a *App) acceptOrRevert(cmd *cobra.Command, arg string, f driftFlags, w *waitFlags, out *output) (done bool, err error) {
	switch {
	case f.accept != "" && f.revert != "":
		return true, usagef(cmd, "--accept and --revert exclude each other")
	case f.reason != "" && f.accept == "":
		return true, usagef(cmd, "--reason goes with --accept")
	case f.accept != "":
		return true, a.accept(cmd, arg, f.accept, f.reason, out)
	case f.revert != "":
		return true, a.revert(cmd, arg, f.revert, w, out)
	default:
		return false, nil
	}
}

// driftFlags are those of drift that change something.
type driftFlags struct{ revert, accept, reason string }
