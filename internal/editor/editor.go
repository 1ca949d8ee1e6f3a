// Package editor lets a person change a file in the editor of their choice.
package editor

import (
	"fmt"
	"io"
	"os/exec"
)

// Default is the editor of those who chose none.
const Default = "vi"

// Open runs an editor on a file, with the person's streams, and returns when it has
// ended. command is a line for sh, as git takes it of $EDITOR: it may have arguments.
func Open(command, path string, stdin io.Reader, stdout, stderr io.Writer) error {
	cmd := exec.Command("sh", "-c", command+` "$@"`, "editor", path) //nolint:gosec,noctx // The person names the editor, and ends it.
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("the editor %q failed: %w", command, err)
	}
	return nil
}
