package localkube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// record is what is written down about a running process, so that a later owner can find and end it.
type record struct {
	Name  string `json:"name"`
	PID   int    `json:"pid"`
	Birth string `json:"birth"` // tells the process from a later one with its id
}

func recordFile(dataDir, name string) string {
	return filepath.Join(dataDir, "run", name+".json")
}

// writeRecord notes that the process pid runs as name.
func writeRecord(dataDir, name string, pid int) error {
	born, err := birth(pid)
	if err != nil {
		return err
	}
	data, err := json.Marshal(record{Name: name, PID: pid, Birth: born})
	if err != nil {
		return fmt.Errorf("record of %s: %w", name, err)
	}
	return writeFile(recordFile(dataDir, name), append(data, '\n'), 0o600)
}

// readRecords returns what was written down and not removed, in stopOrder.
func readRecords(dataDir string) ([]record, error) {
	var all []record
	for _, name := range stopOrder() {
		data, err := os.ReadFile(recordFile(dataDir, name))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		var r record
		if json.Unmarshal(data, &r) != nil {
			r = record{} // cut short by a power failure, which the process did not survive either
		}
		r.Name = name
		all = append(all, r)
	}
	return all, nil
}

// alive reports whether the process of the record still runs. A process id that was given to another process since
// is not alive.
func (r record) alive() (bool, error) {
	if r.PID <= 1 || r.Birth == "" {
		return false, nil
	}
	born, err := birth(r.PID)
	return born == r.Birth, err
}

// end sends SIGTERM and, when the process is still there after patience, SIGKILL. It returns when the process is gone.
func (r record) end(ctx context.Context, patience time.Duration) error {
	// On Linux this is a handle on the process, not on its number: looking at the birth after taking the handle
	// makes sure that the signals meet the process of the record.
	handle, err := os.FindProcess(r.PID)
	if err != nil {
		return fmt.Errorf("end %s: %w", r.Name, err)
	}
	defer handle.Release() //nolint:errcheck // nothing to do about a handle that cannot be released
	if alive, err := r.alive(); !alive || err != nil {
		return err
	}
	for _, step := range []struct {
		signal os.Signal
		ctx    context.Context
		wait   time.Duration
	}{{syscall.SIGTERM, ctx, patience}, {syscall.SIGKILL, context.WithoutCancel(ctx), killWait}} {
		if err := handle.Signal(step.signal); errors.Is(err, os.ErrProcessDone) {
			return nil
		} else if err != nil {
			return fmt.Errorf("end %s (process %d): %w", r.Name, r.PID, err)
		}
		if gone, err := r.waitGone(step.ctx, step.wait); gone || err != nil {
			return err
		}
	}
	return fmt.Errorf("end %s: process %d is still there %s after SIGKILL", r.Name, r.PID, killWait)
}

// waitGone polls, because one can wait only for a child and this process's parent is gone.
func (r record) waitGone(ctx context.Context, patience time.Duration) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if alive, err := r.alive(); !alive || err != nil {
			return err == nil, err
		}
		select {
		case <-ctx.Done():
			return false, nil
		case <-tick.C:
		}
	}
}

const (
	// leftoverPatience is how long a process without owner may take to end by itself. Only etcd has anything to
	// write, and what it acknowledged is on disk already.
	leftoverPatience = 3 * time.Second
	// killWait bounds the wait for the kernel after SIGKILL.
	killWait = 10 * time.Second
)

// CleanUp ends what an owner that is gone left behind in dataDir: processes (each only if it is still the process
// that was started then) and records. Objects, certificates and ports stay.
//
// It returns ErrInUse when an owner is alive: end that one instead. A directory that does not exist is clean.
func CleanUp(dataDir string) error {
	if _, err := os.Stat(dataDir); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	lock, err := lockDataDir(dataDir)
	if err != nil {
		return fmt.Errorf("clean up: %w", err)
	}
	err = endLeftovers(context.Background(), dataDir)
	if err != nil {
		err = fmt.Errorf("clean up %q: %w", dataDir, err)
	}
	return errors.Join(err, lock.release())
}

// endLeftovers is CleanUp for the one who holds the lock.
func endLeftovers(ctx context.Context, dataDir string) error {
	records, err := readRecords(dataDir)
	if err != nil {
		return err
	}
	var failed []error
	for _, r := range records {
		if err := r.end(ctx, leftoverPatience); err != nil {
			failed = append(failed, err)
			continue
		}
		if err := os.Remove(recordFile(dataDir, r.Name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}

// stopOrder is the order in which the processes end: those that write through the API server first, etcd last.
func stopOrder() []string {
	return strings.Fields("kwok kube-scheduler kube-controller-manager kube-apiserver etcd")
}
