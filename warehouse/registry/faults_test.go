package registry_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/demoregistry"
	"github.com/waybill-dev/waybill/warehouse"
	"github.com/waybill-dev/waybill/warehouse/registry"
	"github.com/waybill-dev/waybill/warehouse/registrytest"
)

func TestTagThatCannotBeRead(t *testing.T) {
	r := registrytest.New(t)
	r.Push("app", "1.0.0", demoregistry.ImageOptions{})
	r.Push("app", "1.1.0", demoregistry.ImageOptions{})
	r.SetFault(func(req *http.Request, _ demoregistry.Kind) *demoregistry.Fault {
		if strings.HasSuffix(req.URL.Path, "/manifests/1.1.0") {
			return &demoregistry.Fault{Header: http.Header{"Content-Type": {"application/vnd.oci.image.manifest.v1+json"}}, Body: `{"schemaVersion":2,"config":{"mediaType":"application/vnd.cncf.helm.config.v1+json"},"layers":[]}`}
		}
		return nil
	})
	repo := registry.Repository{URL: r.Name("app"), Credential: account(t, r)}
	p := compile(t, v1alpha1.ImageSubscription{RepoURL: repo.URL, Platform: "linux/amd64"})
	client := newClient(t)
	for i := range 2 {
		r.ResetRequests()
		poll, err := client.Poll(t.Context(), repo, p, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		if got := tagsOf(poll.Candidates); !slices.Equal(got, []string{"1.0.0"}) || poll.Reason != warehouse.ReasonTagPassedOver ||
			!strings.Contains(poll.Error, `tag "1.1.0" is passed over`) || !strings.Contains(poll.Error, "Helm chart") {
			t.Errorf("got %v, %q: %s", got, poll.Reason, poll.Error)
		}
		if n := r.Total(); i == 1 && n != 1 {
			t.Errorf("what cannot be read was asked for again: %v", r.Requests())
		}
	}
}

func TestRateLimit(t *testing.T) {
	now := newClock()
	r := registrytest.New(t, func(o *demoregistry.Options) { o.Now = now.Now })
	r.Push("app", "1.0.0", demoregistry.ImageOptions{})
	client := newClient(t, func(o *registry.Options) { o.Now = now.Now })
	repo := registry.Repository{URL: r.Name("app"), Credential: account(t, r)}
	other := registry.Repository{URL: r.Name("other"), Credential: account(t, r)}
	limit := func(status int, retryAfter string) {
		r.SetFault(func(*http.Request, demoregistry.Kind) *demoregistry.Fault {
			h := http.Header{}
			if retryAfter != "" {
				h.Set("Retry-After", retryAfter)
			}
			return &demoregistry.Fault{Status: status, Header: h}
		})
	}
	for _, c := range []struct {
		status     int
		retryAfter string
		kind       error
		pause      time.Duration
	}{
		{429, "120", registry.ErrRateLimited, 2 * time.Minute},
		{429, now.Now().Add(1000 * time.Hour).Format(http.TimeFormat), registry.ErrRateLimited, time.Hour},
		{429, "999999999999", registry.ErrRateLimited, time.Hour},
		{429, "", registry.ErrRateLimited, 30 * time.Second},
		{429, "soon", registry.ErrRateLimited, 30 * time.Second},
		{503, "60", registry.ErrServer, time.Minute},
	} {
		r.ResetRequests()
		limit(c.status, c.retryAfter)
		before := now.Now()
		_, err := client.Tags(t.Context(), repo, time.Time{})
		at, ok := registry.RetryAt(err)
		if pause := at.Sub(before); !errors.Is(err, c.kind) || !ok || pause < c.pause || pause > c.pause*11/10+time.Second {
			t.Errorf("%d %q: %v, pause %v", c.status, c.retryAfter, err, pause)
		}
		r.SetFault(nil)
		_, again := client.Tags(t.Context(), other, time.Time{})
		if !errors.Is(again, registry.ErrRateLimited) || r.Total() != 1 {
			t.Errorf("%d %q: not honoured for the whole registry: %v, %v", c.status, c.retryAfter, again, r.Requests())
		}
		now.advance(c.pause*11/10 + 2*time.Second)
		if _, err := client.Tags(t.Context(), repo, time.Time{}); err != nil {
			t.Errorf("%d %q: not resumed: %v", c.status, c.retryAfter, err)
		}
	}
}

func TestFaults(t *testing.T) {
	ok := http.Header{"Content-Type": {"application/json"}}
	type fault = demoregistry.Fault
	for _, c := range []struct {
		why   string
		kind  demoregistry.Kind
		fault fault
		want  error
		say   string
	}{
		{"403", demoregistry.KindTags, fault{Status: 403, Body: `{"errors":[{"code":"DENIED","message":"no"}]}`}, registry.ErrForbidden, `access denied (status 403) with Secret "regcred": DENIED no`},
		{"404", demoregistry.KindTags, fault{Status: 404, Body: `{"errors":[{"code":"NAME_UNKNOWN"}]}`}, registry.ErrNotFound, `with Secret "regcred": NAME_UNKNOWN`},
		{"500 with a page", demoregistry.KindTags, fault{Status: 500, Body: "<html>oh no"}, registry.ErrServer, "status 500"},
		{"502", demoregistry.KindTags, fault{Status: 502}, registry.ErrServer, "status 502"},
		{"503", demoregistry.KindTags, fault{Status: 503}, registry.ErrServer, "status 503"},
		{"401 without a challenge", demoregistry.KindTags, fault{Status: 401}, registry.ErrAuthentication, `with Secret "regcred"`},
		{"401 with a challenge nobody knows", demoregistry.KindTags, fault{Status: 401, Header: http.Header{"Www-Authenticate": {"Negotiate abc=="}}}, registry.ErrAuthentication, "status 401"},
		{"hang", demoregistry.KindTags, fault{Hang: true}, registry.ErrUnreachable, "no complete answer in time"},
		{"cut in the middle", demoregistry.KindTags, fault{Header: ok, Body: `{"tags":["1.0.0"]}`, CutAfter: 9}, registry.ErrUnreachable, "broke before the answer was complete"},
		{"a login page", demoregistry.KindTags, fault{Body: "<html>please log in</html>"}, registry.ErrMalformed, "not a list of tags in JSON"},
		{"JSON of something else", demoregistry.KindTags, fault{Body: `{"repositories":[]}`}, registry.ErrMalformed, "not a list of tags in JSON"},
		{"tags of another type", demoregistry.KindTags, fault{Body: `{"tags":[1]}`}, registry.ErrMalformed, "not a list of tags in JSON"},
		{"half a document", demoregistry.KindTags, fault{Body: `{"tags":["1.0.0"`}, registry.ErrMalformed, "not a list of tags in JSON"},
		{"304 to no condition", demoregistry.KindTags, fault{Status: 304}, registry.ErrMalformed, "status 304"},
		{"52 MB of tags", demoregistry.KindTags, fault{Body: `{"tags":["` + strings.Repeat(`a","`, 13_000_000) + `"]}`}, registry.ErrMalformed, "too large"},
		{"a tag without end", demoregistry.KindTags, fault{Body: `{"tags":["` + strings.Repeat("a", 129) + `"]}`}, registry.ErrMalformed, "longer than 128"},
		{"pages in a circle", demoregistry.KindTags, fault{Header: http.Header{"Link": {`</v2/app/tags/list?n=1000>; rel="next"`}}, Body: `{"tags":["1.0.0"]}`}, registry.ErrMalformed, "in a circle"},
		{"the next page elsewhere", demoregistry.KindTags, fault{Header: http.Header{"Link": {`<http://169.254.169.254/v2/app/tags/list?last=a>; rel="next"`}}, Body: `{"tags":["1.0.0"]}`}, registry.ErrMalformed, `another host, "169.254.169.254"`},
		{"the next page on another port", demoregistry.KindTags, fault{Header: http.Header{"Link": {`<//127.0.0.1:1/v2/app/tags/list>; rel="next"`}}, Body: `{"tags":["1.0.0"]}`}, registry.ErrMalformed, "another host"},
		{"redirect elsewhere", demoregistry.KindTags, fault{Status: 307, Header: http.Header{"Location": {"http://169.254.169.254/"}}}, registry.ErrRefused, "another host"},
		{"token service says no", demoregistry.KindToken, fault{Status: 401, Body: `{"errors":[{"code":"UNAUTHORIZED","message":"bad password"}]}`}, registry.ErrAuthentication, "the token service refused: bad password"},
		{"token service says forbidden", demoregistry.KindToken, fault{Status: 403}, registry.ErrAuthentication, "token service refused"},
		{"token service fails", demoregistry.KindToken, fault{Status: 500}, registry.ErrServer, "token service"},
		{"token service is limited", demoregistry.KindToken, fault{Status: 429, Header: http.Header{"Retry-After": {"9"}}}, registry.ErrRateLimited, "until 20"},
		{"token service gives no token", demoregistry.KindToken, fault{Body: `{}`}, registry.ErrMalformed, "gave no token"},
		{"token service gives a page", demoregistry.KindToken, fault{Body: `<html>`}, registry.ErrMalformed, "gave no token"},
		{"token service hangs", demoregistry.KindToken, fault{Hang: true}, registry.ErrUnreachable, "in time"},
		{"token that is not accepted", demoregistry.KindToken, fault{Body: `{"token":"forged"}`}, registry.ErrAuthentication, "status 401"},
		{"an echo of the password", demoregistry.KindTags, fault{Status: 403, Body: `{"errors":[{"code":"X","message":"` + registrytest.Password + `"}]}`}, registry.ErrForbidden, "***"},
		{"text with control characters", demoregistry.KindTags, fault{Status: 403, Body: "{\"errors\":[{\"code\":\"X\",\"message\":\"a\\u001b[31m\\nb" + strings.Repeat("c", 5000) + "\"}]}"}, registry.ErrForbidden, "X a [31m b"},
	} {
		t.Run(c.why, func(t *testing.T) {
			r := registrytest.New(t)
			r.Push("app", "1.0.0", demoregistry.ImageOptions{})
			client := newClient(t, func(o *registry.Options) {
				if c.fault.Hang {
					o.RequestTimeout = 3 * time.Second // the limit is what is tested
				}
			})
			repo := registry.Repository{URL: r.Name("app"), Credential: account(t, r)}
			r.SetFault(func(_ *http.Request, k demoregistry.Kind) *fault {
				if k == c.kind {
					return &c.fault
				}
				return nil
			})
			p := compile(t, v1alpha1.ImageSubscription{RepoURL: repo.URL})
			poll, err := client.Poll(t.Context(), repo, p, time.Time{})
			if !errors.Is(err, c.want) || !strings.Contains(fmt.Sprint(err), c.say) {
				t.Fatalf("got %v, want %v that says %q", err, c.want, c.say)
			}
			text := err.Error()
			if !strings.Contains(text, `"`+repo.URL+`"`) || !strings.Contains(text, `Secret "regcred"`) || strings.Contains(text, registrytest.Password) || strings.ContainsAny(text, "\n\x1b") || len(text) > 600 {
				t.Errorf("message: %s", text)
			}
			if !poll.IsFailed || poll.Error != text || poll.Reason != registry.Reason(c.want) || poll.Reason == "PollFailed" || poll.Candidates != nil {
				t.Errorf("poll: %+v", poll)
			}
			if n := r.Total(); n > 6 {
				t.Errorf("%d requests: %v", n, r.Requests())
			}
			// It recovers by itself.
			r.SetFault(nil)
			if _, isLimited := registry.RetryAt(err); isLimited {
				return
			}
			if poll, err := client.Poll(t.Context(), repo, p, time.Time{}); err != nil || len(poll.Candidates) != 1 {
				t.Errorf("after the fault: %+v, %v", poll, err)
			}
		})
	}
}

func TestEndlessPages(t *testing.T) {
	r := registrytest.New(t, func(o *demoregistry.Options) { o.Auth = demoregistry.AuthNone })
	n := 0
	r.SetFault(func(*http.Request, demoregistry.Kind) *demoregistry.Fault {
		n++
		return &demoregistry.Fault{Header: http.Header{"Link": {fmt.Sprintf(`</v2/app/tags/list?last=%d>; rel="next"`, n)}}, Body: `{"tags":["a"]}`}
	})
	_, err := newClient(t).Tags(t.Context(), registry.Repository{URL: r.Name("app")}, time.Time{})
	if !errors.Is(err, registry.ErrMalformed) || n != 1000 {
		t.Errorf("%d requests: %v", n, err)
	}
}

func TestWrongContentIsRefused(t *testing.T) {
	const oci, index = "application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json"
	const config = `"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","size":2}`
	for _, c := range []struct {
		why, contentType, body, digest string
		want                           error
	}{
		{"digest of other bytes", oci, `{"schemaVersion":2,` + config + `,"layers":[]}`, "sha256:" + strings.Repeat("b", 64), registry.ErrMalformed},
		{"not JSON", oci, "<html>", "", registry.ErrUnsupported},
		{"schema 1", "application/vnd.docker.distribution.manifest.v1+json", `{"schemaVersion":1}`, "", registry.ErrUnsupported},
		{"header and body disagree", index, `{"schemaVersion":2,"mediaType":"` + oci + `",` + config + `,"layers":[]}`, "", registry.ErrUnsupported},
		{"both an index and an image", oci, `{"schemaVersion":2,"manifests":[],` + config + `,"layers":[]}`, "", registry.ErrUnsupported},
		{"an image that claims to be an index", index, `{"schemaVersion":2,` + config + `,"layers":[]}`, "", registry.ErrUnsupported},
		{"nothing", oci, `{"schemaVersion":2}`, "", registry.ErrUnsupported},
		{"an artifact", oci, `{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.empty.v1+json"},"layers":[]}`, "", registry.ErrUnsupported},
		{"too large", oci, `{"schemaVersion":2,"x":"` + strings.Repeat("a", 5<<20) + `"}`, "", registry.ErrMalformed},
		{"a config that is not there", oci, `{"schemaVersion":2,` + config + `,"layers":[]}`, "", registry.ErrNotFound},
	} {
		r := registrytest.New(t, func(o *demoregistry.Options) { o.Auth = demoregistry.AuthNone })
		r.SetFault(func(_ *http.Request, k demoregistry.Kind) *demoregistry.Fault {
			if k != demoregistry.KindManifestGet {
				return nil
			}
			h := http.Header{"Content-Type": {c.contentType}}
			if c.digest != "" {
				h.Set("Docker-Content-Digest", c.digest)
			}
			return &demoregistry.Fault{Header: h, Body: c.body}
		})
		_, err := newClient(t).Resolve(t.Context(), registry.Repository{URL: r.Name("app")}, "1.0.0", registry.Want{Created: true, Platforms: true})
		if !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.why, err, c.want)
		}
	}
}

func TestConfigIsCheckedAgainstItsDigest(t *testing.T) {
	r := registrytest.New(t, func(o *demoregistry.Options) { o.Auth = demoregistry.AuthNone })
	r.Push("app", "1.0.0", demoregistry.ImageOptions{})
	r.SetFault(func(_ *http.Request, k demoregistry.Kind) *demoregistry.Fault {
		if k != demoregistry.KindBlob {
			return nil
		}
		return &demoregistry.Fault{Body: `{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":[]}}`}
	})
	_, err := newClient(t).Resolve(t.Context(), registry.Repository{URL: r.Name("app")}, "1.0.0", registry.Want{Platforms: true})
	if !errors.Is(err, registry.ErrMalformed) || !strings.Contains(fmt.Sprint(err), "config does not match its digest") {
		t.Errorf("got %v", err)
	}
}

func TestCancelledCallerIsNoFault(t *testing.T) {
	r := registrytest.New(t)
	r.Push("app", "1.0.0", demoregistry.ImageOptions{})
	client := newClient(t)
	repo := registry.Repository{URL: r.Name("app"), Credential: account(t, r)}
	arrived := make(chan struct{}, 1)
	r.SetFault(func(*http.Request, demoregistry.Kind) *demoregistry.Fault {
		arrived <- struct{}{}
		return &demoregistry.Fault{Hang: true}
	})
	ctx, cancel := context.WithCancel(t.Context())
	began := time.Now()
	done := make(chan error, 1)
	go func() { _, err := client.Tags(ctx, repo, began); done <- err }()
	<-arrived
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	r.SetFault(nil)
	if _, err := client.Tags(t.Context(), repo, began); err != nil {
		t.Errorf("the next caller inherited it: %v", err)
	}
}
