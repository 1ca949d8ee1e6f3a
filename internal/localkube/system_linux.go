package localkube

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
)

// childAttributes are how a process is started: in a process group of its own, so that Ctrl-C in a terminal reaches
// the owner only, which then ends its processes in order; and killed by the kernel when the owner's thread that
// started it ends (see spawner).
func childAttributes(surviveOwner bool) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true}
	if !surviveOwner {
		attr.Pdeathsig = syscall.SIGKILL
	}
	return attr
}

// birth returns a text that is the same for a process's whole life and differs from that of every other process
// that has, had or will have its id: the id of the boot and the start time in clock ticks since (field 22 of
// /proc/PID/stat, man proc_pid_stat). It returns "" for a process that is gone, or that is dead and only waits to
// be collected by its parent.
func birth(pid int) (string, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("look at process %d: %w", pid, err)
	}
	// The second field is the program's name in parentheses, which may itself contain anything.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 20 {
		return "", fmt.Errorf("look at process %d: /proc/%d/stat has %d fields", pid, pid, len(fields)+2)
	}
	// A dead first thread is not yet a dead process: until the last one ended, ports are still taken.
	if state, threads := fields[0], fields[17]; state == "X" || state == "Z" && (threads == "0" || threads == "1") {
		return "", nil
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("look at process %d: %w", pid, err)
	}
	return strings.TrimSpace(string(boot)) + "/" + fields[19], nil
}
