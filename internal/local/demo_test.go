package local

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// startTestDemo starts the demo's servers on a directory.
func startTestDemo(t *testing.T, d dir, base, seededPort int) *demo {
	t.Helper()
	password, err := d.password()
	if err != nil {
		t.Fatal(err)
	}
	x, err := startDemo(context.Background(), d, portsFrom(base), password, seededPort)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func closeDemo(t *testing.T, x *demo) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := x.close(ctx); err != nil {
		t.Fatal(err)
	}
}

func tags(t *testing.T, d dir, registry string) []string {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, "http://"+registry+"/v2/guestbook/tags/list", nil)
	if err != nil {
		t.Fatal(err)
	}
	password, err := d.password()
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(User, password.Reveal())
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var list struct{ Tags []string }
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil {
		t.Fatal(err)
	}
	return list.Tags
}

func gitOut(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = append(cmd.Environ(), "GIT_TERMINAL_PROMPT=0", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func TestDemoContentSurvivesAndMoves(t *testing.T) {
	d := testDir(t)
	base := freeBase(t)
	x := startTestDemo(t, d, base, 0)
	clone := t.TempDir()
	gitOut(t, clone, "clone", "--quiet", x.gitURL(), ".")
	first := gitOut(t, clone, "rev-parse", "HEAD")
	if rendered, err := exec.Command("grep", "-rl", "example.com", clone, "--exclude-dir=.git").CombinedOutput(); err == nil {
		t.Errorf("files still name an example address:\n%s", rendered)
	}
	if got := tags(t, d, x.registry.Host()); !slices.Equal(got, firstImages()) {
		t.Errorf("first images: got %v, want %v", got, firstImages())
	}
	if _, err := exec.Command("git", "-C", clone, "-c", "credential.helper=", "push", "--quiet", x.gitURL(), "HEAD:refs/heads/x").CombinedOutput(); err == nil {
		t.Error("a push without credentials was accepted")
	}
	closeDemo(t, x)

	x = startTestDemo(t, d, base, base)
	gitOut(t, clone, "fetch", "--quiet", x.gitURL(), "main")
	if again := gitOut(t, clone, "rev-parse", "FETCH_HEAD"); again != first {
		t.Errorf("a restart changed main from %s to %s", first, again)
	}
	if got := tags(t, d, x.registry.Host()); !slices.Equal(got, firstImages()) {
		t.Errorf("images after a restart: got %v, want %v", got, firstImages())
	}
	closeDemo(t, x)

	moved := freeBase(t)
	x = startTestDemo(t, d, moved, base)
	defer closeDemo(t, x)
	gitOut(t, clone, "fetch", "--quiet", x.gitURL(), "main")
	content := gitOut(t, clone, "show", "FETCH_HEAD:stages/prod/kustomization.yaml")
	if !strings.Contains(content, "- name: "+imageRepo(moved)+"\n") || strings.Contains(content, imageRepo(base)) {
		t.Errorf("after a move to other ports the kustomization is\n%s", content)
	}
	if parent := gitOut(t, clone, "rev-parse", "FETCH_HEAD^"); parent != first {
		t.Errorf("the move is not one commit on top of %s but of %s", first, parent)
	}
}

func TestMarkDigestComesBeforeTheTag(t *testing.T) {
	var order []string
	next := roundTrip(func(req *http.Request) (*http.Response, error) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		order = append(order, "put "+string(body))
		return &http.Response{StatusCode: http.StatusCreated, Body: http.NoBody, Request: req}, nil
	})
	m := &markDigest{next: next, path: "/v2/guestbook/manifests/1.0.0", mark: func(_ context.Context, digest string) error {
		order = append(order, "mark "+digest)
		return nil
	}}
	req, err := http.NewRequest(http.MethodPut, "http://127.0.0.1/v2/guestbook/manifests/1.0.0", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := m.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	want := []string{"mark sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a", "put {}"}
	if !slices.Equal(order, want) {
		t.Errorf("got %q, want %q", order, want)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }
