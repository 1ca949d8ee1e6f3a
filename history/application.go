package history

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// OfApplication returns the entries about what the status of an Application
// says: the revision that runs, the requested sync that ended, and its drifts,
// the newest last. The same status makes the same entries.
func OfApplication(app *v1alpha1.Application) []Entry {
	var out []Entry
	st := &app.Status
	for i := len(st.Drifts) - 1; i >= 0; i-- {
		out = append(out, ofDrift(app, &st.Drifts[i]))
	}
	if st.Sync.Revision != "" && st.Sync.SyncedAt != nil {
		e := about(app, ActionSync, instant(st.Sync.SyncedAt))
		e.Key += "/sync/" + st.Sync.Revision + "/" + e.At.Format(time.RFC3339Nano)
		e.Reason = "runs " + clean(st.Sync.Revision)
		out = append(out, e)
	}
	if l := st.LastSync; l != nil && l.FinishedAt != nil {
		e := about(app, ActionSync, instant(l.FinishedAt))
		e.Key += "/asked/" + l.ID
		e.Actor, e.Phase, e.Reason = clean(l.By), string(l.Phase), clean(l.Message)
		out = append(out, e)
	}
	return out
}

// about is an entry about an Application; its Key has to be made longer.
func about(app *v1alpha1.Application, action Action, at time.Time) Entry {
	return Entry{
		Key: string(app.UID), At: at, Action: action, Project: app.Namespace, Stage: app.Labels[v1alpha1.LabelStage],
		Object: Object{Kind: "Application", Name: app.Name, UID: string(app.UID)},
	}
}

// ofDrift returns what one drift was. Values are left out: some are nobody's
// business.
func ofDrift(app *v1alpha1.Application, d *v1alpha1.Drift) Entry {
	e := about(app, ActionDrift, instant(&d.At))
	if d.Action == v1alpha1.DriftHealed {
		e.Action = ActionHeal
	} else {
		e.Phase = d.Action
	}
	raw, _ := json.Marshal(d) // plain values always encode
	sum := sha256.Sum256(raw)
	e.Key += "/drift/" + hex.EncodeToString(sum[:8])
	field := d.Field
	if field == "" {
		field = "deleted"
	}
	e.Reason = clean(fmt.Sprintf("%s %s: %s", d.Kind, strings.TrimPrefix(d.Namespace+"/"+d.Name, "/"), field))
	e.Via = clean(d.Manager)
	e.Via = e.Via[:min(len(e.Via), maxVia)]
	return e
}

// OfFreight returns what making a Freight was.
func OfFreight(f *v1alpha1.Freight) Entry {
	held := f.Artifacts()
	return Entry{
		Key: string(f.UID) + "/made", At: f.CreationTimestamp.UTC(), Action: ActionCreate, Project: f.Namespace, Freight: []string{f.Name},
		Object: Object{Kind: "Freight", Name: f.Name, UID: string(f.UID)}, Reason: clean(held.Version() + " of Warehouse " + f.Origin.Name), Via: via(f),
	}
}
