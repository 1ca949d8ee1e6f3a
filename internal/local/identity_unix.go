//go:build unix && !linux

package local

import (
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// birth returns the start time as ps prints it, to the second, and "" for a
// process that is gone or dead.
func birth(pid int) (string, error) {
	out, err := exec.Command("ps", "-o", "stat=,lstart=", "-p", strconv.Itoa(pid)).Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) && strings.TrimSpace(string(out)) == "" {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("look at process %d: %w", pid, err)
	}
	state, start, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	if strings.HasPrefix(state, "Z") {
		return "", nil
	}
	return strings.TrimSpace(start), nil
}

// childAttributes put a child into a process group of its own, so that Ctrl-C
// reaches the supervisor only.
func childAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
