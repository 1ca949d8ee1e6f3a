package local

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
)

// reportFD is where a detached supervisor finds the pipe to who started it.
const reportFD = 3

// Report is one line that a detached supervisor tells who started it.
type Report struct {
	// Progress in a few words.
	Progress string `json:"progress,omitempty"`
	// Ready is the instance, once, when it answers.
	Ready *Instance `json:"ready,omitempty"`
	// Failure is why it did not get ready.
	Failure *Failure `json:"failure,omitempty"`
}

// Failure is an error with what a person needs; Code is the exit code.
type Failure struct {
	Code int      `json:"code"`
	What string   `json:"what"`
	Why  []string `json:"why,omitempty"`
	Next []string `json:"next,omitempty"`
}

// Reporter is the supervisor's end of the pipe. Its methods may be called from
// any goroutine; after Close, and when nobody listens any more, they do nothing.
type Reporter struct {
	mu   sync.Mutex
	pipe *os.File
}

// NewReporter takes the pipe that Detach gave this process.
func NewReporter() *Reporter {
	closeOnExec(reportFD)
	return &Reporter{pipe: os.NewFile(reportFD, "report")}
}

// Send tells r to who started this process.
func (p *Reporter) Send(r Report) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pipe == nil {
		return
	}
	// Who started us may be gone: that is no reason to stop.
	_ = json.NewEncoder(p.pipe).Encode(r)
}

// Close says that there is nothing more to tell.
func (p *Reporter) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pipe != nil {
		_ = p.pipe.Close()
		p.pipe = nil
	}
}

// Detach starts executable with args in a session of its own, with its output
// in dataDir's supervisor log, and calls heard for every Report until it closes
// the pipe. It returns when the process is ready and goes on by itself, or has
// ended. When ctx ends first, the process is asked to end, and waited for.
func Detach(ctx context.Context, executable string, args []string, dataDir string, heard func(Report)) error {
	d, err := open(dataDir)
	if err != nil {
		return err
	}
	if err := d.make(); err != nil {
		return err
	}
	log, err := openLog(d.log("supervisor"))
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	ours, theirs, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("start supervisor: %w", err)
	}
	defer func() { _ = ours.Close() }()
	cmd := exec.Command(executable, args...) //nolint:gosec // Our own program.
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{theirs} // becomes reportFD
	cmd.SysProcAttr = detached()
	err = cmd.Start()
	if err := errors.Join(err, theirs.Close()); err != nil {
		return fmt.Errorf("start supervisor: %w", err)
	}
	stopAsking := context.AfterFunc(ctx, func() { _ = cmd.Process.Signal(syscall.SIGTERM) })
	defer stopAsking()

	isReady := false
	lines := bufio.NewScanner(ours)
	for lines.Scan() {
		var r Report
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			continue // not ours
		}
		isReady = isReady || r.Ready != nil
		heard(r)
	}
	if isReady && ctx.Err() == nil {
		return cmd.Process.Release()
	}
	err = cmd.Wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return &ProcessError{Process: "supervisor", Err: fmt.Errorf("ended before it was ready: %w", errors.Join(err, lines.Err())),
		LogFile: d.log("supervisor"), LogTail: logTail(d.log("supervisor"))}
}
