package cli

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/waybill-dev/waybill/api/rest/model"
)

// kept is where what was typed is kept.
var kept = regexp.MustCompile(`\S*/waybill-edit-\d+`)

func TestEdit(t *testing.T) {
	const (
		get   = "GET " + api + "/definitions/warehouses/guestbook"
		check = "POST /api/v1/apply?diff=true&dryRun=true&force=true&project=guestbook"
		apply = "POST /api/v1/apply?force=true&project=guestbook"
	)
	definition := func(interval string) answer {
		return ok(model.Definition{"apiVersion": "waybill.dev/v1alpha1", "kind": "Warehouse", "status": map[string]any{"x": 1},
			"metadata": map[string]any{"name": "guestbook", "namespace": "guestbook", "uid": "u"}, "spec": map[string]any{"interval": interval}})
	}
	result := func(action model.DocumentResultAction, diff string) model.ApplyResult {
		r := model.DocumentResult{Kind: "Warehouse", Name: "guestbook", Namespace: "guestbook", Action: action}
		if diff != "" {
			r.Change = model.ObjectChange{Kind: "Warehouse", Name: "guestbook", Change: model.ObjectChangeChangeChanged, Diff: diff}
		}
		return model.ApplyResult{Items: []model.DocumentResult{r}}
	}
	const changed = "@@ -4,2 +4,2 @@\n spec:\n-  interval: 1m\n+  interval: 2m\n"
	good := map[string]answer{get: definition("1m"), check: ok(result("configured", changed)), apply: ok(result("configured", ""))}
	refusedBy := result("failed", "")
	refusedBy.Items[0].Problem = model.Problem{Status: 422, Code: model.InvalidManifest, Detail: "spec.interval: at least 10s", Errors: []model.FieldError{{Line: 7, Field: "spec.interval", Detail: "must be at least 10s"}}}
	forbidden := result("failed", "")
	forbidden.Items[0].Problem = model.Problem{Status: http.StatusForbidden, Code: model.Forbidden, Detail: "you may not patch warehouses \"guestbook\""}
	owned := ok(model.Definition{"apiVersion": "waybill.dev/v1alpha1", "kind": "Application", "metadata": map[string]any{"name": "prod", "namespace": "guestbook", "ownerReferences": []any{map[string]any{"kind": "Stage"}}}})
	const name = "warehouse/guestbook"
	for _, c := range []struct {
		name, what, editor string
		answers            map[string]answer
	}{
		{"edit", name, "sed -i s/1m/2m/", good},
		{"edit-unchanged", name, "true", good},
		{"edit-empty", name, "truncate -s 0", good},
		{"edit-no-editor", name, "", good},
		{"edit-editor-fails", name, "false", good},
		// The second time the editor leaves it as it is.
		{"edit-unknown-field", name, "sed -i s/interval:/intervall:/", good},
		{"edit-renamed", name, "sed -i /name:/s/guestbook/other/", good},
		{"edit-refused", name, "sed -i s/1m/1s/", map[string]answer{get: definition("1m"), check: ok(refusedBy)}},
		{"edit-forbidden", name, "sed -i s/1m/2m/", map[string]answer{get: definition("1m"), check: ok(forbidden)}},
		{"edit-changes-nothing", name, "sed -i s/1m/60s/", map[string]answer{get: definition("1m"), check: ok(result("unchanged", "")), apply: ok(result("unchanged", ""))}},
		{"edit-of-a-stage", "application/prod", "true", map[string]answer{"GET " + api + "/definitions/applications/prod": owned}},
		{"edit-no-definition", "freight/x", "true", nil},
		{"edit-which", "warehouse", "true", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := signedIn(t, serve(t, c.answers).URL)
			s.env["EDITOR"] = c.editor
			t.Setenv("TMPDIR", t.TempDir())
			got := s.run("edit", c.what, "-p", "guestbook").String()
			golden(t, c.name, kept.ReplaceAllString(got, "TMP"))
			left, err := filepath.Glob(filepath.Join(os.TempDir(), "waybill-edit-*"))
			if err != nil || (len(left) > 0) != kept.MatchString(got) {
				t.Errorf("files that are left: %v, %v", left, err)
			}
		})
	}
	golden(t, "help-edit", newSession(t).run("edit", "--help").String())
}

// TestEditOpensAgain mends a mistake that stands on top of the file.
func TestEditOpensAgain(t *testing.T) {
	s := signedIn(t, serve(t, map[string]answer{
		"GET " + api + "/definitions/warehouses/guestbook": ok(model.Definition{"apiVersion": "waybill.dev/v1alpha1", "kind": "Warehouse",
			"metadata": map[string]any{"name": "guestbook", "namespace": "guestbook"}, "spec": map[string]any{"interval": "1m"}}),
		"POST /api/v1/apply?diff=true&dryRun=true&force=true&project=guestbook": ok(model.ApplyResult{Items: []model.DocumentResult{{Kind: "Warehouse", Name: "guestbook", Action: "configured"}}}),
		"POST /api/v1/apply?force=true&project=guestbook":                       ok(model.ApplyResult{Items: []model.DocumentResult{{Kind: "Warehouse", Name: "guestbook", Action: "configured"}}}),
	}).URL)
	t.Setenv("TMPDIR", t.TempDir())
	seen := filepath.Join(s.home, "seen")
	// The first time it makes a mistake; when there is one on top, it keeps what it saw and mends it.
	s.env["EDITOR"] = `f() { if grep -q 'unknown field' "$1"; then cp "$1" ` + seen + `; sed -i s/intervall/interval/ "$1"; else sed -i 's/interval: 1m/intervall: 2m/' "$1"; fi; }; f`
	golden(t, "edit-again", s.run("edit", "warehouse", "guestbook/guestbook").String())
	text, err := os.ReadFile(seen)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "edit-again-file", string(text))
}
