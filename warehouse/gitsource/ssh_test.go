package gitsource_test

import (
	"net"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/git/gittest"
	"github.com/waybill-dev/waybill/internal/outbound"
	"github.com/waybill-dev/waybill/internal/secret"
	"github.com/waybill-dev/waybill/warehouse"
	"github.com/waybill-dev/waybill/warehouse/gitsource"
)

// TestOverSSH: a real SSH server, branches by path and tags by version; an idle
// look is one command, and what was asked is counted.
func TestOverSSH(t *testing.T) {
	server := gittest.NewServer(t)
	server.CreateRepo("app", map[string]string{"app/a": "1"})
	server.Commit("app", "main", "docs", map[string]string{"docs/a": "1"})
	server.Git("app", "tag", "v1.0.0", "main")
	ssh := gittest.NewSSH(t, server)
	transport, err := outbound.New(outbound.Policy{AllowLoopback: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(transport.CloseIdleConnections)
	mirrors, err := git.NewMirrors(git.Options{Dir: t.TempDir(), Transport: transport, Dial: (&net.Dialer{}).DialContext})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = mirrors.Close() })
	source := gitsource.New(mirrors, time.Now)
	remote := git.Remote{URL: ssh.URL("app"), SSHPrivateKey: secret.New(ssh.PrivateKey), KnownHosts: []byte(ssh.KnownHosts), CredentialName: "demo/git"}
	compile := func(sub v1alpha1.GitSubscription) *warehouse.CommitPolicy {
		t.Helper()
		sub.RepoURL = remote.URL
		p, err := warehouse.CompileCommits(sub)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	look := func(p *warehouse.CommitPolicy, old *v1alpha1.SubscriptionStatus) warehouse.Poll {
		t.Helper()
		poll, err := source.Poll(t.Context(), remote, p, *old, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		*old = p.Merge(*old, poll)
		return poll
	}
	var branch, tagged v1alpha1.SubscriptionStatus
	byPath := compile(v1alpha1.GitSubscription{IncludePaths: []string{"docs"}})
	if got := look(byPath, &branch); subjects(got) != "docs" || got.Requests != 3 {
		t.Errorf("by path: %q for %d requests", subjects(got), got.Requests)
	}
	before := ssh.Commands()
	if got := look(byPath, &branch); subjects(got) != "docs" || got.Requests != 1 || ssh.Commands() != before+1 {
		t.Errorf("idle: %q for %d requests, %d commands", subjects(got), got.Requests, ssh.Commands()-before)
	}
	byVersion := compile(v1alpha1.GitSubscription{CommitSelectionStrategy: v1alpha1.SelectTagSemVer, Constraint: "^1.0.0"})
	if got := look(byVersion, &tagged); tags(got) != "v1.0.0" {
		t.Errorf("by version: %q", tags(got))
	}
	metrics := prometheus.NewPedanticRegistry()
	metrics.MustRegister(mirrors.Collectors()...)
	families, err := metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counted := 0.0
	for _, f := range families {
		if f.GetName() != "waybill_git_requests_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == "server" && l.GetValue() != ssh.Addr() || l.GetName() == "result" && l.GetValue() != "ok" {
					t.Errorf("counted %v", m)
				}
			}
			counted += m.GetCounter().GetValue()
		}
	}
	// The listing and the pack of a fetch are one command over SSH.
	if counted < float64(ssh.Commands()) || counted > float64(2*ssh.Commands()) {
		t.Errorf("%v requests are counted for %d commands", counted, ssh.Commands())
	}
}
