package localkube

import (
	"errors"
	"os"
	"strings"
	"sync"
)

const (
	// maxLogBytes is where a log file is set aside as .old and a new one begun.
	maxLogBytes = 8 << 20
	// tailBytes is how much of the end is kept in memory for error messages.
	tailBytes = 4 << 10
	// tailLines is how many lines of it a message shows.
	tailLines = 12
)

// logFile is a bounded log: at most two files of maxLogBytes. It never refuses a line: a full disk must not end the
// process that writes.
type logFile struct {
	path string

	mu   sync.Mutex
	file *os.File // nil when the file could not be opened
	size int64
	last []byte // the last tailBytes
}

// openLog begins a new log at path; an earlier one is kept as path.old.
func openLog(path string) (*logFile, error) {
	l := &logFile{path: path}
	return l, l.begin()
}

// begin sets the present file aside and opens a new one. The caller holds mu, or is the only user.
func (l *logFile) begin() error {
	if l.file != nil {
		_ = l.file.Close()
		l.file = nil
	}
	if err := os.Rename(l.path, l.path+".old"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(l.path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	l.file, l.size = f, 0
	return nil
}

func (l *logFile) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = append(l.last, p[max(0, len(p)-tailBytes):]...)
	l.last = l.last[max(0, len(l.last)-tailBytes):]
	if l.size+int64(len(p)) > maxLogBytes {
		_ = l.begin() // without a file the lines are only kept in memory
	}
	if l.file != nil {
		n, _ := l.file.Write(p)
		l.size += int64(n)
	}
	return len(p), nil
}

// tail returns the last lines, without a trailing line break.
func (l *logFile) tail() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(string(l.last)), "\n")
	return strings.Join(lines[max(0, len(lines)-tailLines):], "\n")
}

func (l *logFile) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil {
		_ = l.file.Close()
		l.file = nil
	}
}
