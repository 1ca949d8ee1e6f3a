package rest

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/identity"
)

// Options of New. Fields without "optional" are required.
type Options struct {
	// Cache is a running (or soon running) cache of Waybill's kinds and of
	// Namespaces; every read comes from it, and its events wake the streams.
	Cache cache.Cache
	// Config is the server's own client configuration. It needs: impersonate
	// users and groups, create SubjectAccessReviews, and Secrets in
	// SystemNamespace. It is used to write for a person only what RefreshWarehouse says,
	// and the person's own sessions and password.
	Config *rest.Config
	// SystemNamespace is Waybill's own.
	SystemNamespace string
	// UI is the built dashboard with index.html at its root; optional.
	UI fs.FS
	// NotBuilt is the page shown when UI is nil; optional.
	NotBuilt string
	// Clock tells the time.
	Clock clock.WithTicker
	// Logger gets what people need not see.
	Logger *slog.Logger
	// PublicURL is where people reach the server; https makes cookies Secure
	// and their name __Host-; optional.
	PublicURL string
	// AllowedOrigins may send unsafe requests besides the server's own origin,
	// each as scheme://host[:port]; optional.
	AllowedOrigins []string
	// Version and Commit of the server; optional.
	Version, Commit string
	// Planner reads Git for previews; optional: without it a plan says what is
	// set where, from the Stage's definition.
	Planner Planner
	// Inspector looks into the clusters of Applications; optional: without it
	// trees, events, logs and live differences are not shown.
	Inspector Inspector
	// Acceptor commits changes made in clusters; optional: without it they are
	// not accepted.
	Acceptor Acceptor
	// Waker wakes what webhooks name; optional: without it there are none. With
	// it the cache holds Secrets with the label waybill.dev/cred-type, too.
	Waker Waker
	// Credentials knows which Secrets are for which repositories; optional:
	// without it they are not listed.
	Credentials CredentialStore
	// Remotes asks repositories whether they answer; optional: without it
	// credentials are not tested.
	Remotes RemoteTester
	// Messenger sends messages by the channels of Projects; optional: without it
	// notifications are not tested.
	Messenger Messenger
	// History is what was before; optional: without it only what the cluster has
	// is shown.
	History HistoryReader
	// Notes keeps who did what; optional.
	Notes HistoryWriter
	// Vitals are parts of the server that Doctor tells of; optional.
	Vitals *Vitals
	// SSO is the identity provider that people may sign in at; optional.
	SSO *SSO
	// NoPasswords: local users cannot sign in.
	NoPasswords bool
}

// Server answers the API and serves the dashboard.
type Server struct {
	opts     Options
	log      *slog.Logger
	doc      *document
	users    *identity.Store
	reviewer *identity.Reviewer
	people   *people
	// own has the server's rights; only RefreshWarehouse writes with it.
	own     client.Client
	hub     *hub
	hooks   *hooks
	handler http.Handler
	isHTTPS bool
	times   streamTimes
	// ssoLimit bounds what is asked of the identity provider.
	ssoLimit *rate.Limiter
}

// New returns a Server. Run has to run for it to be ready.
func New(opts Options) (*Server, error) {
	if opts.Cache == nil || opts.Config == nil || opts.SystemNamespace == "" || opts.Clock == nil || opts.Logger == nil {
		return nil, errors.New("rest: Cache, Config, SystemNamespace, Clock and Logger are required")
	}
	doc, err := readDocument()
	if err != nil {
		return nil, err
	}
	kube, err := kubernetes.NewForConfig(opts.Config)
	if err != nil {
		return nil, fmt.Errorf("make the server's client: %w", err)
	}
	issuer := ""
	if opts.SSO != nil {
		issuer = opts.SSO.Provider.Issuer()
	}
	users, err := identity.NewStore(identity.Options{Kube: kube, Namespace: opts.SystemNamespace, Clock: opts.Clock, Logger: opts.Logger, Issuer: issuer})
	if err != nil {
		return nil, err
	}
	scheme, mapper, err := knownKinds()
	if err != nil {
		return nil, err
	}
	own, err := client.New(opts.Config, client.Options{Scheme: scheme, Mapper: mapper})
	if err != nil {
		return nil, fmt.Errorf("make the server's client: %w", err)
	}
	s := &Server{
		own: own, times: streamTimes{ping: pingEvery, write: writeTime}, ssoLimit: newSSOLimit(),
		opts: opts, log: opts.Logger, doc: doc, users: users,
		reviewer: identity.NewReviewer(kube, opts.Clock),
		hooks:    newHooks(opts.Cache, opts.Clock.Now),
		people:   &people{config: opts.Config, scheme: scheme, mapper: mapper},
	}
	if opts.PublicURL != "" {
		u, err := url.Parse(opts.PublicURL)
		if err != nil || u.Host == "" {
			return nil, fmt.Errorf("public URL %q: expected something like https://waybill.example.com", opts.PublicURL)
		}
		s.isHTTPS = u.Scheme == "https"
	}
	if s.hub, err = newHub(opts.Clock, opts.Logger, s.buildTopic); err != nil {
		return nil, err
	}
	if s.handler, err = s.routes(); err != nil {
		return nil, err
	}
	return s, nil
}

// Handler returns the HTTP handler of API and dashboard. Serve it with
// NewHTTPServer, which sets the limits that hold before a request is read.
func (s *Server) Handler() http.Handler { return s.handler }

// Users returns the store of local users and sessions.
func (s *Server) Users() *identity.Store { return s.users }

// Run keeps users, sessions and page models current until ctx ends. It returns
// when everything it started has ended.
func (s *Server) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.users.Run(ctx) })
	g.Go(func() error { return s.hub.run(ctx, s.opts.Cache) })
	if s.opts.Waker != nil {
		g.Go(func() error { return s.hooks.watch(ctx, s.opts.Cache) })
	}
	return g.Wait()
}

// Limits and times of a connection.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 30 * time.Second
	idleTimeout       = 60 * time.Second
	maxHeaderBytes    = 64 << 10
)

// NewHTTPServer returns an http.Server for handler with the limits of
// connections. Streams set their own write deadlines.
func NewHTTPServer(handler http.Handler, logger *slog.Logger) *http.Server {
	return &http.Server{
		Handler: handler, ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeaderBytes, ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
}

// routes returns the whole handler.
func (s *Server) routes() (http.Handler, error) {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.HTTPErrorHandler = s.onError
	e.Use(s.findOperation, zipped(), s.authenticate, s.validate)
	RegisterHandlers(e, NewStrictHandler(s, []StrictMiddlewareFunc{s.readKey, s.authorize}))
	if err := s.compareRoutes(e); err != nil {
		return nil, err
	}
	dashboard, err := newDashboard(s.opts.UI, s.opts.NotBuilt)
	if err != nil {
		return nil, err
	}
	return s.outer(e, dashboard)
}

// minZipped is how long an answer has to be to be worth zipping: one that fits into one
// packet is not.
const minZipped = 1400

// zipped compresses answers for those who take gzip, but not streams, of which each
// event has to go out at once.
func zipped() echo.MiddlewareFunc {
	return middleware.GzipWithConfig(middleware.GzipConfig{
		Level: gzip.BestSpeed, MinLength: minZipped,
		Skipper: func(c echo.Context) bool { return operationOf(c.Request().Context()).id == "events" },
	})
}

// compareRoutes makes sure that every route is an operation of the document and
// the other way round: a route without one would have no permission.
func (s *Server) compareRoutes(e *echo.Echo) error {
	seen := map[string]bool{}
	for _, r := range e.Routes() {
		key := r.Method + " " + r.Path
		if s.doc.operations[key] == nil {
			return fmt.Errorf("route %s is not in openapi.yaml", key)
		}
		seen[key] = true
	}
	for key := range s.doc.operations {
		if !seen[key] {
			return fmt.Errorf("operation %s of openapi.yaml has no route", key)
		}
	}
	return nil
}

// knownKinds returns the scheme and a mapper of the kinds the API writes, so
// that no discovery is needed.
func knownKinds() (*runtime.Scheme, meta.RESTMapper, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, nil, fmt.Errorf("register kinds: %w", err)
	}
	core := schema.GroupVersion{Version: "v1"}
	mapper := meta.NewDefaultRESTMapper([]schema.GroupVersion{v1alpha1.GroupVersion(), core})
	for _, kind := range []string{"Warehouse", "Freight", "Stage", "Promotion", "Application", "Freeze", "PromotionTask", "Approval"} {
		mapper.Add(v1alpha1.GroupVersion().WithKind(kind), meta.RESTScopeNamespace)
	}
	mapper.Add(v1alpha1.GroupVersion().WithKind("Project"), meta.RESTScopeRoot)
	mapper.Add(v1alpha1.GroupVersion().WithKind("Cluster"), meta.RESTScopeRoot)
	mapper.Add(core.WithKind("Secret"), meta.RESTScopeNamespace)
	mapper.Add(core.WithKind("Namespace"), meta.RESTScopeRoot)
	mapper.Add(schema.GroupVersion{Group: "coordination.k8s.io", Version: "v1"}.WithKind("Lease"), meta.RESTScopeNamespace)
	mapper.Add(schema.GroupVersion{Group: "apiextensions.k8s.io", Version: "v1"}.WithKind("CustomResourceDefinition"), meta.RESTScopeRoot)
	return scheme, mapper, nil
}
