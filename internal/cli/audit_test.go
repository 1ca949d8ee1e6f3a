package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/api/client"
	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/internal/chain"
)

// auditEntries are one of each sort, newest first.
func auditEntries() []model.AuditEntry {
	return []model.AuditEntry{
		{At: noon.Add(-time.Minute), Action: model.AuditThaw, Project: "guestbook", Stage: "*", Kind: "Freeze", Name: "freeze-all-x7k2p"},
		{At: noon.Add(-time.Hour), Action: model.AuditApprove, Actor: "waybill:ada", Project: "guestbook", Stage: "prod", Kind: "Approval", Name: "a1", Promotion: "prod.7.f2222222", Reason: "looks good", Via: "api"},
		{At: noon.Add(-48 * time.Hour), Action: model.AuditReject, Actor: "waybill:bob", Project: "guestbook", Stage: "prod", Kind: "Freeze", Name: "rejected-prod-1", Freight: []string{newFreight}, Reason: "leaks", Until: noon, Via: "kubectl-create"},
		{At: noon.Add(-72 * time.Hour), Action: model.AuditSignIn, Actor: "waybill:ada", Kind: "token", Name: "ada", Reason: "laptop"},
	}
}

// auditHead is a made-up place in a chain.
func auditHead(seq int64) model.AuditHead {
	if seq == 0 {
		return model.AuditHead{Hash: chain.Genesis}
	}
	return model.AuditHead{Seq: seq, Hash: fmt.Sprintf("%064x", seq)}
}

func brokenAudit() model.AuditVerdict {
	return model.AuditVerdict{Rows: 20, Last: auditHead(420), Head: auditHead(420), Done: true, Breaks: []model.AuditBreak{
		{Seq: 403, Kind: model.BreakChanged, Detail: "row 403 is not what was written: its content does not have its hash"},
		{Seq: 410, Kind: model.BreakMissing, Detail: "rows 410 to 412 are missing"},
		{Seq: 500, Kind: model.BreakCut, Detail: "the chain ends with row 420; row 500 was noted before: the end was cut off"},
	}}
}

// auditRows is a real chain of n rows.
func auditRows(n int) []model.AuditRow {
	at, out := chain.Start(), []model.AuditRow{}
	for i := range n {
		l, err := at.Next(fmt.Appendf(nil, `{"action":"freeze","key":"u%d/made","reason":"a < b & c"}`, i))
		if err != nil {
			panic(err)
		}
		at = chain.Head{Seq: l.Seq, Hash: l.Hash}
		out = append(out, model.AuditRow{Seq: l.Seq, Prev: l.Prev, Hash: l.Hash, Entry: l.Entry})
	}
	return out
}

// TestAuditFile: what export printed is verified without a server; what somebody
// did to it since is found.
func TestAuditFile(t *testing.T) {
	rows := auditRows(40)
	s := serve(t, map[string]answer{
		"GET /api/v1/audit/chain?after=0":  ok(model.AuditRows{Items: rows[:25]}),
		"GET /api/v1/audit/chain?after=25": ok(model.AuditRows{Items: rows[25:]}),
		"GET /api/v1/audit/chain?after=40": ok(model.AuditRows{Items: []model.AuditRow{}}),
	})
	exported := signedIn(t, s.URL).run("audit", "export")
	lines := strings.SplitAfter(strings.TrimSuffix(exported.stdout, "\n"), "\n")
	if exported.code != client.ExitDone || len(lines) != 40 || !strings.Contains(lines[0], `"a < b & c"`) {
		t.Fatalf("export: %s", exported)
	}
	head := fmt.Sprintf("40:%s", rows[39].Hash)
	for _, c := range []struct {
		why   string
		lines []string
		args  []string
		code  int
		want  string
	}{
		{"whole", lines, nil, client.ExitDone, "40 rows, 1 to 40: every one is as it was written.\nhead: " + head},
		{"whole, with its head", lines, []string{"--head", head}, client.ExitDone, "head: " + head},
		{"a part", lines[10:], []string{"--head", head}, client.ExitDone, "30 rows, 11 to 40"},
		{"cut off", lines[:30], []string{"--head", head}, client.ExitFailed, "the chain ends with row 30; row 40 was noted before"},
		{"without a line", append(append([]string{}, lines[:5]...), lines[6:]...), nil, client.ExitFailed, "row 6 is missing"},
		{"changed", append([]string{strings.Replace(lines[0], "freeze", "thaw", 1)}, lines[1:]...), []string{"-o", "json"}, client.ExitFailed, `"kind": "changed"`},
		{"a head that is not in the file", lines[10:], []string{"--head", fmt.Sprintf("5:%s", rows[4].Hash)}, client.ExitUsage, "begins with row 11"},
		{"no rows", nil, nil, client.ExitUsage, "has no rows"},
		{"another file", []string{"{}\n"}, nil, client.ExitUsage, "line 1"},
		{"a file without an end", []string{strings.Repeat("x", 2<<20)}, nil, client.ExitUsage, "token too long"},
		{"from", lines, []string{"--from", "3"}, client.ExitUsage, "--from is for the server's rows"},
	} {
		session := newSession(t)
		session.stdin = strings.Join(c.lines, "")
		for _, file := range []string{"-", filepath.Join(session.home, "audit.jsonl")} {
			if err := os.WriteFile(filepath.Join(session.home, "audit.jsonl"), []byte(session.stdin), 0o600); err != nil {
				t.Fatal(err)
			}
			got := session.run(append([]string{"audit", "verify", "-f", file}, c.args...)...)
			if got.code != c.code || !strings.Contains(got.stdout+got.stderr, c.want) {
				t.Errorf("%s: want code %d and %q:\n%s", c.why, c.code, c.want, got)
			}
		}
	}
	// An entry of a newer Waybill, with what this one does not know, keeps its hash.
	l, err := chain.Start().Next([]byte(`{"action":"dance","steps":[1,2],"with":{"whom":"ada"}}`))
	if err != nil {
		t.Fatal(err)
	}
	var line bytes.Buffer
	if err := json.NewEncoder(&line).Encode(l); err != nil {
		t.Fatal(err)
	}
	session := newSession(t)
	session.stdin = line.String()
	if got := session.run("audit", "verify", "-f", "-"); got.code != client.ExitDone {
		t.Errorf("a newer entry: %s", got)
	}
}
