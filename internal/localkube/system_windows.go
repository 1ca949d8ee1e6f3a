package localkube

import (
	"errors"
	"os"
	"syscall"
)

// lockFile refuses: local mode needs Unix signals and locks. The package still compiles, so that the command line
// client does.
func lockFile(*os.File) error {
	return errors.New("local mode does not run on Windows: use WSL, or --kubeconfig with an existing cluster")
}

func childAttributes(bool) *syscall.SysProcAttr { return &syscall.SysProcAttr{} }
