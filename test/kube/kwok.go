package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"sigs.k8s.io/kwok/pkg/config"
	kwok "sigs.k8s.io/kwok/pkg/kwok/cmd"
	"sigs.k8s.io/kwok/pkg/log"
	"sigs.k8s.io/kwok/pkg/utils/signals"
)

// runKwok runs the kwok controller, with the stages of this binary unless --config names others.
func runKwok() int {
	// Kubernetes' packages put "version" and more on the process-wide flag set, which cobra adds to every
	// command; kwok's command has a "version" of its own and would panic.
	pflag.CommandLine = pflag.NewFlagSet(os.Args[0], pflag.ContinueOnError)

	if !slices.ContainsFunc(os.Args[1:], isConfigFlag) {
		if err := giveStages(); err != nil {
			return complain(err)
		}
	}

	// Log level and config files are read in a first pass, because the command's defaults come from them.
	flags := pflag.NewFlagSet("global", pflag.ContinueOnError)
	flags.ParseErrorsAllowlist.UnknownFlags = true
	flags.Usage = func() {}
	ctx, _ := log.InitFlags(signals.SetupSignalContext(), flags)
	ctx, err := config.InitFlags(ctx, flags)
	if err != nil {
		return complain(fmt.Errorf("kwok: read configuration: %w", err))
	}
	command := kwok.NewCommand(ctx)
	command.PersistentFlags().AddFlagSet(flags)
	if err := command.ExecuteContext(ctx); err != nil {
		return complain(fmt.Errorf("kwok: %w", err))
	}
	return 0
}

func isConfigFlag(arg string) bool {
	return arg == "-c" || arg == "--config" || strings.HasPrefix(arg, "--config=") || strings.HasPrefix(arg, "-c=")
}

// giveStages makes kwok read the stages of this binary: "--config=-" is its word for standard input.
func giveStages() error {
	doc, err := stages()
	if err != nil {
		return err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("kwok: pass stages: %w", err)
	}
	go func() {
		_, _ = w.Write(doc) // a short write shows as a YAML error in kwok
		_ = w.Close()
	}()
	os.Stdin = r
	os.Args = append(os.Args, "--config=-")
	return nil
}

func complain(err error) int {
	fmt.Fprintln(os.Stderr, err)
	return 1
}
