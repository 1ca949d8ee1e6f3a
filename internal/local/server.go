package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// firstDelay and maxDelay bound the wait before the server is started
	// again; it doubles each time.
	firstDelay = 250 * time.Millisecond
	maxDelay   = 15 * time.Second
	// calm is how long it has to run for the delay to start at firstDelay again.
	calm = 30 * time.Second
	// serverPatience is how long it may take to end after SIGTERM.
	serverPatience = 20 * time.Second
	// maxLogBytes is where a log is set aside at a start.
	maxLogBytes = 8 << 20
	// endsBeforeReady is how often it may end before it was ever ready.
	endsBeforeReady = 3
)

// server keeps waybilld running: when it ends, it is started again.
type server struct {
	binary string
	args   []string
	dir    dir
	say    func(format string, args ...any)

	stop  chan struct{} // closed: do not start again
	done  chan struct{} // closed when it is gone for good
	ended chan error    // told each end, while somebody listens

	mu      sync.Mutex
	process *os.Process
}

// startServer starts waybilld for the first time; it runs until close.
func startServer(binary string, args []string, d dir, say func(string, ...any)) (*server, error) {
	s := &server{binary: binary, args: args, dir: d, say: say,
		stop: make(chan struct{}), done: make(chan struct{}), ended: make(chan error)}
	log, err := openLog(d.log("waybilld"))
	if err != nil {
		return nil, err
	}
	started := make(chan error)
	go func() {
		// The kernel ends the child when this thread ends: it lasts as long as
		// the goroutine, which outlives the child.
		runtime.LockOSThread()
		defer close(s.done)
		defer func() { _ = log.Close() }()
		s.keep(log, started)
	}()
	if err := <-started; err != nil {
		<-s.done
		return nil, err
	}
	return s, nil
}

func (s *server) keep(log *os.File, started chan<- error) {
	cmd, err := s.run(log)
	started <- err
	if err != nil {
		return
	}
	for delay := firstDelay; ; {
		since := time.Now()
		err := s.wait(cmd)
		if s.isStopping() {
			return
		}
		select {
		case s.ended <- err:
		default:
		}
		if time.Since(since) > calm {
			delay = firstDelay
		}
		for cmd = nil; cmd == nil; delay = min(2*delay, maxDelay) {
			s.say("waybilld ended (%v); starting it again in %s; its log is %s", err, delay, s.dir.log("waybilld"))
			select {
			case <-s.stop:
				return
			case <-time.After(delay):
			}
			cmd, err = s.run(log)
		}
	}
}

func (s *server) run(log *os.File) (*exec.Cmd, error) {
	cmd := exec.Command(s.binary, s.args...) //nolint:gosec // The binary beside our own.
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = childAttributes()
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start waybilld: %w", err)
	}
	id, err := identify(cmd.Process.Pid)
	if err == nil {
		err = writeJSON(s.dir.serverRecord(), id)
	}
	if err != nil {
		return nil, errors.Join(err, cmd.Process.Kill(), cmd.Wait())
	}
	s.mu.Lock()
	s.process = cmd.Process
	s.mu.Unlock()
	if s.isStopping() {
		s.signal(syscall.SIGTERM)
	}
	return cmd, nil
}

func (s *server) wait(cmd *exec.Cmd) error {
	err := cmd.Wait()
	if err == nil {
		err = errors.New("exit status 0")
	}
	s.mu.Lock()
	s.process = nil
	s.mu.Unlock()
	// A record that stays is harmless: its process is not alive.
	_ = removeFile(s.dir.serverRecord())
	return err
}

func (s *server) isStopping() bool {
	select {
	case <-s.stop:
		return true
	default:
		return false
	}
}

func (s *server) signal(sig os.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != nil {
		_ = s.process.Signal(sig) // an error means that it is gone
	}
}

// close ends the server and returns when it is gone: SIGTERM, then SIGKILL
// after serverPatience or when ctx ends.
func (s *server) close(ctx context.Context) {
	close(s.stop)
	s.signal(syscall.SIGTERM)
	patience := time.NewTimer(serverPatience)
	defer patience.Stop()
	select {
	case <-s.done:
		return
	case <-patience.C:
	case <-ctx.Done():
	}
	s.say("waybilld has not ended after SIGTERM; killing it")
	s.signal(os.Kill)
	<-s.done
}

// openLog opens a log for appending; one that has grown large is set aside as
// .old first.
func openLog(path string) (*os.File, error) {
	if info, err := os.Stat(path); err == nil && info.Size() > maxLogBytes {
		if err := os.Rename(path, path+".old"); err != nil {
			return nil, fmt.Errorf("set log aside: %w", err)
		}
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	return f, nil
}

// logTail returns the last lines of a log, for an error message.
func logTail(path string) string {
	const tailBytes, tailLines = 4 << 10, 12
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }()
	if info, err := f.Stat(); err == nil && info.Size() > tailBytes {
		if _, err := f.Seek(-tailBytes, io.SeekEnd); err != nil {
			return ""
		}
	}
	data, err := io.ReadAll(io.LimitReader(f, tailBytes))
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	return strings.Join(lines[max(0, len(lines)-tailLines):], "\n")
}
