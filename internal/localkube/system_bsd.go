//go:build unix && !linux

package localkube

import "syscall"

// childAttributes starts a process in a process group of its own, so that Ctrl-C in a terminal reaches the owner
// only. These systems cannot end a child with its parent: the next Start, or CleanUp, does.
func childAttributes(bool) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
