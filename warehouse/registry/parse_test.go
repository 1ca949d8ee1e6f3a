package registry

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseChallenges(t *testing.T) {
	type params = map[string]string
	for _, c := range []struct {
		why  string
		in   []string
		want []challenge
	}{
		{"as registries send it", []string{`Bearer realm="https://auth.example/token",service="registry",scope="repository:a/b:pull,push"`},
			[]challenge{{"bearer", params{"realm": "https://auth.example/token", "service": "registry", "scope": "repository:a/b:pull,push"}}}},
		{"two in one header", []string{`Basic realm="a, b", Bearer realm="c"`},
			[]challenge{{"basic", params{"realm": "a, b"}}, {"bearer", params{"realm": "c"}}}},
		{"two headers, any case", []string{`NEGOTIATE`, `bearer Realm=x`},
			[]challenge{{"negotiate", params{}}, {"bearer", params{"realm": "x"}}}},
		{"escaped quotes", []string{`Basic realm="a\"b\\c"`}, []challenge{{"basic", params{"realm": `a"b\c`}}}},
		{"spaces around", []string{` , Basic realm = "x" , `}, []challenge{{"basic", params{"realm": "x"}}}},
		{"a parameter twice counts once", []string{`Bearer realm="a",realm="b"`}, []challenge{{"bearer", params{"realm": "a"}}}},
		{"unclosed quote", []string{`Basic realm="x`}, []challenge{{"basic", params{"realm": "x"}}}},
		{"a parameter of nothing", []string{`="x", realm="y"`}, nil},
		{"too long", []string{"Basic realm=" + strings.Repeat("a", 9000)}, nil},
	} {
		if d := cmp.Diff(c.want, parseChallenges(c.in), cmp.AllowUnexported(challenge{})); d != "" {
			t.Errorf("%s: %s", c.why, d)
		}
	}
	if c, ok := pick(parseChallenges([]string{`Basic realm="a"`, `Bearer realm="b"`})); !ok || c.scheme != "bearer" {
		t.Errorf("bearer comes first: %v", c)
	}
	if c, ok := pick(parseChallenges([]string{`Negotiate YWJj==`, `Basic realm="a"`})); !ok || c.scheme != "basic" {
		t.Errorf("what we can answer: %v", c)
	}
	if c, ok := pick(parseChallenges([]string{`Bearer`})); ok {
		t.Errorf("a bearer challenge needs a realm: %v", c)
	}
}

func FuzzParseChallenges(f *testing.F) {
	for _, s := range []string{`Bearer realm="https://a/t",service="s",scope="repository:x:pull"`, `Basic realm=x`, `Negotiate a==, Basic`, `a="b\`, ",,,", "="} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		for _, c := range parseChallenges([]string{header, header}) {
			if c.scheme == "" || c.scheme != strings.ToLower(c.scheme) {
				t.Errorf("scheme %q", c.scheme)
			}
		}
	})
}

func TestCheckRealm(t *testing.T) {
	trusted := map[string][]string{"registry.corp": {"sso.corp"}}
	for _, c := range []struct {
		why, registry, scheme, realm string
		ok                           bool
	}{
		{"the same place", "registry.example.com", "https", "https://registry.example.com/token", true},
		{"Docker Hub", "index.docker.io", "https", "https://auth.docker.io/token", true},
		{"GitLab", "registry.gitlab.com", "https", "https://gitlab.com/jwt/auth", true},
		{"another port of the same name", "registry.example.com:5000", "https", "https://registry.example.com:5001/auth", true},
		{"another domain", "registry.example.com", "https", "https://evil.example.org/token", false},
		{"a name that only ends alike", "example.com", "https", "https://evilexample.com/token", false},
		{"two customers of one provider", "a.azurecr.io", "https", "https://b.github.io/token", false},
		{"two sites of a shared suffix", "alice.github.io", "https", "https://mallory.github.io/token", false},
		{"downgrade", "registry.example.com", "https", "http://registry.example.com/token", false},
		{"plain http stays on its port", "127.0.0.1:5000", "http", "http://127.0.0.1:5000/token", true},
		{"plain http to another port", "127.0.0.1:5000", "http", "http://127.0.0.1:5001/token", false},
		{"plain http to a sister host", "registry.example.com", "http", "http://auth.example.com/token", false},
		{"internal names share nothing", "registry.a.svc.cluster.local", "https", "https://evil.b.svc.cluster.local/token", false},
		{"addresses share nothing", "10.0.0.1", "https", "https://10.0.0.2/token", false},
		{"trusted by the operator", "registry.corp", "https", "https://sso.corp/token", true},
		{"trusted for another registry", "other.corp", "https", "https://sso.corp/token", false},
		{"user information", "registry.example.com", "https", "https://a:b@registry.example.com/token", false},
		{"no host", "registry.example.com", "https", "https:///token", false},
		{"another scheme", "registry.example.com", "https", "file://registry.example.com/token", false},
		{"not a URL", "registry.example.com", "https", "https://%zz", false},
	} {
		if err := checkRealm(c.registry, c.scheme, c.realm, trusted); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.why, err)
		}
	}
}

func TestNextPage(t *testing.T) {
	const at = "https://r.example/v2/a/tags/list?n=2"
	for _, c := range []struct {
		why, link, want string
		fails           bool
	}{
		{"none", "", "", false},
		{"relative", `</v2/a/tags/list?last=b&n=2>; rel="next"`, "https://r.example/v2/a/tags/list?last=b&n=2", false},
		{"without rel", `<?last=b>`, "https://r.example/v2/a/tags/list?last=b", false},
		{"another relation", `</v2/a/tags/list>; rel="prev"`, "", false},
		{"absolute", `<https://R.example/x>; rel=next`, "https://R.example/x", false},
		{"http from behind a TLS proxy is not followed by http", `<http://r.example/x>; rel="next"`, "https://r.example/x", false},
		{"another host", `<https://evil.example/x>; rel="next"`, "", true},
		{"another port", `<https://r.example:8443/x>; rel="next"`, "", true},
		{"user information", `<https://a:b@r.example/x>; rel="next"`, "", true},
		{"no brackets", `/v2/a/tags/list?last=b`, "", true},
		{"unclosed", `</v2/a`, "", true},
		{"no URL", `<https://%zz>`, "", true},
	} {
		got, err := nextPage(at, c.link)
		if got != c.want || (err != nil) != c.fails {
			t.Errorf("%s: got %q, %v", c.why, got, err)
		}
	}
}

func FuzzLinkHeader(f *testing.F) {
	for _, s := range []string{`</v2/a/tags/list?last=b>; rel="next"`, `<//evil/x>`, `<https:evil>`, `<\\evil>`, `<http://r.example:443/x>`, "<>"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, link string) {
		next, err := nextPage("https://r.example/v2/a/tags/list", link)
		if err != nil || next == "" {
			return
		}
		u, err := url.Parse(next)
		if err != nil || u.Scheme != "https" || !strings.EqualFold(u.Host, "r.example") || u.User != nil {
			t.Errorf("%q leads to %q", link, next)
		}
	})
}

func FuzzRegistryResponse(f *testing.F) {
	const oci, index = "application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json"
	f.Add(oci, `{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:aa","size":1},"layers":[],"annotations":{"org.opencontainers.image.created":"2026-01-01T00:00:00Z"}}`)
	f.Add(index, `{"schemaVersion":2,"manifests":[{"mediaType":"`+oci+`","platform":{"os":"linux","architecture":"amd64"}},{"platform":null},{}]}`)
	f.Add("", `{"schemaVersion":2,"manifests":null}`)
	f.Add(oci, `{"created":"0001-01-01T00:00:00Z","os":"linux"}`)
	f.Fuzz(func(t *testing.T, contentType, body string) {
		began := time.Now()
		md, err := parseManifest(contentType, []byte(body))
		if err == nil {
			if (len(md.children) > 0) != (len(md.Platforms) > 0) || len(md.Notes) > maxAnnotations {
				t.Errorf("%+v", md)
			}
			_ = md.parseConfig([]byte(body), true)
		}
		_ = diagnosis([]byte(body))
		if c := clean(body); len(c) > maxDetail+3 || strings.ContainsAny(c, "\n\r\x00\x1b") {
			t.Errorf("clean gave %q", c)
		}
		if d := time.Since(began); d > time.Minute {
			t.Errorf("took %v", d)
		}
	})
}
