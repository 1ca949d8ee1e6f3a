//go:build !unix

package local

import (
	"context"
	"errors"
	"os"
	"syscall"
)

var (
	errLocked      = errors.New("locked")
	errUnsupported = errors.New("local mode needs Linux or macOS (on Windows: use WSL)")
)

func birth(int) (string, error) { return "", errUnsupported }

func (d dir) lock() (*os.File, error) { return nil, errUnsupported }

func (d dir) lockSoon(context.Context) (*os.File, error) { return nil, errUnsupported }

func (d dir) unlock(*os.File) error { return errUnsupported }

func closeOnExec(uintptr) {}

func childAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{} }

func detached() *syscall.SysProcAttr { return &syscall.SysProcAttr{} }
