package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/controllers"
	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/gitops"
	"github.com/waybill-dev/waybill/gitops/accept"
	"github.com/waybill-dev/waybill/gitops/cluster"
	"github.com/waybill-dev/waybill/gitops/live"
	"github.com/waybill-dev/waybill/gitops/render"
	"github.com/waybill-dev/waybill/gitops/render/helm"
	"github.com/waybill-dev/waybill/history"
	"github.com/waybill-dev/waybill/history/checkpoint"
	"github.com/waybill-dev/waybill/history/outbox"
	"github.com/waybill-dev/waybill/internal/credentials"
	"github.com/waybill-dev/waybill/internal/credentials/secretstore"
	"github.com/waybill-dev/waybill/internal/credentials/tokens"
	"github.com/waybill-dev/waybill/internal/failpoint"
	"github.com/waybill-dev/waybill/internal/fence"
	"github.com/waybill-dev/waybill/internal/instance"
	"github.com/waybill-dev/waybill/internal/memory"
	"github.com/waybill-dev/waybill/internal/outbound"
	"github.com/waybill-dev/waybill/internal/replicas"
	"github.com/waybill-dev/waybill/promotion/engine"
	"github.com/waybill-dev/waybill/promotion/jobs"
	"github.com/waybill-dev/waybill/promotion/message"
	"github.com/waybill-dev/waybill/promotion/notify/delivery"
	"github.com/waybill-dev/waybill/promotion/objects"
	"github.com/waybill-dev/waybill/promotion/observe"
	"github.com/waybill-dev/waybill/promotion/planner"
	"github.com/waybill-dev/waybill/promotion/pullrequest"
	"github.com/waybill-dev/waybill/promotion/steps"
	"github.com/waybill-dev/waybill/promotion/steps/argocd"
	"github.com/waybill-dev/waybill/warehouse/chart"
	"github.com/waybill-dev/waybill/warehouse/gitsource"
	"github.com/waybill-dev/waybill/warehouse/registry"
)

// serveOptions are the flags of waybilld.
type serveOptions struct {
	kubeconfig      string
	listen          string
	metricsListen   string
	pprofListen     string
	data            string
	systemNamespace string
	tlsCert, tlsKey string
	publicURL       string
	allowHTTP       bool
	impersonates    bool
	allowLoopback   bool
	leaderElect     bool
	allowOther      bool
	shard           bool
	shardLease      time.Duration
	gitPoll         time.Duration
	verbose         bool
	historyDSNFile  string
	keepPromotions  int
	sso             ssoOptions
}

func (o *serveOptions) bind(f *pflag.FlagSet) {
	f.StringVar(&o.kubeconfig, "kubeconfig", "", "kubeconfig of Waybill's own cluster (default: the Pod's account)")
	f.StringVar(&o.listen, "listen", ":8080", "address of API and dashboard")
	f.StringVar(&o.metricsListen, "metrics-listen", "", "address of /metrics, without authentication (default: off)")
	f.StringVar(&o.pprofListen, "pprof-listen", "", "address of /debug/pprof, without authentication (default: off)")
	f.StringVar(&o.data, "data", "/var/lib/waybill", "folder for Git mirrors and caches, which can be rebuilt, and for the history, which cannot")
	f.StringVar(&o.systemNamespace, "system-namespace", "waybill-system", "Waybill's own Namespace")
	f.StringVar(&o.tlsCert, "tls-cert-file", "", "certificate to serve https with")
	f.StringVar(&o.tlsKey, "tls-key-file", "", "its key")
	f.StringVar(&o.publicURL, "public-url", "", "where people reach the dashboard; https makes its cookies Secure")
	f.BoolVar(&o.impersonates, "impersonate-service-accounts", false, "write as the ServiceAccount that an Application or its Project names; the server needs the right to impersonate serviceaccounts")
	f.BoolVar(&o.allowHTTP, "allow-http", false, "speak plain http to Git servers and registries (credentials travel in the clear)")
	f.BoolVar(&o.allowLoopback, "allow-loopback", false, "connect to addresses of this machine (local mode)")
	f.BoolVar(&o.leaderElect, "leader-elect", false, "elect a leader; needed with more than one replica")
	f.BoolVar(&o.allowOther, "allow-other", false, "start although another waybilld that is no replica of this one works on the cluster (they undo each other's work)")
	f.BoolVar(&o.shard, "shard", false, "share the Applications out among the replicas instead of leaving all to the leader; give it to every replica (needs --leader-elect)")
	f.DurationVar(&o.shardLease, "shard-lease", replicas.DefaultDuration, "how long a replica that died keeps its share")
	f.DurationVar(&o.gitPoll, "git-poll-interval", 30*time.Second, "how often a repository is asked where its branches are")
	f.StringVar(&o.historyDSNFile, "history-dsn-file", "", "file with the connection string of the history's PostgreSQL, as postgres://USER:PASSWORD@HOST/DATABASE; or "+historyEnv+" in the environment (default: SQLite in --data)")
	f.IntVar(&o.keepPromotions, "keep-promotions", 50, "how many finished Promotions of a Stage stay in the cluster once the history has them; 0: all")
	f.BoolVar(&o.verbose, "verbose", false, "log every decision")
	o.sso.bind(f)
	_ = f.MarkHidden("shard-lease")  // for tests, which have no time
	_ = f.MarkHidden("pprof-listen") // for developers: what it shows is of no use in operation
}

// restConfig returns the client configuration of Waybill's own cluster. The
// API server's priority and fairness limits the rate, not the client.
func restConfig(kubeconfig string) (*rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("read kubeconfig: %w", err)
	}
	config.QPS, config.UserAgent = -1, "waybilld/"+version
	config.Wrap(fence.Transport)
	return config, nil
}

// scheme returns the kinds the server reads and writes as Go types.
func scheme() (*runtime.Scheme, error) {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{v1alpha1.AddToScheme, corev1.AddToScheme, rbacv1.AddToScheme} {
		if err := add(s); err != nil {
			return nil, fmt.Errorf("register kinds: %w", err)
		}
	}
	metav1.AddMetaToScheme(s) //nolint:errcheck // cannot fail for its own types
	return s, nil
}

// gcPercent trades a little CPU for memory: most of the heap is caches that
// stay, and most of the time nothing happens. With 200 Applications it saves
// 11 MiB of 152 and costs 7 % more CPU. GOGC overrides it.
const gcPercent = 50

// serve runs until ctx ends.
func serve(ctx context.Context, o serveOptions) error {
	logger := newLogger(o.verbose)
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	git.UninstallUnsafeTransports()
	points, err := failpoint.Parse(os.Getenv(failpoint.Env), knownFailpoints())
	if err != nil {
		return err //nolint:wrapcheck // names the variable already
	}
	if names := points.Names(); len(names) > 0 {
		logger.Warn("failpoints are enabled: this server can be made to fail", "names", names)
	}
	config, err := restConfig(o.kubeconfig)
	if err != nil {
		return err
	}
	mgr, err := newManager(config, o)
	if err != nil {
		return err
	}
	parts, err := newParts(ctx, mgr, config, o, points)
	if err != nil {
		return err
	}
	defer parts.close(logger)
	if parts.checkpoint, err = newCheckpoint(parts.history, logger); err != nil {
		return err
	}
	keep, err := claimCluster(ctx, config, o, logger)
	if err != nil {
		return err
	}
	members, err := newReplicas(config, o, logger)
	if err != nil {
		return err
	}
	if err := parts.setUp(ctx, mgr, o, members, points); err != nil {
		return err
	}
	api, err := newAPI(mgr, config, o, parts, logger)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return keep(ctx) })
	group.Go(func() error { return among(ctx, members, parts.ready, mgr.Start) })
	group.Go(func() error { return api.run(ctx) })
	group.Go(func() error { return parts.outbox.Run(ctx) })
	group.Go(func() error { return parts.checkpoint.Run(ctx) })
	group.Go(func() error { return (&memory.Keeper{Clock: clock.RealClock{}}).Run(ctx) })
	return group.Wait() //nolint:wrapcheck // each part names itself
}

func newLogger(verbose bool) *slog.Logger {
	level := slog.LevelInfo
	if verbose {
		level = slog.LevelDebug
	}
	h := slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})
	logger := slog.New(h)
	log.SetLogger(logr.FromSlogHandler(h))
	klog.SetSlogLogger(logger)
	return logger
}

func knownFailpoints() []string {
	var all []string
	all = append(all, engine.Failpoints()...)
	all = append(all, git.Failpoints()...)
	all = append(all, controllers.ApplicationFailpoints()...)
	all = append(all, controllers.HookFailpoints()...)
	all = append(all, delivery.Failpoints()...)
	return append(all, controllers.FailAfterResult)
}

func newManager(config *rest.Config, o serveOptions) (manager.Manager, error) {
	s, err := scheme()
	if err != nil {
		return nil, err
	}
	credential, err := labels.NewRequirement(credentials.TypeLabel, selection.Exists, nil)
	if err != nil {
		return nil, fmt.Errorf("select credentials: %w", err)
	}
	metricsAddress := o.metricsListen
	if metricsAddress == "" {
		metricsAddress = "0"
	}
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme: s,
		Cache: cache.Options{ByObject: map[client.Object]cache.ByObject{
			// Only credentials are ever held in memory.
			&corev1.Secret{}: {Label: labels.NewSelector().Add(*credential)},
		}},
		Metrics:                       server.Options{BindAddress: metricsAddress},
		PprofBindAddress:              o.pprofListen, // empty: off
		LeaderElection:                o.leaderElect,
		LeaderElectionID:              instance.ElectionLease,
		LeaderElectionNamespace:       o.systemNamespace,
		LeaderElectionReleaseOnCancel: true,
	})
	if err != nil {
		return nil, fmt.Errorf("connect to Waybill's cluster: %w", err)
	}
	return mgr, nil
}

// parts are what controllers and API share.
type parts struct {
	mirrors      *git.Mirrors
	registry     *registry.Client
	clusters     *cluster.Registry
	store        *secretstore.Store
	repositories *secretstore.Repositories
	policies     *controllers.PolicyReconciler
	hooks        *controllers.Hooks
	engine       *engine.Engine
	jobs         *jobs.Runner
	planner      *planner.Planner
	providers    *pullrequest.Providers
	previews     *previews
	charts       *helm.Pool
	archives     *chart.Fetcher
	remotes      *secretstore.Remotes
	renders      *render.Cache
	// inspector looks into the clusters of Applications when somebody asks.
	inspector *live.Inspector
	acceptor  *accept.Acceptor
	// dialCluster connects to the clusters that people register.
	dialCluster func(ctx context.Context, network, address string) (net.Conn, error)
	// checkTransports is the way out for the checks of a Project.
	checkTransports controllers.CheckTransports
	history         history.Store
	// messages are sent by the channels of Projects.
	messages message.Sender
	// ready returns when this replica knows what it needs to work on Applications.
	ready  func(context.Context) error
	outbox *outbox.Outbox
	sso    *identityProvider
	// checkpoint notes the head of the audit trail.
	checkpoint *checkpoint.Log
}

func newParts(ctx context.Context, mgr manager.Manager, config *rest.Config, o serveOptions, points *failpoint.Set) (*parts, error) {
	own, err := ownAddress(ctx, config, o)
	if err != nil {
		return nil, err
	}
	transport, err := outbound.New(outbound.Policy{AllowLoopback: o.allowLoopback, AllowPlainHTTP: o.allowHTTP, DenyAddrs: own})
	if err != nil {
		return nil, fmt.Errorf("outbound transport: %w", err)
	}
	// Where the steps of a Stage's author go, private networks are out of bounds.
	requests, err := outbound.New(outbound.Policy{AllowLoopback: o.allowLoopback, AllowPlainHTTP: o.allowHTTP, DenyAddrs: own, RefusePrivate: true})
	if err != nil {
		return nil, fmt.Errorf("outbound transport of steps: %w", err)
	}
	p := &parts{checkTransports: checkTransports(o, own), dialCluster: transport.DialContext}
	if p.sso, err = newSSO(o, transport); err != nil {
		return nil, err
	}
	p.mirrors, err = git.NewMirrors(git.Options{
		Dir: filepath.Join(o.data, "mirrors"), Transport: transport, AllowPlainHTTP: o.allowHTTP, Failpoints: points,
		TransportWithCA: withCA(transport), Dial: transport.DialContext,
	})
	if err != nil {
		return nil, fmt.Errorf("open Git mirrors: %w", err)
	}
	p.registry, err = registry.New(registry.Options{
		Transport: transport, Now: time.Now, CacheDir: filepath.Join(o.data, "registry"), AllowLoopbackHTTP: o.allowLoopback,
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open registry cache: %w", err), p.mirrors.Close())
	}
	for _, c := range append(p.registry.Collectors(), p.mirrors.Collectors()...) {
		if err := metrics.Registry.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	inCluster, err := cluster.Connect(v1alpha1.InCluster, config, clock.RealClock{})
	if err != nil {
		return nil, fmt.Errorf("connect to the destination cluster: %w", err)
	}
	p.clusters = cluster.NewRegistry(inCluster)
	exchange, err := tokens.New(tokens.Options{Transport: transport, TransportWithCA: withCA(transport), Now: time.Now, AllowPlainHTTP: o.allowHTTP})
	if err != nil {
		return nil, err //nolint:wrapcheck // names itself already
	}
	p.store = &secretstore.Store{Reader: mgr.GetClient(), SystemNamespace: o.systemNamespace, Tokens: exchange}
	p.providers = &pullrequest.Providers{Credentials: p.store, Transport: transport, TransportWithCA: withCA(transport)}
	p.archives = &chart.Fetcher{Source: chart.New(p.registry, time.Now, filepath.Join(o.data, "charts")), Credentials: p.store.Lookup}
	p.remotes = &secretstore.Remotes{Store: p.store, Mirrors: p.mirrors, Registry: p.registry, Charts: p.archives.Source}
	p.repositories = &secretstore.Repositories{Store: p.store, Mirrors: p.mirrors}
	projectObjects := &objects.Store{Client: mgr.GetClient(), Status: mgr.GetClient(), Live: mgr.GetAPIReader()}
	executable, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find the program itself: %w", err)
	}
	p.charts = helm.NewPool(executable, helm.WorkerArgument)
	p.previews = &previews{reader: mgr.GetClient()}
	limits := func(ctx context.Context, project string) (gitops.Limits, error) {
		return controllers.ProjectLimits(ctx, mgr.GetClient(), project, o.systemNamespace)
	}
	p.jobs = jobs.NewRunner(jobs.Options{Clusters: p.clusters, Limits: limits, Stage: func(ctx context.Context, project, name string) (*v1alpha1.Stage, error) {
		seen, err := observe.Stage(ctx, mgr.GetClient(), client.ObjectKey{Namespace: project, Name: name}, clock.RealClock{}.Now())
		if err != nil {
			return nil, err //nolint:wrapcheck // the caller names the Stage
		}
		return seen.Stage, nil
	}})
	p.messages = message.Sender{Channels: p.store, Outbound: p.messagesOut(mgr.GetClient())}
	p.engine = &engine.Engine{
		Steps: steps.Builtin(steps.Dependencies{
			Author: author(), Transport: requests, Objects: projectObjects,
			PullRequests: p.providers,
			Plans:        p.previews, Charts: p.charts, Archives: p.archives, Jobs: p.jobs,
			ArgoCD:    &argocd.Applications{Objects: objects.ArgoCD{Reader: mgr.GetAPIReader(), Writer: mgr.GetClient()}},
			Artifacts: &registry.Artifacts{Client: p.registry, Credentials: p.store.Lookup},
			Clock:     clock.RealClock{},
			Messages:  p.messages,
		}),
		Clock: clock.RealClock{}, Repositories: p.repositories, Failpoints: points,
		Lookups: engine.AllLookups{&secretstore.Lookups{Store: p.store, Live: mgr.GetAPIReader()}, projectObjects},
	}
	p.hooks = controllers.NewHooks(controllers.HookOptions{Client: mgr.GetClient(), Clock: clock.RealClock{}})
	p.renders = render.NewCache(maxRenders, p.charts)
	p.renders.DecryptWith(p.store.DecryptionKeys)
	p.planner = planner.New(p.repositories, p.engine, p.renders)
	p.planner.Users = imageUsers{p.registry, p.store}
	p.previews.planner = p.planner
	if p.inspector, err = live.New(live.Options{
		Clusters: p.clusters, Open: p.repositories.Open, Renders: p.renders, Charts: p.archives, Clock: clock.RealClock{},
		Limits: limits,
	}); err != nil {
		return nil, err //nolint:wrapcheck // names itself already
	}
	if p.acceptor, err = accept.New(accept.Options{
		Live: p.inspector.Object, Open: p.repositories.Open, Renders: p.renders, Clock: clock.RealClock{}, Author: author(),
	}); err != nil {
		return nil, err //nolint:wrapcheck // names itself already
	}
	if p.history, err = openHistory(o); err != nil {
		return nil, err
	}
	if p.outbox, err = outbox.Open(filepath.Join(o.data, "history", "outbox"), p.history, clock.RealClock{}); err != nil {
		return nil, err //nolint:wrapcheck // names itself already
	}
	if err := metrics.Registry.Register(p.outbox.Collector()); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	p.policies, err = controllers.NewPolicyReconciler(mgr.GetClient())
	if err != nil {
		return nil, err //nolint:wrapcheck // names the policies already
	}
	return p, nil
}

// maxRenders bounds the memory of what was rendered, in bytes.
const maxRenders = 16 << 20

// lastNoteTime bounds how long the end waits for the history's store.
const lastNoteTime = 2 * time.Second

func (p *parts) close(logger *slog.Logger) {
	p.charts.Close()
	if p.checkpoint != nil {
		ctx, cancel := context.WithTimeout(context.Background(), lastNoteTime)
		p.checkpoint.Note(ctx) // nothing is written any more
		cancel()
	}
	if err := errors.Join(p.mirrors.Close(), p.registry.Close(), p.outbox.Close(), p.history.Close()); err != nil {
		logger.Error("close caches", "error", err)
	}
}

// ownAddress is where the cluster's API server answers: nothing that a Project
// names may make us connect there.
func ownAddress(ctx context.Context, config *rest.Config, o serveOptions) ([]netip.AddrPort, error) {
	u, err := url.Parse(config.Host)
	if err != nil {
		return nil, fmt.Errorf("address of the API server: %w", err)
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	if err != nil {
		port = 443
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", u.Hostname())
	if err != nil {
		return nil, fmt.Errorf("look up the API server: %w", err)
	}
	var out []netip.AddrPort
	for _, a := range addrs {
		out = append(out, netip.AddrPortFrom(a.Unmap(), uint16(port)))
	}
	if own, err := netip.ParseAddrPort(o.listen); err == nil {
		out = append(out, own)
	}
	return out, nil
}

// setUp registers indexes and controllers.
func (p *parts) setUp(ctx context.Context, mgr manager.Manager, o serveOptions, members *replicas.Members, points *failpoint.Set) error {
	if err := observe.RegisterIndexes(ctx, mgr.GetFieldIndexer()); err != nil {
		return err //nolint:wrapcheck // names the index already
	}
	c, clk := mgr.GetClient(), clock.RealClock{}
	options := controllers.ApplicationOptions{
		Client: c, Clusters: p.clusters, Mirrors: p.mirrors, Remote: p.store.Remote,
		Clock: clk, PollInterval: o.gitPoll, SystemNamespace: o.systemNamespace, Failpoints: points, Renders: p.renders,
		Charts: p.archives, Events: mgr.GetEventRecorder("waybill"), Impersonates: o.impersonates,
	}
	if members != nil {
		options.Shares = members
	}
	applications, err := controllers.NewApplicationReconciler(options)
	if err != nil {
		return err //nolint:wrapcheck // names the controller already
	}
	recorder := controllers.HistoryOptions{Client: c, Live: mgr.GetAPIReader(), Store: p.history, Clock: clk, Keep: o.keepPromotions}
	records, decisions := controllers.NewHistoryReconciler(recorder), controllers.NewDecisionReconciler(recorder)
	syncs := controllers.NewSyncRecorder(recorder)
	for _, m := range slices.Concat(records.Collectors(), decisions.Collectors(), syncs.Collectors()) {
		if err := metrics.Registry.Register(m); err != nil {
			return fmt.Errorf("register metrics: %w", err)
		}
	}
	notifications := controllers.NewNotificationReconciler(controllers.NotificationOptions{
		Client: c, Store: p.history, Sender: p.messages, PublicURL: o.publicURL, Clock: clk, Failpoints: points,
	})
	for _, m := range notifications.Delivery().Collectors() {
		if err := metrics.Registry.Register(m); err != nil {
			return fmt.Errorf("register metrics: %w", err)
		}
	}
	clusters, err := controllers.NewClusterReconciler(controllers.ClusterOptions{
		Client: c, Clusters: p.clusters, Clock: clk, SystemNamespace: o.systemNamespace, Dial: p.dialCluster,
	})
	if err != nil {
		return err //nolint:wrapcheck // names the controller already
	}
	p.ready = func(ctx context.Context) error {
		if !mgr.GetCache().WaitForCacheSync(ctx) {
			return errors.New("the caches do not fill")
		}
		return clusters.Connect(ctx) //nolint:wrapcheck // names what it reads
	}
	for _, r := range []interface{ SetupWithManager(ctrl.Manager) error }{
		clusters,
		p.policies,
		p.hooks,
		controllers.NewProjectReconciler(controllers.ProjectOptions{Client: c, Live: mgr.GetAPIReader(), SystemNamespace: o.systemNamespace, PublicURL: o.publicURL}),
		controllers.NewWarehouseReconciler(controllers.WarehouseOptions{
			Client: c, Registry: p.registry, Git: gitsource.New(p.mirrors, clk.Now), Charts: p.archives.Source,
			Remote: p.store.Remote, Credentials: p.store.Lookup, SystemNamespace: o.systemNamespace, Clock: clk, Concurrency: 4}),
		controllers.NewRecordReconciler(controllers.RecordOptions{Client: c, Repositories: p.repositories, Clock: clk}),
		controllers.NewCommitStatusReconciler(controllers.CommitStatusOptions{
			Client: c, Live: mgr.GetAPIReader(), Providers: p.providers, Events: mgr.GetEventRecorder("waybill"), PublicURL: o.publicURL, Clock: clk,
		}),
		controllers.NewStageReconciler(controllers.StageOptions{Client: c, Clock: clk, Policies: p.policies, Concurrency: 8}),
		controllers.NewPromotionReconciler(controllers.PromotionOptions{
			Client: c, Live: mgr.GetAPIReader(), SystemNamespace: o.systemNamespace, Clock: clk, Policies: p.policies, Repositories: p.repositories,
			Planner: p.planner, Engine: p.engine, Clusters: p.clusters, CheckTransports: p.checkTransports, Jobs: p.jobs, Failpoints: points, Concurrency: 8,
		}),
		applications, records, decisions, syncs, notifications,
	} {
		if err := r.SetupWithManager(mgr); err != nil {
			return err //nolint:wrapcheck // names the controller already
		}
	}
	return nil
}

// author is who Waybill's commits are by; which person is behind one is in its
// trailers and its message.
func author() git.Identity { return git.Identity{Name: "Waybill", Email: "noreply@waybill.dev"} }
