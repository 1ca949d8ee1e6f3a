package localkube

import (
	"fmt"
	"io"
	"path/filepath"
	"time"
)

// Ports are TCP ports on 127.0.0.1. Zero means: the one of the last start if it is free, else any free one.
type Ports struct {
	API  int `json:"api"`  // kube-apiserver
	Etcd int `json:"etcd"` // etcd, for kube-apiserver only
}

// Options say what Start starts.
type Options struct {
	// Binary is the path of waybill-kube. Required.
	Binary string
	// DataDir holds everything the cluster keeps; made if missing. Required.
	DataDir string
	// Housekeeping adds kube-controller-manager with the controllers an API without workloads needs: namespace
	// deletion, garbage collection of owned objects, service accounts, aggregated cluster roles.
	Housekeeping bool
	// Workloads adds, besides Housekeeping, the workload controllers, kube-scheduler, kwok, its Nodes and the
	// policy by which MarkImage makes Pods crash, so that Deployments really roll out.
	Workloads bool
	// Nodes is the number of kwok Nodes with Workloads, 1 to 100; 0 means 2.
	Nodes int
	// Ports fixes ports; a fixed port that is taken is an error.
	Ports Ports
	// Fsync makes etcd's writes survive a power cut. Without it (tests) they survive the end of the processes only.
	Fsync bool
	// ReadyTimeout bounds the start; 0 means 2 minutes.
	ReadyTimeout time.Duration
	// Log gets one line for every process started, ended or started again. The processes' own output goes to
	// DataDir/logs. nil means none.
	Log io.Writer
	// Progress is told, in a few words, what Start is waiting for. nil means nobody is told.
	Progress func(string)
	// Now dates the certificates; nil means the system clock.
	Now func() time.Time

	// surviveOwner leaves out the kernel's "end with the parent", which only Linux has, so that its absence
	// can be tested there.
	surviveOwner bool
}

const (
	defaultNodes        = 2
	maxNodes            = 100
	defaultReadyTimeout = 2 * time.Minute
)

// complete fills in defaults, or says which option is wrong.
func (o *Options) complete() error {
	if o.Binary == "" {
		return fmt.Errorf("local Kubernetes: no binary given")
	}
	if o.DataDir == "" {
		return fmt.Errorf("local Kubernetes: no data directory given")
	}
	var err error
	if o.Binary, err = filepath.Abs(o.Binary); err != nil {
		return fmt.Errorf("local Kubernetes: binary %q: %w", o.Binary, err)
	}
	if o.DataDir, err = filepath.Abs(o.DataDir); err != nil {
		return fmt.Errorf("local Kubernetes: data directory %q: %w", o.DataDir, err)
	}
	if o.Nodes == 0 {
		o.Nodes = defaultNodes
	}
	if o.Nodes < 0 || o.Nodes > maxNodes {
		return fmt.Errorf("local Kubernetes: %d nodes: want 1 to %d", o.Nodes, maxNodes)
	}
	if o.ReadyTimeout == 0 {
		o.ReadyTimeout = defaultReadyTimeout
	}
	if o.Log == nil {
		o.Log = io.Discard
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return nil
}
