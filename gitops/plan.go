package gitops

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// ActionKind says what an apply is for. All of them are the same single PATCH.
type ActionKind string

// The kinds of action. An object that needs nothing has no action.
const (
	// ActionCreate: the object is not among those we see.
	ActionCreate ActionKind = "Create"
	// ActionPatch: Git has another content than was applied last.
	ActionPatch ActionKind = "Patch"
	// ActionHeal: the cluster has another content than was applied last.
	ActionHeal ActionKind = "Heal"
	// ActionAdopt: the object belongs to an Application that is gone.
	ActionAdopt ActionKind = "Adopt"
)

// Action is one object to apply.
type Action struct {
	Kind    ActionKind
	Desired Desired
	Drift   DriftKind // of ActionHeal
}

// Wave is a set of actions that may run together: they have one sync wave and
// one rank.
type Wave []Action

// Number returns the sync wave of the actions; 0 for none.
func (w Wave) Number() int {
	if len(w) == 0 {
		return 0
	}
	return w[0].Desired.Options.Wave
}

// Deletion is one object to delete, and only if it still has this UID.
type Deletion struct {
	Key     Key
	Version string
	UID     string
	// Wave of the object; higher ones are deleted first.
	Wave int
	// Last says that it waits until all that is in the source is well.
	Last bool
}

// PlanInput is everything Plan looks at.
type PlanInput struct {
	Owner   Owner
	Desired []Desired
	// Inventory as in the Application's status.
	Inventory []v1alpha1.InventoryEntry
	// Live returns the record of an object that carries our label (anybody's
	// value of it).
	Live func(Key) (Live, bool)
	// Owned lists the objects whose label is this Application's, with version.
	Owned []Deletion
	// IsOwnerGone reports whether the Application named by the annotation
	// waybill.dev/owner does not exist any more.
	IsOwnerGone func(annotation string) bool
	// Refused are desired objects that must not be applied (invalid or
	// forbidden): they stay as they are in the cluster and in the inventory.
	Refused []Key
	// Values returns the Baseline.Values of an object, "" when not known.
	Values func(Key) string
	// Options are those that all objects of the Application have.
	Options ObjectOptions
	// Prune, AllowEmpty: as in syncPolicy.automated.
	Prune, AllowEmpty bool
	// Deleting: the Application is deleted, and these are its objects.
	Deleting bool
	// PruneConfirmed: a person agreed to the deletions of this revision.
	PruneConfirmed bool
	// Heal says that drift is to be taken back.
	Heal bool
	// Additions is spec.additions.
	Additions string
}

// Plan is what has to be done to reach a revision.
type Plan struct {
	// Waves to apply, one after the other, by sync wave and then by rank.
	Waves []Wave
	// Prune lists what is deleted once every wave has succeeded, in waves, the
	// reverse of the order of creation.
	Prune [][]Deletion
	// Guard is set instead of Prune when the deletions wait for a person.
	Guard *Guard
	// Kept are objects that left the source and are not deleted, because prune
	// is off or they carry the option Prune=false.
	Kept []Key
	// Conflicts are objects that belong to another Application.
	Conflicts []*ObjectError
	// Drifted are objects that differ from what was applied, healed or not.
	Drifted []Key
	// Inventory is the list to store before the first write: what it was, plus
	// everything that is about to be created.
	Inventory []v1alpha1.InventoryEntry
	// Grows says that Inventory has entries that the stored one has not.
	Grows bool
}

// ReasonOwnedByAnother is the reason of a conflict.
const ReasonOwnedByAnother = "OwnedByAnother"

// Guard explains why deletions wait.
type Guard struct {
	Deletions, Of int
	Message       string
}

// IsEmpty reports whether the plan changes nothing in the cluster.
func (p Plan) IsEmpty() bool { return len(p.Waves) == 0 && len(p.Prune) == 0 }

// MakePlan compares a revision with the inventory and the cluster. It asks for
// nothing: objects whose hash, owner and fingerprint are as recorded need no
// action. The result depends only on in, and is in a fixed order.
func MakePlan(in PlanInput) Plan {
	var p Plan
	entries := make(map[Key]v1alpha1.InventoryEntry, len(in.Inventory))
	for _, e := range in.Inventory {
		entries[EntryKey(e)] = e
	}
	wanted := make(map[Key]bool, len(in.Desired)+len(in.Refused))
	for _, k := range in.Refused {
		wanted[k] = true
	}
	p.Inventory = slices.Clone(in.Inventory)
	type step struct{ wave, rank int }
	bySteps := map[step]Wave{}
	for _, d := range in.Desired {
		wanted[d.Key] = true
		if slices.Contains(in.Refused, d.Key) {
			continue
		}
		entry, listed := entries[d.Key]
		action, conflict := decide(in, d, entry, listed)
		if conflict != nil {
			p.Conflicts = append(p.Conflicts, conflict)
			continue
		}
		if !listed {
			// Grown even for an object that needs nothing: the inventory was
			// lost, the object was not.
			p.Inventory = append(p.Inventory, v1alpha1.InventoryEntry{
				Group: d.Key.Group, Version: d.Version, Kind: d.Key.Kind, Namespace: d.Key.Namespace, Name: d.Key.Name,
			})
			p.Grows = true
		}
		if action.Drift != NoDrift {
			p.Drifted = append(p.Drifted, d.Key)
		}
		if action.Kind != "" {
			at := step{d.Options.Wave, rank(d.Key)}
			bySteps[at] = append(bySteps[at], action)
		}
	}
	steps := slices.SortedFunc(maps.Keys(bySteps), func(a, b step) int {
		return cmp.Or(cmp.Compare(a.wave, b.wave), cmp.Compare(a.rank, b.rank))
	})
	for _, at := range steps {
		w := bySteps[at]
		slices.SortFunc(w, func(a, b Action) int { return a.Desired.Key.Compare(b.Desired.Key) })
		p.Waves = append(p.Waves, w)
	}
	slices.SortFunc(p.Inventory, func(a, b v1alpha1.InventoryEntry) int { return EntryKey(a).Compare(EntryKey(b)) })
	slices.SortFunc(p.Conflicts, func(a, b *ObjectError) int { return a.Key.Compare(b.Key) })
	slices.SortFunc(p.Drifted, Key.Compare)
	planPrune(&p, in, wanted)
	return p
}

// decide says what one desired object needs.
func decide(in PlanInput, d Desired, entry v1alpha1.InventoryEntry, listed bool) (Action, *ObjectError) {
	live, present := in.Live(d.Key)
	if present && live.Terminating {
		// Created again when it is gone; its deletion wakes us.
		return Action{}, nil
	}
	if present && live.OwnerLabel != in.Owner.Label() && live.Owner != in.Owner.Annotation() {
		if !mayAdopt(in, live) {
			return Action{}, &ObjectError{Key: d.Key, Reason: ReasonOwnedByAnother,
				Message: fmt.Sprintf("it belongs to Application %q; remove it from one of the two", live.Owner)}
		}
		return Action{Kind: ActionAdopt, Desired: d}, nil
	}
	switch {
	case !present && (!listed || entry.UID == ""):
		return Action{Kind: ActionCreate, Desired: d}, nil
	case !listed || entry.Hash != d.Hash:
		return Action{Kind: ActionPatch, Desired: d}, nil
	}
	base := Baseline{UID: entry.UID, Fingerprint: entry.Fingerprint}
	if in.Values != nil {
		base.Values = in.Values(d.Key)
	}
	drift := Judge(base, d.Ignored.Filter(live), present, in.Owner, in.Additions)
	a := Action{Desired: d, Drift: drift}
	// Also what is missing altogether: with report a person decides.
	if drift != NoDrift && in.Heal {
		a.Kind = ActionHeal
	}
	return a, nil
}

// mayAdopt allows an object whose owner is gone to an Application of the same
// Project and cluster.
func mayAdopt(in PlanInput, live Live) bool {
	if live.Owner == "" {
		return true // nobody's: only our label is on it
	}
	owner, ok := ParseOwner(live.Owner)
	if !ok {
		return false
	}
	return owner.Namespace == in.Owner.Namespace && owner.Cluster == in.Owner.Cluster &&
		in.IsOwnerGone != nil && in.IsOwnerGone(live.Owner)
}

// planPrune fills Prune, Guard and Kept.
func planPrune(p *Plan, in PlanInput, wanted map[Key]bool) {
	gone := map[Key]Deletion{}
	confirm := false
	for _, o := range in.Owned {
		if !wanted[o.Key] {
			gone[o.Key] = o
		}
	}
	for _, e := range in.Inventory {
		if k := EntryKey(e); !wanted[k] {
			gone[k] = Deletion{Key: k, Version: e.Version, UID: e.UID}
		}
	}
	for k, d := range gone {
		live, present := in.Live(k)
		if !present {
			// Nothing of ours is there: confirmed by the apply engine, which
			// looks once more before it drops the entry.
			continue
		}
		options := in.Options
		if live.Options != nil {
			options = *live.Options
			d.Wave = options.Wave
			if !options.SaysPrune {
				options.KeepOnPrune = options.KeepOnPrune || in.Options.KeepOnPrune
				options.ConfirmPrune = options.ConfirmPrune || in.Options.ConfirmPrune
			}
			if !options.SaysDelete {
				options.KeepOnDelete = options.KeepOnDelete || in.Options.KeepOnDelete
			}
			options.PruneLast = options.PruneLast || in.Options.PruneLast
		}
		d.Last = options.PruneLast && !in.Deleting
		d.UID = live.UID
		switch {
		case options.IsHook():
			delete(gone, k) // its own policy says when it goes
			continue
		case live.OwnerLabel != in.Owner.Label():
			d.UID = "" // another Application's now: dropped without a request
		case in.Deleting && options.KeepOnDelete:
			d.UID = "" // left behind
		case !in.Deleting && options.KeepOnPrune:
			delete(gone, k)
			if !options.IgnoreExtraneous {
				p.Kept = append(p.Kept, k)
			}
			continue
		case !in.Deleting && !in.Prune && options.IgnoreExtraneous:
			delete(gone, k)
			continue
		case !in.Deleting:
			confirm = confirm || options.ConfirmPrune
		}
		gone[k] = d
	}
	slices.SortFunc(p.Kept, Key.Compare)
	if len(gone) == 0 {
		return
	}
	list := make([]Deletion, 0, len(gone))
	for _, d := range gone {
		list = append(list, d)
	}
	slices.SortFunc(list, func(a, b Deletion) int {
		return cmp.Or(compareBool(a.Last, b.Last), cmp.Compare(b.Wave, a.Wave), cmp.Compare(rank(b.Key), rank(a.Key)), a.Key.Compare(b.Key))
	})
	if !in.Prune {
		for _, d := range list {
			p.Kept = append(p.Kept, d.Key)
		}
		return
	}
	if p.Guard = guard(in, list, confirm); p.Guard != nil {
		return
	}
	for _, d := range list {
		n := len(p.Prune)
		if n == 0 || p.Prune[n-1][0].Last != d.Last || p.Prune[n-1][0].Wave != d.Wave || rank(p.Prune[n-1][0].Key) != rank(d.Key) {
			p.Prune = append(p.Prune, nil)
			n++
		}
		p.Prune[n-1] = append(p.Prune[n-1], d)
	}
}

// compareBool puts false before true.
func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	default:
		return 1
	}
}

// PrunesLast says that a deletion waits until all that is in the source is well.
func (p Plan) PrunesLast() bool {
	n := len(p.Prune)
	return n > 0 && p.Prune[n-1][0].Last
}

// guardMinimum: up to ten deletions need no confirmation.
const guardMinimum = 10

func holdsData(d Deletion) bool { return HoldsData(d.Key) }

// HoldsData says that deleting an object deletes what other objects or people
// stored in it.
func HoldsData(k Key) bool {
	switch k.Kind {
	case "Namespace", "PersistentVolumeClaim", "PersistentVolume":
		return k.Group == ""
	case "CustomResourceDefinition":
		return k.Group == "apiextensions.k8s.io"
	default:
		return false
	}
}

// guard returns why the deletions wait for a person, or nil.
func guard(in PlanInput, list []Deletion, confirm bool) *Guard {
	total := max(len(in.Inventory), len(list))
	g := &Guard{Deletions: len(list), Of: total}
	switch {
	case in.PruneConfirmed, in.Deleting:
		return nil
	case confirm:
		g.Message = fmt.Sprintf("%s left the source, and the option Prune=confirm asks a person before anything is deleted", list[0].Key)
	case len(in.Desired)+len(in.Refused) == 0 && !in.AllowEmpty:
		g.Message = fmt.Sprintf("the source renders nothing, which would delete all %d objects; correct the source, or set syncPolicy.automated.allowEmpty", len(list))
	case slices.ContainsFunc(list, holdsData):
		first := list[slices.IndexFunc(list, holdsData)]
		g.Message = fmt.Sprintf("%s left the source, and what is stored in it would go with it; nothing is deleted until a person agrees", first.Key)
	case len(list) > guardMinimum && 2*len(list) > total && (!in.AllowEmpty || len(in.Desired) > 0):
		g.Message = fmt.Sprintf("%d of %d objects left the source; nothing is deleted until a person agrees", len(list), total)
	default:
		return nil
	}
	return g
}

// GuardPrune says why the deletions of list, of an Application that is not planned,
// would wait for a person; nil when they would not, or when there is none.
func GuardPrune(in PlanInput, list []Deletion) *Guard {
	if len(list) == 0 {
		return nil
	}
	return guard(in, list, false)
}
