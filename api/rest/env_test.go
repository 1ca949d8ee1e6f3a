package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/gitops"
	"github.com/waybill-dev/waybill/gitops/accept"
	"github.com/waybill-dev/waybill/gitops/cluster"
	"github.com/waybill-dev/waybill/gitops/live"
	"github.com/waybill-dev/waybill/gitops/render"
	"github.com/waybill-dev/waybill/history/sqlite"
	"github.com/waybill-dev/waybill/internal/credentials/secretstore"
	"github.com/waybill-dev/waybill/internal/identity"
	"github.com/waybill-dev/waybill/internal/install"
	"github.com/waybill-dev/waybill/internal/secret"
	"github.com/waybill-dev/waybill/test/env"
)

const (
	systemNamespace = "waybill-system"
	adminPassword   = "admin-password-7Jq2"
	alicePassword   = "alice-password-Zx81"
	victorPassword  = "victor-password-00p"
	malloryPassword = "mallory-password-1k"
	annPassword     = "ann-password-5r"
	bobPassword     = "bob-password-8w"
	catPassword     = "cat-password-2h"
)

// world is one API server, one Waybill API on it, and people.
type world struct {
	// remotes asks repositories; nil: there are none.
	remotes atomic.Pointer[secretstore.Remotes]
	// openGit opens a repository; nil: there is no Git server.
	openGit atomic.Pointer[func(repoURL string) (*git.Mirror, error)]
	env     *env.Env
	admin   client.Client // the cluster's administrator
	server  *Server
	url     string
	log     *lockedBuffer
	// history is the store behind the API.
	history *memory
}

// shared is started once: every test uses Projects of its own.
var shared *world //nolint:gochecknoglobals // TestMain has no other way

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	dir, err := os.MkdirTemp("", "waybill-rest-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	store, err := sqlite.Open(filepath.Join(dir, "history.db"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = store.Close() }()
	before := &memory{Store: store}
	w, stop, err := startWorld(ctx, Options{History: before, Notes: before})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer stop()
	w.history = before
	shared = w
	return m.Run()
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func startWorld(ctx context.Context, opts Options) (*world, func(), error) {
	e, err := env.New(env.Options{Log: io.Discard})
	if err != nil {
		return nil, nil, err
	}
	w := &world{env: e, log: &lockedBuffer{}}
	stop := func() { _ = e.Stop() }
	if err := w.install(ctx); err != nil {
		stop()
		return nil, nil, err
	}
	done, err := w.serve(ctx, opts)
	if err != nil {
		stop()
		return nil, nil, err
	}
	return w, func() { done(); stop() }, nil
}

// install puts CRDs, policies, roles and people into the cluster.
func (w *world) install(ctx context.Context) error {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return err
	}
	if err := corev1.AddToScheme(scheme); err != nil {
		return err
	}
	var err error
	if w.admin, err = client.New(w.env.Config, client.Options{Scheme: scheme}); err != nil {
		return err
	}
	if err := install.Install(ctx, install.Options{Client: w.admin, Namespace: systemNamespace}); err != nil {
		return err
	}
	kube, err := kubernetes.NewForConfig(w.env.Config)
	if err != nil {
		return err
	}
	for name, u := range map[string]struct {
		password string
		groups   []string
	}{
		"admin": {adminPassword, []string{"administrators"}}, "alice": {alicePassword, []string{"devs"}},
		"victor": {victorPassword, []string{"viewers"}}, "mallory": {malloryPassword, nil},
		"ann": {annPassword, []string{"release-managers"}}, "bob": {bobPassword, []string{"release-managers"}}, "cat": {catPassword, []string{"approvers"}},
	} {
		if err := identity.PutUser(ctx, kube, systemNamespace, name, secret.New(u.password), u.groups); err != nil {
			return err
		}
	}
	return nil
}

// Try is RemoteTester.
func (w *world) Try(ctx context.Context, project string, p secretstore.Place) (string, error) {
	if remotes := w.remotes.Load(); remotes != nil {
		return remotes.Try(ctx, project, p)
	}
	return "", errors.New("no repositories here")
}

// serve runs the API as the server's own account, on a port of loopback.
func (w *world) serve(ctx context.Context, opts Options) (func(), error) {
	config, err := w.env.ClientConfig("system:serviceaccount:"+systemNamespace+":waybill", "system:serviceaccounts")
	if err != nil {
		return nil, err
	}
	config.QPS = -1
	ctx, cancel := context.WithCancel(ctx)
	c, err := cache.New(config, cache.Options{Scheme: w.admin.Scheme()})
	if err != nil {
		cancel()
		return nil, err
	}
	opts.Cache, opts.Config, opts.SystemNamespace, opts.Clock = c, config, systemNamespace, clock.RealClock{}
	opts.Logger = slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	opts.Version = "v0.0.0-test"
	opts.Credentials, opts.Remotes = &secretstore.Store{Reader: w.admin, SystemNamespace: systemNamespace}, w
	if opts.Inspector == nil {
		home, err := cluster.Connect(v1alpha1.InCluster, config, clock.RealClock{}) // with the server's own rights
		if err != nil {
			cancel()
			return nil, err
		}
		openMirror := func(_ context.Context, _, repoURL string) (*git.Mirror, error) {
			if open := w.openGit.Load(); open != nil {
				return (*open)(repoURL)
			}
			return nil, errors.New("no Git here")
		}
		inspector, err := live.New(live.Options{
			Clusters: cluster.NewRegistry(home), Renders: render.NewCache(1<<20, nil), Clock: clock.RealClock{}, Open: openMirror,
			Limits: func(_ context.Context, project string) (gitops.Limits, error) {
				return gitops.Limits{Project: project, SystemNamespace: systemNamespace}, nil
			},
		})
		if err != nil {
			cancel()
			return nil, err
		}
		opts.Inspector = inspector
		if opts.Acceptor, err = accept.New(accept.Options{
			Live: inspector.Object, Renders: render.NewCache(1<<20, nil), Clock: clock.RealClock{}, Author: git.Identity{Name: "Waybill", Email: "noreply@waybill.dev"},
			Open: openMirror,
		}); err != nil {
			cancel()
			return nil, err
		}
	}
	if w.server, err = New(opts); err != nil {
		cancel()
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		cancel()
		return nil, err
	}
	hs := NewHTTPServer(w.server.Handler(), opts.Logger)
	var wg sync.WaitGroup
	wg.Go(func() { _ = c.Start(ctx) })
	wg.Go(func() { _ = w.server.Run(ctx) })
	wg.Go(func() { _ = hs.Serve(l) })
	w.url = "http://" + l.Addr().String()
	stop := func() { _ = hs.Close(); cancel(); wg.Wait() }
	deadline := time.Now().Add(2 * time.Minute)
	for {
		resp, err := http.Get(w.url + "/readyz")
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return stop, nil
			}
		}
		if time.Now().After(deadline) {
			stop()
			log := w.log.String()
			return nil, fmt.Errorf("not ready: %s", log[max(0, len(log)-2000):])
		}
		time.Sleep(20 * time.Millisecond) // poll with a deadline
	}
}

// answer is what a request got.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a answer) problem(t *testing.T) model.Problem {
	t.Helper()
	if kind := a.header.Get("Content-Type"); kind != "application/problem+json" {
		t.Fatalf("status %d, content type %q, body %s: not a problem", a.status, kind, a.body)
	}
	var p model.Problem
	if err := json.Unmarshal(a.body, &p); err != nil {
		t.Fatalf("%v: %s", err, a.body)
	}
	if p.Status != a.status || p.RequestID == "" || p.RequestID != a.header.Get("X-Request-Id") {
		t.Fatalf("problem %+v does not agree with status %d and request id %q", p, a.status, a.header.Get("X-Request-Id"))
	}
	return p
}

// into decodes a success.
func (a answer) into(t *testing.T, out any) {
	t.Helper()
	if a.status/100 != 2 {
		t.Fatalf("status %d: %s", a.status, a.body)
	}
	if err := json.Unmarshal(a.body, out); err != nil {
		t.Fatalf("%v: %s", err, a.body)
	}
}

// send sends a request with headers NAME: VALUE.
func (w *world) send(t *testing.T, method, path string, body any, headers ...string) answer {
	t.Helper()
	var r io.Reader
	if s, ok := body.(string); ok {
		r = strings.NewReader(s)
	} else if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		r = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, w.url+path, r)
	if err != nil {
		t.Fatal(err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	hc := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := hc.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, data}
}

// person is somebody with a token.
type person struct {
	w     *world
	token string
}

var tokens sync.Map //nolint:gochecknoglobals // one login per person: argon2 is slow on purpose

func (w *world) as(t *testing.T, name string) person {
	t.Helper()
	passwords := map[string]string{"admin": adminPassword, "alice": alicePassword, "victor": victorPassword, "mallory": malloryPassword, "ann": annPassword, "bob": bobPassword, "cat": catPassword}
	key := w.url + name
	if token, ok := tokens.Load(key); ok {
		return person{w, token.(string)}
	}
	var out model.LoginResult
	w.send(t, "POST", "/api/v1/login", model.Login{Username: name, Password: passwords[name], Kind: model.Token}).into(t, &out)
	tokens.Store(key, out.Token)
	return person{w, out.Token}
}

func (p person) do(t *testing.T, method, path string, body any, headers ...string) answer {
	t.Helper()
	return p.w.send(t, method, path, body, append(headers, "Authorization: Bearer "+p.token)...)
}

func (p person) get(t *testing.T, path string, out any) {
	t.Helper()
	p.do(t, "GET", path, nil).into(t, out)
}

// eventually polls until check returns nil: the cache is a moment behind.
func eventually(t *testing.T, check func() error) {
	t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond) // poll with a deadline
	}
}

func metaOf(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Name: name} }
