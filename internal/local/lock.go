//go:build unix

package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// errLocked says that another process holds the lock.
var errLocked = errors.New("locked")

// lock makes this process the owner of the data directory until unlock, or
// until the process ends, however it ends. Children do not inherit it: Go opens
// files close-on-exec. It returns errLocked when there is an owner.
func (d dir) lock() (*os.File, error) {
	for {
		f, err := os.OpenFile(d.lockFile(), os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, fmt.Errorf("lock data directory: %w", err)
		}
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errors.Join(errLocked, f.Close())
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("lock data directory %q: %w", string(d), err), f.Close())
		}
		// The owner before may have removed the file between our opening and
		// locking it: then this lock keeps nobody out.
		held, err := f.Stat()
		if err != nil {
			return nil, errors.Join(fmt.Errorf("lock data directory %q: %w", string(d), err), f.Close())
		}
		if now, err := os.Stat(d.lockFile()); err == nil && os.SameFile(held, now) {
			return f, nil
		}
		if err := f.Close(); err != nil {
			return nil, fmt.Errorf("lock data directory %q: %w", string(d), err)
		}
	}
}

// lockSoon is lock, but gives an owner that is about to be gone a moment: the
// kernel gives a lock back only when the last thread of a killed process is gone,
// a little after the process stopped being one.
func (d dir) lockSoon(ctx context.Context) (*os.File, error) {
	ctx, cancel := context.WithTimeout(ctx, lockPatience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		f, err := d.lock()
		if !errors.Is(err, errLocked) {
			return f, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, err
		}
	}
}

// lockPatience is how long lockSoon waits.
const lockPatience = 5 * time.Second

// unlock removes the lock, while it is held, and gives it back.
func (d dir) unlock(f *os.File) error { return errors.Join(removeFile(d.lockFile()), f.Close()) }

// detached puts a process into a session of its own: it goes on when the
// terminal is closed.
func detached() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// closeOnExec keeps a descriptor that this process was given from its children.
func closeOnExec(fd uintptr) { syscall.CloseOnExec(int(fd)) }
