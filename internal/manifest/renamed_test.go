package manifest

import (
	"reflect"
	"strings"
	"testing"
)

// TestNothingKnownIsCalledRenamed: what is said of a field that people bring along is
// said of fields that are not here; one that came to be here needs no such line.
func TestNothingKnownIsCalledRenamed(t *testing.T) {
	for _, r := range renames() {
		of, isKind := kinds()[r.kind]
		if !isKind {
			t.Errorf("%s %s: there is no such kind", r.kind, r.path)
			continue
		}
		parts := strings.Split(strings.ReplaceAll(r.path, "[]", ""), ".")
		at, known := of.typ, true
		for i, part := range parts {
			for at.Kind() == reflect.Pointer || at.Kind() == reflect.Slice {
				at = at.Elem()
			}
			if at.Kind() != reflect.Struct {
				known = false
				break
			}
			next, found := fieldsOf(at)[part]
			if !found && i < len(parts)-1 {
				t.Errorf("%s %s: there is no %s any more", r.kind, r.path, part)
			}
			if known = found; !found {
				break
			}
			at = next
		}
		if known {
			t.Errorf("%s %s is a field here: the line is never said", r.kind, r.path)
		}
	}
}
