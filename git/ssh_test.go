package git_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/git/gittest"
	"github.com/waybill-dev/waybill/internal/outbound"
	"github.com/waybill-dev/waybill/internal/secret"
)

// sshRig is a rig whose repositories are asked by SSH.
type sshRig struct {
	*rig
	ssh *gittest.SSH
}

func newSSHRig(t *testing.T) *sshRig {
	r := newRig(t, func(o *git.Options) { o.Dial = (&net.Dialer{}).DialContext })
	return &sshRig{rig: r, ssh: gittest.NewSSH(t, r.server)}
}

func (r *sshRig) remote(repo string) git.Remote {
	return git.Remote{
		URL: r.ssh.URL(repo), SSHPrivateKey: secret.New(r.ssh.PrivateKey), KnownHosts: []byte(r.ssh.KnownHosts), CredentialName: "guestbook/git",
	}
}

func (r *sshRig) open(repo string) *git.Mirror {
	r.t.Helper()
	m, err := r.mirrors.Open(r.remote(repo))
	if err != nil {
		r.t.Fatal(err)
	}
	return m
}

func TestSSHFetchAndPush(t *testing.T) {
	r := newSSHRig(t)
	r.server.CreateRepo("app", map[string]string{"a": "1"})
	r.server.Git("app", "branch", "stage/test", "main")
	refs, err := r.mirrors.LsRemote(t.Context(), r.remote("app"))
	if err != nil || len(refs.Branches) != 2 || refs.DefaultBranch != "main" || r.ssh.Commands() != 1 {
		t.Fatalf("refs %+v after %d commands, %v", refs, r.ssh.Commands(), err)
	}
	m := r.open("app")
	if refs, err = m.Fetch(t.Context(), "main"); err != nil {
		t.Fatal(err)
	}
	if got := r.ssh.Commands(); got != 2 {
		t.Errorf("the first fetch took %d commands, want 1", got-1)
	}
	main := refs.Branches["main"]
	files, err := m.FS(main)
	must(t, err)
	if got, err := readFile(files, "a"); err != nil || got != "1" {
		t.Errorf("a is %q, %v", got, err)
	}
	commit := write(t, m, main, "uid-1", []git.Edit{git.SetFile("a", []byte("2"))}, main)
	must(t, m.Push(t.Context(), git.Update{Branch: "main", Old: main, New: commit}))
	if got := r.server.Show("app", "main:a"); got != "2" {
		t.Errorf("a is %q", got)
	}
	must(t, m.Push(t.Context(), git.Update{Branch: "main", Old: main, New: commit})) // the same again
	next := r.server.Commit("app", "main", "by another", map[string]string{"b": "1"})
	refs, err = m.Fetch(t.Context(), "main")
	if err != nil || !m.Has(hash(t, next)) || refs.Branches["main"].String() != next {
		t.Errorf("incremental fetch: %v", err)
	}
}

func TestSSHEmptyRepositoryAndBigPush(t *testing.T) {
	r := newSSHRig(t)
	r.server.CreateRepo("app", nil)
	m := r.open("app")
	if _, err := m.Fetch(t.Context(), "main"); err != nil {
		t.Fatal(err)
	}
	var edits []git.Edit
	for path, content := range gittest.ManyFiles(600) {
		edits = append(edits, git.SetFile(path, []byte(content+strings.Repeat(path, 500))))
	}
	first := write(t, m, git.Hash{}, "x", edits)
	must(t, m.Push(t.Context(), git.Update{Branch: "main", New: first}))
	if got := r.server.Branch("app", "main"); got != first.String() {
		t.Errorf("main is at %s", got)
	}
}

// TestSSHPushComparesAndSwaps has many pushers start from one commit: one wins,
// the others learn where the branch is.
func TestSSHPushComparesAndSwaps(t *testing.T) {
	r := newSSHRig(t)
	r.server.CreateRepo("app", map[string]string{"a": "1"})
	m := r.open("app")
	refs, err := m.Fetch(t.Context(), "main")
	must(t, err)
	main := refs.Branches["main"]
	var mu sync.Mutex
	won, moved := 0, 0
	var wg sync.WaitGroup
	for _, uid := range []string{"1", "2", "3", "4", "5", "6"} {
		commit := write(t, m, main, uid, []git.Edit{git.SetFile("a", []byte(uid+uid))}, main)
		wg.Go(func() {
			err := m.Push(t.Context(), git.Update{Branch: "main", Old: main, New: commit})
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				won++
			case errors.Is(err, git.ErrMoved):
				moved++
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won != 1 || moved != 5 || len(r.server.Log("app", "main")) != 2 {
		t.Errorf("%d won and %d were told, %d commits", won, moved, len(r.server.Log("app", "main")))
	}
	// A branch that was moved by a person is not moved by a stale push either.
	other := r.server.Commit("app", "main", "by another", map[string]string{"z": "1"})
	stale := write(t, m, main, "late", []git.Edit{git.SetFile("a", []byte("late"))}, main)
	var at *git.MovedError
	if err := m.Push(t.Context(), git.Update{Branch: "main", Old: main, New: stale}); !errors.As(err, &at) || at.Found.String() != other {
		t.Errorf("a stale push: %v", err)
	}
}

func TestSSHHostKeys(t *testing.T) {
	r := newSSHRig(t)
	r.server.CreateRepo("app", map[string]string{"a": "1"})
	_, foreign := gittest.NewSSHKey(t)
	line := func(key ssh.Signer) string { return knownhosts.Line([]string{r.ssh.Addr()}, key.PublicKey()) + "\n" }
	good := r.ssh.KnownHosts
	host, port, err := net.SplitHostPort(r.ssh.Addr())
	must(t, err)
	for _, c := range []struct {
		why, known string
		say        []string // nothing: it works
	}{
		{"pinned", good, nil},
		{"pinned among others", "# comment\n\nother.example " + strings.SplitN(good, " ", 2)[1] + good, nil},
		{"pinned in hashed form", knownhosts.HashHostname("["+host+"]:"+port) + " " + strings.SplitN(good, " ", 2)[1], nil},
		{"not pinned", "", []string{"host key is not trusted", "is not in known_hosts", strings.TrimSpace(good)}},
		{"pinned for the default port only", host + " " + strings.SplitN(good, " ", 2)[1], []string{"is not in known_hosts"}},
		{"changed", line(foreign), []string{"is another than the one in known_hosts", strings.TrimSpace(good)}},
		{"revoked", "@revoked " + good, []string{"marked @revoked"}},
		{"unreadable", "nonsense\n", []string{`known_hosts of credential "guestbook/git"`, "not in OpenSSH's format"}},
	} {
		remote := r.remote("app")
		remote.KnownHosts = []byte(c.known)
		before := r.ssh.Commands()
		_, err := r.mirrors.LsRemote(t.Context(), remote)
		if len(c.say) == 0 {
			if err != nil {
				t.Errorf("%s: %v", c.why, err)
			}
			continue
		}
		if !errors.Is(err, git.ErrHostKey) || r.ssh.Commands() != before {
			t.Errorf("%s: %v, %d commands", c.why, err, r.ssh.Commands()-before)
			continue
		}
		for _, say := range c.say {
			if !strings.Contains(err.Error(), say) {
				t.Errorf("%s: %q is not in %v", c.why, say, err)
			}
		}
	}
}

func TestSSHRefusals(t *testing.T) {
	r := newSSHRig(t)
	r.server.CreateRepo("app", map[string]string{"a": "1"})
	other, _ := gittest.NewSSHKey(t)
	for _, c := range []struct {
		why    string
		change func(*git.Remote)
		kind   error
		say    string
	}{
		{"another key", func(r *git.Remote) { r.SSHPrivateKey = secret.New(other) }, git.ErrAuthentication, `does not accept the key SHA256:`},
		{"no key", func(r *git.Remote) { r.SSHPrivateKey = secret.Text{} }, git.ErrAuthentication, `credential "guestbook/git" has none of this kind`},
		{"no credential", func(r *git.Remote) { r.SSHPrivateKey, r.CredentialName = secret.Text{}, "" }, git.ErrAuthentication, "no credential matches this URL"},
		{"a key that is none", func(r *git.Remote) { r.SSHPrivateKey = secret.New("canary") }, git.ErrAuthentication, "no private key in PEM or OpenSSH format"},
		{"no such repository", func(r *git.Remote) { r.URL = strings.Replace(r.URL, "app", "nope", 1) }, git.ErrNotFound, "the server says"},
		{"a password in the URL", func(r *git.Remote) { r.URL = strings.Replace(r.URL, "git@", "git:canary@", 1) }, git.ErrInvalidRemote, "user information"},
		{"a quote in the path", func(r *git.Remote) { r.URL += "'; touch canary; '" }, git.ErrInvalidRemote, "quote"},
		{"an option as host", func(r *git.Remote) { r.URL = "ssh://-oProxyCommand=x/app" }, git.ErrInvalidRemote, "dash"},
		{"an option as path", func(r *git.Remote) { r.URL = "git@host:-x" }, git.ErrInvalidRemote, "dash"},
		{"no path", func(r *git.Remote) { r.URL = "ssh://git@host/" }, git.ErrInvalidRemote, "no path"},
		{"scp form without user", func(r *git.Remote) { r.URL = "host:app" }, git.ErrInvalidRemote, "USER@HOST:PATH"},
	} {
		remote := r.remote("app")
		c.change(&remote)
		_, err := r.mirrors.LsRemote(t.Context(), remote)
		if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.say) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", c.why, err)
		}
	}
}

// TestSSHIsGuarded connects through the guarded dialer: what http may not reach,
// SSH may not either, by the address a name leads to.
func TestSSHIsGuarded(t *testing.T) {
	r := newSSHRig(t)
	r.server.CreateRepo("app", map[string]string{"a": "1"})
	must(t, r.mirrors.Close())
	for _, policy := range []outbound.Policy{
		{},
		{AllowLoopback: true, DenyAddrs: []netip.AddrPort{netip.MustParseAddrPort(r.ssh.Addr())}},
	} {
		transport, err := outbound.New(policy)
		must(t, err)
		r.mirrors = r.openMirrors(func(o *git.Options) { o.Dial = transport.DialContext })
		_, err = r.mirrors.LsRemote(t.Context(), r.remote("app"))
		if !errors.Is(err, git.ErrInvalidRemote) || !strings.Contains(err.Error(), "is not allowed") {
			t.Errorf("got %v", err)
		}
		must(t, r.mirrors.Close())
	}
	r.mirrors = r.openMirrors()
	if _, err := r.mirrors.LsRemote(t.Context(), r.remote("app")); !errors.Is(err, git.ErrInvalidRemote) {
		t.Errorf("without a dialer: %v", err)
	}
}

// TestSSHFaults: a server that hangs, lies or dies costs a bounded time and
// gives an error of the right kind.
func TestSSHFaults(t *testing.T) {
	r := newSSHRig(t)
	r.server.CreateRepo("app", map[string]string{"a": "1"})
	exit := func(c ssh.Channel, status uint32) {
		_, _ = c.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{status}))
	}
	for _, c := range []struct {
		why  string
		hook func(ssh.Channel)
		kind error
	}{
		{"hangs", func(c ssh.Channel) { _, _ = io.Copy(io.Discard, c) }, git.ErrUnreachable},
		{"closes", func(ssh.Channel) {}, git.ErrUnreachable},
		{"has no Git", func(c ssh.Channel) { exit(c, 127) }, git.ErrNotGit},
		{"is a shell with a greeting", func(c ssh.Channel) { _, _ = io.WriteString(c, "Welcome to example\n"); exit(c, 0) }, git.ErrNotGit},
		{"refuses with a page of text", func(c ssh.Channel) {
			_, _ = io.WriteString(c.Stderr(), strings.Repeat("no access for you\n", 5000))
			exit(c, 1)
		}, git.ErrNotFound},
		{"ends in the middle", func(c ssh.Channel) { _, _ = io.WriteString(c, "00a0abc"); exit(c, 0) }, git.ErrUnreachable},
		{"never stops", func(c ssh.Channel) {
			one := "003f" + strings.Repeat("a", 40) + " refs/heads/branch\n"
			for {
				if _, err := io.WriteString(c, one); err != nil {
					return
				}
			}
		}, nil},
	} {
		must(t, r.mirrors.Close())
		r.mirrors = r.openMirrors(func(o *git.Options) {
			o.Dial = (&net.Dialer{}).DialContext
			o.Limits = git.Limits{CallTimeout: time.Minute, ListBytes: 1 << 20}
			if c.why == "hangs" {
				o.Limits.CallTimeout = time.Second // the limit is what is tested
			}
		})
		r.ssh.OnCommand(func(_ string, channel ssh.Channel) bool { c.hook(channel); return true })
		_, err := r.mirrors.LsRemote(t.Context(), r.remote("app"))
		if err == nil || c.kind != nil && !errors.Is(err, c.kind) || len(err.Error()) > 800 {
			t.Errorf("%s: %v", c.why, err)
		}
	}
}

// TestSSHLostAnswer: the server has the commit and hangs up before it says so.
func TestSSHLostAnswer(t *testing.T) {
	r := newSSHRig(t)
	r.server.CreateRepo("app", map[string]string{"a": "1"})
	m := r.open("app")
	refs, err := m.Fetch(t.Context(), "main")
	must(t, err)
	main := refs.Branches["main"]
	commit := write(t, m, main, "uid-1", []git.Edit{git.SetFile("a", []byte("2"))}, main)
	r.ssh.OnCommand(func(command string, channel ssh.Channel) bool {
		if !strings.HasPrefix(command, "git-receive-pack") {
			return false
		}
		r.ssh.OnCommand(nil)
		r.ssh.RunSilently(command, channel)
		return true
	})
	if err := m.Push(t.Context(), git.Update{Branch: "main", Old: main, New: commit}); !errors.Is(err, git.ErrUnknownOutcome) {
		t.Fatalf("got %v", err)
	}
	if refs, err = m.Fetch(t.Context(), "main"); err != nil || refs.Branches["main"] != commit {
		t.Errorf("main is at %v, %v", refs.Branches["main"], err)
	}
	must(t, m.Push(t.Context(), git.Update{Branch: "main", Old: main, New: commit}))
	if got := len(r.server.Log("app", "main")); got != 2 {
		t.Errorf("%d commits, want 2", got)
	}
}

func TestSSHCancel(t *testing.T) {
	r := newSSHRig(t)
	r.server.CreateRepo("app", map[string]string{"a": "1"})
	ctx, cancel := context.WithCancel(t.Context())
	r.ssh.OnCommand(func(_ string, c ssh.Channel) bool {
		cancel()
		_, _ = io.Copy(io.Discard, c)
		return true
	})
	if _, err := r.mirrors.LsRemote(ctx, r.remote("app")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
