package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/waybill-dev/waybill/api/client"
)

// Context is a server and who we are there.
type Context struct {
	// Name the context is chosen by.
	Name string `json:"name"`
	// Server is the base URL, without a trailing slash.
	Server string `json:"server"`
	// User the token belongs to; for people, the server decides by the token.
	User string `json:"user,omitempty"`
	// Project that STAGE names without a project belong to.
	Project string `json:"project,omitempty"`
	// Token is the bearer token. The file that holds it is readable by its
	// owner only.
	Token string `json:"token,omitempty"`
}

// Config is the file of contexts.
type Config struct {
	// Current names the context used when none is asked for.
	Current string `json:"current,omitempty"`
	// Contexts, in the order in which they were made.
	Contexts []Context `json:"contexts,omitempty"`
}

// configPath returns $WAYBILL_CONFIG, else waybill/config.yaml in the user's
// configuration directory ($XDG_CONFIG_HOME or ~/.config on Linux).
func (a *App) configPath() (string, error) {
	if path := a.Getenv("WAYBILL_CONFIG"); path != "" {
		return path, nil
	}
	dir, err := a.ConfigDir()
	if err != nil {
		return "", fmt.Errorf("find the configuration directory: %w (set WAYBILL_CONFIG to a file)", err)
	}
	return filepath.Join(dir, "waybill", "config.yaml"), nil
}

// loadConfig reads the file of contexts; a missing file is an empty Config.
func (a *App) loadConfig() (Config, error) {
	var c Config
	path, err := a.configPath()
	if err != nil {
		return c, err
	}
	data, err := os.ReadFile(path) //nolint:gosec // The user names the file.
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return c, fmt.Errorf("read configuration: %w", err)
	}
	if err := yaml.UnmarshalStrict(data, &c); err != nil {
		// The parser's text may quote the file, and the file has tokens.
		return c, &failure{code: client.ExitUsage, what: fmt.Sprintf("the configuration file %s is not valid", path),
			next: []string{"mend it, or remove it and sign in again: waybill login URL"}}
	}
	return c, nil
}

// saveConfig replaces the file in one step; only its owner may read it.
func (a *App) saveConfig(c Config) error {
	path, err := a.configPath()
	if err != nil {
		return err
	}
	data, err := yaml.Marshal(c)
	if err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".config-*") // mode 0600
	if err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	_, err = tmp.Write(data)
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write configuration: %w", errors.Join(err, os.Remove(tmp.Name())))
	}
	return nil
}

// find returns the context of that name.
func (c *Config) find(name string) (Context, bool) {
	i := slices.IndexFunc(c.Contexts, func(x Context) bool { return x.Name == name })
	if i < 0 {
		return Context{}, false
	}
	return c.Contexts[i], true
}

// set adds the context or replaces the one of its name, and makes it current.
func (c *Config) set(x Context) {
	c.Current = x.Name
	if i := slices.IndexFunc(c.Contexts, func(o Context) bool { return o.Name == x.Name }); i >= 0 {
		c.Contexts[i] = x
		return
	}
	c.Contexts = append(c.Contexts, x)
}

// remove forgets the context; when it was the current one, none is current.
func (c *Config) remove(name string) {
	c.Contexts = slices.DeleteFunc(c.Contexts, func(x Context) bool { return x.Name == name })
	if c.Current == name {
		c.Current = ""
	}
}

// context returns where this run goes: flags, then environment, then the
// current context.
func (a *App) context() (Context, error) {
	config, err := a.loadConfig()
	if err != nil {
		return Context{}, err
	}
	name := firstOf(a.flags.context, a.Getenv("WAYBILL_CONTEXT"), config.Current)
	x, found := config.find(name)
	if !found && name != "" && (a.flags.context != "" || a.Getenv("WAYBILL_CONTEXT") != "") {
		return Context{}, &failure{code: client.ExitNotFound, what: fmt.Sprintf("there is no context %q", name),
			why: contextNames(config), next: []string{"waybill context list"}}
	}
	if server := firstOf(a.flags.server, a.Getenv("WAYBILL_SERVER")); server != "" && trimServer(server) != x.Server {
		// A token is never sent to another server than the one that gave it.
		x = Context{Server: trimServer(server)}
	}
	x.Token = firstOf(a.Getenv("WAYBILL_TOKEN"), x.Token)
	x.Project = firstOf(a.flags.project, a.Getenv("WAYBILL_PROJECT"), x.Project)
	if x.Server == "" {
		return x, &failure{code: client.ExitForbidden, what: "not signed in to any server",
			next: []string{"waybill login URL", "waybill local up --demo   # a server on this machine"}}
	}
	return x, nil
}

func contextNames(c Config) []string {
	if len(c.Contexts) == 0 {
		return nil
	}
	names := make([]string, len(c.Contexts))
	for i, x := range c.Contexts {
		names[i] = x.Name
	}
	return []string{"contexts: " + strings.Join(names, ", ")}
}

func trimServer(url string) string { return strings.TrimRight(url, "/") }

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
