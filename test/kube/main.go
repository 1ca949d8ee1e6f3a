package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	_ "time/tzdata" // CronJobs with a time zone, on machines without zone files
)

// program is one of the programs inside this binary: it reads os.Args and does not return
// before the program has ended. The result is the exit code.
type program func() int

func programs() map[string]program {
	return map[string]program{
		"etcd":                    runEtcd,
		"kube-apiserver":          runAPIServer,
		"kube-controller-manager": runControllerManager,
		"kube-scheduler":          runScheduler,
		"kubectl":                 runKubectl,
		"kwok":                    runKwok,
	}
}

// names is the list of programs in the order in which people think of them.
func names() []string {
	return []string{"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok", "kubectl"}
}

func main() {
	run, args := choose(programs(), os.Args)
	if run == nil {
		fmt.Fprintf(os.Stderr, "waybill-kube is several programs in one binary: call it by the name of one (a symlink), "+
			"or give the name as the first argument: %s\n", strings.Join(names(), ", "))
		os.Exit(2)
	}
	os.Args = args
	os.Exit(run())
}

// choose picks the program by the base name of args[0], or else by args[1].
//
// It returns the arguments as that program expects them, its own name first; a nil program
// means that neither names one.
func choose(known map[string]program, args []string) (program, []string) {
	if len(args) == 0 {
		return nil, nil
	}
	if run, ok := known[strings.TrimSuffix(filepath.Base(args[0]), ".exe")]; ok {
		return run, args
	}
	if len(args) > 1 {
		if run, ok := known[args[1]]; ok {
			return run, args[1:]
		}
	}
	return nil, args
}
