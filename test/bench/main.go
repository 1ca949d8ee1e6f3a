package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	kruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/install"
	"github.com/waybill-dev/waybill/test/env"
)

const (
	systemNamespace = "waybill-system"
	serviceAccount  = "system:serviceaccount:" + systemNamespace + ":waybill"
)

// options are the flags.
type options struct {
	chains, drifts, broken, fleet int
	rest, limit                   time.Duration
	json, profile                 string
	timeline, big                 bool
	out                           io.Writer
}

func main() {
	var o options
	flag.IntVar(&o.chains, "chains", 10, "versions sent through the three Stages")
	flag.IntVar(&o.drifts, "drifts", 200, fmt.Sprintf("changes made by hand, at most %d", maxDrifts))
	flag.IntVar(&o.broken, "broken", 5, "versions whose containers crash, and as many whose check fails")
	flag.IntVar(&o.fleet, "fleet", 200, "Applications of ten objects")
	flag.DurationVar(&o.rest, "rest", time.Minute, "how long to look at the server at rest")
	flag.DurationVar(&o.limit, "limit", 8*time.Minute, "when to stop, whatever is left to measure")
	flag.StringVar(&o.json, "json", "", "where to write JSON (default: test/artifacts/bench.json)")
	flag.StringVar(&o.profile, "profile", "", "also write pprof profiles of waybilld into this directory")
	flag.BoolVar(&o.timeline, "timeline", false, "also print what happened when in every chain")
	flag.BoolVar(&o.big, "big", false, "measure only what takes many minutes: 1,600 Applications, a storm of drift, 10,000 objects, 50 Stages at once (needs -limit 40m)")
	flag.Parse()
	o.out = os.Stdout
	log.SetLogger(logr.Discard()) // controller-runtime's clients have nothing to say here

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench: "+err.Error())
		stop()
		os.Exit(1)
	}
}

// bench is a running installation and what was measured on it.
type bench struct {
	opts    options
	env     *env.Env
	client  client.WithWatch
	kube    *kubernetes.Clientset
	servers *servers
	child   *child
	seen    *observer
	report  *report
	// baseline is the resident memory before anything was there, in MiB.
	baseline float64
}

// run sets up, measures part by part, and reports whatever was measured.
func run(ctx context.Context, o options) (err error) {
	root, err := env.Repository()
	if err != nil {
		return err
	}
	if o.json == "" {
		o.json = filepath.Join(root, "test", "artifacts", "bench.json")
	}
	if o.profile != "" {
		if err := os.MkdirAll(o.profile, 0o755); err != nil {
			return err
		}
	}
	b := &bench{opts: o, seen: newObserver(), report: newReport(root, o)}
	limited, cancel := context.WithTimeout(ctx, o.limit-reportTime)
	defer cancel()
	down, err := b.start(limited, root)
	defer down()
	if err != nil {
		return err
	}
	err = b.measure(limited)
	b.report.loadEnd = loadAverage()
	if errors.Is(limited.Err(), context.DeadlineExceeded) && ctx.Err() == nil {
		err = nil // said in the report
	}
	return errors.Join(err, b.report.print(o.out), b.report.write(o.json))
}

// reportTime is kept free for stopping everything.
const reportTime = 20 * time.Second

// part is one stretch of the measuring.
type part struct {
	name string
	// limit bounds it, so that one that hangs leaves time for the others.
	limit time.Duration
	run   func(context.Context) error
}

func (b *bench) parts() []part {
	o := b.opts
	if o.big {
		return b.bigParts()
	}
	return []part{
		{"set up the pipeline", time.Minute, b.pipeline},
		{fmt.Sprintf("%d versions through three Stages", o.chains), 3 * time.Minute, func(ctx context.Context) error { return b.chain(ctx, o.chains) }},
		{fmt.Sprintf("%d drifts", o.drifts), 3 * time.Minute, func(ctx context.Context) error { return b.drift(ctx, o.drifts) }},
		{fmt.Sprintf("%d broken versions", o.broken), 2 * time.Minute, func(ctx context.Context) error { return b.broken(ctx, o.broken) }},
		{fmt.Sprintf("%d versions whose check fails", o.broken), 2 * time.Minute, func(ctx context.Context) error { return b.failing(ctx, o.broken) }},
		{fmt.Sprintf("%d Applications", o.fleet), 2 * time.Minute, func(ctx context.Context) error { return b.fleet(ctx, o.fleet) }},
		{"looks at a registry", 2 * time.Minute, b.polls},
		{"at rest", o.rest + time.Minute, func(ctx context.Context) error { return b.rest(ctx, o.rest) }},
	}
}

// bigParts are the parts of -big.
func (b *bench) bigParts() []part {
	out := []part{
		{"at the start", 2 * time.Minute, b.emptyServer},
		{fmt.Sprintf("%d Stages at once", crowdStages), 10 * time.Minute, b.crowd},
	}
	for _, n := range scales() {
		out = append(out, part{fmt.Sprintf("%d Applications x 4 objects", n), 10 * time.Minute, func(ctx context.Context) error { return b.scale(ctx, n) }})
	}
	return append(out,
		part{fmt.Sprintf("%d drifts at once", stormSize), 10 * time.Minute, b.storm},
		part{fmt.Sprintf("%d objects", manyObjects), 10 * time.Minute, b.memory},
		part{"at rest", 3 * time.Minute, b.bigRest},
		part{"restarts with those", 3 * time.Minute, b.restart},
	)
}

// measure runs the parts. One that does not come to its end is named in the
// report, with what it measured until then, and the next one is tried.
func (b *bench) measure(ctx context.Context) error {
	var failed []error
	for i, p := range b.parts() {
		start := time.Now()
		fmt.Fprintf(b.opts.out, "%s ... ", p.name)
		limited, cancel := context.WithTimeout(ctx, p.limit)
		err := p.run(limited)
		cancel()
		fmt.Fprintf(b.opts.out, "%.1f s, load %s\n", time.Since(start).Seconds(), loadAverage())
		if err == nil {
			continue
		}
		err = fmt.Errorf("%s: %w", p.name, errors.Join(err, b.child.isRunning()))
		b.report.unfinished = append(b.report.unfinished, err.Error())
		failed = append(failed, err)
		if i == 0 || ctx.Err() != nil || b.child.isRunning() != nil {
			break
		}
	}
	return errors.Join(failed...)
}

// quiet waits until nothing has happened for a while, but not for ever: a
// server that never rests is measured as it is.
func (b *bench) quiet(ctx context.Context, pause time.Duration) error {
	bounded, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if err := b.seen.quiet(bounded, pause); err != nil && ctx.Err() != nil {
		return err
	}
	return b.child.isRunning()
}

// start starts everything. What it returns stops it, also after an error.
func (b *bench) start(ctx context.Context, root string) (down func(), err error) {
	var downs []func()
	down = func() {
		for i := len(downs) - 1; i >= 0; i-- {
			downs[i]()
		}
	}
	dir, err := os.MkdirTemp("", "waybill-bench-")
	if err != nil {
		return down, err
	}
	downs = append(downs, func() { _ = os.RemoveAll(dir) })
	if b.env, err = env.New(env.Options{Workloads: true}); err != nil {
		return down, err
	}
	downs = append(downs, func() { _ = b.env.Stop() })
	if err := b.connect(ctx); err != nil {
		return down, err
	}
	if b.servers, err = startServers(ctx, filepath.Join(dir, "git"), b.seen); err != nil {
		return down, err
	}
	downs = append(downs, func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		b.servers.close(ctx)
	})
	following, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	downs = append(downs, func() { stop(); wg.Wait() })
	if err := b.seen.watchAll(following, &wg, b.client); err != nil {
		return down, err
	}
	if err := os.MkdirAll(filepath.Join(root, "test", "artifacts"), 0o755); err != nil {
		return down, err
	}
	logFile, err := os.Create(filepath.Join(root, "test", "artifacts", "bench.waybilld.log"))
	if err != nil {
		return down, err
	}
	downs = append(downs, func() { _ = logFile.Close() })
	kubeconfig, err := b.env.Cluster.ClientKubeconfig(serviceAccount, []string{"system:serviceaccounts", "system:serviceaccounts:" + systemNamespace})
	if err != nil {
		return down, err
	}
	b.child, err = startChild(serverBinary(root), kubeconfig, filepath.Join(dir, "data"), logFile)
	if err != nil {
		return down, err
	}
	downs = append(downs, b.child.stop)
	return down, nil
}

// connect makes the clients and installs Waybill.
func (b *bench) connect(ctx context.Context) error {
	scheme := kruntime.NewScheme()
	for _, add := range []func(*kruntime.Scheme) error{v1alpha1.AddToScheme, corev1.AddToScheme, appsv1.AddToScheme} {
		if err := add(scheme); err != nil {
			return err
		}
	}
	var err error
	if b.client, err = client.NewWithWatch(b.env.Config, client.Options{Scheme: scheme}); err != nil {
		return err
	}
	if b.kube, err = kubernetes.NewForConfig(b.env.Config); err != nil {
		return err
	}
	if err := install.Install(ctx, install.Options{Client: b.client, Namespace: systemNamespace}); err != nil {
		return err
	}
	_, err = b.env.ApplyContext(ctx, flowSchemas)
	return err
}

// serverBinary is what `make build` made, or what WAYBILLD names.
func serverBinary(root string) string {
	if b := os.Getenv("WAYBILLD"); b != "" {
		return b
	}
	return filepath.Join(root, "bin", "waybilld")
}

// newReport begins a report with what has to be known about the run.
func newReport(root string, o options) *report {
	return &report{
		at: time.Now(), commit: commitOf(root), load: loadAverage(), cpus: runtime.NumCPU(),
		platform: runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH, options: o, samples: map[string][]float64{},
	}
}

// commitOf returns the commit of the work tree, with "-dirty" when it has
// changes, or "unknown".
func commitOf(root string) string {
	hash, err := exec.Command("git", "-C", root, "rev-parse", "--short=12", "HEAD").Output()
	if err != nil {
		return "unknown"
	}
	commit := strings.TrimSpace(string(hash))
	if changes, err := exec.Command("git", "-C", root, "status", "--porcelain", "--untracked-files=no").Output(); err == nil && len(changes) > 0 {
		commit += "-dirty"
	}
	return commit
}

// loadAverage returns the averages of 1, 5 and 15 minutes, or "unknown".
func loadAverage() string {
	raw, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	fields := strings.Fields(string(raw))
	return strings.Join(fields[:min(3, len(fields))], " ")
}
