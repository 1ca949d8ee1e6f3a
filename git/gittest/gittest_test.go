package gittest_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/git/gitserver"
	"github.com/waybill-dev/waybill/git/gittest"
	"github.com/waybill-dev/waybill/internal/secret"
)

// cli runs the git command line of the machine as a user would.
func cli(t *testing.T, dir string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=true", "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// withUser puts the credentials into the URL: only a command line may do that.
func withUser(url string) string {
	return strings.Replace(url, "http://", "http://"+gittest.Username+":pa55-w0rd%2Fof%2Bthe%3Drobot@", 1)
}

func TestCommandLineClonesAndPushes(t *testing.T) {
	s := gittest.NewServer(t, gittest.AnonymousRead())
	url := s.CreateRepo("app", map[string]string{"a.txt": "one\n"})
	dir := t.TempDir()

	if out, err := cli(t, dir, "clone", "--quiet", url, "anonymous"); err != nil {
		t.Fatalf("anonymous clone: %s", out)
	}
	work := filepath.Join(dir, "anonymous")
	// Larger than http.postBuffer, so that git sends a chunked body.
	if err := os.WriteFile(filepath.Join(work, "big.bin"), []byte(strings.Repeat("incompressible? no, but large ", 1<<17)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"add", "."},
		{"-c", "user.name=A", "-c", "user.email=a@example.com", "commit", "--quiet", "-m", "big"},
	} {
		if out, err := cli(t, work, args...); err != nil {
			t.Fatalf("%v: %s", args, out)
		}
	}
	if out, err := cli(t, work, "-c", "http.postBuffer=65536", "-c", "core.compression=0", "push", "--quiet", "origin", "HEAD:main"); err == nil {
		t.Fatalf("pushing without credentials must fail: %s", out)
	}
	if out, err := cli(t, work, "-c", "http.postBuffer=65536", "-c", "core.compression=0", "push", "--quiet", withUser(url), "HEAD:main"); err != nil {
		t.Fatalf("push: %s", out)
	}
	if diff := cmp.Diff([]string{"big", "initial content"}, s.Log("app", "main")); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
}

func TestAuthentication(t *testing.T) {
	private, public := gittest.NewServer(t), gittest.NewServer(t, gittest.AnonymousRead())
	private.CreateRepo("app", map[string]string{"a": "1"})
	public.CreateRepo("app", map[string]string{"a": "1"})
	for _, c := range []struct {
		why            string
		server         *gittest.Server
		path           string
		user, password string
		want           int
	}{
		{"private needs credentials", private, "/app.git/info/refs?service=git-upload-pack", "", "", 401},
		{"private with credentials", private, "/app.git/info/refs?service=git-upload-pack", gittest.Username, gittest.Password, 200},
		{"wrong password", private, "/app.git/info/refs?service=git-upload-pack", gittest.Username, "no", 401},
		{"anonymous reading", public, "/app.git/info/refs?service=git-upload-pack", "", "", 200},
		{"a wrong password is told even there", public, "/app.git/info/refs?service=git-upload-pack", gittest.Username, "no", 401},
		{"pushing is never anonymous", public, "/app.git/info/refs?service=git-receive-pack", "", "", 401},
		{"pushing with credentials", public, "/app.git/info/refs?service=git-receive-pack", gittest.Username, gittest.Password, 200},
		{"without .git", public, "/app/info/refs?service=git-upload-pack", "", "", 200},
		{"unknown repository", public, "/other.git/info/refs?service=git-upload-pack", "", "", 404},
		{"the dumb protocol", public, "/app.git/HEAD", "", "", 404},
		{"out of the directory", public, "/..%2fapp.git/info/refs?service=git-upload-pack", "", "", 404},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+c.server.Addr()+c.path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if c.user != "" {
			req.SetBasicAuth(c.user, c.password)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != c.want {
			t.Errorf("%s: got %d, want %d", c.why, res.StatusCode, c.want)
		}
	}
	want := gitserver.Requests{ListForFetch: 4, ListForPush: 2}
	if diff := cmp.Diff(want, public.Requests()); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

func TestCommitsOnTheServer(t *testing.T) {
	s := gittest.NewServer(t)
	s.CreateRepo("app", map[string]string{"a": "1", `odd "name"\x`: "2"})
	s.CommitFiles("app", gitserver.Commit{
		Branch: "stage/test", From: "main", Message: "more",
		Files:  map[string]gittest.File{"run": {Content: "#!", Mode: "100755"}, "link": {Content: "/etc/passwd", Mode: "120000"}},
		Remove: []string{"a"},
	})
	if diff := cmp.Diff([]string{"120000 link", `100644 odd "name"\x`, "100755 run"}, s.Files("app", "stage/test")); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if got := s.Show("app", "main:a"); got != "1" {
		t.Errorf("main:a is %q", got)
	}
}

func TestStartRefuses(t *testing.T) {
	password := secret.New("long enough")
	for _, c := range []struct {
		why  string
		opts gitserver.Options
	}{
		{"no credentials", gitserver.Options{Dir: t.TempDir()}},
		{"not on loopback", gitserver.Options{Dir: t.TempDir(), Username: "a", Password: password, Addr: "0.0.0.0:0"}},
		{"a name is not an address", gitserver.Options{Dir: t.TempDir(), Username: "a", Password: password, Addr: "example.com:0"}},
		{"no directory", gitserver.Options{Username: "a", Password: password}},
	} {
		if s, err := gitserver.Start(t.Context(), c.opts); err == nil {
			_ = s.Close(t.Context())
			t.Errorf("%s: started", c.why)
		}
	}
}

func TestRepositoriesSurviveARestart(t *testing.T) {
	opts := gitserver.Options{Dir: t.TempDir(), Username: "a", Password: secret.New("long enough")}
	for i := range 2 {
		s, err := gitserver.Start(t.Context(), opts)
		if err != nil {
			t.Fatal(err)
		}
		err = s.CreateRepo(t.Context(), "app")
		if wantExists := i > 0; errors.Is(err, gitserver.ErrExists) != wantExists {
			t.Errorf("start %d: create gives %v", i+1, err)
		}
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}
}
