package credentials_test

import (
	"encoding/json"
	"fmt"
	"math/rand"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/credentials"
)

func TestKeysAreThoseOfTheAPI(t *testing.T) {
	if credentials.TypeLabel != v1alpha1.LabelCredentialType || credentials.SharedAnnotation != v1alpha1.AnnotationSharedWith {
		t.Error("the keys here and in api/v1alpha1 differ")
	}
}

// cred builds a Secret; options are key=value pairs of its data.
func cred(namespace, name string, typ credentials.Type, url string, data ...string) credentials.Source {
	s := credentials.Source{
		Name: name, Namespace: namespace,
		Labels:      map[string]string{credentials.TypeLabel: string(typ)},
		Annotations: map[string]string{},
		Data:        map[string][]byte{"repoURL": []byte(url), "username": []byte("u"), "password": []byte("pw-" + name)},
	}
	for _, kv := range data {
		k, v, _ := strings.Cut(kv, "=")
		switch {
		case k == "share":
			s.Annotations[credentials.SharedAnnotation] = v
		case v == "":
			delete(s.Data, k)
		default:
			s.Data[k] = []byte(v)
		}
	}
	return s
}

// docker builds a Secret of type kubernetes.io/dockerconfigjson.
func docker(namespace, name string, typ credentials.Type, config string) credentials.Source {
	return credentials.Source{
		Name: name, Namespace: namespace, Labels: map[string]string{credentials.TypeLabel: string(typ)},
		Data: map[string][]byte{credentials.DockerConfigKey: []byte(config)},
	}
}

func parse(t *testing.T, sources ...credentials.Source) []credentials.Credential {
	t.Helper()
	var out []credentials.Credential
	for _, s := range sources {
		c, err := credentials.Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, c...)
	}
	return out
}

func TestMatch(t *testing.T) {
	const isRegex = "repoURLIsRegex=true"
	git, image := credentials.Git, credentials.Image
	for _, c := range []struct {
		why     string
		request credentials.Request
		secrets []credentials.Source
		want    string // Secret name, "" for anonymous
	}{
		{"another spelling of the same repository", credentials.Request{Type: git, RepoURL: "https://Git.example:443/a/b.git/"},
			[]credentials.Source{cred("p", "x", git, "https://git.example/a/b")}, "x"},
		{"exact wins over prefix and pattern", credentials.Request{Type: git, RepoURL: "https://git.example/a/b"},
			[]credentials.Source{cred("p", "a", git, "https://git.example/.*", isRegex), cred("p", "b", git, "https://git.example/a"), cred("p", "c", git, "https://git.example/a/b")}, "c"},
		{"the longer prefix wins", credentials.Request{Type: git, RepoURL: "https://git.example/a/b/c"},
			[]credentials.Source{cred("p", "a", git, "https://git.example"), cred("p", "b", git, "https://git.example/a/b/"), cred("p", "c", git, "https://git.example/a")}, "b"},
		{"a prefix ends at a slash", credentials.Request{Type: git, RepoURL: "https://git.example/team-evil/x"},
			[]credentials.Source{cred("p", "a", git, "https://git.example/team")}, ""},
		{"a host is not a prefix of another host", credentials.Request{Type: git, RepoURL: "https://git.example.evil/x"},
			[]credentials.Source{cred("p", "a", git, "https://git.example")}, ""},
		{"a password for https is not sent by http", credentials.Request{Type: git, RepoURL: "http://git.example/x"},
			[]credentials.Source{cred("p", "a", git, "https://git.example")}, ""},
		{"another port is another server", credentials.Request{Type: git, RepoURL: "https://git.example:8443/x"},
			[]credentials.Source{cred("p", "a", git, "https://git.example")}, ""},
		{"dots cannot leave the prefix", credentials.Request{Type: git, RepoURL: "https://git.example/team/../other"},
			[]credentials.Source{cred("p", "a", git, "https://git.example/team")}, ""},
		{"escaped dots neither", credentials.Request{Type: git, RepoURL: "https://git.example/team/%2e%2E/other"},
			[]credentials.Source{cred("p", "a", git, "https://git.example/team")}, ""},
		{"a pattern is anchored at both ends", credentials.Request{Type: git, RepoURL: "https://evil.example/?https://git.example/a"},
			[]credentials.Source{cred("p", "a", git, "https://git.example/a", isRegex)}, ""},
		{"alternatives are anchored too", credentials.Request{Type: git, RepoURL: "https://git.example/ab"},
			[]credentials.Source{cred("p", "a", git, "https://git.example/a|https://git.example/b", isRegex)}, ""},
		{"between patterns, the name decides", credentials.Request{Type: git, RepoURL: "https://git.example/a"},
			[]credentials.Source{cred("p", "b", git, "https://.*", isRegex), cred("p", "a", git, "https://git.*", isRegex)}, "a"},
		{"types do not mix", credentials.Request{Type: image, RepoURL: "registry.example/a"},
			[]credentials.Source{cred("p", "a", credentials.Chart, "registry.example/a"), cred("p", "b", git, "registry.example/a")}, ""},
		{"another Project's Secret never serves", credentials.Request{Type: git, RepoURL: "https://git.example/a"},
			[]credentials.Source{cred("q", "a", git, "https://git.example/a", "share=p,*")}, ""},
		{"an unshared Secret of Waybill's namespace does not serve", credentials.Request{Type: git, RepoURL: "https://git.example/a"},
			[]credentials.Source{cred("waybill", "a", git, "https://git.example/a")}, ""},
		{"shared with other Projects", credentials.Request{Type: git, RepoURL: "https://git.example/a"},
			[]credentials.Source{cred("waybill", "a", git, "https://git.example/a", "share=q, pp")}, ""},
		{"shared with this Project", credentials.Request{Type: git, RepoURL: "https://git.example/a"},
			[]credentials.Source{cred("waybill", "a", git, "https://git.example/a", "share=q, p")}, "a"},
		{"shared with all", credentials.Request{Type: git, RepoURL: "https://git.example/a"},
			[]credentials.Source{cred("waybill", "a", git, "https://git.example/a", "share=*")}, "a"},
		{"the Project's own pattern wins over a shared exact one", credentials.Request{Type: git, RepoURL: "https://git.example/a"},
			[]credentials.Source{cred("waybill", "a", git, "https://git.example/a", "share=*"), cred("p", "z", git, "https://.*", isRegex)}, "z"},
		{"an image registry as a whole", credentials.Request{Type: image, RepoURL: "registry.example:5000/team/app"},
			[]credentials.Source{cred("p", "a", image, "Registry.example:5000")}, "a"},
		{"a scheme in front of a registry means nothing", credentials.Request{Type: image, RepoURL: "registry.example/app"},
			[]credentials.Source{cred("p", "a", image, "https://registry.example/")}, "a"},
		{"Docker Hub by its names", credentials.Request{Type: image, RepoURL: "nginx"},
			[]credentials.Source{cred("p", "a", image, "index.docker.io")}, "a"},
		{"Docker Hub official image, written short", credentials.Request{Type: image, RepoURL: "docker.io/library/nginx"},
			[]credentials.Source{cred("p", "a", image, "docker.io/nginx")}, "a"},
		{"a Docker Hub team as prefix", credentials.Request{Type: image, RepoURL: "team/app"},
			[]credentials.Source{cred("p", "a", image, "docker.io/team")}, "a"},
		{"an SSH address, spelled either way", credentials.Request{Type: git, RepoURL: "git@git.example:Team/App.git"},
			[]credentials.Source{cred("p", "a", git, "ssh://git@git.example/Team")}, "a"},
		{"an SSH host is not a prefix of another path", credentials.Request{Type: git, RepoURL: "git@git.example:team-evil/x"},
			[]credentials.Source{cred("p", "a", git, "git@git.example:team/x"), cred("p", "b", git, "ssh://git@git.example/team")}, ""},
		{"a key for SSH is not for https", credentials.Request{Type: git, RepoURL: "https://git.example/team/app"},
			[]credentials.Source{cred("p", "a", git, "git@git.example:team/app")}, ""},
		{"a pattern in the form of scp", credentials.Request{Type: git, RepoURL: "ssh://git@git.example/team/app"},
			[]credentials.Source{cred("p", "a", git, `git@git\.example:team/.*`, isRegex)}, "a"},
		{"a pattern of SSH is anchored too", credentials.Request{Type: git, RepoURL: "ssh://git@git.example.evil/git@git.example:team/app"},
			[]credentials.Source{cred("p", "a", git, `git@git\.example:team/.*`, isRegex)}, ""},
		{"an address that is none", credentials.Request{Type: git, RepoURL: "https://me:pw@git.example/a"},
			[]credentials.Source{cred("p", "a", git, ".*", isRegex)}, ""},
	} {
		c.request.Project, c.request.SystemNamespace = "p", "waybill"
		all := parse(t, c.secrets...)
		for range 4 { // the order of Secrets must not matter
			rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
			got, ok := credentials.Match(c.request, all)
			if got.Name != c.want || ok != (c.want != "") {
				t.Errorf("%s: got %v", c.why, got)
			}
		}
	}
}

// TestDockerConfig reads what "docker login" and "kubectl create secret
// docker-registry" write.
func TestDockerConfig(t *testing.T) {
	all := parse(t, docker("p", "pull", credentials.Image, `{"auths":{
		"https://index.docker.io/v1/": {"auth": "aHViOnB3LWh1Yg=="},
		"registry.example:5000": {"username": "u", "password": "pw-port", "email": "x@example"},
		"https://registry.example/team/": {"username": "u", "password": "pw-team"},
		"*.dkr.example": {"username": "u", "password": "pw-glob"},
		"tokens.example": {"auth": "PHRva2VuPjo=", "identitytoken": "idt"}
	}}`))
	for _, c := range []struct{ why, repoURL, password string }{
		{"Docker Hub, by its old address", "nginx", "pw-hub"},
		{"a registry with its port", "registry.example:5000/app", "pw-port"},
		{"not another port", "registry.example:5001/app", ""},
		{"a part of a registry", "registry.example/team/app", "pw-team"},
		{"not its neighbour", "registry.example/teams/app", ""},
		{"one part of the host name", "eu.dkr.example/a/b", "pw-glob"},
		{"not two", "a.eu.dkr.example/a/b", ""},
		{"not a host that ends alike", "evil.example/x.dkr.example/a", ""},
	} {
		got, _ := credentials.Match(credentials.Request{Type: credentials.Image, RepoURL: c.repoURL, Project: "p"}, all)
		if got.Password.Reveal() != c.password {
			t.Errorf("%s: %s gets %q", c.why, c.repoURL, got.Password.Reveal())
		}
		if _, ok := credentials.Match(credentials.Request{Type: credentials.Image, RepoURL: c.repoURL, Project: "q", SystemNamespace: "w"}, all); ok {
			t.Errorf("%s: another Project is served", c.why)
		}
	}
	got, _ := credentials.Match(credentials.Request{Type: credentials.Image, RepoURL: "tokens.example/a", Project: "p"}, all)
	if got.IdentityToken.Reveal() != "idt" || !got.Password.IsEmpty() {
		t.Errorf("identity token: %q", got.IdentityToken.Reveal())
	}
	chart := parse(t, docker("p", "pull", credentials.Chart, `{"auths":{"ghcr.io":{"username":"u","password":"pw"}}}`))
	if _, ok := credentials.Match(credentials.Request{Type: credentials.Chart, RepoURL: "oci://ghcr.io/team/chart", Project: "p"}, chart); !ok {
		t.Error("an OCI chart is not served")
	}
}

// TestAmbientIsLentByWaybillOnly: a Project cannot write itself the identity
// that the server runs with.
func TestAmbientIsLentByWaybillOnly(t *testing.T) {
	request := credentials.Request{Type: credentials.Image, RepoURL: "eu-docker.pkg.dev/a/b", Project: "p", SystemNamespace: "waybill"}
	ambient := func(namespace, shared string) credentials.Source {
		return cred(namespace, "cloud", credentials.Image, "eu-docker.pkg.dev", "username=", "password=", "provider=gar", "share="+shared)
	}
	for _, c := range []struct {
		why  string
		in   credentials.Source
		want bool
	}{
		{"its own", ambient("p", "p"), false},
		{"Waybill's, shared", ambient("waybill", "p"), true},
		{"Waybill's, for others", ambient("waybill", "q"), false},
		{"another Project's", ambient("q", "*"), false},
	} {
		if _, ok := credentials.Match(request, parse(t, c.in)); ok != c.want {
			t.Errorf("%s: served is %v", c.why, ok)
		}
	}
	own := cred("p", "keys", credentials.Image, "123456789012.dkr.ecr.eu-central-1.amazonaws.com", "username=", "password=", "provider=ecr", "awsAccessKeyID=AKIA", "awsSecretAccessKey=s")
	request.RepoURL = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/app"
	if _, ok := credentials.Match(request, parse(t, own)); !ok {
		t.Error("its own AWS keys do not serve it")
	}
}

func TestMatchWithoutSystemNamespaceOrProject(t *testing.T) {
	all := parse(t, cred("waybill", "a", credentials.Git, "https://git.example/a", "share=*"))
	if _, ok := credentials.Match(credentials.Request{Type: credentials.Git, RepoURL: "https://git.example/a", Project: "p"}, all); ok {
		t.Error("served although no namespace is Waybill's")
	}
	if _, ok := credentials.Match(credentials.Request{Type: credentials.Git, RepoURL: "https://git.example/a", SystemNamespace: "waybill"}, all); ok {
		t.Error("served nobody's request")
	}
}

func TestParseRefusals(t *testing.T) {
	for _, c := range []struct {
		why string
		in  credentials.Source
		say string
	}{
		{"unknown type", cred("p", "x", "helm", "https://a/b"), `"helm": set git, image or chart`},
		{"no label", cred("p", "x", "", "https://a/b"), "label waybill.dev/cred-type is missing"},
		{"no URL", cred("p", "x", credentials.Git, "", "repoURL="), "key repoURL is missing"},
		{"user information", cred("p", "x", credentials.Git, "https://a:canary@b/c"), "user information is not allowed"},
		{"wrong boolean", cred("p", "x", credentials.Git, "https://a/b", "repoURLIsRegex=yes"), "repoURLIsRegex"},
		{"wrong pattern", cred("p", "x", credentials.Git, "https://a/(", "repoURLIsRegex=true"), "not a regular expression"},
		{"long pattern", cred("p", "x", credentials.Git, strings.Repeat("a", 2000), "repoURLIsRegex=true"), "longer than 1024"},
		{"password alone", cred("p", "x", credentials.Image, "r.example", "username="), "set both username and password"},
		{"user alone", cred("p", "x", credentials.Image, "r.example", "password="), "set both username and password"},
		{"nothing", cred("p", "x", credentials.Git, "https://a/b", "username=", "password="), "holds neither"},
		{"key for a registry", cred("p", "x", credentials.Image, "r.example", "sshPrivateKey=canary"), "only for type git"},
		{"colon in user name", cred("p", "x", credentials.Image, "r.example", "username=a:b"), "colon"},
		{"a GitHub App without installation", cred("p", "x", credentials.Git, "https://a/b", "username=", "password=", "githubAppID=1"), "githubAppInstallationID"},
		{"a path as installation", cred("p", "x", credentials.Git, "https://a/b", "username=", "password=", "githubAppID=1", "githubAppInstallationID=../1", "githubAppPrivateKey=canary"), "a number"},
		{"a GitHub App beside a password", cred("p", "x", credentials.Git, "https://a/b", "githubAppID=1", "githubAppInstallationID=1", "githubAppPrivateKey=canary"), "set username and password, or"},
		{"a GitHub App for images", cred("p", "x", credentials.Image, "a.example", "username=", "password=", "githubAppID=1", "githubAppInstallationID=1", "githubAppPrivateKey=canary"), "only for type git"},
		{"an unknown provider", cred("p", "x", credentials.Image, "a.example", "username=", "password=", "provider=oracle"), "ecr, gar or acr"},
		{"a provider for Git", cred("p", "x", credentials.Git, "https://a/b", "username=", "password=", "provider=gar"), "only for types image and chart"},
		{"AWS keys alone", cred("p", "x", credentials.Image, "a.example", "awsAccessKeyID=AKIA", "awsSecretAccessKey=canary"), "only for provider ecr"},
		{"half of the AWS keys", cred("p", "x", credentials.Image, "a.example", "username=", "password=", "provider=ecr", "awsSecretAccessKey=canary"), "go together"},
		{"a Docker config for Git", docker("p", "x", credentials.Git, `{"auths":{"a.example":{"username":"u","password":"canary"}}}`), "image or chart"},
		{"a Docker config that is none", docker("p", "x", credentials.Image, `canary`), "not the JSON of a Docker config"},
		{"an empty Docker config", docker("p", "x", credentials.Image, `{"credsStore":"desktop"}`), "credential helpers cannot be used"},
		{"an entry without password", docker("p", "x", credentials.Image, `{"auths":{"a.example":{"username":"canary"}}}`), `auths["a.example"]`},
		{"an entry that is no base64", docker("p", "x", credentials.Image, `{"auths":{"a.example":{"auth":"canary!"}}}`), "base64"},
		{"header injection", cred("p", "x", credentials.Image, "r.example", "password=canary\r\nX: y"), "control characters"},
	} {
		_, err := credentials.Parse(c.in)
		if err == nil || !strings.Contains(err.Error(), c.say) || !strings.Contains(err.Error(), `"x"`) {
			t.Errorf("%s: got %v", c.why, err)
			continue
		}
		for _, v := range []string{"canary", "pw-x"} {
			if strings.Contains(err.Error(), v) {
				t.Errorf("%s: the error shows %q: %v", c.why, v, err)
			}
		}
	}
}

func TestCredentialShowsNoSecret(t *testing.T) {
	c := parse(t, cred("p", "regcred", credentials.Git, "https://git.example/a", "password=canary-pw\n", "sshPrivateKey=canary-key"))[0]
	if c.Password.Reveal() != "canary-pw" {
		t.Errorf("the newline of echo was kept: %q", c.Password.Reveal())
	}
	js, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{c.String(), string(js), fmt.Sprintf("%v %+v %#v", c, c, c)} {
		if strings.Contains(text, "canary") {
			t.Errorf("shown: %s", text)
		}
	}
	if c.String() != `Secret "regcred"` || (credentials.Credential{}).String() != "anonymous access" {
		t.Errorf("names: %s, %s", c, credentials.Credential{})
	}
}

func TestFingerprintChangesWithEveryPart(t *testing.T) {
	base := cred("p", "x", credentials.Git, "https://git.example/a", "sshPrivateKey=k", "known_hosts=h", "caCert=c")
	seen := map[[32]byte]string{}
	for _, kv := range []string{"repoURLIsRegex=false", "username=v", "password=v", "sshPrivateKey=v", "known_hosts=v", "caCert=v"} {
		s := base
		s.Data = map[string][]byte{}
		for k, v := range base.Data {
			s.Data[k] = v
		}
		k, v, _ := strings.Cut(kv, "=")
		s.Data[k] = []byte(v)
		f := parse(t, s)[0].Fingerprint()
		if other, ok := seen[f]; ok {
			t.Errorf("%s and %s give one fingerprint", kv, other)
		}
		seen[f] = kv
	}
	if parse(t, base)[0].Fingerprint() != parse(t, base)[0].Fingerprint() {
		t.Error("not stable")
	}
}

// FuzzMatch: a prefix credential only ever serves its own host, and no text
// makes Parse or Match panic.
func FuzzMatch(f *testing.F) {
	for _, s := range []string{"https://git.example/team/app", "git.example/team", "https://git.example/team/../x", "nginx", "git@h:x", "https://git.example%2fteam/x", "https:// git.example/team"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, target string) {
		for _, typ := range []credentials.Type{credentials.Git, credentials.Image, credentials.Chart} {
			url := "https://git.example/team"
			c, err := credentials.Parse(cred("p", "x", typ, url))
			if err != nil {
				t.Fatal(err)
			}
			_, ok := credentials.Match(credentials.Request{Type: typ, RepoURL: target, Project: "p"}, c)
			rest := strings.ToLower(strings.TrimSpace(target))
			for _, scheme := range []string{"https://", "http://", "oci://"} {
				rest = strings.TrimPrefix(rest, scheme)
			}
			if ok && !strings.HasPrefix(rest, "git.example") {
				t.Errorf("%s: %q was served", typ, target)
			}
			_, _ = credentials.Parse(cred("p", "x", typ, target))
			_, _ = credentials.Parse(cred("p", "x", typ, target, "repoURLIsRegex=true"))
			_, _ = credentials.Parse(docker("p", "x", typ, target))
		}
	})
}
