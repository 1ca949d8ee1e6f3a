package gitops

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

// Live is the compact record of one object as last seen in the cluster.
type Live struct {
	UID string
	// Version is the resourceVersion as a number; 0 when the server's is none.
	Version uint64
	// Fingerprint of our managedFields entry; "" when there is none.
	Fingerprint string
	// OwnerLabel and Owner are the values of waybill.dev/managed-by and
	// waybill.dev/owner.
	OwnerLabel, Owner string
	// Terminating says that the object has a deletion timestamp.
	Terminating bool
	// Generation as the object says; 0 for kinds without.
	Generation int64
	// Values is the hash of the values of the fields we own; "" for kinds of
	// which only metadata is read.
	Values string
	// Additions made by human tools; nil for nearly every object.
	Additions []Addition
	// Verdict is the health of the object by itself.
	Verdict Verdict
	// Options that the object's annotations say; nil for nearly every object.
	Options *ObjectOptions
	// HookRun is the value of waybill.dev/hook-run.
	HookRun string
}

// Baseline is the server's answer to our last PATCH of an object.
type Baseline struct {
	UID         string
	Fingerprint string
	// Values as in Live; "" when not known (after a restart) or not read.
	Values string
}

// DriftKind says what happened to an object.
type DriftKind string

// The kinds of drift. NoDrift is the zero value.
const (
	NoDrift DriftKind = ""
	// DriftDeleted: the object is gone, or its ownership label is.
	DriftDeleted DriftKind = "Deleted"
	// DriftReplaced: another object has the name now.
	DriftReplaced DriftKind = "Replaced"
	// DriftChanged: a field we applied was changed or removed.
	DriftChanged DriftKind = "Changed"
	// DriftAdded: a human tool added a field.
	DriftAdded DriftKind = "Added"
	// DriftTaken: the object carries the ownership of another Application.
	DriftTaken DriftKind = "Taken"
)

// Judge compares an object with what we applied last.
//
// present is false when the object is not in the watch of our labels.
// additions is spec.additions of the Application (heal when empty). An object
// that is being deleted has not drifted: it is waited for, and created again
// when it is gone.
func Judge(base Baseline, live Live, present bool, owner Owner, additions string) DriftKind {
	switch {
	case !present:
		return DriftDeleted
	case live.OwnerLabel != owner.Label() && live.Owner != owner.Annotation():
		// An apply of another Application changes both marks, a person at a
		// keyboard one.
		return DriftTaken
	case live.Terminating:
		return NoDrift
	case live.OwnerLabel != owner.Label(), live.Owner != owner.Annotation():
		return DriftChanged
	case base.UID != "" && live.UID != base.UID:
		return DriftReplaced
	case live.Fingerprint != base.Fingerprint:
		return DriftChanged
	case base.Values != "" && live.Values != "" && live.Values != base.Values:
		// Nobody took a field from us, and yet a value moved: a webhook
		// rewrote it in somebody else's request, after ownership was tracked.
		return DriftChanged
	case len(live.Additions) > 0 && additions != "ignore":
		return DriftAdded
	default:
		return NoDrift
	}
}

// FieldChange is one field that is not as Git says.
type FieldChange struct {
	// Field is the path as shown to people.
	Field string
	// Want and Got are the values, shortened to 256 bytes, "***" in a Secret,
	// empty for a field that is absent.
	Want, Got string
	// Manager that changed it, as the API server recorded it; "" when the
	// change was a removal, which leaves no trace.
	Manager string
}

// maxShownValue is the length of a value in a drift record.
const maxShownValue = 256

// Changes names the fields of live that differ from desired and that we do not
// own any more, sorted by path. live may be metadata only (hasValues false):
// then Got is unknown and stays empty. Ignored fields are left out.
func Changes(d Desired, live *unstructured.Unstructured, hasValues bool) []FieldChange {
	desired := d.Object
	var (
		managed = live.GetManagedFields()
		ours    = fieldSet(ownEntry(managed))
		found   = map[string]FieldChange{}
		secret  = desired.GetKind() == "Secret" && desired.GroupVersionKind().Group == ""
	)
	theirs := fieldpath.NewSet()
	for i := range managed {
		if slices.Contains(d.Ignored.Managers, managed[i].Manager) {
			theirs = theirs.Union(fieldSet(&managed[i]))
		}
	}
	add := func(path fieldpath.Path, manager string) {
		name := PathString(path)
		if _, known := found[name]; known || theirs.Has(path) || d.Ignored.covers(desired.Object, path) || d.Ignored.covers(live.Object, path) {
			return
		}
		want, isWanted := lookup(desired.Object, path)
		got, isThere := lookup(live.Object, path)
		c := FieldChange{Field: name, Manager: manager}
		if isWanted {
			c.Want = shown(want, secret)
		}
		if isThere {
			c.Got = shown(got, secret)
		}
		found[name] = c
	}
	// What others own now and Git has a value for.
	for _, e := range newestFirst(managed) {
		if isOwn(e) || e.Subresource == "status" {
			continue
		}
		for path := range fieldSet(&e).Leaves().All() {
			if ours.Has(path) {
				continue
			}
			want, wanted := lookup(desired.Object, path)
			if !wanted {
				continue
			}
			if got, there := lookup(live.Object, path); there && sameJSON(want, got) {
				continue
			}
			add(path, e.Manager)
		}
	}
	// What nobody owns any more: it was removed.
	want, got := desired.Object, live.Object
	if !hasValues {
		want, got = metadataOf(desired), metadataOf(live)
	}
	differences(want, got, nil, func(path fieldpath.Path) {
		for n := 1; n < len(path); n++ {
			if _, covered := found[PathString(path[:n])]; covered {
				return // part of a field that is atomic
			}
		}
		if !ours.Has(path) && !ownsBelow(ours, path) {
			add(path, "")
		}
	})
	out := make([]FieldChange, 0, len(found))
	for _, c := range found {
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b FieldChange) int { return cmp.Compare(a.Field, b.Field) })
	return out
}

// newestFirst orders entries so that the last writer of a field is found first.
func newestFirst(managed []metav1.ManagedFieldsEntry) []metav1.ManagedFieldsEntry {
	out := slices.Clone(managed)
	slices.SortStableFunc(out, func(a, b metav1.ManagedFieldsEntry) int {
		switch {
		case a.Time == nil && b.Time == nil:
			return 0
		case a.Time == nil:
			return 1
		case b.Time == nil:
			return -1
		default:
			return b.Time.Compare(a.Time.Time)
		}
	})
	return out
}

func metadataOf(obj *unstructured.Unstructured) map[string]any {
	return map[string]any{"metadata": obj.Object["metadata"]}
}

func ownsBelow(set *fieldpath.Set, path fieldpath.Path) bool {
	for _, e := range path {
		set = set.WithPrefix(e)
	}
	return !set.Empty()
}

// differences calls found for every value of want that got has not or has
// otherwise. Lists of objects that all have a name are matched by it, other
// lists are compared as a whole.
func differences(want, got any, path fieldpath.Path, found func(fieldpath.Path)) {
	switch w := want.(type) {
	case map[string]any:
		g, isMap := got.(map[string]any)
		if !isMap {
			found(path)
			return
		}
		for k, v := range w {
			below := append(slices.Clone(path), fieldpath.FieldNameElement(k))
			if item, there := g[k]; there {
				differences(v, item, below, found)
			} else {
				found(below)
			}
		}
	case []any:
		g, isList := got.([]any)
		wantNamed, ok := byName(w)
		gotNamed, gotOK := byName(g)
		if !isList || !ok || !gotOK {
			if !sameJSON(want, got) {
				found(path)
			}
			return
		}
		for name, v := range wantNamed {
			below := append(slices.Clone(path), fieldpath.KeyElementByFields("name", name))
			if item, there := gotNamed[name]; there {
				differences(v, item, below, found)
			} else {
				found(below)
			}
		}
	default:
		if !sameJSON(want, got) {
			found(path)
		}
	}
}

func byName(list []any) (map[string]any, bool) {
	out := make(map[string]any, len(list))
	for _, item := range list {
		m, isMap := item.(map[string]any)
		if !isMap {
			return nil, false
		}
		name, isString := m["name"].(string)
		if _, twice := out[name]; !isString || twice {
			return nil, false
		}
		out[name] = item
	}
	return out, true
}

func shown(v any, secret bool) string {
	if secret {
		return "***"
	}
	return showValue(v, maxShownValue)
}

// ShownValue is a value as drift records show it: cut when it is long.
func ShownValue(v any) string { return showValue(v, maxShownValue) }

// OwnedValues returns the hash of the values that the fields of our own apply
// entry have in obj; "" when there is no such entry. Two answers with equal
// fingerprints and unequal values mean that a value changed behind the API
// server's ownership tracking.
func OwnedValues(obj *unstructured.Unstructured) string {
	own := ownEntry(obj.GetManagedFields())
	if own == nil {
		return ""
	}
	h := sha256.New()
	for path := range fieldSet(own).Leaves().All() {
		v, there := lookup(obj.Object, path)
		if !there {
			continue
		}
		h.Write([]byte(path.String()))
		text, err := json.Marshal(v)
		if err != nil {
			return ""
		}
		h.Write(text)
	}
	return hex.EncodeToString(h.Sum(nil)[:12])
}
