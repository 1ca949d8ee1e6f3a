package tokens

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/aws/aws-sdk-go-v2/service/ecr"

	"github.com/waybill-dev/waybill/internal/credentials"
	"github.com/waybill-dev/waybill/internal/outbound"
	"github.com/waybill-dev/waybill/internal/secret"
)

// clock is a clock that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func newClock() *clock { return &clock{now: time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)} }

// github speaks the part of GitHub's API that makes installation tokens, and
// checks what it is told as GitHub does.
type github struct {
	*httptest.Server
	clock *clock
	key   *rsa.PrivateKey

	mu     sync.Mutex
	calls  int
	answer int // a status to refuse with; 0: none
}

func newGitHub(t *testing.T, clk *clock) *github {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	g := &github{clock: clk, key: key}
	g.Server = httptest.NewServer(http.HandlerFunc(g.serve))
	t.Cleanup(g.Close)
	return g
}

func (g *github) serve(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.calls++
	if g.answer != 0 {
		w.WriteHeader(g.answer)
		return
	}
	if r.Method != http.MethodPost || r.URL.Path != "/api/v3/app/installations/77/access_tokens" {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	if err := g.verify(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")); err != nil {
		http.Error(w, err.Error(), http.StatusUnauthorized)
		return
	}
	w.WriteHeader(http.StatusCreated)
	_ = json.NewEncoder(w).Encode(map[string]any{"token": fmt.Sprintf("ghs_%d", g.calls), "expires_at": g.clock.Now().Add(time.Hour)})
}

func (g *github) verify(assertion string) error {
	parts := strings.Split(assertion, ".")
	if len(parts) != 3 {
		return errors.New("not a JWT")
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if err != nil || rsa.VerifyPKCS1v15(&g.key.PublicKey, crypto.SHA256, digest[:], signature) != nil {
		return errors.New("bad signature")
	}
	var claims struct {
		Iat, Exp int64
		Iss      string
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(raw, &claims) != nil {
		return errors.New("bad claims")
	}
	now := g.clock.Now().Unix()
	if claims.Iss != "42" || claims.Iat > now || claims.Exp <= now || claims.Exp > now+600 {
		return errors.New("bad claims")
	}
	return nil
}

func (g *github) credential(t *testing.T, namespace, appID string) credentials.Credential {
	t.Helper()
	return parse(t, namespace, map[string]string{
		"repoURL": g.URL, "githubAppID": appID, "githubAppInstallationID": "77",
		"githubAppPrivateKey": string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(g.key)})),
	}, credentials.Git)
}

func parse(t *testing.T, namespace string, data map[string]string, typ credentials.Type) credentials.Credential {
	t.Helper()
	s := credentials.Source{Name: "cred", Namespace: namespace, Labels: map[string]string{credentials.TypeLabel: string(typ)}, Data: map[string][]byte{}}
	for k, v := range data {
		s.Data[k] = []byte(v)
	}
	all, err := credentials.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return all[0]
}

func newSource(t *testing.T, clk *clock) *Source {
	t.Helper()
	transport, err := outbound.New(outbound.Policy{AllowLoopback: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(transport.CloseIdleConnections)
	s, err := New(Options{Transport: transport, Now: clk.Now, AllowPlainHTTP: true})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestGitHubApp(t *testing.T) {
	clk := newClock()
	g := newGitHub(t, clk)
	s := newSource(t, clk)
	c := g.credential(t, "p", "42")
	resolve := func(c credentials.Credential) string {
		t.Helper()
		got, err := s.Resolve(t.Context(), c, g.URL+"/team/app.git")
		if err != nil {
			t.Fatal(err)
		}
		if got.Username != "x-access-token" {
			t.Errorf("user %q", got.Username)
		}
		return got.Password.Reveal()
	}
	// Many at once are one request, and so is everything until it expires.
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if got, err := s.Resolve(t.Context(), c, g.URL+"/team/app"); err != nil || got.Password.Reveal() != "ghs_1" {
				t.Errorf("%v, %v", got.Password.Reveal(), err)
			}
		})
	}
	wg.Wait()
	clk.advance(54 * time.Minute)
	if got := resolve(c); got != "ghs_1" || g.calls != 1 {
		t.Errorf("%s after %d calls", got, g.calls)
	}
	clk.advance(2 * time.Minute)
	if got := resolve(c); got != "ghs_2" {
		t.Errorf("%s is given out shortly before its end", got)
	}
	// The same Secret in another Project is another one.
	if got := resolve(g.credential(t, "q", "42")); got != "ghs_3" {
		t.Errorf("another Project got %s", got)
	}
	if got := resolve(c); got != "ghs_2" || g.calls != 3 {
		t.Errorf("%s after %d calls", got, g.calls)
	}
}

func TestGitHubAppRefused(t *testing.T) {
	clk := newClock()
	g := newGitHub(t, clk)
	s := newSource(t, clk)
	wrong := g.credential(t, "p", "43")
	for range 3 {
		_, err := s.Resolve(t.Context(), wrong, g.URL+"/a/b")
		if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), `Secret "cred"`) || !strings.Contains(err.Error(), "githubAppID") || strings.Contains(err.Error(), "PRIVATE") {
			t.Fatalf("got %v", err)
		}
	}
	if g.calls != 1 {
		t.Errorf("%d calls for one refusal", g.calls)
	}
	clk.advance(time.Minute)
	g.answer = http.StatusBadGateway
	if _, err := s.Resolve(t.Context(), wrong, g.URL+"/a/b"); err == nil || errors.Is(err, ErrRefused) || g.calls != 2 {
		t.Errorf("a server in trouble: %v", err)
	}
	bad := g.credential(t, "p", "42")
	bad.App.PrivateKey = secret.New("canary")
	if _, err := s.Resolve(t.Context(), bad, g.URL+"/a/b"); err == nil || !strings.Contains(err.Error(), "not in PEM") || strings.Contains(err.Error(), "canary") {
		t.Errorf("got %v", err)
	}
}

func TestGitHubAPI(t *testing.T) {
	for repoURL, want := range map[string]string{
		"https://github.com/a/b":      "https://api.github.com",
		"https://GitHub.com:443/a/b":  "https://api.github.com",
		"https://team.ghe.com/a/b":    "https://api.team.ghe.com",
		"https://git.example:8443/a":  "https://git.example:8443/api/v3",
		"http://git.example/a":        "",
		"git@github.com:a/b":          "",
		"ssh://git@github.com/a/b":    "",
		"https://github.com.evil/a/b": "https://github.com.evil/api/v3",
	} {
		if got, err := githubAPI(repoURL, false); got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v", repoURL, got, err)
		}
	}
}

// TestCloudIdentityStaysInTheCloud: whatever the Secret's repoURL or pattern
// says, a cloud's identity goes to that cloud's registries only.
func TestCloudIdentityStaysInTheCloud(t *testing.T) {
	asked := ""
	clk := newClock()
	s := newSource(t, clk)
	for _, p := range []credentials.Provider{credentials.ECR, credentials.GAR, credentials.ACR} {
		s.opts.Clouds[p] = func(_ context.Context, _ credentials.Credential, host string) (Password, error) {
			asked = host
			return Password{Username: "u", Value: secret.New("pw"), Expires: clk.Now().Add(time.Hour)}, nil
		}
	}
	for _, c := range []struct {
		provider, repoURL string
		want              string
	}{
		{"ecr", "123456789012.dkr.ecr.eu-central-1.amazonaws.com/team/app", "123456789012.dkr.ecr.eu-central-1.amazonaws.com"},
		{"ecr", "oci://123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/app", "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn"},
		{"ecr", "123456789012.dkr.ecr.eu-central-1.amazonaws.com.evil.example/app", ""},
		{"ecr", "evil.example/123456789012.dkr.ecr.eu-central-1.amazonaws.com", ""},
		{"ecr", "123456789012.dkr.ecr.eu-central-1.amazonaws.com:8443/app", ""},
		{"ecr", "123456789012.dkr.ecr.evil.example.com#.amazonaws.com/app", ""},
		{"gar", "europe-docker.pkg.dev/project/repo/app", "europe-docker.pkg.dev"},
		{"gar", "eu.gcr.io/project/app", "eu.gcr.io"},
		{"gar", "evil-docker.pkg.dev.evil.example/app", ""},
		{"gar", "123456789012.dkr.ecr.eu-central-1.amazonaws.com/app", ""},
		{"acr", "team.azurecr.io/app", "team.azurecr.io"},
		{"acr", "team.azurecr.io.evil.example/app", ""},
	} {
		asked = ""
		cred := parse(t, "waybill", map[string]string{"repoURL": ".*", "repoURLIsRegex": "true", "provider": c.provider}, credentials.Image)
		got, err := s.Resolve(t.Context(), cred, c.repoURL)
		if asked != c.want || (err == nil) != (c.want != "") || c.want != "" && got.Password.Reveal() != "pw" {
			t.Errorf("%s for %s: asked %q, %v", c.provider, c.repoURL, asked, err)
		}
	}
}

// TestECR speaks to a server in place of Amazon's, with the real library: the
// request is signed with the Secret's keys for the registry's region.
func TestECR(t *testing.T) {
	clk := newClock()
	expires := clk.Now().Add(12 * time.Hour)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		auth := r.Header.Get("Authorization")
		if !strings.Contains(auth, "Credential=AKIATEST/") || !strings.Contains(auth, "/eu-central-1/ecr/aws4_request") ||
			!strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".GetAuthorizationToken") {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		fmt.Fprintf(w, `{"authorizationData":[{"authorizationToken":%q,"expiresAt":%d}]}`,
			base64.StdEncoding.EncodeToString([]byte("AWS:ecr-password")), expires.Unix())
	}))
	t.Cleanup(server.Close)
	ask := askECR(clk.Now, func(o *ecr.Options) { o.BaseEndpoint = &server.URL })
	host := "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
	keys := func(id string) credentials.Credential {
		return parse(t, "p", map[string]string{"repoURL": host, "provider": "ecr", "awsAccessKeyID": id, "awsSecretAccessKey": "s3cret"}, credentials.Image)
	}
	got, err := ask(t.Context(), keys("AKIATEST"), host)
	if err != nil || got.Username != "AWS" || got.Value.Reveal() != "ecr-password" || !got.Expires.Equal(expires) {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := ask(t.Context(), keys("AKIAWRONG"), host); !errors.Is(err, ErrRefused) || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("wrong keys: %v", err)
	}
}

// TestGAR gives the real library a service account whose token service is here.
func TestGAR(t *testing.T) {
	clk := newClock()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"access_token":"ya29.token","expires_in":3600,"token_type":"Bearer"}`)
	}))
	t.Cleanup(server.Close)
	file := t.TempDir() + "/account.json"
	account, err := json.Marshal(map[string]string{
		"type": "service_account", "client_email": "robot@example.iam.gserviceaccount.com", "token_uri": server.URL,
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})),
	})
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, file, account)
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", file)
	got, err := askGAR(clk.Now)(t.Context(), credentials.Credential{}, "europe-docker.pkg.dev")
	if err != nil || got.Username != "oauth2accesstoken" || got.Value.Reveal() != "ya29.token" || got.Expires.IsZero() {
		t.Errorf("got %+v, %v", got, err)
	}
}

// azure is an identity without Azure.
type azure struct{ err error }

func (a azure) GetToken(_ context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	if len(o.Scopes) != 1 || o.Scopes[0] != acrScope {
		return azcore.AccessToken{}, errors.New("wrong scope")
	}
	return azcore.AccessToken{Token: "entra"}, a.err
}

func TestACR(t *testing.T) {
	clk := newClock()
	var form string
	registry := roundTripper(func(r *http.Request) (*http.Response, error) {
		body, _ := io.ReadAll(r.Body)
		form = r.URL.String() + "?" + string(body)
		status := http.StatusOK
		if !strings.Contains(form, "access_token=entra") {
			status = http.StatusUnauthorized
		}
		return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(`{"refresh_token":"acr-refresh"}`)), Request: r}, nil
	})
	ask := func(a azure) (Password, error) {
		return askACR(Options{Transport: registry, Now: clk.Now}, func() (azcore.TokenCredential, error) { return a, nil })(t.Context(), credentials.Credential{}, "team.azurecr.io")
	}
	got, err := ask(azure{})
	if err != nil || got.Username != acrUser || got.Value.Reveal() != "acr-refresh" || !strings.HasPrefix(form, "https://team.azurecr.io/oauth2/exchange?") || !strings.Contains(form, "service=team.azurecr.io") {
		t.Errorf("got %+v, %v after %s", got, err, form)
	}
	if _, err := ask(azure{err: errors.New("canary")}); !errors.Is(err, ErrRefused) || strings.Contains(err.Error(), "canary") {
		t.Errorf("no identity: %v", err)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func writeFile(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}
