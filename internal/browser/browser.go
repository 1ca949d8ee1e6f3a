// Package browser opens an address in the person's web browser.
package browser

import (
	"context"
	"errors"
	"net/url"
	"os/exec"
	"runtime"
	"time"
)

// startTime is how long the program that starts the browser may take.
const startTime = 5 * time.Second

// ErrNone says that there is no browser to open.
var ErrNone = errors.New("there is no web browser here")

// Open shows an http or https address in the browser that the person uses. The
// address is one argument of the operating system's own program for it; no shell
// reads it. getenv reads the environment. ErrNone where nobody would see it.
func Open(ctx context.Context, address string, getenv func(string) string) error {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return errors.New("not an address of the web")
	}
	name, args := command(runtime.GOOS, getenv)
	if name == "" {
		return ErrNone
	}
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	if err := exec.CommandContext(ctx, name, append(args, u.String())...).Run(); err != nil { //nolint:gosec // fixed programs
		return ErrNone
	}
	return nil
}

// command returns what opens an address; an empty name where there is no screen.
func command(system string, getenv func(string) string) (name string, args []string) {
	switch system {
	case "darwin":
		return "open", nil
	case "windows":
		return "rundll32", []string{"url.dll,FileProtocolHandler"}
	default:
		if getenv("DISPLAY") == "" && getenv("WAYLAND_DISPLAY") == "" {
			return "", nil
		}
		return "xdg-open", nil
	}
}
