package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// supervisorPatience is how long a supervisor may take to end everything.
const supervisorPatience = stopTimeout + 15*time.Second

// Down ends the instance of a data directory: its supervisor with all it runs,
// or, when the supervisor was killed, what that left behind. Nothing that the
// directory's records do not name is touched. It reports whether anything ran.
func Down(ctx context.Context, dataDir string, progress func(string)) (ran bool, err error) {
	d, err := open(dataDir)
	if err != nil {
		return false, err
	}
	if _, err := os.Stat(string(d)); errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	r, err := d.record()
	if err != nil {
		return false, err
	}
	ran, err = r.Supervisor.isAlive()
	if err != nil {
		return false, err
	}
	if ran {
		progress("stopping Waybill")
		if err := r.Supervisor.end(ctx, supervisorPatience); err != nil {
			return true, err
		}
	}
	if _, err := os.Stat(d.lockFile()); errors.Is(err, os.ErrNotExist) {
		return ran, nil // never started: nothing to clean, and nothing to make
	}
	lock, err := d.lockSoon(ctx)
	if errors.Is(err, errLocked) {
		return ran, &BusyError{DataDir: string(d)}
	}
	if err != nil {
		return ran, err
	}
	left, err := readIdentity(d.serverRecord())
	if err == nil {
		var alive bool
		alive, err = left.isAlive()
		ran = ran || alive
	}
	if err = errors.Join(err, endLeftovers(ctx, d), removeFile(d.instanceFile())); err != nil {
		err = fmt.Errorf("clean up %q: %w", string(d), err)
	}
	return ran, errors.Join(err, d.unlock(lock))
}
