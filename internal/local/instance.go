package local

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
)

// Instance is a running Waybill: what scripts need to use it.
type Instance struct {
	// Server is the URL of API and dashboard.
	Server string `json:"server"`
	// Kubeconfig of the cluster's administrator.
	Kubeconfig string `json:"kubeconfig"`
	// GitURL is the demo's repository; it clones without credentials. Empty
	// without the demo.
	GitURL string `json:"gitURL,omitempty"`
	// Registry is host:port of the demo's registry; reading and pushing need
	// the credentials. Empty without the demo.
	Registry string `json:"registry,omitempty"`
	// User and Password sign in to Waybill, push to Git, and open the registry.
	User     string `json:"user"`
	Password string `json:"password"`
	// DataDir holds everything.
	DataDir string `json:"dataDir"`
}

// Kubectl is the path of a kubectl of the server's version; empty with a
// cluster that was there before.
func (i Instance) Kubectl() string {
	if i.Kubeconfig != dir(i.DataDir).kubeconfig() {
		return ""
	}
	return filepath.Join(i.DataDir, "kube", "bin", "kubectl")
}

// PasswordFile holds the password.
func (i Instance) PasswordFile() string { return dir(i.DataDir).passwordFile() }

// Logs is the directory with the logs of supervisor and server.
func (i Instance) Logs() string { return filepath.Join(i.DataDir, "logs") }

func (d dir) kubeconfig() string { return d.path("kube", "kubeconfig") }

// record is what the supervisor writes down about itself.
type record struct {
	Supervisor processID `json:"supervisor"`
	// Ready says that Instance is complete and answers.
	Ready    bool     `json:"ready"`
	Instance Instance `json:"instance"`
}

func (d dir) record() (record, error) {
	var r record
	err := readJSON(d.instanceFile(), &r)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return r, err
}

// State is what Status finds.
type State string

// The states. Stopped is also what a directory is in that never was used.
const (
	Running  State = "Running"
	Starting State = "Starting"
	Stopped  State = "Stopped"
)

// Status says whether the instance of a data directory runs, and how to reach
// it when it does.
func Status(dataDir string) (State, Instance, error) {
	d, err := open(dataDir)
	if err != nil {
		return "", Instance{}, err
	}
	r, err := d.record()
	if err != nil {
		return "", Instance{}, err
	}
	alive, err := r.Supervisor.isAlive()
	switch {
	case err != nil:
		return "", Instance{}, err
	case !alive:
		return Stopped, Instance{DataDir: string(d)}, nil
	case !r.Ready:
		return Starting, Instance{DataDir: string(d)}, nil
	default:
		return Running, r.Instance, nil
	}
}

// open makes the path of a data directory absolute.
func open(dataDir string) (dir, error) {
	if dataDir == "" {
		return "", errors.New("no data directory given")
	}
	full, err := filepath.Abs(dataDir)
	if err != nil {
		return "", fmt.Errorf("data directory %q: %w", dataDir, err)
	}
	return dir(full), nil
}
