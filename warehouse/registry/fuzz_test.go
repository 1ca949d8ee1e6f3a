package registry

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/internal/outbound"
)

// FuzzReference: whatever is written as the name of a repository is refused, or
// leads to that repository at its own registry and nowhere else.
func FuzzReference(f *testing.F) {
	for _, s := range []string{
		"registry.example.com:5000/team/app", "nginx", "a/../b", "https://x/y", "x@sha256:aa", "h:1/x:y", "[::1]:5000/x", "h//x", "h/x/", "user@h/x", "h/%2e%2e/x", "ü/x",
	} {
		f.Add(s)
	}
	transport, err := outbound.New(outbound.Policy{})
	if err != nil {
		f.Fatal(err)
	}
	client, err := New(Options{Transport: transport, Now: time.Now})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, name string) {
		s, repo, err := client.open("read", Repository{URL: name})
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n\r") {
				t.Errorf("%q: %q", name, err)
			}
			return
		}
		u, err := url.Parse(s.url(repo, "manifests", "1.0.0"))
		if err != nil || !strings.EqualFold(u.Host, s.host) || u.User != nil || u.Path != "/v2/"+repo.path+"/manifests/1.0.0" || u.RawQuery != "" || u.JoinPath().Path != u.Path {
			t.Errorf("%q leads to %v, %v", name, u, err)
		}
	})
}

// FuzzManifest: whatever a registry sends as a manifest is refused or read.
func FuzzManifest(f *testing.F) {
	f.Add("application/vnd.oci.image.index.v1+json", `{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","platform":{"os":"linux","architecture":"amd64"}}]}`)
	f.Add("application/vnd.oci.image.manifest.v1+json", `{"schemaVersion":2,"config":{"mediaType":"application/vnd.cncf.helm.config.v1+json"},"layers":[]}`)
	f.Add("", `{"schemaVersion":2,"config":{},"manifests":[]}`)
	f.Fuzz(func(t *testing.T, contentType, body string) {
		md, err := parseManifest(contentType, []byte(body))
		if err != nil && strings.ContainsAny(clean(err.Error()), "\n\r") {
			t.Error(err)
		}
		if len(md.children) > maxPlatforms {
			t.Errorf("%d children", len(md.children))
		}
	})
}

// FuzzHeaders: whatever a registry says about limits, links and authentication is
// read within bounds.
func FuzzHeaders(f *testing.F) {
	f.Add("120", "0;w=21600", `</v2/x/tags/list?last=a>; rel="next"`, `Bearer realm="https://a/t",service="s"`)
	f.Add("Wed, 21 Oct 2026 07:28:00 GMT", "x", "<//evil/x>", "Basic realm=\"")
	f.Fuzz(func(t *testing.T, retryAfter, remaining, link, challenge string) {
		if p := pauseOf(retryAfter, time.Unix(0, 0)); p < time.Second || p > maxBackoff {
			t.Errorf("a pause of %s", p)
		}
		leadingNumber(remaining)
		if next, err := nextPage("https://r.example/v2/x/tags/list?n=1000", link); err == nil && next != "" {
			if u, err := url.Parse(next); err != nil || u.Host != "r.example" || u.Scheme != "https" {
				t.Errorf("%q leads to %q", link, next)
			}
		}
		parseChallenges(http.Header{"Www-Authenticate": {challenge}}.Values("WWW-Authenticate"))
	})
}
