package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/api/rest/model"
)

func TestTokens(t *testing.T) {
	tokens := model.AccessTokenList{Items: []model.AccessToken{
		{ID: "4f1c2a90b7de", Kind: model.AccessTokenToken, Name: "ci", Created: noon.Add(-time.Hour), LastUsed: noon.Add(-10 * time.Minute), Expires: noon.Add(23 * time.Hour)},
		{ID: "00aa11bb22cc", Kind: model.AccessTokenToken, Name: "screen", ReadOnly: true, Created: noon.Add(-48 * time.Hour), LastUsed: noon.Add(-time.Minute), Expires: noon.Add(28 * 24 * time.Hour)},
		{ID: "99ff88ee77dd", Kind: model.AccessTokenToken, Name: "waybill command line on desk", Current: true, Created: noon.Add(-72 * time.Hour), LastUsed: noon, Expires: noon.Add(27 * 24 * time.Hour)},
		{ID: "123456789abc", Kind: model.AccessTokenSession, Created: noon.Add(-2 * time.Hour), LastUsed: noon.Add(-time.Hour), Expires: noon.Add(22 * time.Hour)},
	}}
	made := model.NewAccessToken{Token: tokens.Items[0], Value: "wbt_value"}
	for _, c := range []struct {
		name    string
		args    string
		answers map[string]answer
	}{
		{"token-help", "token --help", nil},
		{"token-create-help", "token create --help", nil},
		{"token-list", "token list", map[string]answer{"GET /api/v1/me/tokens": ok(tokens)}},
		{"token-list-name", "token list -o name", map[string]answer{"GET /api/v1/me/tokens": ok(tokens)}},
		{"token-create", "token create ci --expires 24h", map[string]answer{"POST /api/v1/me/tokens": {status: 201, body: made}}},
		{"token-create-json", "token create ci -o json", map[string]answer{"POST /api/v1/me/tokens": {status: 201, body: made}}},
		{"token-create-short", "token create ci --expires 5s", nil},
		{"token-revoke", "token revoke 99ff88ee77dd 4f1c2a90b7de", map[string]answer{
			"GET /api/v1/me/tokens": ok(tokens), "DELETE /api/v1/me/tokens/4f1c2a90b7de": {status: 204}, "DELETE /api/v1/me/tokens/99ff88ee77dd": {status: 204},
		}},
		{"token-revoke-nothing", "token revoke", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := signedIn(t, serve(t, c.answers).URL)
			golden(t, c.name, s.run(strings.Fields(c.args)...).String())
		})
	}
}
