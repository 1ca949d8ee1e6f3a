package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/internal/localkube"
	"github.com/waybill-dev/waybill/internal/secret"
)

// Options say what Up starts.
type Options struct {
	// DataDir holds everything the instance keeps; made if missing. Required.
	DataDir string
	// Port is the first of PortCount ports; 0 means those of the last start,
	// else DefaultPort.
	Port int
	// Demo adds Git server, registry and workloads. A directory that had the
	// demo once keeps it.
	Demo bool
	// Kubeconfig of an existing cluster; empty means an own control plane.
	Kubeconfig string
	// Binaries to start. Required.
	Binaries Binaries
	// Progress is told in a few words what is being started, and later when
	// the server ended and is started again. Required; any goroutine calls it.
	Progress func(string)
}

// RunningError says that the instance is up already.
type RunningError struct {
	// Instance that runs.
	Instance Instance
}

// Error names the data directory.
func (e *RunningError) Error() string {
	return fmt.Sprintf("data directory %q: Waybill runs there already, at %s", e.Instance.DataDir, e.Instance.Server)
}

// BusyError says that another process starts or stops the instance.
type BusyError struct {
	// DataDir of the instance.
	DataDir string
}

// Error names the data directory.
func (e *BusyError) Error() string {
	return fmt.Sprintf("data directory %q: another process is starting or stopping Waybill there", e.DataDir)
}

// supervisor is what one call of Up holds.
type supervisor struct {
	opts     Options
	dir      dir
	settings settings
	ports    ports
	password secret.Text
	record   record

	kube   *localkube.Cluster
	demo   *demo
	server *server
	log    *os.File // of what the control plane starts
}

// Up starts an instance, calls ready once it answers, and keeps it running
// until ctx ends, which is no error. Everything it started is gone when it
// returns. It returns a *RunningError when the instance is up already, a
// *PortTakenError when another program has one of the ports, a *ProcessError
// when a program did not get ready.
//
// applied is whether the demo's definitions were applied for these addresses
// before; when ready returns nil they count as applied from then on.
func Up(ctx context.Context, opts Options, ready func(ctx context.Context, i Instance, applied bool) error) (err error) {
	d, err := open(opts.DataDir)
	if err != nil {
		return err
	}
	if err := d.make(); err != nil {
		return err
	}
	lock, err := d.own(ctx)
	if err != nil {
		return err
	}
	s := &supervisor{opts: opts, dir: d}
	defer func() { err = errors.Join(err, s.stop(), d.unlock(lock)) }()
	if err := s.start(ctx); err != nil {
		return s.interrupted(ctx, err)
	}
	if err := ready(ctx, s.record.Instance, s.settings.AppliedPort == s.ports.server); err != nil {
		return s.interrupted(ctx, err)
	}
	if s.settings.Demo {
		s.settings.AppliedPort = s.ports.server
		if err := d.saveSettings(s.settings); err != nil {
			return err
		}
	}
	<-ctx.Done()
	return nil
}

// own takes the lock. It returns a *RunningError when there is an owner whose
// server answers, and a *BusyError when the owner is still there after a moment
// but its server does not: it is starting, stopping or was just killed.
func (d dir) own(ctx context.Context) (*os.File, error) {
	limit, cancel := context.WithTimeout(ctx, lockPatience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		lock, err := d.lock()
		if !errors.Is(err, errLocked) {
			return lock, err
		}
		state, i, err := Status(string(d))
		if err != nil {
			return nil, err
		}
		if state == Running && isReady(limit, i.Server+"/readyz") == nil {
			return nil, &RunningError{Instance: i}
		}
		select {
		case <-tick.C:
		case <-limit.Done():
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			return nil, &BusyError{DataDir: string(d)}
		}
	}
}

// interrupted hides what failed only because the start was interrupted.
func (s *supervisor) interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

func (s *supervisor) start(ctx context.Context) error {
	self, err := identify(os.Getpid())
	if err != nil {
		return err
	}
	// A supervisor that ended in good order leaves no record.
	before, err := s.dir.record()
	if err != nil {
		return err
	}
	wasKilled := before.Supervisor.PID != 0
	s.record = record{Supervisor: self, Instance: Instance{DataDir: string(s.dir)}}
	if err := writeJSON(s.dir.instanceFile(), s.record); err != nil {
		return err
	}
	if err := endLeftovers(ctx, s.dir); err != nil {
		return err
	}
	if err := s.choose(ctx, wasKilled); err != nil {
		return err
	}
	if s.password, err = s.dir.password(); err != nil {
		return err
	}
	if s.settings.Demo {
		s.opts.Progress("starting the Git server and the registry")
		if s.demo, err = startDemo(ctx, s.dir, s.ports, s.password, s.settings.SeededPort); err != nil {
			return err
		}
		s.settings.SeededPort = s.ports.server
		if err := s.dir.saveSettings(s.settings); err != nil {
			return err
		}
	}
	kubeconfig, err := s.cluster(ctx)
	if err != nil {
		return err
	}
	s.opts.Progress("installing Waybill's definitions and policies")
	if err := install(ctx, s.opts.Binaries.Waybilld, s.dir, kubeconfig); err != nil {
		return err
	}
	s.opts.Progress("starting waybilld")
	serverKubeconfig, err := s.serverKubeconfig(kubeconfig)
	if err != nil {
		return err
	}
	s.server, err = startServer(s.opts.Binaries.Waybilld, serverFlags(s.dir, serverKubeconfig, s.ports.server), s.dir, s.say)
	if err != nil {
		return err
	}
	if err := s.server.awaitReady(ctx, s.ports.server); err != nil {
		return err
	}
	s.record.Ready = true
	s.record.Instance = s.instance(kubeconfig)
	return writeJSON(s.dir.instanceFile(), s.record)
}

// choose settles what is started: what is asked for, else what was last. After
// a kill, ports may still be taken for a moment.
func (s *supervisor) choose(ctx context.Context, wasKilled bool) error {
	last, err := s.dir.settings()
	if err != nil {
		return err
	}
	s.settings = last
	s.settings.Demo = last.Demo || s.opts.Demo
	if s.opts.Kubeconfig != "" {
		if s.settings.Kubeconfig, err = filepath.Abs(s.opts.Kubeconfig); err != nil {
			return fmt.Errorf("kubeconfig %q: %w", s.opts.Kubeconfig, err)
		}
	}
	if s.settings.Demo && s.settings.Kubeconfig != "" {
		return errors.New("the demo's images exist on this machine only, so another cluster could not run them: leave out --demo or --kubeconfig, or use another data directory")
	}
	switch {
	case s.opts.Port != 0:
		s.settings.Port = s.opts.Port
	case s.settings.Port == 0:
		s.settings.Port = DefaultPort
	}
	s.ports = portsFrom(s.settings.Port)
	needed := map[string]int{"server": s.ports.server}
	if s.settings.Demo {
		needed["registry"], needed["git"] = s.ports.registry, s.ports.git
	}
	if s.settings.Kubeconfig == "" {
		needed["kubernetes"], needed["etcd"] = s.ports.kube, s.ports.etcd
	}
	patience := time.Duration(0)
	if wasKilled {
		patience = portPatience
	}
	if err := awaitFree(ctx, s.settings.Port, needed, patience); err != nil {
		return err
	}
	return s.dir.saveSettings(s.settings)
}

// cluster returns the kubeconfig of the cluster, which is started if it is the
// own one.
func (s *supervisor) cluster(ctx context.Context) (string, error) {
	if s.settings.Kubeconfig != "" {
		if _, err := os.Stat(s.settings.Kubeconfig); err != nil {
			return "", fmt.Errorf("kubeconfig: %w", err)
		}
		return s.settings.Kubeconfig, nil
	}
	var err error
	if s.log, err = openLog(s.dir.log("kubernetes")); err != nil {
		return "", err
	}
	s.kube, err = localkube.Start(ctx, localkube.Options{
		Binary: s.opts.Binaries.Kube, DataDir: s.dir.path("kube"),
		Housekeeping: true, Workloads: s.settings.Demo, Fsync: true,
		Ports: localkube.Ports{API: s.ports.kube, Etcd: s.ports.etcd},
		Log:   s.log, Progress: s.opts.Progress,
	})
	if err != nil {
		return "", err
	}
	return s.kube.Kubeconfig(), nil
}

// serverKubeconfig is who the server is: in the own cluster its service account
// with no more rights than it has anywhere, in another cluster whoever the given
// kubeconfig says.
func (s *supervisor) serverKubeconfig(kubeconfig string) (string, error) {
	if s.kube == nil {
		return kubeconfig, nil
	}
	return s.kube.ClientKubeconfig("system:serviceaccount:"+SystemNamespace+":"+serviceAccount,
		[]string{"system:serviceaccounts", "system:serviceaccounts:" + SystemNamespace})
}

func (s *supervisor) instance(kubeconfig string) Instance {
	i := Instance{
		Server: "http://" + address(s.ports.server), Kubeconfig: kubeconfig,
		User: User, Password: s.password.Reveal(), DataDir: string(s.dir),
	}
	if s.demo != nil {
		i.GitURL, i.Registry = s.demo.gitURL(), s.demo.registry.Host()
	}
	return i
}

func (s *supervisor) say(format string, args ...any) {
	s.opts.Progress(fmt.Sprintf(format, args...))
}

// stopTimeout bounds the end of everything; what is left then is killed.
const stopTimeout = 60 * time.Second

// stop ends everything, in the opposite order of the start.
func (s *supervisor) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	var failed []error
	if s.server != nil {
		s.opts.Progress("stopping waybilld")
		s.server.close(ctx)
	}
	if s.demo != nil {
		closing, cancel := context.WithTimeout(ctx, 5*time.Second)
		failed = append(failed, ignoreDeadline(s.demo.close(closing)))
		cancel()
	}
	if s.kube != nil {
		s.opts.Progress("stopping Kubernetes")
		failed = append(failed, s.kube.Stop(ctx))
	}
	if s.log != nil {
		failed = append(failed, s.log.Close())
	}
	failed = append(failed, removeFile(s.dir.instanceFile()))
	return errors.Join(failed...)
}

// ignoreDeadline drops the error of connections that had to be cut.
func ignoreDeadline(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}

// endLeftovers ends what a supervisor that was killed left running. The caller
// holds the lock.
func endLeftovers(ctx context.Context, d dir) error {
	id, err := readIdentity(d.serverRecord())
	if err != nil {
		return err
	}
	if err := id.end(ctx, serverPatience); err != nil {
		return fmt.Errorf("end the server that an earlier start left running: %w", err)
	}
	if err := removeFile(d.serverRecord()); err != nil {
		return err
	}
	return localkube.CleanUp(d.path("kube"))
}

// DefaultDataDir is waybill in the user's directory for data
// ($XDG_DATA_HOME, else ~/.local/share).
func DefaultDataDir(getenv func(string) string, home func() (string, error)) (string, error) {
	if base := getenv("XDG_DATA_HOME"); strings.HasPrefix(base, "/") {
		return filepath.Join(base, "waybill"), nil
	}
	h, err := home()
	if err != nil {
		return "", fmt.Errorf("find the home directory: %w", err)
	}
	return filepath.Join(h, ".local", "share", "waybill"), nil
}
