//go:build !linux

package localkube

import (
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
)

// birth returns a text that is the same for a process's whole life and tells it from an earlier or later one with
// its id: the start time as ps prints it, to the second. It returns "" for a process that is gone.
func birth(pid int) (string, error) {
	out, err := exec.Command("ps", "-o", "stat=,lstart=", "-p", strconv.Itoa(pid)).Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) && len(strings.TrimSpace(string(out))) == 0 {
		return "", nil // ps found no such process
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
