package gitops

import (
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// IgnoreRules are the ignoreDifferences of an Application, read.
type IgnoreRules []ignoreRule

type ignoreRule struct {
	of v1alpha1.IgnoreDifference
	is Ignored
}

// Ignored are the fields of one object that belong to others.
type Ignored struct {
	Paths []Path
	// Managers whose every field is left to them.
	Managers []string
}

// IsEmpty says that nothing is ignored.
func (i Ignored) IsEmpty() bool { return len(i.Paths) == 0 && len(i.Managers) == 0 }

// ParseIgnores reads spec.ignoreDifferences. The error names the entry that
// cannot be read.
func ParseIgnores(list []v1alpha1.IgnoreDifference) (IgnoreRules, error) {
	out := make(IgnoreRules, 0, len(list))
	for n, d := range list {
		rule := ignoreRule{of: d, is: Ignored{Managers: d.ManagedFieldsManagers}}
		for _, text := range d.JSONPointers {
			p, err := ParsePointer(text)
			if err != nil {
				return nil, fmt.Errorf("ignoreDifferences[%d]: %w", n, err)
			}
			rule.is.Paths = append(rule.is.Paths, p)
		}
		for _, text := range d.Paths {
			p, err := ParsePath(text)
			if err != nil {
				return nil, fmt.Errorf("ignoreDifferences[%d]: %w", n, err)
			}
			rule.is.Paths = append(rule.is.Paths, p)
		}
		out = append(out, rule)
	}
	return out, nil
}

// of returns what is ignored of one object: what the rules say, and the bundles
// that controllers inject into webhooks, CustomResourceDefinitions and
// APIServices.
func (r IgnoreRules) of(key Key) Ignored {
	var out Ignored
	for _, rule := range r {
		d := rule.of
		if d.Group != "*" && d.Group != key.Group || d.Kind != "*" && d.Kind != key.Kind ||
			d.Namespace != "" && d.Namespace != key.Namespace || d.Name != "" && d.Name != key.Name {
			continue
		}
		out.Paths = append(out.Paths, rule.is.Paths...)
		out.Managers = append(out.Managers, rule.is.Managers...)
	}
	switch key.GroupKind().String() {
	case "ValidatingWebhookConfiguration.admissionregistration.k8s.io", "MutatingWebhookConfiguration.admissionregistration.k8s.io":
		out.Paths = append(out.Paths, Path{{Field: "webhooks"}, {Index: -1, isIndex: true}, {Field: "clientConfig"}, {Field: "caBundle"}})
	case "CustomResourceDefinition.apiextensions.k8s.io":
		out.Paths = append(out.Paths, Path{{Field: "spec"}, {Field: "conversion"}, {Field: "webhook"}, {Field: "clientConfig"}, {Field: "caBundle"}})
	case "APIService.apiregistration.k8s.io":
		out.Paths = append(out.Paths, Path{{Field: "spec"}, {Field: "caBundle"}})
	}
	return out
}

// scaled returns the objects among objs whose number of replicas an autoscaler
// among objs decides (HorizontalPodAutoscaler, KEDA's ScaledObject), by kind and
// name. Git's number is what they start with.
func scaled(objs []*unstructured.Unstructured, defaultNamespace string) map[Key]bool {
	out := map[Key]bool{}
	for _, obj := range objs {
		gvk := obj.GroupVersionKind()
		if gvk.Group != "autoscaling" && gvk.Group != "keda.sh" {
			continue
		}
		ref, found, err := unstructured.NestedMap(obj.Object, "spec", "scaleTargetRef")
		if !found || err != nil {
			continue
		}
		kind, _ := ref["kind"].(string)
		name, _ := ref["name"].(string)
		version, _ := ref["apiVersion"].(string)
		if kind == "" {
			kind = "Deployment" // KEDA's default
		}
		group := "apps"
		if version != "" {
			group = (&unstructured.Unstructured{Object: map[string]any{"apiVersion": version, "kind": kind}}).GroupVersionKind().Group
		}
		namespace := obj.GetNamespace()
		if namespace == "" {
			namespace = defaultNamespace
		}
		out[Key{Group: group, Kind: kind, Namespace: namespace, Name: name}] = true
	}
	return out
}

func replicasPath() Path { return Path{{Field: "spec"}, {Field: "replicas"}} }

// covers says whether a field of root is ignored.
func (i Ignored) covers(root any, path fieldpath.Path) bool {
	return slices.ContainsFunc(i.Paths, func(p Path) bool { return p.covers(root, path) })
}

// Filter returns live without the additions that are ignored.
func (i Ignored) Filter(live Live) Live {
	if i.IsEmpty() || len(live.Additions) == 0 {
		return live
	}
	var left []Addition
	for _, a := range live.Additions {
		if slices.Contains(i.Managers, a.Manager) {
			continue
		}
		a.Fields = slices.DeleteFunc(slices.Clone(a.Fields), i.coversText)
		if len(a.Fields) > 0 {
			left = append(left, a)
		}
	}
	live.Additions = left
	return live
}

// coversText is covers of a path as it is shown to people.
func (i Ignored) coversText(field string) bool {
	q, err := ParsePath(field)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(i.Paths, func(p Path) bool {
		if len(p) > len(q) {
			return false
		}
		for n, step := range p {
			isItem := q[n].isIndex || q[n].Keys != nil
			switch {
			case (step.isIndex || step.isEither) && step.Index < 0 && isItem:
			case step.Keys != nil || step.isIndex:
				if !slices.Equal(step.Keys, q[n].Keys) || step.isIndex != q[n].isIndex || step.Index != q[n].Index {
					return false
				}
			case isItem || step.Field != q[n].Field:
				return false
			}
		}
		return true
	})
}

// without returns a copy of obj that has none of the ignored paths.
func (i Ignored) without(obj *unstructured.Unstructured) *unstructured.Unstructured {
	out := obj.DeepCopy()
	for _, p := range i.Paths {
		p.places(out.Object, func(any) (any, bool) { return nil, false })
	}
	return out
}

// In says that obj has a field that may be ignored, so that what is in the cluster
// has to be looked at before obj is sent.
func (i Ignored) In(obj *unstructured.Unstructured) bool {
	return len(i.Managers) > 0 || slices.ContainsFunc(i.Paths, func(p Path) bool { return p.in(obj.Object) })
}

// Payload returns what to send of desired when the object is there as live: an
// ignored field that somebody else owns is left out, so that it stays theirs;
// one that we own is sent as it is in the cluster, because leaving it out would
// remove it. desired is not changed.
func (i Ignored) Payload(desired, live *unstructured.Unstructured) *unstructured.Unstructured {
	out := desired.DeepCopy()
	managed := live.GetManagedFields()
	ours := fieldSet(ownEntry(managed))
	for _, p := range i.Paths {
		owned := false
		ours.Iterate(func(path fieldpath.Path) { owned = owned || p.covers(live.Object, path) })
		if owned {
			p.follow(out.Object, live.Object)
		} else {
			p.places(out.Object, func(any) (any, bool) { return nil, false })
		}
	}
	for n := range managed {
		if !slices.Contains(i.Managers, managed[n].Manager) || managed[n].Subresource == "status" {
			continue
		}
		for path := range fieldSet(&managed[n]).Leaves().All() {
			value, there := lookup(live.Object, path)
			edit(out.Object, path, func(any) (any, bool) { return value, there && ours.Has(path) })
		}
	}
	return out
}

// follow gives every place that p means in desired the value it has in live.
func (p Path) follow(desired, live any) any {
	if len(p) == 0 {
		return desired
	}
	step, last := p[0], len(p) == 1
	switch d := desired.(type) {
	case map[string]any:
		value, there := d[step.Field]
		if !there || step.isIndex || step.Keys != nil {
			return desired
		}
		l, _ := live.(map[string]any)
		is, exists := l[step.Field]
		switch {
		case !exists:
			delete(d, step.Field)
		case last:
			d[step.Field] = deepCopy(is)
		default:
			d[step.Field] = p[1:].follow(value, is)
		}
		return d
	case []any:
		l, _ := live.([]any)
		var out []any
		for i, item := range d {
			if !step.item(i, item) {
				out = append(out, item)
				continue
			}
			is, exists := counterpart(i, item, l)
			switch {
			case !exists:
			case last:
				out = append(out, deepCopy(is))
			default:
				out = append(out, p[1:].follow(item, is))
			}
		}
		return out
	default:
		return desired
	}
}

// counterpart finds the item of list that is item i: the one of the same name,
// or the one at the same place.
func counterpart(i int, item any, list []any) (any, bool) {
	if m, isMap := item.(map[string]any); isMap && m["name"] != nil {
		for _, other := range list {
			if o, ok := other.(map[string]any); ok && sameJSON(o["name"], m["name"]) {
				return other, true
			}
		}
		return nil, false
	}
	if i < len(list) {
		return list[i], true
	}
	return nil, false
}

func deepCopy(v any) any {
	return (&unstructured.Unstructured{Object: map[string]any{"v": v}}).DeepCopy().Object["v"]
}

// edit changes or removes the value at path, if there is one.
func edit(root any, path fieldpath.Path, change func(any) (any, bool)) {
	if len(path) == 0 {
		return
	}
	parent, found := lookup(root, path[:len(path)-1])
	if !found {
		return
	}
	last := path[len(path)-1]
	m, isMap := parent.(map[string]any)
	if !isMap || last.FieldName == nil {
		return // an item of a list goes with its own fields
	}
	value, there := m[*last.FieldName]
	if !there {
		return
	}
	if value, keep := change(value); keep {
		m[*last.FieldName] = deepCopy(value)
	} else {
		delete(m, *last.FieldName)
	}
}

// maxNonConvergent is how many fields of one object are named.
const maxNonConvergent = 5

// NonConvergent names the fields of desired that are otherwise in answer, the API
// server's answer to the request that applied it, in order: what a webhook, an
// admission policy or a controller with its own mind changed at once. Defaults,
// other spellings of one value (quantities, order of a set), ignored fields and
// what the server merely added are no such fields.
func NonConvergent(desired Desired, answer *unstructured.Unstructured) []FieldChange {
	secret := desired.Key.Kind == "Secret" && desired.Key.Group == ""
	var out []FieldChange
	diverged(desired.Object.Object, answer.Object, nil, func(path fieldpath.Path, want, got any) {
		if len(out) == maxNonConvergent || desired.Ignored.covers(answer.Object, path) {
			return
		}
		c := FieldChange{Field: PathString(path), Want: shown(want, secret)}
		if got != nil {
			c.Got = shown(got, secret)
		}
		out = append(out, c)
	})
	return out
}

// diverged calls found for every value of want that got does not have.
func diverged(want, got any, path fieldpath.Path, found func(path fieldpath.Path, want, got any)) {
	if isNothing(want) && isNothing(got) {
		return
	}
	switch w := want.(type) {
	case map[string]any:
		g, isMap := got.(map[string]any)
		if !isMap {
			found(path, want, got)
			return
		}
		for _, k := range slices.Sorted(maps.Keys(w)) {
			diverged(w[k], g[k], append(slices.Clone(path), fieldpath.FieldNameElement(k)), found)
		}
	case []any:
		g, isList := got.([]any)
		if !isList {
			found(path, want, got)
			return
		}
		wantNamed, ok := byName(w)
		gotNamed, gotOK := byName(g)
		switch {
		case ok && gotOK:
			for _, name := range slices.Sorted(maps.Keys(wantNamed)) {
				diverged(wantNamed[name], gotNamed[name], append(slices.Clone(path), fieldpath.KeyElementByFields("name", name)), found)
			}
		case len(w) != len(g):
			found(path, want, got)
		case sameSet(w, g):
		default:
			for i := range w {
				diverged(w[i], g[i], append(slices.Clone(path), fieldpath.PathElement{Index: &i}), found)
			}
		}
	default:
		if !sameValue(want, got) {
			found(path, want, got)
		}
	}
}

// isNothing says that a value means the same as its absence.
func isNothing(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case map[string]any:
		return len(v) == 0
	case []any:
		return len(v) == 0
	case string:
		return v == ""
	case bool:
		return !v
	default:
		return false
	}
}

// sameSet says that two lists of texts or numbers have the same items.
func sameSet(a, b []any) bool {
	texts := func(list []any) []string {
		out := make([]string, 0, len(list))
		for _, v := range list {
			switch v.(type) {
			case map[string]any, []any:
				return nil
			}
			out = append(out, fmt.Sprint(v))
		}
		slices.Sort(out)
		return out
	}
	x, y := texts(a), texts(b)
	return x != nil && y != nil && slices.Equal(x, y)
}

// sameValue compares two values that are no maps or lists: 100m is 0.1.
func sameValue(a, b any) bool {
	if sameJSON(a, b) {
		return true
	}
	if a == nil || b == nil {
		return false
	}
	x, errX := resource.ParseQuantity(fmt.Sprint(a))
	y, errY := resource.ParseQuantity(fmt.Sprint(b))
	return errX == nil && errY == nil && x.Cmp(y) == 0
}
