package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// processID names one process for ever: ids are given to new processes again,
// births are not.
type processID struct {
	PID   int    `json:"pid"`
	Birth string `json:"birth"`
}

func identify(pid int) (processID, error) {
	born, err := birth(pid)
	return processID{PID: pid, Birth: born}, err
}

// isAlive reports whether that very process still runs.
func (p processID) isAlive() (bool, error) {
	if p.PID <= 1 || p.Birth == "" {
		return false, nil
	}
	born, err := birth(p.PID)
	return born == p.Birth, err
}

// end sends SIGTERM, and SIGKILL when the process is still there after
// patience. It returns when the process is gone.
func (p processID) end(ctx context.Context, patience time.Duration) error {
	// On Linux the handle is on the process, not on its number: with the birth
	// looked at after taking it, the signals cannot meet a stranger.
	handle, err := os.FindProcess(p.PID)
	if err != nil {
		return fmt.Errorf("end process %d: %w", p.PID, err)
	}
	defer func() { _ = handle.Release() }()
	if alive, err := p.isAlive(); !alive || err != nil {
		return err
	}
	for _, step := range []struct {
		signal syscall.Signal
		wait   time.Duration
	}{{syscall.SIGTERM, patience}, {syscall.SIGKILL, killWait}} {
		if err := handle.Signal(step.signal); errors.Is(err, os.ErrProcessDone) {
			return nil
		} else if err != nil {
			return fmt.Errorf("end process %d: %w", p.PID, err)
		}
		gone, err := p.waitGone(ctx, step.wait)
		if gone || err != nil {
			return err
		}
	}
	return fmt.Errorf("end process %d: still there %s after SIGKILL", p.PID, killWait)
}

// killWait bounds the wait for the kernel after SIGKILL.
const killWait = 10 * time.Second

// waitGone polls: only a parent can be told of a process's end.
func (p processID) waitGone(ctx context.Context, patience time.Duration) (bool, error) {
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if alive, err := p.isAlive(); !alive || err != nil {
			return err == nil, err
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-deadline.C:
			return false, nil
		case <-tick.C:
		}
	}
}

// readIdentity reads a record; a missing one is the zero processID, which is
// not alive.
func readIdentity(path string) (processID, error) {
	var p processID
	err := readJSON(path, &p)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return p, err
}
