package localkube

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// ProcessError says which process ended, or never got ready, and what it last wrote.
type ProcessError struct {
	Process string // its name, such as kube-apiserver
	Err     error
	LogFile string
	LogTail string // the last lines of the log; empty when it wrote nothing
}

func (e *ProcessError) Error() string {
	if e.LogTail == "" {
		return fmt.Sprintf("%s: %v", e.Process, e.Err)
	}
	return fmt.Sprintf("%s: %v; its log %s ends with:\n%s", e.Process, e.Err, e.LogFile, e.LogTail)
}

func (e *ProcessError) Unwrap() error { return e.Err }

// spawner starts processes from one operating system thread that lives until close. Linux ends a child when the
// thread that started it ends, not the process (man PR_SET_PDEATHSIG), and Go's threads come and go.
type spawner struct {
	work chan func()
}

func newSpawner() *spawner {
	s := &spawner{work: make(chan func())}
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		for f := range s.work {
			f()
		}
	}()
	return s
}

func (s *spawner) start(cmd *exec.Cmd) error {
	result := make(chan error)
	s.work <- func() { result <- cmd.Start() }
	return <-result
}

// close ends the thread, and with it every process that was started here and still runs.
func (s *spawner) close() { close(s.work) }

// process is one program that is kept running: when it ends by itself, it is started again.
type process struct {
	name     string
	binary   string
	args     []string // without the program's name
	env      []string
	dataDir  string
	orphan   bool // see Options.surviveOwner
	spawner  *spawner
	log      *logFile
	announce func(format string, args ...any)

	stopping chan struct{} // closed by stop: do not start again
	done     chan struct{} // closed when the process is gone for good
	stopOnce sync.Once

	mu      sync.Mutex
	settled bool        // the start is over: from now on an end is followed by a new start
	running *os.Process // nil between two runs
	err     error       // why the process ended before it was settled
}

// begin starts the process for the first time and keeps it running until stop.
func (p *process) begin() error {
	p.stopping, p.done = make(chan struct{}), make(chan struct{})
	cmd, err := p.run()
	if err != nil {
		close(p.done)
		return &ProcessError{Process: p.name, Err: err, LogFile: p.log.path}
	}
	go p.keep(cmd)
	return nil
}

// run starts the program once and writes its record.
func (p *process) run() (*exec.Cmd, error) {
	cmd := exec.Command(p.binary)
	cmd.Args = append([]string{"waybill-kube", p.name}, p.args...)
	cmd.Env, cmd.Dir = p.env, p.dataDir
	cmd.Stdout, cmd.Stderr = p.log, p.log
	cmd.SysProcAttr = childAttributes(p.orphan)
	cmd.WaitDelay = time.Second
	if err := p.spawner.start(cmd); err != nil {
		return nil, fmt.Errorf("start: %w", err)
	}
	if err := writeRecord(p.dataDir, p.name, cmd.Process.Pid); err != nil {
		return nil, errors.Join(err, cmd.Process.Kill(), cmd.Wait())
	}
	p.mu.Lock()
	p.running = cmd.Process
	p.mu.Unlock()
	select {
	case <-p.stopping: // stop may have come too early to find it running
		_ = cmd.Process.Kill()
	default:
	}
	p.announce("%s runs as process %d", p.name, cmd.Process.Pid)
	return cmd, nil
}

const (
	// firstDelay and maxDelay bound the wait before a process that ended is started again; it doubles each time.
	firstDelay = 250 * time.Millisecond
	maxDelay   = 30 * time.Second
	// calm is how long a process has to run for the delay to start again at firstDelay.
	calm = time.Minute
)

// keep waits for the process to end and starts it again, until stop, or until it ends before it was settled.
func (p *process) keep(cmd *exec.Cmd) {
	defer close(p.done)
	delay := firstDelay
	for {
		started := time.Now() //nolint:forbidigo // measures a run time, decides nothing about data
		err := p.wait(cmd)
		select {
		case <-p.stopping:
			return
		default:
		}
		if !p.isSettled() {
			p.mu.Lock()
			p.err = err
			p.mu.Unlock()
			return
		}
		if time.Since(started) > calm { //nolint:forbidigo // as above
			delay = firstDelay
		}
		for cmd = nil; cmd == nil; {
			p.announce("%s ended (%v); starting it again in %s", p.name, err, delay)
			select {
			case <-p.stopping:
				return
			case <-time.After(delay):
			}
			delay = min(2*delay, maxDelay)
			cmd, err = p.run()
		}
	}
}

// wait waits for one run and removes its record.
func (p *process) wait(cmd *exec.Cmd) error {
	err := cmd.Wait()
	if err == nil {
		err = errors.New("ended with exit status 0")
	}
	p.mu.Lock()
	p.running = nil
	p.mu.Unlock()
	// A record that stays is harmless: its process is not alive.
	_ = os.Remove(recordFile(p.dataDir, p.name))
	return err
}

func (p *process) isSettled() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.settled
}

func (p *process) settle() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.settled = true
}

// failure is the error of a process that ended, or did not get ready, while it was waited for.
func (p *process) failure(err error) error {
	p.mu.Lock()
	if p.err != nil {
		err = p.err
	}
	p.mu.Unlock()
	return &ProcessError{Process: p.name, Err: err, LogFile: p.log.path, LogTail: p.log.tail()}
}

// pid returns 0 while the process does not run.
func (p *process) pid() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running == nil {
		return 0
	}
	return p.running.Pid
}

func (p *process) signal(s os.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running != nil {
		_ = p.running.Signal(s) // an error means that it is gone, which wait sees
	}
}

// stop ends the process: SIGTERM, then SIGKILL after patience or when ctx ends. It returns when the process is gone.
func (p *process) stop(ctx context.Context, patience time.Duration) error {
	p.stopOnce.Do(func() { close(p.stopping) })
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if patience > 0 {
		p.signal(syscall.SIGTERM)
		select {
		case <-p.done:
			p.log.close()
			return nil
		case <-ctx.Done():
			p.announce("%s has not ended after SIGTERM; killing it", p.name)
		}
	}
	p.signal(os.Kill)
	kill := time.NewTimer(killWait)
	defer kill.Stop()
	select {
	case <-p.done:
		p.log.close()
		return nil
	case <-kill.C:
		return fmt.Errorf("stop %s: process %d is still there %s after SIGKILL", p.name, p.pid(), killWait)
	}
}
