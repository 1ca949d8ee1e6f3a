package gitops

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pmezard/go-difflib/difflib"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// ObjectChangeKind says what happens to an object.
type ObjectChangeKind string

// The kinds, in the order they are shown: what is lost comes first.
const (
	ObjectDeleted ObjectChangeKind = "deleted"
	ObjectChanged ObjectChangeKind = "changed"
	ObjectCreated ObjectChangeKind = "created"
)

// ObjectChange is how one object differs between two revisions. What Secrets
// hold, and values that by the name of their key are secret, are masked.
type ObjectChange struct {
	Key  Key
	Kind ObjectChangeKind
	// Fields that differ, sorted by path; none for an object that is created or
	// deleted.
	Fields []ValueChange
	// Diff is the unified difference of the manifests, with three lines around
	// each change, cut at maxDiffBytes; IsCut says that it was.
	Diff  string
	IsCut bool
	// Added and Removed count lines.
	Added, Removed int
	// Risks that somebody should look at before agreeing.
	Risks []Risk
}

// ValueChange is one field. Before or After is "" where it is not there.
type ValueChange struct{ Field, Before, After string }

const (
	// maxDiffBytes bounds the shown difference of one object.
	maxDiffBytes = 16 << 10
	// maxComparedBytes bounds a manifest whose lines are compared.
	maxComparedBytes = 256 << 10
	// maxFields bounds the fields listed of one object.
	maxFields = 200
)

// Compare returns how rendered objects differ: deletions first, then changes,
// then what is new, each by kind and name. Objects that are equal are left out.
func Compare(before, after []*unstructured.Unstructured) []ObjectChange {
	old, now := byKey(before), byKey(after)
	var out []ObjectChange
	for key, o := range old {
		n, stays := now[key]
		switch {
		case !stays:
			out = append(out, compareObject(key, ObjectDeleted, o, nil))
		case !sameJSON(o.Object, n.Object):
			out = append(out, compareObject(key, ObjectChanged, o, n))
		}
	}
	for key, n := range now {
		if _, was := old[key]; !was {
			out = append(out, compareObject(key, ObjectCreated, nil, n))
		}
	}
	order := []ObjectChangeKind{ObjectDeleted, ObjectChanged, ObjectCreated}
	slices.SortFunc(out, func(a, b ObjectChange) int {
		return cmp.Or(cmp.Compare(slices.Index(order, a.Kind), slices.Index(order, b.Kind)), cmp.Compare(a.Key.String(), b.Key.String()))
	})
	return out
}

func byKey(objects []*unstructured.Unstructured) map[Key]*unstructured.Unstructured {
	out := make(map[Key]*unstructured.Unstructured, len(objects))
	for _, o := range objects {
		out[KeyOf(o)] = o
	}
	return out
}

func compareObject(key Key, kind ObjectChangeKind, before, after *unstructured.Unstructured) ObjectChange {
	c := ObjectChange{Key: key, Kind: kind, Risks: risksOf(key, before, after)}
	old, now := contentOf(before), contentOf(after)
	maskSecrets(old, now, isSecret(before) || isSecret(after))
	if kind == ObjectChanged {
		valueChanges(old, now, "", &c.Fields)
		c.Fields = c.Fields[:min(len(c.Fields), maxFields)]
	}
	a, b := yamlOf(old), yamlOf(now)
	if len(a)+len(b) > maxComparedBytes {
		c.IsCut = true
		return c
	}
	diff := difflib.UnifiedDiff{A: lines(a), B: lines(b), Context: 3}
	text, err := difflib.GetUnifiedDiffString(diff)
	if err != nil {
		c.IsCut = true
		return c
	}
	for _, line := range strings.Split(text, "\n") {
		switch {
		case strings.HasPrefix(line, "+"):
			c.Added++
		case strings.HasPrefix(line, "-"):
			c.Removed++
		}
	}
	if len(text) > maxDiffBytes {
		cut := strings.LastIndexByte(text[:maxDiffBytes], '\n') + 1
		text, c.IsCut = strings.ToValidUTF8(text[:cut], ""), true
	}
	c.Diff = text
	return c
}

// lines splits a text into lines that keep their ends.
func lines(text string) []string {
	if text == "" {
		return nil
	}
	return difflib.SplitLines(strings.TrimSuffix(text, "\n"))
}

// contentOf returns a copy of the object that may be changed.
func contentOf(o *unstructured.Unstructured) map[string]any {
	if o == nil {
		return nil
	}
	return o.DeepCopy().Object
}

func yamlOf(content map[string]any) string {
	if content == nil {
		return ""
	}
	text, err := yaml.Marshal(content)
	if err != nil {
		return ""
	}
	return string(text)
}

func isSecret(o *unstructured.Unstructured) bool {
	return o != nil && o.GetKind() == "Secret" && o.GroupVersionKind().Group == ""
}

// The masks of a value that is equal on both sides, and of one that is not.
const (
	masked        = "***"
	maskedChanged = "*** (changed)"
)

// maskSecrets replaces what must not be shown on both sides, so that a
// difference can be seen and nothing be read.
func maskSecrets(before, after any, isSecret bool) {
	mask(before, after, isSecret)
}

func mask(before, after any, isSecret bool) {
	switch b := before.(type) {
	case map[string]any:
		a, _ := after.(map[string]any)
		maskMap(b, a, isSecret)
	case []any:
		a, _ := after.([]any)
		maskList(b, a, isSecret)
	}
	if before == nil {
		switch a := after.(type) {
		case map[string]any:
			maskMap(nil, a, isSecret)
		case []any:
			maskList(nil, a, isSecret)
		}
	}
}

func maskMap(before, after map[string]any, isSecret bool) {
	keys := map[string]bool{}
	for k := range before {
		keys[k] = true
	}
	for k := range after {
		keys[k] = true
	}
	named := namesSecret(textOf(before["name"])) || namesSecret(textOf(after["name"]))
	for k := range keys {
		// Annotations of a Secret hold it often enough: kubectl's last-applied does.
		hides := isSecret && (k == "data" || k == "stringData" || k == "annotations")
		b, wasThere := before[k]
		a, isThere := after[k]
		if hides {
			hideAll(before, after, k)
			continue
		}
		text, isText := firstOf(a, b).(string)
		if isText && (namesSecret(k) || named && k == "value" || strings.Contains(text, "PRIVATE KEY-----")) {
			text = masked
			if wasThere && isThere && !sameJSON(a, b) {
				text = maskedChanged
			}
			if wasThere {
				before[k] = masked
			}
			if isThere {
				after[k] = text
			}
			continue
		}
		mask(b, a, isSecret)
	}
}

// hideAll masks every value below a key, one by one.
func hideAll(before, after map[string]any, key string) {
	b, _ := before[key].(map[string]any)
	a, _ := after[key].(map[string]any)
	for k, v := range a {
		text := masked
		if old, was := b[k]; was && !sameJSON(old, v) {
			text = maskedChanged
		}
		defer func() { a[k] = text }()
	}
	defer func() {
		for k := range b {
			b[k] = masked
		}
	}()
}

func maskList(before, after []any, isSecret bool) {
	byNameBefore, okBefore := byName(before)
	byNameAfter, okAfter := byName(after)
	if okBefore && okAfter {
		for name, b := range byNameBefore {
			mask(b, byNameAfter[name], isSecret)
		}
		for name, a := range byNameAfter {
			if _, was := byNameBefore[name]; !was {
				mask(nil, a, isSecret)
			}
		}
		return
	}
	for i := range max(len(before), len(after)) {
		var b, a any
		if i < len(before) {
			b = before[i]
		}
		if i < len(after) {
			a = after[i]
		}
		mask(b, a, isSecret)
	}
}

func firstOf(a, b any) any {
	if a != nil {
		return a
	}
	return b
}

func textOf(v any) string {
	s, _ := v.(string)
	return s
}

// namesSecret reports whether the name of a key or variable says that its value
// is secret.
func namesSecret(key string) bool {
	key = strings.ToLower(key)
	for _, word := range []string{"passw", "secretkey", "secret_key", "clientsecret", "client_secret", "token", "apikey", "api_key", "api-key", "privatekey", "private_key", "private-key", "credential"} {
		if strings.Contains(key, word) {
			return true
		}
	}
	return false
}

// valueChanges lists the fields that differ, sorted by path.
func valueChanges(before, after any, at string, out *[]ValueChange) {
	b, bIsMap := before.(map[string]any)
	a, aIsMap := after.(map[string]any)
	if bIsMap && aIsMap {
		keys := map[string]bool{}
		for k := range b {
			keys[k] = true
		}
		for k := range a {
			keys[k] = true
		}
		for _, k := range slices.Sorted(mapKeys(keys)) {
			valueChanges(b[k], a[k], join(at, k), out)
		}
		return
	}
	bl, bIsList := before.([]any)
	al, aIsList := after.([]any)
	if bIsList && aIsList {
		bn, okB := byName(bl)
		an, okA := byName(al)
		if okB && okA {
			names := map[string]bool{}
			for n := range bn {
				names[n] = true
			}
			for n := range an {
				names[n] = true
			}
			for _, n := range slices.Sorted(mapKeys(names)) {
				valueChanges(bn[n], an[n], at+"["+n+"]", out)
			}
			return
		}
		for i := range max(len(bl), len(al)) {
			var x, y any
			if i < len(bl) {
				x = bl[i]
			}
			if i < len(al) {
				y = al[i]
			}
			valueChanges(x, y, at+"["+strconv.Itoa(i)+"]", out)
		}
		return
	}
	if sameJSON(before, after) {
		return
	}
	*out = append(*out, ValueChange{Field: at, Before: shownOrAbsent(before), After: shownOrAbsent(after)})
}

func shownOrAbsent(v any) string {
	if v == nil {
		return ""
	}
	return showValue(v, maxShownValue)
}

func join(at, key string) string {
	if strings.ContainsAny(key, "./[") {
		key = fmt.Sprintf("[%q]", key)
	} else if at != "" {
		key = "." + key
	}
	return at + key
}

func mapKeys(m map[string]bool) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}
