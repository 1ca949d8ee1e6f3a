package localkube

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// Cluster is a running control plane. Its methods may be called from several goroutines.
type Cluster struct {
	opts    Options
	ports   Ports
	lock    *dataLock
	spawner *spawner
	ca      *authority
	admin   *api
	etcdTLS *tls.Config

	mu        sync.Mutex
	processes []*process // in the order of their start
	stopped   bool
}

// Process is one program of a cluster.
type Process struct {
	Name string
	PID  int // 0 between its end and its next start
}

// Start starts a cluster on opts.DataDir and returns when it is ready: the API server answers and, with
// Housekeeping, service accounts exist and, with Workloads, the Nodes take Pods. What an earlier owner left running
// there is ended first.
//
// ctx bounds the start only; the cluster runs until Stop, or until this process ends. On an error nothing is left
// running. ErrInUse says that the data directory has another owner; a *ProcessError which program failed, and how.
func Start(ctx context.Context, opts Options) (*Cluster, error) {
	if err := opts.complete(); err != nil {
		return nil, err
	}
	if info, err := os.Stat(opts.Binary); err != nil {
		return nil, fmt.Errorf("local Kubernetes: binary: %w", err)
	} else if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("local Kubernetes: binary %q: not a file", opts.Binary)
	}
	if err := makeDirs(opts.DataDir); err != nil {
		return nil, fmt.Errorf("local Kubernetes: %w", err)
	}
	lock, err := lockDataDir(opts.DataDir)
	if err != nil {
		return nil, fmt.Errorf("local Kubernetes: %w", err)
	}
	c, err := startLocked(ctx, opts)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start local Kubernetes: %w", err), lock.release())
	}
	c.lock = lock
	return c, nil
}

func makeDirs(dataDir string) error {
	for _, dir := range []string{"", "bin", "clients", "logs", "pki", "run"} {
		if err := os.MkdirAll(filepath.Join(dataDir, dir), 0o700); err != nil {
			return err
		}
	}
	return nil
}

// startAttempts: a port that was free when it was chosen may be taken a moment later.
const startAttempts = 3

func startLocked(ctx context.Context, opts Options) (*Cluster, error) {
	ctx, cancel := context.WithTimeout(ctx, opts.ReadyTimeout)
	defer cancel()
	if err := endLeftovers(ctx, opts.DataDir); err != nil {
		return nil, fmt.Errorf("end what an earlier start left running: %w", err)
	}
	remembered, err := rememberedPorts(opts.DataDir)
	if err != nil {
		return nil, err
	}
	for attempt := 1; ; attempt++ {
		ports, err := choosePorts(opts.Ports, remembered)
		if err != nil {
			return nil, err
		}
		c := &Cluster{opts: opts, ports: ports, spawner: newSpawner()}
		err = c.start(ctx)
		if err == nil {
			return c, nil
		}
		err = errors.Join(err, c.Kill())
		if attempt == startAttempts || !c.lostPort() {
			return nil, err
		}
		remembered = Ports{}
	}
}

// lostPort reports, after a failed start, whether somebody else listens on a port that could have been another one.
func (c *Cluster) lostPort() bool {
	return c.opts.Ports.API == 0 && isTaken(c.ports.API) || c.opts.Ports.Etcd == 0 && isTaken(c.ports.Etcd)
}

func (c *Cluster) start(ctx context.Context) error {
	if err := c.prepare(); err != nil {
		return err
	}
	c.opts.Progress("starting etcd and kube-apiserver")
	if err := c.begin("etcd", c.etcdFlags()); err != nil {
		return err
	}
	// An API server that finds nobody listening tries again only a second later.
	if err := c.await(ctx, "etcd", c.etcdListens); err != nil {
		return err
	}
	if err := c.begin("kube-apiserver", c.apiServerFlags()); err != nil {
		return err
	}
	if err := c.await(ctx, "kube-apiserver", c.apiReady); err != nil {
		return err
	}
	c.opts.Progress("kube-apiserver is ready at " + c.Server())
	if err := c.startControllers(ctx); err != nil {
		return err
	}
	for _, p := range c.running() {
		p.settle()
	}
	// One that ended just before it was settled is not started again by itself.
	for _, p := range c.running() {
		select {
		case <-p.done:
			return p.failure(errors.New("ended"))
		default:
		}
	}
	return rememberPorts(c.opts.DataDir, c.ports)
}

func (c *Cluster) startControllers(ctx context.Context) error {
	if c.opts.Workloads {
		if err := applyDemoPolicy(ctx, c.admin); err != nil {
			return err
		}
		for _, name := range nodeNames(c.opts.Nodes) {
			if err := applyNode(ctx, c.admin, name); err != nil {
				return err
			}
		}
		c.opts.Progress("starting kube-controller-manager, kube-scheduler and kwok")
		if err := c.beginAs("kube-scheduler", "system:kube-scheduler", nil, c.schedulerFlags); err != nil {
			return err
		}
		// kwok plays every Node's kubelet and every container runtime: no narrower role exists for that.
		if err := c.beginAs("kwok", "kwok", []string{"system:masters"}, c.kwokFlags); err != nil {
			return err
		}
	}
	if !c.opts.Workloads && !c.opts.Housekeeping {
		return nil
	}
	if err := c.beginAs("kube-controller-manager", "system:kube-controller-manager", nil, c.controllerManagerFlags); err != nil {
		return err
	}
	err := c.await(ctx, "kube-controller-manager", func(ctx context.Context) error {
		return c.admin.do(ctx, http.MethodGet, "/api/v1/namespaces/default/serviceaccounts/default", "", nil, nil)
	})
	if err != nil || !c.opts.Workloads {
		return err
	}
	err = c.await(ctx, "kwok", func(ctx context.Context) error {
		return nodesReady(ctx, c.admin, nodeNames(c.opts.Nodes))
	})
	if err != nil {
		return err
	}
	c.opts.Progress(fmt.Sprintf("%d nodes are ready", c.opts.Nodes))
	return nil
}

// begin starts a program; its log starts anew.
func (c *Cluster) begin(name string, flags []string) error {
	log, err := openLog(filepath.Join(c.opts.DataDir, "logs", name+".log"))
	if err != nil {
		return fmt.Errorf("log of %s: %w", name, err)
	}
	p := &process{
		name: name, binary: c.opts.Binary, args: flags, dataDir: c.opts.DataDir, orphan: c.opts.surviveOwner,
		spawner: c.spawner, log: log, announce: c.announce, env: environment(c.opts.DataDir),
	}
	if err := p.begin(); err != nil {
		log.close()
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.processes = append(c.processes, p)
	return nil
}

// beginAs starts a program that is a client of the API server as the given user.
func (c *Cluster) beginAs(name, user string, groups []string, flags func(kubeconfig string) []string) error {
	kubeconfig, err := c.issue(user, groups)
	if err != nil {
		return err
	}
	return c.begin(name, flags(kubeconfig))
}

// environment is all that the programs see of this process's environment, which may hold flags for them (ETCD_*),
// proxies, or secrets of others.
func environment(dataDir string) []string {
	return []string{
		"HOME=" + dataDir, // kwok and kubectl read files there
		"TMPDIR=" + os.TempDir(),
		"GOGC=50", // 50 MB less memory at rest than the default, at no measurable cost here
	}
}

func (c *Cluster) announce(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fmt.Fprintf(c.opts.Log, "local Kubernetes: "+format+"\n", args...) //nolint:errcheck // nobody to tell
}

func (c *Cluster) running() []*process {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]*process(nil), c.processes...)
}

// pollInterval is how often await asks.
const pollInterval = 20 * time.Millisecond

// await asks isReady until it returns nil, or a program ends, or ctx does. The error names the program that ended,
// or else the one given.
func (c *Cluster) await(ctx context.Context, name string, isReady func(context.Context) error) error {
	ask, cancel := context.WithCancel(ctx) // also ends when a program does, so that no answer is waited for then
	defer cancel()
	ended := make(chan *process, len(c.running()))
	var waited *process
	for _, p := range c.running() {
		if p.name == name {
			waited = p
		}
		go func() {
			select {
			case <-p.done:
				ended <- p
				cancel()
			case <-ask.Done():
			}
		}()
	}
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	last := errors.New("not asked yet")
	for {
		err := isReady(ask)
		if err == nil {
			return nil
		}
		if ask.Err() == nil {
			last = err
		}
		select {
		case p := <-ended:
			return p.failure(errors.New("ended"))
		case <-ctx.Done():
			return waited.failure(fmt.Errorf("not ready: %w: %w", ctx.Err(), last))
		case <-tick.C:
		}
	}
}

// etcdListens shakes hands with etcd; another program at its port has no certificate of etcd's authority.
func (c *Cluster) etcdListens(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	dialer := tls.Dialer{Config: c.etcdTLS}
	conn, err := dialer.DialContext(ctx, "tcp4", net.JoinHostPort(loopback, strconv.Itoa(c.ports.Etcd)))
	if err != nil {
		return err
	}
	return conn.Close()
}

func (c *Cluster) apiReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	_, err := c.admin.raw(ctx, http.MethodGet, "/readyz", "", nil)
	return err
}

// Server is the address of the API server: https, on 127.0.0.1.
func (c *Cluster) Server() string { return fmt.Sprintf("https://%s:%d", loopback, c.ports.API) }

// Kubeconfig is the path of the administrator's kubeconfig; its group is system:masters.
func (c *Cluster) Kubeconfig() string { return filepath.Join(c.opts.DataDir, "kubeconfig") }

// Kubectl is the path of a kubectl of the server's version.
func (c *Cluster) Kubectl() string { return filepath.Join(c.opts.DataDir, "bin", "kubectl") }

// Ports are the ports in use.
func (c *Cluster) Ports() Ports { return c.ports }

// LogDir is the directory with one log file per program.
func (c *Cluster) LogDir() string { return filepath.Join(c.opts.DataDir, "logs") }

// Processes lists the programs in the order of their start.
func (c *Cluster) Processes() []Process {
	var all []Process
	for _, p := range c.running() {
		all = append(all, Process{Name: p.name, PID: p.pid()})
	}
	return all
}

// ClientKubeconfig issues a client certificate and returns the path of a kubeconfig with it. To the API server its
// holder is that user, in those groups and system:authenticated, and may do what RBAC says. A service account is
// the user system:serviceaccount:NAMESPACE:NAME in the groups system:serviceaccounts and
// system:serviceaccounts:NAMESPACE. The same user and groups give the same path, with a new certificate.
func (c *Cluster) ClientKubeconfig(user string, groups []string) (string, error) {
	return c.issue(user, groups)
}

// How long each program may take to end after SIGTERM. The API server first answers what it was asked.
const (
	controllerPatience = 5 * time.Second
	apiServerPatience  = 30 * time.Second
	etcdPatience       = 10 * time.Second
)

// Stop ends the programs by SIGTERM, those that write through the API server first and etcd last, waits until they
// are gone, and gives the data directory free. One that takes too long, or is still there when ctx ends, is killed:
// nothing that the API server confirmed is lost. An error means that something could not be ended. Stopping twice
// does nothing.
func (c *Cluster) Stop(ctx context.Context) error {
	return c.end(ctx, controllerPatience, apiServerPatience, etcdPatience)
}

// Kill ends the programs at once, for when the data is not needed any more.
func (c *Cluster) Kill() error {
	return c.end(context.Background(), 0, 0, 0)
}

func (c *Cluster) end(ctx context.Context, controllers, apiServer, etcd time.Duration) error {
	c.mu.Lock()
	if c.stopped {
		c.mu.Unlock()
		return nil
	}
	c.stopped = true
	c.mu.Unlock()

	var group sync.WaitGroup
	var failed []error
	var failedMu sync.Mutex
	stop := func(p *process, patience time.Duration) {
		if err := p.stop(ctx, patience); err != nil {
			failedMu.Lock()
			defer failedMu.Unlock()
			failed = append(failed, err)
		}
	}
	byName := map[string]*process{}
	for _, p := range c.running() {
		byName[p.name] = p
	}
	for _, name := range stopOrder() {
		p := byName[name]
		switch {
		case p == nil:
		case name == "kube-apiserver":
			group.Wait()
			stop(p, apiServer)
		case name == "etcd":
			group.Wait()
			stop(p, etcd)
		default:
			group.Go(func() { stop(p, controllers) })
		}
	}
	group.Wait()
	if c.admin != nil {
		c.admin.close()
	}
	if len(failed) > 0 {
		return errors.Join(failed...) // whoever is still there keeps the data directory locked
	}
	c.spawner.close()
	if c.lock == nil { // a failed start: its caller has the lock
		return nil
	}
	return c.lock.release()
}
