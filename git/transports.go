package git

import "github.com/go-git/go-git/v5/plumbing/transport/client"

// UninstallUnsafeTransports takes the schemes that could reach the server's own
// disk or speak without encryption (file and git) out of go-git's process-wide
// list. This package does not use that list; the call keeps a library that
// does from cloning a local path a tenant wrote. Commands call it once at
// start, before any goroutine.
func UninstallUnsafeTransports() {
	for _, scheme := range []string{"file", "git"} {
		client.InstallProtocol(scheme, nil)
	}
}
