// Command waybill is the command line client, and what starts a Waybill on one
// machine: waybill local.
package main

import (
	"context"
	"os"
	"runtime/debug"

	"github.com/waybill-dev/waybill/internal/cli"
)

// version is set by the build: -ldflags "-X main.version=v0.1.0".
var version = "dev"

func main() {
	os.Exit(cli.New(version, commit()).Run(context.Background(), os.Args[1:]))
}

// commit returns the commit this program was built from, empty when unknown.
func commit() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return ""
}
