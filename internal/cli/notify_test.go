package cli

import (
	"net/http"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/api/rest/model"
)

// TestNotifyTranscripts prints what the commands about notifications print.
func TestNotifyTranscripts(t *testing.T) {
	const path = "POST /api/v1/projects/guestbook/notifications/on-call/test"
	sent := model.NotificationTest{Notification: "on-call", Channel: "chat", ID: "test-1", Sent: true}
	refused := model.NotificationTest{Notification: "on-call", Channel: "chat", ID: "test-1", Reason: "MessageRefused", Message: `channel "chat": the answer is 404 Not Found: no_service`}
	missing := problem(model.Problem{Status: http.StatusNotFound, Code: model.NotFound, Detail: `Project "guestbook" has no notification "on-call"`})
	for _, c := range []struct {
		name, args string
		answer     answer
	}{
		{"notify-test", "notify test guestbook/on-call", ok(sent)},
		{"notify-test-json", "notify test guestbook/on-call -o json", ok(sent)},
		{"notify-test-refused", "notify test guestbook/on-call", ok(refused)},
		{"notify-test-missing", "notify test guestbook/on-call", missing},
		{"notify-help", "notify --help", missing},
		{"notify-test-help", "notify test --help", missing},
	} {
		t.Run(c.name, func(t *testing.T) {
			golden(t, c.name, signedIn(t, serve(t, map[string]answer{path: c.answer}).URL).run(strings.Fields(c.args)...).String())
		})
	}
}
