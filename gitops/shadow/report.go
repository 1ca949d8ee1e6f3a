package shadow

import (
	"fmt"
	"time"

	"github.com/waybill-dev/waybill/gitops"
)

// Verdict is what Waybill would do with an Application or a Stage.
type Verdict string

// The verdicts, the most important last.
const (
	InSync      Verdict = "InSync"      // nothing to do
	Reports     Verdict = "Report"      // it differs, and would only be shown
	Waits       Verdict = "Wait"        // it differs, and a person decides when; or gates are closed
	Heals       Verdict = "Heal"        // changes made in the cluster would be taken back
	Applies     Verdict = "Apply"       // a revision would be applied
	Promotes    Verdict = "Promote"     // Freight would be promoted
	Refuses     Verdict = "Refuse"      // Waybill would say no, with the reason
	Unsupported Verdict = "Unsupported" // Waybill cannot run it as it is
	Unknown     Verdict = "Unknown"     // it could not be observed
)

// Report is one look at everything.
type Report struct {
	ObservedAt   time.Time     `json:"observedAt"`
	Applications []Application `json:"applications"`
	Stages       []Stage       `json:"stages"`
	// Notes are about the look as a whole: what could not be read.
	Notes []string `json:"notes,omitempty"`
	// Requests to clusters that the look took, all of them reads.
	Requests int64 `json:"requests"`
}

// Application is what Waybill would do with one Application of Argo CD.
type Application struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Project   string `json:"project"`
	RepoURL   string `json:"repoURL,omitempty"`
	Path      string `json:"path,omitempty"`
	// Revision is the head of the branch, LastSynced what Argo CD synced last.
	Revision   string  `json:"revision,omitempty"`
	LastSynced string  `json:"lastSynced,omitempty"`
	Verdict    Verdict `json:"verdict"`
	Reason     string  `json:"reason,omitempty"`
	// Objects that the source renders, Hooks among them.
	Objects int `json:"objects"`
	Hooks   int `json:"hooks,omitempty"`
	// Actions, object by object; none for those that are as Git says.
	Actions []Action `json:"actions,omitempty"`
	// Unsupported is what Waybill has no equivalent for; Notes what it does
	// otherwise.
	Unsupported []string `json:"unsupported,omitempty"`
	Notes       []string `json:"notes,omitempty"`
	// Argo is what Argo CD says itself.
	Argo ArgoSays `json:"argo"`
}

// ArgoSays is the status that Argo CD shows.
type ArgoSays struct {
	Sync   string `json:"sync,omitempty"`
	Health string `json:"health,omitempty"`
}

// ActionKind is what would happen to one object.
type ActionKind string

// The kinds of actions.
const (
	ActionCreate ActionKind = "create"
	ActionApply  ActionKind = "apply"
	ActionHeal   ActionKind = "heal"
	ActionReport ActionKind = "report"
	ActionPrune  ActionKind = "prune"
	ActionKeep   ActionKind = "keep" // it left the source and stays
	ActionRefuse ActionKind = "refuse"
	ActionHealth ActionKind = "health" // Waybill judges its health otherwise
)

// Action is what would happen to one object, and why.
type Action struct {
	Action    ActionKind `json:"action"`
	Group     string     `json:"group,omitempty"`
	Kind      string     `json:"kind"`
	Namespace string     `json:"namespace,omitempty"`
	Name      string     `json:"name"`
	Fields    []Field    `json:"fields,omitempty"`
	Reason    string     `json:"reason,omitempty"`
}

// Field is one field that Git and the cluster say differently. Values of Secrets are
// masked.
type Field struct {
	Field string `json:"field"`
	Want  string `json:"want,omitempty"`
	Got   string `json:"got,omitempty"`
	// Manager that wrote it, as the API server recorded it.
	Manager string `json:"manager,omitempty"`
}

// Stage is what Waybill would do with one Stage of Kargo.
type Stage struct {
	Project string   `json:"project"`
	Name    string   `json:"name"`
	Verdict Verdict  `json:"verdict"`
	Reason  string   `json:"reason,omitempty"`
	Current []string `json:"current,omitempty"`
	// Freight that would be promoted, or the newest that is kept out.
	Freight string `json:"freight,omitempty"`
	// Closed are the gates that keep it out.
	Closed []Gate   `json:"closed,omitempty"`
	Notes  []string `json:"notes,omitempty"`
}

// Gate is one closed gate.
type Gate struct {
	Gate    string `json:"gate"`
	Reason  string `json:"reason"`
	OpensBy string `json:"opensBy,omitempty"`
}

// NeedsLook says that something is not as it would be under Waybill.
func (r *Report) NeedsLook() bool {
	for _, a := range r.Applications {
		if a.Verdict != InSync {
			return true
		}
	}
	for _, s := range r.Stages {
		if s.Verdict != InSync && s.Verdict != Waits {
			return true
		}
	}
	return false
}

// action names what happens to an object.
func action(kind ActionKind, key gitops.Key, reason string, fields ...Field) Action {
	return Action{Action: kind, Group: key.Group, Kind: key.Kind, Namespace: key.Namespace, Name: key.Name, Reason: reason, Fields: fields}
}

// Object names the object as people do.
func (a Action) Object() string {
	return gitops.Key{Group: a.Group, Kind: a.Kind, Namespace: a.Namespace, Name: a.Name}.String()
}

// String says it in one line.
func (f Field) String() string {
	text := fmt.Sprintf("%s: %s", f.Field, quoteOr(f.Got, "absent"))
	text += ", Git says " + quoteOr(f.Want, "nothing")
	if f.Manager != "" {
		text += fmt.Sprintf(" (written by %s)", f.Manager)
	}
	return text
}

func quoteOr(value, absent string) string {
	if value == "" {
		return absent
	}
	return value
}
