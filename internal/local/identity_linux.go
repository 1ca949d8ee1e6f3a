package local

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
)

// birth returns the boot's id and the process's start time in clock ticks
// since (field 22 of /proc/PID/stat, man proc_pid_stat), and "" for a process
// that is gone or dead.
func birth(pid int) (string, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("look at process %d: %w", pid, err)
	}
	// The second field is the program's name in parentheses, which may contain
	// spaces and parentheses itself.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 20 {
		return "", fmt.Errorf("look at process %d: /proc/%d/stat is cut short", pid, pid)
	}
	if state := fields[0]; state == "X" || state == "Z" && !hasThreads(pid) {
		return "", nil
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("look at process %d: %w", pid, err)
	}
	return strings.TrimSpace(string(boot)) + "/" + fields[19], nil
}

// hasThreads reports whether a process whose first thread is dead has others,
// which still hold its files and ports.
func hasThreads(pid int) bool {
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	return err == nil && len(tasks) > 1
}

// childAttributes put a child into a process group of its own, so that Ctrl-C
// reaches the supervisor only, and let the kernel end it when the thread that
// started it ends (man PR_SET_PDEATHSIG).
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
