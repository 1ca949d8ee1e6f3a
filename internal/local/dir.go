package local

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/waybill-dev/waybill/internal/secret"
)

// User is the name of the account of an instance: it signs in to Waybill, and
// pushes to the demo's Git server and registry.
const User = "admin"

// dir is a data directory.
type dir string

func (d dir) path(parts ...string) string {
	return filepath.Join(append([]string{string(d)}, parts...)...)
}

func (d dir) lockFile() string     { return d.path("lock") }
func (d dir) passwordFile() string { return d.path("password") }
func (d dir) settingsFile() string { return d.path("settings.json") }
func (d dir) instanceFile() string { return d.path("run", "instance.json") }
func (d dir) serverRecord() string { return d.path("run", "waybilld.json") }
func (d dir) log(name string) string {
	return d.path("logs", name+".log")
}

// make creates the directory and what is in it. Only the owner may enter.
func (d dir) make() error {
	for _, sub := range []string{"", "run", "logs", "server"} {
		if err := os.MkdirAll(d.path(sub), 0o700); err != nil {
			return fmt.Errorf("make data directory: %w", err)
		}
	}
	return nil
}

// password returns the instance's password; the first call makes it.
func (d dir) password() (secret.Text, error) {
	data, err := os.ReadFile(d.passwordFile())
	switch {
	case err == nil && strings.TrimSpace(string(data)) != "":
		return secret.New(strings.TrimSpace(string(data))), nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return secret.Text{}, fmt.Errorf("read password: %w", err)
	}
	// 130 bits, letters and digits only: it is typed, and put into YAML and URLs.
	made := strings.ToLower(rand.Text())
	if err := writeFile(d.passwordFile(), []byte(made+"\n")); err != nil {
		return secret.Text{}, fmt.Errorf("write password: %w", err)
	}
	return secret.New(made), nil
}

// settings outlive a stop, so that the next start is the same instance.
type settings struct {
	// Port is the first of the ports.
	Port int `json:"port"`
	// Demo says that the directory holds the demo.
	Demo bool `json:"demo,omitempty"`
	// Kubeconfig of an existing cluster; empty means the own control plane.
	Kubeconfig string `json:"kubeconfig,omitempty"`
	// SeededPort is the port the demo's content was last written for.
	SeededPort int `json:"seededPort,omitempty"`
	// AppliedPort is the port the demo's definitions were last applied for.
	AppliedPort int `json:"appliedPort,omitempty"`
}

func (d dir) settings() (settings, error) {
	var s settings
	err := readJSON(d.settingsFile(), &s)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return s, err
}

func (d dir) saveSettings(s settings) error { return writeJSON(d.settingsFile(), s) }

func readJSON(path string, into any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("read %q: %w", path, err)
	}
	return nil
}

func writeJSON(path string, value any) error {
	data, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return fmt.Errorf("write %q: %w", path, err)
	}
	return writeFile(path, append(data, '\n'))
}

// writeFile replaces a file in one step, readable by its owner only.
func writeFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// removeFile removes a file that may be gone already.
func removeFile(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
