package helm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"time"
)

// ErrChart is wrapped by errors that the chart or its values cause.
var ErrChart = errors.New("helm")

// ErrWorker is wrapped when a worker ended without an answer: the chart needs more
// memory than a worker may have, or does something that is refused.
var ErrWorker = errors.New("the render worker ended")

// ErrTimeout is wrapped when a chart took too long.
var ErrTimeout = errors.New("rendering took too long")

// rendersPerWorker is after how many renders a worker is replaced.
const rendersPerWorker = 1000

// Pool keeps workers, at most one per processor, started when they are first
// needed. It is safe for concurrent use.
type Pool struct {
	executable string
	arguments  []string
	slots      chan struct{}

	mu     sync.Mutex
	idle   []*worker
	closed bool
}

type worker struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	out     io.ReadCloser
	stderr  *tail
	renders int
}

// NewPool returns a pool whose workers are executable, started with arguments.
// That program calls Serve.
func NewPool(executable string, arguments ...string) *Pool {
	return &Pool{executable: executable, arguments: arguments, slots: make(chan struct{}, runtime.GOMAXPROCS(0))}
}

// Render renders one chart within timeout, without the wait for a free worker.
// Errors are ErrChart, ErrWorker, ErrTimeout, that of ctx, or of starting a
// worker.
func (p *Pool) Render(ctx context.Context, r *Request, timeout time.Duration) ([]Manifest, error) {
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	w, err := p.take()
	if err != nil {
		return nil, err
	}
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	type result struct {
		answer response
		err    error
	}
	done := make(chan result, 1)
	go func() {
		var r2 result
		if r2.err = send(w.in, r); r2.err == nil {
			r2.err = receive(w.out, &r2.answer)
		}
		done <- r2
	}()
	select {
	case <-ctx.Done():
		w.end()
		<-done
		return nil, ctx.Err()
	case <-timer.C:
		w.end()
		<-done
		return nil, fmt.Errorf("%w: more than %s", ErrTimeout, timeout)
	case got := <-done:
		if got.err != nil {
			w.end()
			return nil, fmt.Errorf("%w: the chart needs more than %d MiB of memory, or something that templates may not do%s",
				ErrWorker, memoryMiB, w.stderr.hint())
		}
		p.give(w)
		if got.answer.Error != "" {
			return nil, fmt.Errorf("%w: %s", ErrChart, got.answer.Error)
		}
		return got.answer.Manifests, nil
	}
}

// memoryMiB is what a worker may have, for people.
const memoryMiB = 512

// take returns an idle worker, or a new one.
func (p *Pool) take() (*worker, error) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil, errors.New("helm: the pool is closed")
	}
	if n := len(p.idle); n > 0 {
		w := p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		return w, nil
	}
	p.mu.Unlock()
	w := &worker{stderr: &tail{}}
	w.cmd = exec.Command(p.executable, p.arguments...) //nolint:gosec,noctx // ourselves; kept beyond one request
	w.cmd.Env = []string{}
	w.cmd.Dir = "/"
	w.cmd.Stderr = w.stderr
	var err error
	if w.in, err = w.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("start a render worker: %w", err)
	}
	if w.out, err = w.cmd.StdoutPipe(); err != nil {
		return nil, fmt.Errorf("start a render worker: %w", err)
	}
	if err := w.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start a render worker: %w", err)
	}
	return w, nil
}

// give takes a worker back.
func (p *Pool) give(w *worker) {
	w.renders++
	p.mu.Lock()
	if !p.closed && w.renders < rendersPerWorker {
		p.idle = append(p.idle, w)
		p.mu.Unlock()
		return
	}
	p.mu.Unlock()
	w.end()
}

// Close ends the idle workers; busy ones end with their request.
func (p *Pool) Close() {
	p.mu.Lock()
	idle := p.idle
	p.idle, p.closed = nil, true
	p.mu.Unlock()
	for _, w := range idle {
		w.end()
	}
}

// end kills the process and waits for it.
func (w *worker) end() {
	_ = w.in.Close()
	_ = w.cmd.Process.Kill()
	_ = w.cmd.Wait()
}

// tail keeps the beginning of what a worker says before it dies: the runtime's
// first line names the reason. The rest, which may hold values, is dropped.
type tail struct {
	mu   sync.Mutex
	text strings.Builder
}

const maxTail = 256

// Write is part of io.Writer.
func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if room := maxTail - t.text.Len(); room > 0 {
		t.text.Write(b[:min(room, len(b))])
	}
	return len(b), nil
}

// hint is what the runtime says of its own end, if it is one of its fixed texts.
func (t *tail) hint() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, known := range []string{"out of memory", "cannot allocate memory", "stack overflow", "stack exceeds", "confine the render worker"} {
		if strings.Contains(t.text.String(), known) {
			return " (" + known + ")"
		}
	}
	return ""
}
