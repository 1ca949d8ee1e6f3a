package registry_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"golang.org/x/crypto/bcrypt"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/credentials"
	"github.com/waybill-dev/waybill/internal/demoregistry"
	"github.com/waybill-dev/waybill/warehouse"
	"github.com/waybill-dev/waybill/warehouse/registry"
	"github.com/waybill-dev/waybill/warehouse/registrytest"
)

// dockerRegistry starts the registry of Docker's distribution project, which
// Debian packages (tools/needs.sh installs it), with one account, and returns
// its host.
func dockerRegistry(t *testing.T) string {
	t.Helper()
	program, err := exec.LookPath("docker-registry")
	if err != nil {
		t.Fatal("docker-registry is missing: make needs installs it")
	}
	dir := t.TempDir()
	hash, err := bcrypt.GenerateFromPassword([]byte(registrytest.Password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	host := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf(`version: 0.1
log: {level: error}
storage: {filesystem: {rootdirectory: %s}, delete: {enabled: true}}
http: {addr: %q}
auth: {htpasswd: {realm: test, path: %s}}
`, filepath.Join(dir, "data"), host, filepath.Join(dir, "htpasswd"))
	for file, text := range map[string]string{"htpasswd": registrytest.Username + ":" + string(hash) + "\n", "config.yml": config} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, program, "serve", filepath.Join(dir, "config.yml"))
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &said, &said, time.Minute
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		_ = cmd.Wait()
	})
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		resp, err := http.Get("http://" + host + "/v2/") //nolint:noctx // loopback
		if err == nil {
			_ = resp.Body.Close()
			return host
		}
		if time.Now().After(deadline) {
			stop()
			_ = cmd.Wait()
			t.Fatalf("docker-registry does not answer: %v\n%s", err, said.String())
		}
	}
}

// TestConformance: the client and two real registries, of go-containerregistry
// and of Docker's distribution project: accounts, pages, images, indexes of
// several platforms, tags that move and go, and the cost of an idle poll.
func TestConformance(t *testing.T) {
	for what, start := range map[string]func(*testing.T) string{
		"go-containerregistry with tokens": func(t *testing.T) string {
			return registrytest.New(t, func(o *demoregistry.Options) { o.MaxPage = 7 }).Host()
		},
		"docker-registry with basic authentication": dockerRegistry,
	} {
		t.Run(what, func(t *testing.T) {
			host := start(t)
			w := writer{t: t, host: host}
			for i := range 30 {
				w.image("team/app", fmt.Sprintf("1.0.%d", i), int64(i), "linux/amd64")
			}
			single := w.image("team/app", "1.1.0", 100, "linux/amd64")
			both := w.index("team/app", "1.2.0", 101, "linux/amd64", "linux/arm64/v8")
			w.image("team/app", "latest", 102, "linux/amd64")

			count := 0
			client := newClient(t)
			repo := registry.Repository{URL: host + "/team/app", Credential: accountAt(t, host, registrytest.Password)}
			poll := func(sub v1alpha1.ImageSubscription) warehouse.Poll {
				t.Helper()
				sub.RepoURL = repo.URL
				got, err := client.Poll(t.Context(), repo, compile(t, sub), time.Time{})
				if err != nil {
					t.Fatal(err)
				}
				count = got.Requests
				return got
			}
			got := poll(v1alpha1.ImageSubscription{DiscoveryLimit: 3})
			want := []v1alpha1.Image{
				{RepoURL: repo.URL, Tag: "1.2.0", Digest: both}, {RepoURL: repo.URL, Tag: "1.1.0", Digest: single},
			}
			if len(got.Candidates) != 3 || !slices.Equal(got.Candidates[:2], want) || got.Tags != 33 {
				t.Errorf("SemVer: %d tags, %+v", got.Tags, got.Candidates)
			}
			if got := poll(v1alpha1.ImageSubscription{Platform: "linux/arm64"}); len(got.Candidates) != 1 || got.Candidates[0].Digest != both {
				t.Errorf("platform: %+v", got.Candidates)
			}
			if got := poll(v1alpha1.ImageSubscription{ImageSelectionStrategy: v1alpha1.SelectNewestBuild, DiscoveryLimit: 2}); !slices.Equal(tagsOf(got.Candidates), []string{"latest", "1.2.0"}) {
				t.Errorf("NewestBuild: %v", tagsOf(got.Candidates))
			}
			pages := 1
			if strings.HasPrefix(what, "go-") {
				pages = 5 // of 7 tags
			}
			if poll(v1alpha1.ImageSubscription{ImageSelectionStrategy: v1alpha1.SelectNewestBuild}); count != pages {
				t.Errorf("an idle poll of NewestBuild cost %d requests, want %d", count, pages)
			}
			follow := v1alpha1.ImageSubscription{ImageSelectionStrategy: v1alpha1.SelectDigest, Constraint: "latest"}
			poll(follow)
			moved := w.image("team/app", "latest", 200, "linux/amd64")
			if got := poll(follow); len(got.Candidates) != 1 || got.Candidates[0].Digest != moved || count != 1 {
				t.Errorf("a tag that moved: %+v for %d requests, want %s for one", got.Candidates, count, moved)
			}
			if a, err := client.Resolve(t.Context(), repo, "gone", registry.Want{}); !errors.Is(err, registry.ErrNotFound) {
				t.Errorf("a tag that is not there: %+v, %v", a, err)
			}
			for why, c := range map[string]struct {
				repo registry.Repository
				want error
			}{
				"wrong password":          {registry.Repository{URL: repo.URL, Credential: accountAt(t, host, "wrong-canary")}, registry.ErrAuthentication},
				"no credential":           {registry.Repository{URL: repo.URL}, registry.ErrAuthentication},
				"no such repository":      {registry.Repository{URL: host + "/team/nothing", Credential: repo.Credential}, registry.ErrNotFound},
				"a name that is no image": {registry.Repository{URL: host + "/team/UPPER", Credential: repo.Credential}, registry.ErrInvalid},
			} {
				_, err := client.Tags(t.Context(), c.repo, time.Time{})
				if !errors.Is(err, c.want) || strings.Contains(err.Error(), "canary") {
					t.Errorf("%s: %v", why, err)
				}
			}
		})
	}
}

func accountAt(t *testing.T, host, password string) credentials.Credential {
	t.Helper()
	c, err := credentials.Parse(credentials.Source{
		Name: "regcred", Namespace: "demo", Labels: map[string]string{credentials.TypeLabel: "image"},
		Data: map[string][]byte{"repoURL": []byte(host), "username": []byte(registrytest.Username), "password": []byte(password)},
	})
	if err != nil {
		t.Fatal(err)
	}
	return c[0]
}

// writer pushes as docker does.
type writer struct {
	t    *testing.T
	host string
}

func (w writer) make(hours int64, platform string) v1.Image {
	w.t.Helper()
	img, err := random.Image(64, 1)
	if err != nil {
		w.t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		w.t.Fatal(err)
	}
	config = config.DeepCopy()
	p, err := v1.ParsePlatform(platform)
	if err != nil {
		w.t.Fatal(err)
	}
	config.OS, config.Architecture, config.Variant = p.OS, p.Architecture, p.Variant
	config.Created = v1.Time{Time: built.Add(time.Duration(hours) * time.Hour)}
	if img, err = mutate.ConfigFile(img, config); err != nil {
		w.t.Fatal(err)
	}
	return img
}

func (w writer) push(repo, tag string, write func(name.Reference, ...remote.Option) error) {
	w.t.Helper()
	ref, err := name.ParseReference(w.host+"/"+repo+":"+tag, name.Insecure)
	if err != nil {
		w.t.Fatal(err)
	}
	auth := remote.WithAuth(&authn.Basic{Username: registrytest.Username, Password: registrytest.Password})
	if err := write(ref, auth, remote.WithContext(w.t.Context())); err != nil {
		w.t.Fatal(err)
	}
}

func (w writer) image(repo, tag string, hours int64, platform string) (digest string) {
	w.t.Helper()
	img := w.make(hours, platform)
	w.push(repo, tag, func(r name.Reference, o ...remote.Option) error { return remote.Write(r, img, o...) })
	h, err := img.Digest()
	if err != nil {
		w.t.Fatal(err)
	}
	return h.String()
}

func (w writer) index(repo, tag string, hours int64, platforms ...string) (digest string) {
	w.t.Helper()
	index := v1.ImageIndex(empty.Index)
	for _, platform := range platforms {
		p, err := v1.ParsePlatform(platform)
		if err != nil {
			w.t.Fatal(err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: w.make(hours, platform), Descriptor: v1.Descriptor{Platform: p}})
	}
	w.push(repo, tag, func(r name.Reference, o ...remote.Option) error { return remote.WriteIndex(r, index, o...) })
	h, err := index.Digest()
	if err != nil {
		w.t.Fatal(err)
	}
	return h.String()
}
