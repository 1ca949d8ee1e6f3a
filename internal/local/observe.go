package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

// stopGrace is how long a program has to end after it was asked to.
const stopGrace = 10 * time.Second

// Observe runs `waybilld observe` with args and returns its exit code. It is asked
// to end when ctx does. The error is for a program that cannot be started.
func Observe(ctx context.Context, b Binaries, args []string, stdout, stderr io.Writer) (code int, err error) {
	cmd := exec.CommandContext(ctx, b.Waybilld, append([]string{"observe"}, args...)...) //nolint:gosec // The binary beside our own.
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = stopGrace
	err = cmd.Run()
	var ended *exec.ExitError
	switch {
	case err == nil:
		return 0, nil
	case errors.As(err, &ended) && ended.ExitCode() >= 0:
		return ended.ExitCode(), nil
	default:
		return 0, fmt.Errorf("run waybilld observe: %w", err)
	}
}
