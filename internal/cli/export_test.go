package cli

import (
	"net/http"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/api/rest/model"
)

func TestExport(t *testing.T) {
	const definitions = api + "/definitions/"
	meta := func(name string, more map[string]any) map[string]any {
		m := map[string]any{"name": name, "namespace": "guestbook", "uid": "u", "resourceVersion": "7", "generation": 2, "creationTimestamp": "2026-03-01T12:00:00Z"}
		for k, v := range more {
			m[k] = v
		}
		return m
	}
	define := func(kind string, metadata, spec map[string]any) model.Definition {
		return model.Definition{"apiVersion": "waybill.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec, "status": map[string]any{"observedGeneration": 2}}
	}
	list := func(items ...model.Definition) answer { return ok(model.DefinitionList{Items: items}) }
	project := define("Project", map[string]any{"name": "guestbook", "finalizers": []any{"waybill.dev/stages"}, "uid": "u"}, map[string]any{
		"webhookReceivers": []any{map[string]any{"name": "github", "github": map[string]any{"secretRef": map[string]any{"name": "hooks"}}}},
		"notifications":    []any{map[string]any{"name": "team", "channel": "slack"}}})
	stage := func(name, cluster string) model.Definition {
		return define("Stage", meta(name, map[string]any{"labels": map[string]any{"team": "web"}, "annotations": map[string]any{"waybill.dev/requested-at": "x", "kubectl.kubernetes.io/last-applied-configuration": "{}"}}),
			map[string]any{"deploy": []any{map[string]any{"destination": map[string]any{"cluster": cluster}}},
				"promotionTemplate": map[string]any{"spec": map[string]any{"steps": []any{map[string]any{"uses": "http", "config": map[string]any{"headers": []any{"${{ secret('api').token }}"}}}}}}})
	}
	going := define("Stage", meta("going", map[string]any{"deletionTimestamp": "2026-03-01T12:00:00Z"}), map[string]any{})
	owned := define("Application", meta("prod", map[string]any{"ownerReferences": []any{map[string]any{"kind": "Stage"}}}), map[string]any{})
	answers := map[string]answer{
		"GET /api/v1/definitions/projects/guestbook":      ok(project),
		"GET " + definitions + "warehouses?limit=500":     list(define("Warehouse", meta("guestbook", nil), map[string]any{"interval": "1m"})),
		"GET " + definitions + "promotiontasks?limit=500": list(),
		"GET " + definitions + "stages?limit=500":         list(going, stage("test", "in-cluster"), stage("prod", "west")),
		"GET " + definitions + "applications?limit=500":   list(owned, define("Application", meta("ingress", nil), map[string]any{"source": map[string]any{"path": "ingress"}})),
	}
	for _, c := range []struct {
		name, args string
		answers    map[string]answer
	}{
		{"export", "export -p guestbook", answers},
		{"export-kinds", "export -p guestbook stages wh", answers},
		{"export-json", "export -p guestbook warehouses -o json", answers},
		{"export-nothing", "export -p guestbook tasks", answers},
		{"export-no-definition", "export -p guestbook freight", nil},
		{"export-which", "export", nil},
		{"export-missing", "export -p nowhere", map[string]answer{"GET /api/v1/definitions/projects/nowhere": problem(model.Problem{
			Status: http.StatusNotFound, Code: model.NotFound, Detail: `no Project "nowhere", or you may not see it`})}},
		{"help-export", "export --help", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			golden(t, c.name, signedIn(t, serve(t, c.answers).URL).run(strings.Fields(c.args)...).String())
		})
	}
}
