package history

import (
	"maps"
	"slices"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// Action is what somebody did.
type Action string

// The actions.
const (
	ActionFreeze Action = "freeze"
	ActionThaw   Action = "thaw"
	ActionHold   Action = "hold"
	ActionResume Action = "resume"
	// ActionHoldHealing: somebody paused the healing of a Stage.
	ActionHoldHealing   Action = "hold-healing"
	ActionResumeHealing Action = "resume-healing"
	ActionReject        Action = "reject"
	ActionUnreject      Action = "unreject"
	ActionApprove       Action = "approve"
	ActionRefuse        Action = "refuse"
	ActionRevoke        Action = "revoke"
	ActionApply         Action = "apply"
	ActionDelete        Action = "delete"
	ActionSignIn        Action = "sign-in"
	ActionSignOut       Action = "sign-out"
	// ActionSync: somebody asked for a sync of an Application, such a sync ended,
	// or another revision runs.
	ActionSync Action = "sync"
	// ActionAccept: somebody had a change made in a cluster committed.
	ActionAccept Action = "accept"
	// ActionCreate: a Warehouse, or somebody, made a Freight.
	ActionCreate Action = "create"
	// ActionDrift: somebody else changed a managed object, and it was not taken
	// back; ActionHeal: it was.
	ActionDrift Action = "drift"
	ActionHeal  Action = "heal"
	// ActionPromote and ActionRollback: a Promotion ended; the entry has the
	// hash of its record.
	ActionPromote  Action = "promote"
	ActionRollback Action = "rollback"
	// ActionChain: the store began to chain its rows.
	ActionChain Action = "chain"
)

// Actions returns every action, in the order people read them.
func Actions() []Action {
	return []Action{
		ActionApprove, ActionRefuse, ActionRevoke, ActionFreeze, ActionThaw, ActionHold, ActionResume,
		ActionHoldHealing, ActionResumeHealing, ActionReject, ActionUnreject, ActionApply, ActionDelete, ActionSync, ActionAccept, ActionCreate, ActionPromote, ActionRollback, ActionDrift, ActionHeal, ActionSignIn, ActionSignOut, ActionChain,
	}
}

// ends are the actions whose objects end, with what their end is.
var ends = map[Action]Action{
	ActionFreeze: ActionThaw, ActionHold: ActionResume, ActionHoldHealing: ActionResumeHealing, ActionReject: ActionUnreject,
	ActionApprove: ActionRevoke, ActionRefuse: ActionRevoke, ActionApply: ActionDelete,
	ActionCreate: ActionDelete,
}

// Beginnings returns the actions whose objects end some day.
func Beginnings() []Action { return slices.Sorted(maps.Keys(ends)) }

// Entry is one thing that somebody did.
type Entry struct {
	// Key makes writing it twice harmless: what happened to which object.
	Key string `json:"key"`
	// At is when it happened, or when it was first seen to have.
	At time.Time `json:"at"`
	// Action that was done, and by whom; Actor is empty while nobody knows.
	Action Action `json:"action"`
	Actor  string `json:"actor,omitempty"`
	// Project is empty for what concerns the whole installation; Stage is a
	// name, * for all, or empty.
	Project string   `json:"project,omitempty"`
	Stage   string   `json:"stage,omitempty"`
	Freight []string `json:"freight,omitempty"`
	// Object it was done to.
	Object Object `json:"object,omitzero"`
	// Reason that was given.
	Reason string `json:"reason,omitempty"`
	// Promotion that an approval is about, for the plan with this hash.
	Promotion string `json:"promotion,omitempty"`
	PlanHash  string `json:"planHash,omitempty"`
	// Until it holds; zero for what has no end.
	Until time.Time `json:"until,omitzero"`
	// Via says how it came: api, or the client that wrote it.
	Via string `json:"via,omitempty"`
	// Ends says that the object is gone.
	Ends bool `json:"ends,omitempty"`
	// Phase that a Promotion or a sync ended in, or what became of a drift.
	Phase string `json:"phase,omitempty"`
	// Record is the hash of a Promotion's record (RecordHash).
	Record string `json:"record,omitempty"`
}

// Object names a Kubernetes object.
type Object struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
	UID  string `json:"uid,omitempty"`
}

// Cursor is the entry's place in lists.
func (e *Entry) Cursor() Cursor { return Cursor{At: e.At, ID: e.Key} }

// maxVia bounds the name a client gives itself.
const maxVia = 64

// OfFreeze returns what making a Freeze was.
func OfFreeze(z *v1alpha1.Freeze) Entry {
	e := Entry{
		Key: string(z.UID) + "/made", At: z.CreationTimestamp.UTC(), Action: ActionFreeze, Actor: clean(z.Spec.By),
		Project: z.Namespace, Stage: z.Spec.Stage, Freight: z.Spec.Freight, Reason: clean(z.Spec.Reason),
		Object: Object{Kind: "Freeze", Name: z.Name, UID: string(z.UID)}, Via: via(z),
	}
	switch {
	case len(z.Spec.Freight) > 0:
		e.Action = ActionReject
	case z.Spec.Scope == v1alpha1.FreezeAutomatic:
		e.Action = ActionHold
	case z.Spec.Scope == v1alpha1.FreezeHealing:
		e.Action = ActionHoldHealing
	}
	if z.Spec.Until != nil {
		e.Until = z.Spec.Until.UTC()
	}
	return e
}

// OfApproval returns what making an Approval was.
func OfApproval(a *v1alpha1.Approval) Entry {
	e := Entry{
		Key: string(a.UID) + "/made", At: a.CreationTimestamp.UTC(), Action: ActionApprove, Actor: clean(a.Spec.Actor),
		Project: a.Namespace, Stage: a.Spec.Stage, Reason: clean(a.Spec.Reason), Promotion: a.Spec.Promotion, PlanHash: a.Spec.PlanHash,
		Object: Object{Kind: "Approval", Name: a.Name, UID: string(a.UID)}, Via: via(a),
	}
	if a.Spec.Decision == v1alpha1.DecisionReject {
		e.Action = ActionRefuse
	}
	if a.Spec.Until != nil {
		e.Until = a.Spec.Until.UTC()
	}
	return e
}

// OfDefinition returns what giving a definition its present content was. A
// Stage names itself; a Project is the whole Project's.
func OfDefinition(kind string, o metav1.Object) Entry {
	e := Entry{
		Key: string(o.GetUID()) + "/" + strconv.FormatInt(o.GetGeneration(), 10), At: lastWrite(o), Action: ActionApply,
		Project: o.GetNamespace(), Object: Object{Kind: kind, Name: o.GetName(), UID: string(o.GetUID())}, Via: via(o),
	}
	switch kind {
	case "Project":
		e.Project = o.GetName()
	case "Stage":
		e.Stage = o.GetName()
	}
	return e
}

// End returns what the end of the object was that e tells of the beginning of,
// seen at now; actor is empty while nobody knows.
func (e Entry) End(now time.Time, actor string) Entry {
	return Entry{
		Key: e.Object.UID + "/gone", At: now.UTC().Truncate(time.Microsecond), Action: ends[e.Action], Actor: clean(actor),
		Project: e.Project, Stage: e.Stage, Freight: e.Freight, Object: e.Object, Promotion: e.Promotion, PlanHash: e.PlanHash, Ends: true,
	}
}

// lastWrite is when the content was written last, as the API server says.
func lastWrite(o metav1.Object) time.Time {
	at := o.GetCreationTimestamp().UTC()
	for _, m := range o.GetManagedFields() {
		if m.Subresource == "" && m.Time != nil && m.Time.UTC().After(at) {
			at = m.Time.UTC()
		}
	}
	return at
}

// via is the client that wrote the content last.
func via(o metav1.Object) string {
	name, at := "", time.Time{}
	for _, m := range o.GetManagedFields() {
		if m.Subresource == "" && m.Time != nil && !m.Time.UTC().Before(at) {
			name, at = m.Manager, m.Time.UTC()
		}
	}
	name = clean(name)
	return name[:min(len(name), maxVia)]
}
