package main

import "syscall"

// endWithParent lets no child outlive this process.
func endWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
