//go:build unix

package localkube

import (
	"errors"
	"os"
	"syscall"
)

// lockFile takes an exclusive lock without waiting; the kernel gives it back when the file is closed or the
// process ends. Children do not inherit it: Go opens files close-on-exec.
func lockFile(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return errLocked
	}
	return err
}
