package repourl_test

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/internal/repourl"
)

func TestNormalize(t *testing.T) {
	for _, c := range []struct{ why, in, want string }{
		{"host case, port, suffixes", "https://Git.Example:443/Team/App.git/", "https://git.example/Team/App"},
		{"other ports stay", "http://127.0.0.1:8080/a.git", "http://127.0.0.1:8080/a"},
		{"image with port", "Registry.example:5000/team/app", "registry.example:5000/team/app"},
		{"ssh keeps its user", "ssh://git@Git.example:22/a/b.git", "ssh://git@git.example/a/b"},
		{"ssh as scp writes it", "git@Git.example:Team/App.git", "ssh://git@git.example/Team/App"},
		{"the path as scp writes it may be absolute", "git@git.example:/srv/app.git", "ssh://git@git.example/srv/app"},
		{"a digest is not a path", "registry.example/app@sha256:00", "registry.example/app@sha256:00"},
		{"query is not identity", "https://git.example/a?x=1#y", "https://git.example/a"},
	} {
		got, err := repourl.Normalize(c.in)
		if err != nil || got != c.want {
			t.Errorf("%s: Normalize(%q) = %q, %v; want %q", c.why, c.in, got, err, c.want)
		}
	}
}

func TestNormalizeRefuses(t *testing.T) {
	if _, err := repourl.Normalize("https://me:pw@git.example/a"); !errors.Is(err, repourl.ErrUserInfo) {
		t.Errorf("user information: %v", err)
	}
	for _, in := range []string{"", "https://", "https://a b/c", "a\nb", "https://git.example\xf6/a"} {
		if got, err := repourl.Normalize(in); err == nil {
			t.Errorf("Normalize(%q) = %q, want an error", in, got)
		}
	}
}

func TestImageRefusesOtherAddresses(t *testing.T) {
	for _, in := range []string{"git@git.example:team/app", "ssh://git@git.example/team/app"} {
		if got, err := repourl.Image(in); err == nil {
			t.Errorf("Image(%q) = %q, want an error", in, got)
		}
	}
}

// FuzzNormalize: what is normal stays as it is, and names the host that the
// address named.
func FuzzNormalize(f *testing.F) {
	for _, s := range []string{"https://a/b.git", "git@h:x/y.git", "HTTPS://A:443/b/.git/", "r:5000/x", "https://h/%zz", "https://h/a%2Fb.git"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		once, err := repourl.Normalize(in)
		if err != nil {
			return
		}
		twice, err := repourl.Normalize(once)
		if err != nil || once != twice {
			t.Errorf("Normalize(%q) = %q, again %q, %v", in, once, twice, err)
		}
		given, err := url.Parse(strings.TrimSpace(in))
		if err != nil || !strings.Contains(in, "://") {
			return
		}
		if u, err := url.Parse(once); err != nil || u.Hostname() != strings.ToLower(given.Hostname()) {
			t.Errorf("Normalize(%q) = %q: another host, %v", in, once, err)
		}
	})
}
