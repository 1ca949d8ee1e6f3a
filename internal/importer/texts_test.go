package importer

import (
	"testing"
	"time"
)

// TestTexts: small languages that are written in another one here. "" says that
// it cannot be.
func TestTexts(t *testing.T) {
	jq := func(s string) string {
		if path, ok := pathOf(s); ok {
			return path
		}
		return ""
	}
	body := func(s string) string {
		if path, ok := bodyPath(s); ok {
			return path
		}
		return ""
	}
	cron := func(s string) string {
		if out, ok := cronOf(s, time.Date(2026, 1, 5, 9, 30, 0, 0, time.UTC)); ok { // a Monday
			return out
		}
		return ""
	}
	for _, c := range []struct {
		why       string
		write     func(string) string
		in, wants string
	}{
		{"a field", jq, ".spec.replicas", "spec.replicas"},
		{"a field with dots", jq, `.metadata.annotations["a.b/c"]`, `metadata.annotations["a.b/c"]`},
		{"every item", jq, ".webhooks[].clientConfig.caBundle", "webhooks[*].clientConfig.caBundle"},
		{"items that a field picks", jq, `.spec.containers[] | select(.name == "web") | .image`, "spec.containers[name=web].image"},
		{"a function", jq, ".spec | keys", ""},
		{"nothing", jq, ".", ""},
		{"an argument", arguments, "http://{{ args.service-name }}/", "http://${{ args.service_name }}/"},
		{"what is computed of one", arguments, "exit {{ args.ok == 'no' ? 1 : 0}}", "exit ${{ args.ok == 'no' ? 1 : 0 }}"},
		{"an expression already", arguments, "${{ args.ok }}", "${{ args.ok }}"},
		{"templates of others", arguments, "{{ .Values.x }}", "{{ .Values.x }}"},
		{"all of an answer", body, "", "response.body"},
		{"a place in it", body, "{$.items[0].name}", "response.body.items[0].name"},
		{"a filter", body, "{$.items[?(@.a)]}", ""},
		{"each day", cron, "RRULE:FREQ=DAILY", "30 9 * * *"},
		{"work days", cron, "FREQ=WEEKLY;BYDAY=MO,FR", "30 9 * * 1,5"},
		{"the day it begins on", cron, "FREQ=WEEKLY", "30 9 * * 1"},
		{"each month", cron, "FREQ=MONTHLY;BYMONTHDAY=1;BYHOUR=0;BYMINUTE=0", "0 0 1 * *"},
		{"each year", cron, "FREQ=YEARLY", "30 9 5 1 *"},
		{"every second week", cron, "FREQ=WEEKLY;INTERVAL=2", ""},
		{"the last Friday", cron, "FREQ=MONTHLY;BYDAY=-1FR", ""},
		{"until some day", cron, "FREQ=DAILY;UNTIL=20270101T000000Z", ""},
	} {
		if got := c.write(c.in); got != c.wants {
			t.Errorf("%s: %q is %q, not %q", c.why, c.in, got, c.wants)
		}
	}
}
