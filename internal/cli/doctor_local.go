package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"sigs.k8s.io/yaml"

	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/internal/local"
)

// examineConfig looks at the file of contexts: it holds tokens.
func (a *App) examineConfig(e *examination) {
	const name = "configuration"
	path, err := a.configPath()
	if err != nil {
		e.add(name, model.FindingFail, "", "%v", err)
		return
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.add(name, model.FindingOK, "", "there is none yet; signing in writes %s", tilde(a, path))
		return
	case err != nil:
		e.add(name, model.FindingFail, "", "cannot read %s: %v", tilde(a, path), errors.Unwrap(err))
		return
	}
	config, err := a.loadConfig()
	if err != nil {
		f := a.explain(err)
		next := ""
		if len(f.next) > 0 {
			next = f.next[0]
		}
		e.add(name, model.FindingFail, next, "%s", f.what)
		return
	}
	what := fmt.Sprintf("%s, %s", tilde(a, path), counted(len(config.Contexts), "context"))
	if config.Current != "" {
		what += fmt.Sprintf(", %q is current", config.Current)
	}
	if isOpen(info) {
		e.add(name, model.FindingWarn, "chmod 600 "+path, "%s; others on this machine may read it, and it holds tokens (mode %04o)", what, info.Mode().Perm())
		return
	}
	e.add(name, model.FindingOK, "", "%s", what)
}

// isOpen reports whether others than the owner may read or write a file.
func isOpen(info fs.FileInfo) bool { return runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 }

// examineLocal looks at what waybill local needs, and at what people use beside it.
func (a *App) examineLocal(e *examination) {
	executable, err := a.Executable()
	if err == nil {
		_, err = local.FindBinaries(executable, true)
	}
	if err != nil {
		e.add("programs", model.FindingWarn, "make build", "waybill local cannot start: %v", err)
	} else {
		e.add("programs", model.FindingOK, "", "waybilld and waybill-kube are beside this program")
	}
	if path := a.lookPath("git"); path != "" {
		e.add("git", model.FindingOK, "", "%s", path)
	} else {
		e.add("git", model.FindingWarn, "", "not found in PATH; Waybill needs none, but you do to clone what it writes to")
	}
	a.examineKubeconfig(e)
}

// lookPath returns the program of that name in PATH, empty when there is none.
func (a *App) lookPath(name string) string {
	for _, dir := range filepath.SplitList(a.Getenv("PATH")) {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); dir != "" && err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0 {
			return path
		}
	}
	return ""
}

// maxKubeconfigBytes bounds a kubeconfig that is looked at.
const maxKubeconfigBytes = 4 << 20

// examineKubeconfig says which cluster kubectl speaks to. Of the file nothing but the
// name of its current context is shown.
func (a *App) examineKubeconfig(e *examination) {
	const name = "kubeconfig"
	path := ""
	if files := filepath.SplitList(a.Getenv("KUBECONFIG")); len(files) > 0 {
		path = files[0]
	} else if home, err := a.HomeDir(); err == nil {
		path = filepath.Join(home, ".kube", "config")
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.add(name, model.FindingOK, "", "there is none; Waybill needs none here")
		return
	case err != nil || info.Size() > maxKubeconfigBytes:
		e.add(name, model.FindingWarn, "", "cannot read %s", tilde(a, path))
		return
	}
	var file struct {
		Current string `json:"current-context"`
	}
	data, err := os.ReadFile(path) //nolint:gosec // The user names the file.
	if err != nil || yaml.Unmarshal(data, &file) != nil {
		e.add(name, model.FindingWarn, "", "%s cannot be read, or is no kubeconfig", tilde(a, path))
		return
	}
	what := fmt.Sprintf("kubectl uses the context %q of %s", file.Current, tilde(a, path))
	if isOpen(info) {
		e.add(name, model.FindingWarn, "chmod 600 "+path, "%s; others on this machine may read it (mode %04o)", what, info.Mode().Perm())
		return
	}
	e.add(name, model.FindingOK, "", "%s", what)
}
