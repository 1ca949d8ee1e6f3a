package rest

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/waybill-dev/waybill/api/rest/model"
)

// TestDashboardFixturesAreAnswers: what the dashboard's tests take for answers
// of the API could be answers of the API.
func TestDashboardFixturesAreAnswers(t *testing.T) {
	doc, err := openapi3.NewLoader().LoadFromData(openapiYAML)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]struct {
		schema string
		into   any
	}{
		"me": {"Me", &model.Me{}}, "permissions": {"Permissions", &model.Permissions{}}, "pipeline": {"Pipeline", &model.Pipeline{}},
		"plan": {"Plan", &model.Plan{}}, "projects": {"Projects", &model.Projects{}}, "rollback": {"RollbackPreview", &model.RollbackPreview{}},
		"promotion-checked": {"Promotion", &model.Promotion{}}, "stage": {"StageDetail", &model.StageDetail{}}, "why": {"Why", &model.Why{}},
		"clusters": {"ClusterList", &model.ClusterList{}}, "my-permissions": {"Permissions", &model.Permissions{}},
		"timeline": {"Timeline", &model.Timeline{}}, "insights": {"InsightsReport", &model.InsightsReport{}},
		"insights-project": {"InsightsReport", &model.InsightsReport{}},
		"webhooks":         {"WebhookList", &model.WebhookList{}},
	} {
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join("..", "..", "ui", "fixtures", name+".json"))
			if err != nil {
				t.Fatal(err)
			}
			dec := json.NewDecoder(bytes.NewReader(data))
			dec.DisallowUnknownFields()
			if err := dec.Decode(want.into); err != nil {
				t.Fatal(err)
			}
			var plain any
			if err := json.Unmarshal(data, &plain); err != nil {
				t.Fatal(err)
			}
			if err := doc.Components.Schemas[want.schema].Value.VisitJSON(plain, openapi3.MultiErrors()); err != nil {
				t.Fatal(err)
			}
		})
	}
}
