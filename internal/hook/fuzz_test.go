package hook_test

import (
	"errors"
	"net/http"
	"testing"

	"github.com/waybill-dev/waybill/internal/hook"
)

// fuzz feeds one sender's receiver with bodies that are proven, and with the
// same ones unproven.
func fuzz(f *testing.F, sender hook.Sender) {
	f.Helper()
	for _, m := range messages() {
		if m.sender == sender {
			kind := ""
			for _, v := range m.header {
				kind = v
			}
			f.Add(m.body, kind)
		}
	}
	for _, body := range []string{"null", `{"repository":null}`, `{"a":{"a":{"a":[[[]]]}}}`, `{"x":1e999}`, "\xff"} {
		f.Add(body, "push")
	}
	r := receiver(f, entry(sender))
	f.Fuzz(func(t *testing.T, body, kind string) {
		h := proof(sender, body)
		for _, name := range []string{"X-Github-Event", "X-Gitea-Event", "X-Event-Key"} {
			h[name] = []string{kind}
		}
		e, err := r.Read(h.Get, []byte(body))
		if err != nil && !errors.Is(err, hook.ErrMalformed) {
			t.Errorf("a proven message: %v", err)
		}
		if len(e.Repositories) > 100 || len(e.Kind) > 100 || len(e.ID) > 100 {
			t.Errorf("%d repositories, kind %q, id %q", len(e.Repositories), e.Kind, e.ID)
		}
		for _, repo := range e.Repositories {
			if hook.Key(repo.Kind, repo.URL) == "" || len(repo.Refs) > 100 {
				t.Errorf("%q is no address, or has %d refs", repo.URL, len(repo.Refs))
			}
		}
		if r.IsSigned() {
			if e, err := r.Read(http.Header{"X-Github-Event": {kind}}.Get, []byte(body)); !errors.Is(err, hook.ErrUnverified) || len(e.Repositories) > 0 {
				t.Errorf("an unproven message: %+v, %v", e, err)
			}
		}
	})
}

func FuzzGitHub(f *testing.F)      { fuzz(f, hook.GitHub) }
func FuzzGitLab(f *testing.F)      { fuzz(f, hook.GitLab) }
func FuzzGitea(f *testing.F)       { fuzz(f, hook.Gitea) }
func FuzzBitbucket(f *testing.F)   { fuzz(f, hook.Bitbucket) }
func FuzzAzure(f *testing.F)       { fuzz(f, hook.Azure) }
func FuzzDockerHub(f *testing.F)   { fuzz(f, hook.DockerHub) }
func FuzzQuay(f *testing.F)        { fuzz(f, hook.Quay) }
func FuzzHarbor(f *testing.F)      { fuzz(f, hook.Harbor) }
func FuzzECR(f *testing.F)         { fuzz(f, hook.ECR) }
func FuzzArtifactory(f *testing.F) { fuzz(f, hook.Artifactory) }
func FuzzGeneric(f *testing.F)     { fuzz(f, hook.Generic) }

func FuzzKey(f *testing.F) {
	for _, s := range []string{"https://o@dev.azure.com/o/p/_git/r", "git@h:x", "nginx", "h:1/a@sha256:0", "https://[::1]/x", "https://@/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		for _, k := range []hook.Kind{hook.Git, hook.Image, hook.Chart} {
			if key := hook.Key(k, in); len(key) > 3*2048+100 {
				t.Errorf("%q has a key of %d bytes", in, len(key))
			}
		}
	})
}
