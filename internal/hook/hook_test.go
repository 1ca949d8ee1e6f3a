package hook_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/hook"
)

const theSecret = "a-secret-of-24-characters"

// entry is the entry of a Project for one sender.
func entry(s hook.Sender) v1alpha1.WebhookReceiver {
	w := v1alpha1.WebhookReceiver{Name: "r"}
	ref := v1alpha1.SecretReference{Name: "hooks"}
	plain := &v1alpha1.WebhookReceiverConfig{SecretRef: ref}
	switch s {
	case hook.GitHub:
		w.GitHub = plain
	case hook.GitLab:
		w.GitLab = plain
	case hook.Gitea:
		w.Gitea = plain
	case hook.Bitbucket:
		w.Bitbucket = plain
	case hook.Azure:
		w.Azure = plain
	case hook.DockerHub:
		w.DockerHub = plain
	case hook.Quay:
		w.Quay = plain
	case hook.Harbor:
		w.Harbor = plain
	case hook.ECR:
		w.ECR = plain
	case hook.Artifactory:
		w.Artifactory = &v1alpha1.ArtifactoryReceiver{SecretRef: ref}
	case hook.Generic:
		w.Generic = &v1alpha1.GenericReceiver{SecretRef: ref, Authentication: v1alpha1.WebhookAuthToken, When: "body.action == 'pushed'", RepoURLs: "map(body.repos, .url)"}
	}
	return w
}

func receiver(t testing.TB, w v1alpha1.WebhookReceiver) *hook.Receiver {
	t.Helper()
	r, err := hook.Compile("guestbook", w, map[string][]byte{"secret": []byte(theSecret + "\n")})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func mac(body string) string {
	m := hmac.New(sha256.New, []byte(theSecret))
	m.Write([]byte(body))
	return hex.EncodeToString(m.Sum(nil))
}

// proof returns the headers that prove body to be the sender's.
func proof(s hook.Sender, body string) http.Header {
	h := http.Header{}
	switch s {
	case hook.GitHub:
		h.Set("X-Hub-Signature-256", "sha256="+mac(body))
	case hook.Bitbucket:
		h.Set("X-Hub-Signature", "sha256="+mac(body))
	case hook.Gitea:
		h.Set("X-Gitea-Signature", mac(body))
	case hook.Artifactory:
		h.Set("X-JFrog-Event-Auth", mac(body))
	case hook.GitLab:
		h.Set("X-Gitlab-Token", theSecret)
	case hook.Harbor:
		h.Set("Authorization", theSecret)
	case hook.ECR:
		h.Set("X-Api-Key", theSecret)
	case hook.Generic:
		h.Set("Authorization", "Bearer "+theSecret)
	}
	return h
}

// message is one delivery of a sender, as its documentation shows it, shortened
// to what is read and a little of what is not.
type message struct {
	why    string
	sender hook.Sender
	header map[string]string
	body   string
	want   []string // keys, and refs after #
}

func messages() []message {
	return []message{
		{"a push", hook.GitHub, map[string]string{"X-GitHub-Event": "push", "X-GitHub-Delivery": "72d3162e"},
			`{"ref":"refs/heads/main","after":"6113728f","repository":{"full_name":"Team/App","clone_url":"https://github.com/Team/App.git","ssh_url":"git@github.com:Team/App.git"},"commits":[{}]}`,
			[]string{"git:github.com/team/app#refs/heads/main,refs/heads/main"}},
		{"a pull request that was closed", hook.GitHub, map[string]string{"X-GitHub-Event": "pull_request"},
			`{"action":"closed","pull_request":{"merged":true,"base":{"ref":"stage/prod"}},"repository":{"clone_url":"https://github.com/team/app.git"}}`,
			[]string{"git:github.com/team/app#refs/heads/stage/prod"}},
		{"a pull request that was opened", hook.GitHub, map[string]string{"X-GitHub-Event": "pull_request"},
			`{"action":"opened","pull_request":{"base":{"ref":"stage/prod"}},"repository":{"clone_url":"https://github.com/team/app.git"}}`, nil},
		{"a merge request that was merged", hook.GitLab, map[string]string{"X-Gitlab-Event": "Merge Request Hook"},
			`{"object_kind":"merge_request","object_attributes":{"action":"merge","target_branch":"stage/prod"},"project":{"git_http_url":"https://gitlab.example/team/app.git"}}`,
			[]string{"git:gitlab.example/team/app#refs/heads/stage/prod"}},
		{"a pull request that was closed", hook.Gitea, map[string]string{"X-Gitea-Event": "pull_request"},
			`{"action":"closed","pull_request":{"base":{"ref":"stage/prod"}},"repository":{"clone_url":"https://git.example/team/app.git"}}`,
			[]string{"git:git.example/team/app#refs/heads/stage/prod"}},
		{"a container in GitHub's registry", hook.GitHub, map[string]string{"X-GitHub-Event": "package"},
			`{"action":"published","package":{"name":"app","namespace":"Team","package_type":"CONTAINER","package_version":{"package_url":"ghcr.io/Team/app:1.2.3"}}}`,
			[]string{"image:ghcr.io/team/app"}},
		{"the same, by its other name and without tag", hook.GitHub, map[string]string{"X-GitHub-Event": "registry_package"},
			`{"registry_package":{"name":"app","namespace":"team","package_type":"CONTAINER","package_version":{"package_url":"ghcr.io/team/app:"}}}`,
			[]string{"image:ghcr.io/team/app"}},
		{"a package of another kind", hook.GitHub, map[string]string{"X-GitHub-Event": "package"},
			`{"package":{"name":"app","namespace":"team","package_type":"npm"}}`, nil},
		{"a ping", hook.GitHub, map[string]string{"X-GitHub-Event": "ping"}, `{"zen":"x","repository":{"clone_url":"https://github.com/team/app.git"}}`, nil},
		{"a push", hook.GitLab, map[string]string{"X-Gitlab-Event": "Push Hook"},
			`{"object_kind":"push","ref":"refs/heads/main","project":{"git_http_url":"https://gitlab.example/team/app.git","git_ssh_url":"git@gitlab.example:team/app.git"}}`,
			[]string{"git:gitlab.example/team/app#refs/heads/main,refs/heads/main"}},
		{"a tag", hook.GitLab, nil, `{"object_kind":"tag_push","ref":"refs/tags/v1","project":{"git_http_url":"https://gitlab.example/team/app.git"}}`,
			[]string{"git:gitlab.example/team/app#refs/tags/v1"}},
		{"an issue", hook.GitLab, nil, `{"object_kind":"issue","project":{"git_http_url":"https://gitlab.example/team/app.git"}}`, nil},
		{"a push; SSH has another port", hook.Gitea, map[string]string{"X-Gitea-Event": "push"},
			`{"ref":"refs/heads/main","repository":{"clone_url":"https://git.example:3000/team/app.git","ssh_url":"ssh://git@git.example:2222/team/app.git"}}`,
			[]string{"git:git.example:3000/team/app#refs/heads/main", "git:git.example:2222/team/app#refs/heads/main"}},
		{"Forgejo's package", hook.Gitea, map[string]string{"X-Forgejo-Event": "package"},
			`{"action":"created","package":{"type":"container","name":"app","html_url":"https://git.example:3000/team/-/packages/container/app/1.0","owner":{"login":"team"}}}`,
			[]string{"image:git.example:3000/team/app"}},
		{"a push to Cloud", hook.Bitbucket, map[string]string{"X-Event-Key": "repo:push"},
			`{"push":{"changes":[{"new":{"type":"branch","name":"main"},"old":null},{"new":{"type":"tag","name":"v1"}}]},"repository":{"links":{"html":{"href":"https://bitbucket.org/team/app"}}}}`,
			[]string{"git:bitbucket.org/team/app#refs/heads/main,refs/tags/v1"}},
		{"a push to Data Center", hook.Bitbucket, map[string]string{"X-Event-Key": "repo:refs_changed"},
			`{"changes":[{"refId":"refs/heads/main","type":"UPDATE"}],"repository":{"slug":"app","links":{"clone":[{"href":"https://bb.example/scm/team/app.git","name":"http"},{"href":"ssh://git@bb.example:7999/team/app.git","name":"ssh"}]}}}`,
			[]string{"git:bb.example/scm/team/app#refs/heads/main", "git:bb.example:7999/team/app#refs/heads/main"}},
		{"Data Center's test", hook.Bitbucket, map[string]string{"X-Event-Key": "diagnostics:ping"}, `{"test":true}`, nil},
		{"a push to Azure DevOps", hook.Azure, nil,
			`{"id":"03c164c2","eventType":"git.push","resource":{"refUpdates":[{"name":"refs/heads/main"}],"repository":{"remoteUrl":"https://team@dev.azure.com/team/Project/_git/app"}}}`,
			[]string{"git:dev.azure.com/team/project/app#refs/heads/main"}},
		{"a push to Azure Container Registry", hook.Azure, nil,
			`{"id":"cb8c3971","action":"push","target":{"repository":"team/app","tag":"v1"},"request":{"host":"team.azurecr.io"}}`,
			[]string{"image:team.azurecr.io/team/app"}},
		{"a deletion there", hook.Azure, nil, `{"action":"delete","target":{"repository":"app"},"request":{"host":"team.azurecr.io"}}`, nil},
		{"a push", hook.DockerHub, nil, `{"push_data":{"tag":"latest"},"repository":{"repo_name":"team/app"}}`, []string{"image:docker.io/team/app"}},
		{"a push", hook.Quay, nil, `{"docker_url":"quay.io/team/app","updated_tags":["latest"]}`, []string{"image:quay.io/team/app"}},
		{"a push", hook.Harbor, nil,
			`{"type":"PUSH_ARTIFACT","event_data":{"resources":[{"tag":"1","resource_url":"harbor.example:8443/team/app:1"},{"resource_url":"harbor.example:8443/team/app@sha256:00"}]}}`,
			[]string{"image:harbor.example:8443/team/app"}},
		{"a scan", hook.Harbor, nil, `{"type":"SCANNING_COMPLETED","event_data":{"resources":[{"resource_url":"harbor.example/team/app:1"}]}}`, nil},
		{"a push", hook.ECR, nil,
			`{"id":"13cde686","detail-type":"ECR Image Action","account":"123456789012","region":"eu-central-1","detail":{"result":"SUCCESS","repository-name":"team/app","action-type":"PUSH","image-tag":"1"}}`,
			[]string{"image:123456789012.dkr.ecr.eu-central-1.amazonaws.com/team/app"}},
		{"a failed push", hook.ECR, nil, `{"detail-type":"ECR Image Action","account":"1","region":"r","detail":{"result":"FAILURE","repository-name":"a","action-type":"PUSH"}}`, nil},
		{"a push", hook.Artifactory, nil,
			`{"domain":"docker","event_type":"pushed","jpd_origin":"https://team.jfrog.io/","data":{"image_name":"app","repo_key":"local","tag":"1"}}`,
			[]string{"image:team.jfrog.io/local/app", "image:local.team.jfrog.io/app", "image:team-local.jfrog.io/app"}},
		{"a push of another kind", hook.Artifactory, nil, `{"domain":"artifact","event_type":"deployed","data":{"repo_key":"x"}}`, nil},
		{"what the expression finds", hook.Generic, nil,
			`{"action":"pushed","repos":[{"url":"https://git.example/team/app.git"},{"url":"registry.example/app:1"},{"url":"git@git.example:team/lib"}]}`,
			[]string{"git:git.example/team/app", "chart:git.example/team/app", "image:registry.example/app", "git:git.example/team/lib"}},
		{"what the condition keeps out", hook.Generic, nil, `{"action":"deleted"}`, nil},
	}
}

func TestRead(t *testing.T) {
	for _, m := range messages() {
		t.Run(string(m.sender)+"/"+m.why, func(t *testing.T) {
			h := proof(m.sender, m.body)
			for k, v := range m.header {
				h.Set(k, v)
			}
			e, err := receiver(t, entry(m.sender)).Read(h.Get, []byte(m.body))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, r := range e.Repositories {
				text := hook.Key(r.Kind, r.URL)
				if len(r.Refs) > 0 {
					text += "#" + strings.Join(r.Refs, ",")
				}
				got = append(got, text)
			}
			if diff := cmp.Diff(m.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestNothingUnprovenIsRead changes a bit of each proof, of each body, and leaves
// each proof out.
func TestNothingUnprovenIsRead(t *testing.T) {
	tested := map[hook.Sender]bool{}
	for _, m := range messages() {
		r := receiver(t, entry(m.sender))
		if !r.IsSigned() || tested[m.sender] {
			continue
		}
		tested[m.sender] = true
		good := proof(m.sender, m.body)
		for name, values := range good {
			value := values[0]
			flipped := value[:len(value)-1] + string(value[len(value)-1]^1)
			bad := []string{"", flipped, value + "0", value[:len(value)-1], strings.Repeat("0", 64), "sha256=" + strings.Repeat("0", 64), "sha1=" + mac(m.body)}
			for _, v := range bad {
				h := good.Clone()
				if h.Del(name); v != "" {
					h.Set(name, v)
				}
				if e, err := r.Read(h.Get, []byte(m.body)); !errors.Is(err, hook.ErrUnverified) || len(e.Repositories) > 0 {
					t.Errorf("%s: %s %q was accepted: %v", m.sender, name, v, err)
				}
			}
		}
		if len(mac("x")) > 0 && strings.Contains(fmt.Sprint(good), mac(m.body)) {
			if _, err := r.Read(good.Get, []byte(m.body+" ")); !errors.Is(err, hook.ErrUnverified) {
				t.Errorf("%s: another body was accepted: %v", m.sender, err)
			}
		}
	}
	for _, s := range []hook.Sender{hook.GitHub, hook.GitLab, hook.Gitea, hook.Bitbucket, hook.Harbor, hook.ECR, hook.Artifactory, hook.Generic} {
		if !tested[s] {
			t.Errorf("%s was not tested", s)
		}
	}
}

func TestGenericAuthentication(t *testing.T) {
	body := `{"action":"pushed","repos":[{"url":"registry.example/app"}]}`
	w := entry(hook.Generic)
	w.Generic.Authentication = v1alpha1.WebhookAuthHMAC
	r := receiver(t, w)
	if _, err := r.Read(http.Header{"Authorization": {"Bearer " + theSecret}}.Get, []byte(body)); !errors.Is(err, hook.ErrUnverified) {
		t.Errorf("a token where a signature is due: %v", err)
	}
	if _, err := r.Read(http.Header{"X-Hub-Signature-256": {"sha256=" + mac(body)}}.Get, []byte(body)); err != nil {
		t.Error(err)
	}
	w.Generic.Authentication = v1alpha1.WebhookAuthNone
	if _, err := receiver(t, w).Read(http.Header{}.Get, []byte(body)); err != nil {
		t.Error(err)
	}
}

func TestMalformed(t *testing.T) {
	for _, s := range hook.Senders() {
		for _, body := range []string{"", "null", "[]", `"x"`, "{", "payload=%7B%7D", `{"repository":7}`, strings.Repeat("[", 20000), `{"data":{"image_name":"x"},"repository":{"links":{"clone":[null]}}}`} {
			e, err := receiver(t, entry(s)).Read(proof(s, body).Get, []byte(body))
			if len(e.Repositories) > 0 || err != nil && (!errors.Is(err, hook.ErrMalformed) || strings.Contains(err.Error(), "payload")) {
				t.Errorf("%s: %q: %+v, %v", s, body[:min(20, len(body))], e, err)
			}
		}
		large := `{"x":"` + strings.Repeat("a", hook.MaxBodyBytes) + `"}`
		if _, err := receiver(t, entry(s)).Read(proof(s, large).Get, []byte(large)); !errors.Is(err, hook.ErrMalformed) {
			t.Errorf("%s: a body over the limit: %v", s, err)
		}
	}
}

func TestPath(t *testing.T) {
	seen := map[string]string{}
	add := func(what string, r *hook.Receiver) {
		if len(r.ID()) != 64 || r.Path() != "/hooks/"+r.ID() {
			t.Errorf("%s: path %q", what, r.Path())
		}
		if other, known := seen[r.ID()]; known {
			t.Errorf("%s and %s have one path", what, other)
		}
		seen[r.ID()] = what
	}
	for _, s := range hook.Senders() {
		add(string(s), receiver(t, entry(s)))
	}
	named := entry(hook.GitHub)
	named.Name = "other"
	add("another name", receiver(t, named))
	r, err := hook.Compile("guestbook", entry(hook.GitHub), map[string][]byte{"secret": []byte(theSecret + "!")})
	if err != nil {
		t.Fatal(err)
	}
	add("another secret", r)
	if r, err = hook.Compile("other", entry(hook.GitHub), map[string][]byte{"secret": []byte(theSecret)}); err != nil {
		t.Fatal(err)
	}
	add("another Project", r)
}

func TestCompileRefuses(t *testing.T) {
	generic := func(when, urls string) v1alpha1.WebhookReceiver {
		w := entry(hook.Generic)
		w.Generic.When, w.Generic.RepoURLs = when, urls
		return w
	}
	two := entry(hook.GitHub)
	two.Quay = two.GitHub
	for _, c := range []struct {
		why    string
		in     v1alpha1.WebhookReceiver
		secret string
		say    string
	}{
		{"no sender", v1alpha1.WebhookReceiver{Name: "x"}, theSecret, "set one sender"},
		{"two senders", two, theSecret, "set one sender"},
		{"no secret", entry(hook.GitHub), "", `Secret "hooks" needs a key secret`},
		{"a short secret", entry(hook.Quay), "canary", "at least 16 characters"},
		{"a condition that is none", generic("body.a +", "body.x"), theSecret, "generic.when"},
		{"a condition that is no boolean", generic("1", "body.x"), theSecret, "generic.when"},
		{"an unknown name", generic("", "secret"), theSecret, "generic.repoURLs"},
		{"a huge expression", generic("", strings.Repeat("body.x + ", 150)+"body.x"), theSecret, "generic.repoURLs"},
	} {
		_, err := hook.Compile("guestbook", c.in, map[string][]byte{"secret": []byte(c.secret)})
		if err == nil || !strings.Contains(err.Error(), c.say) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", c.why, err)
		}
	}
}

func TestKey(t *testing.T) {
	for _, c := range []struct {
		kind hook.Kind
		in   []string // all have one key
		want string
	}{
		{hook.Git, []string{"https://github.com/Team/App.git", "git@github.com:team/app", "ssh://git@github.com/team/app.git/", "http://github.com/team/app"}, "git:github.com/team/app"},
		{hook.Git, []string{"https://dev.azure.com/o/p/_git/r", "https://o@dev.azure.com/o/p/_git/r", "git@ssh.dev.azure.com:v3/o/p/r"}, "git:dev.azure.com/o/p/r"},
		{hook.Image, []string{"nginx", "docker.io/library/nginx", "index.docker.io/nginx", "library/nginx"}, "image:docker.io/library/nginx"},
		{hook.Image, []string{"oci://Registry.example:5000/Team/app", "registry.example:5000/team/app"}, "image:registry.example:5000/team/app"},
		{hook.Image, []string{"", "registry.example", "a b", "https://u:p@x", strings.Repeat("a", 3000)}, ""},
		{hook.Git, []string{"", "https://", "https://host", "x/y", "https://h/%zz", "\x00"}, ""},
	} {
		for _, in := range c.in {
			if got := hook.Key(c.kind, in); got != c.want {
				t.Errorf("Key(%s, %q) = %q, want %q", c.kind, in[:min(60, len(in))], got, c.want)
			}
		}
	}
}

func TestConcerns(t *testing.T) {
	main := hook.Repository{Refs: []string{"refs/heads/main", "refs/tags/v1"}}
	for branch, want := range map[string]bool{"main": true, "": true, "v1": false, "dev": false} {
		if main.Concerns(branch) != want {
			t.Errorf("branch %q: %v", branch, !want)
		}
	}
	if !(hook.Repository{}).Concerns("dev") {
		t.Error("a sender that does not say which branch concerns all")
	}
}
