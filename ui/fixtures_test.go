package ui_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/api/rest/model"
)

var update = flag.Bool("update", false, "write the fixtures anew, as the API encodes them")

// The pages are tested with these files, so they must be what the API could answer: every field is one the
// document knows, and none that it requires is missing (encoding what was decoded gives the same document).
func TestFixturesAreAnswersOfTheAPI(t *testing.T) {
	kinds := map[string]any{
		"inbox":             &model.Inbox{},
		"insights":          &model.InsightsReport{},
		"insights-project":  &model.InsightsReport{},
		"review":            &model.Promotion{},
		"review-plan":       &model.Plan{},
		"me":                &model.Me{},
		"permissions":       &model.Permissions{},
		"my-permissions":    &model.Permissions{},
		"audit":             &model.AuditList{},
		"clusters":          &model.ClusterList{},
		"pipeline":          &model.Pipeline{},
		"plan":              &model.Plan{},
		"projects":          &model.Projects{},
		"promotion":         &model.Promotion{},
		"promotion-failed":  &model.Promotion{},
		"promotion-checked": &model.Promotion{},
		"rollback":          &model.RollbackPreview{},
		"stage":             &model.StageDetail{},
		"timeline":          &model.Timeline{},
		"tree":              &model.ResourceTree{},
		"object-events":     &model.ObjectEventList{},
		"logs":              &model.ContainerLogList{},
		"webhooks":          &model.WebhookList{},
		"why":               &model.Why{},
	}
	files, err := filepath.Glob("fixtures/*.json")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != len(kinds) {
		t.Errorf("%d fixtures, but %d are checked", len(files), len(kinds))
	}
	for name, into := range kinds {
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join("fixtures", name+".json"))
			if err != nil {
				t.Fatal(err)
			}
			d := json.NewDecoder(bytes.NewReader(data))
			d.DisallowUnknownFields()
			if err := d.Decode(into); err != nil {
				t.Fatal(err)
			}
			again, err := json.MarshalIndent(into, "", " ")
			if err != nil {
				t.Fatal(err)
			}
			if *update {
				if err := os.WriteFile(filepath.Join("fixtures", name+".json"), append(again, '\n'), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			var want, got any
			if err := json.Unmarshal(data, &want); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(again, &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("not what the API would answer (-fixture +encoded):\n%s", diff)
			}
		})
	}
}
