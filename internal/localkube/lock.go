package localkube

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// ErrInUse says that a data directory belongs to a process that is alive.
var ErrInUse = errors.New("in use")

// errLocked is what lockFile returns when another process holds the lock.
var errLocked = errors.New("locked")

const lockName = "lock"

// dataLock is the ownership of a data directory.
type dataLock struct{ file *os.File }

// lockDataDir makes this process the owner of a data directory until release, or until the process ends, however it
// ends. It returns ErrInUse, with the owner's process id in the text, when there is an owner.
func lockDataDir(dir string) (*dataLock, error) {
	path := filepath.Join(dir, lockName)
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, fmt.Errorf("lock data directory: %w", err)
		}
		err = lockFile(f)
		if errors.Is(err, errLocked) {
			return nil, errors.Join(fmt.Errorf("data directory %q: %w by process %d", dir, ErrInUse, readOwner(path)), f.Close())
		}
		if err == nil {
			err = f.Truncate(0)
		}
		if err == nil {
			_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("lock data directory %q: %w", dir, err), f.Close())
		}
		// release removes the file: what was locked here may be no longer what others will find.
		if isFileAt(f, path) {
			return &dataLock{file: f}, nil
		}
		if err := f.Close(); err != nil {
			return nil, fmt.Errorf("lock data directory %q: %w", dir, err)
		}
	}
}

// release ends the ownership and leaves no file; the data directory may be gone already.
func (l *dataLock) release() error {
	err := os.Remove(l.file.Name())
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, l.file.Close())
}

func isFileAt(f *os.File, path string) bool {
	opened, err := f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(path)
	return err == nil && os.SameFile(opened, there)
}

// Owner returns the id of the process that owns a data directory now, and 0 when none does.
func Owner(dataDir string) (int, error) {
	path := filepath.Join(dataDir, lockName)
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("owner of data directory: %w", err)
	}
	err = lockFile(f)
	if errors.Is(err, errLocked) {
		return readOwner(path), f.Close()
	}
	return 0, errors.Join(err, f.Close())
}

func readOwner(path string) int {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		return 0
	}
	return pid
}
