package render

import (
	"strings"
	"testing"
	"testing/fstest"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// TestRejectShown: of a Secret's manifest only what it holds is looked for in other
// objects, because they name it; of other files, all that was encrypted.
func TestRejectShown(t *testing.T) {
	object := func(kind, value string) located {
		return located{object: &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "v1", "kind": kind, "metadata": map[string]any{"name": "x"}, "list": []any{map[string]any{"url": value}},
		}}}
	}
	secret := "apiVersion: v1\nkind: Secret\nmetadata: {name: database-password}\nstringData: {password: 'hunter2 canary'}\n"
	secretEncrypted := "apiVersion: ENC[v1]\nkind: ENC[Secret]\nmetadata: {name: 'ENC[x]'}\nstringData: {password: 'ENC[y]'}\n"
	values := "clear: everyone\nport: 5432109876\nlist: [{token: canary-token}]\nshort: abc\n"
	valuesEncrypted := "clear: everyone\nport: ENC[i]\nlist: [{token: 'ENC[t]'}]\nshort: ENC[s]\n"
	for _, tt := range []struct {
		name, encrypted, plain string
		shown                  located
		refused                bool
	}{
		{"a Secret by its name", secretEncrypted, secret, object("Deployment", "database-password"), false},
		{"what a Secret holds, in a Secret", secretEncrypted, secret, object("Secret", "hunter2 canary"), false},
		{"what a Secret holds, elsewhere", secretEncrypted, secret, object("Deployment", "postgres://hunter2 canary@db"), true},
		{"the second document", "kind: List\n---\n" + secretEncrypted, "kind: List\n---\n" + secret, object("Deployment", "hunter2 canary"), true},
		{"a value of a list", valuesEncrypted, values, object("ConfigMap", "canary-token"), true},
		{"a number", valuesEncrypted, values, object("ConfigMap", "5432109876"), true},
		{"a value in the clear", valuesEncrypted, values, object("ConfigMap", "everyone"), false},
		{"a short value", valuesEncrypted, values, object("ConfigMap", "abc"), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tr := newTree(t.Context(), fstest.MapFS{}, Limits{})
			tr.noteOpened("values.yaml", []byte(tt.encrypted), []byte(tt.plain))
			err := tr.rejectShown("app", []located{tt.shown})
			if (err != nil) != tt.refused {
				t.Fatalf("%v, want refused: %v", err, tt.refused)
			}
			if err != nil && (strings.Contains(err.Error(), "canary") || !strings.Contains(err.Error(), "values.yaml")) {
				t.Errorf("%v", err)
			}
		})
	}
}
