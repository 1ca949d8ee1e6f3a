package enroll

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"

	"sigs.k8s.io/yaml"
)

// ErrKubeconfig is wrapped by everything that is wrong with a kubeconfig.
var ErrKubeconfig = errors.New("kubeconfig")

// Access is how a cluster is reached: a server, what proves that it is the right
// one, and who is there.
type Access struct {
	// Server is the URL of the API server, ServerName the name in its
	// certificate when it is another.
	Server, ServerName string
	// CA is the certificate authority, PEM; empty: those of the system.
	CA []byte
	// Token, or Cert and Key (PEM).
	Token     string
	Cert, Key []byte
}

// Source is a kubeconfig file.
type Source struct {
	Data []byte
	// Dir is the folder of the file, for names in it.
	Dir string
	// Context to use; empty: the current one.
	Context string
	// ReadFile reads files that it names.
	ReadFile func(name string) ([]byte, error)
}

type file struct {
	CurrentContext string `json:"current-context"`
	Contexts       []struct {
		Name    string `json:"name"`
		Context struct{ Cluster, User string }
	} `json:"contexts"`
	Clusters []struct {
		Name    string `json:"name"`
		Cluster struct {
			Server     string `json:"server"`
			ServerName string `json:"tls-server-name"`
			CAFile     string `json:"certificate-authority"`
			CAData     string `json:"certificate-authority-data"`
			Insecure   bool   `json:"insecure-skip-tls-verify"`
			Proxy      string `json:"proxy-url"`
		} `json:"cluster"`
	} `json:"clusters"`
	Users []struct {
		Name string `json:"name"`
		User struct {
			Token     string         `json:"token"`
			TokenFile string         `json:"tokenFile"`
			CertFile  string         `json:"client-certificate"`
			CertData  string         `json:"client-certificate-data"`
			KeyFile   string         `json:"client-key"`
			KeyData   string         `json:"client-key-data"`
			Exec      map[string]any `json:"exec"`
			Provider  map[string]any `json:"auth-provider"`
			Username  string         `json:"username"`
			As        string         `json:"as"`
		} `json:"user"`
	} `json:"users"`
}

// Read returns what a context of a kubeconfig says. Files that it names are read
// in; programs are not run, and passwords, proxies, impersonation and unchecked
// certificates are refused. Errors wrap ErrKubeconfig and repeat no values.
func Read(s Source) (*Access, error) {
	var k file
	if err := yaml.Unmarshal(s.Data, &k); err != nil {
		return nil, fmt.Errorf("%w: is not YAML of the form of a kubeconfig", ErrKubeconfig)
	}
	name := s.Context
	if name == "" {
		name = k.CurrentContext
	}
	a := &Access{}
	for _, c := range k.Contexts {
		if c.Name != name {
			continue
		}
		if err := a.readCluster(s, &k, c.Context.Cluster); err != nil {
			return nil, err
		}
		return a, a.readUser(s, &k, c.Context.User)
	}
	return nil, fmt.Errorf("%w: there is no context %q", ErrKubeconfig, name)
}

func (a *Access) readCluster(s Source, k *file, name string) (err error) {
	for i := range k.Clusters {
		c := &k.Clusters[i].Cluster
		if k.Clusters[i].Name != name {
			continue
		}
		u, err := url.Parse(c.Server)
		switch {
		case err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil:
			return fmt.Errorf("%w: the server of cluster %q is no https URL", ErrKubeconfig, name)
		case c.Insecure:
			return fmt.Errorf("%w: cluster %q does not check certificates (insecure-skip-tls-verify); give certificate-authority-data instead", ErrKubeconfig, name)
		case c.Proxy != "":
			return fmt.Errorf("%w: cluster %q is behind a proxy (proxy-url), through which Waybill does not go", ErrKubeconfig, name)
		}
		a.Server, a.ServerName = c.Server, c.ServerName
		a.CA, err = s.content(c.CAData, c.CAFile, "certificate-authority")
		return err
	}
	return fmt.Errorf("%w: there is no cluster %q", ErrKubeconfig, name)
}

func (a *Access) readUser(s Source, k *file, name string) (err error) {
	for i := range k.Users {
		u := &k.Users[i].User
		if k.Users[i].Name != name {
			continue
		}
		if u.Exec != nil || u.Provider != nil || u.Username != "" || u.As != "" {
			return fmt.Errorf("%w: user %q signs in with a program, a plugin or a password, or as somebody else; waybill runs no programs: use a context with a token or a client certificate", ErrKubeconfig, name)
		}
		a.Token = u.Token
		if a.Token == "" && u.TokenFile != "" {
			data, err := s.content("", u.TokenFile, "tokenFile")
			if err != nil {
				return err
			}
			a.Token = string(data)
		}
		if a.Cert, err = s.content(u.CertData, u.CertFile, "client-certificate"); err != nil {
			return err
		}
		if a.Key, err = s.content(u.KeyData, u.KeyFile, "client-key"); err != nil {
			return err
		}
		if a.Token == "" && (len(a.Cert) == 0 || len(a.Key) == 0) {
			return fmt.Errorf("%w: user %q has neither a token nor a client certificate", ErrKubeconfig, name)
		}
		return nil
	}
	return fmt.Errorf("%w: there is no user %q", ErrKubeconfig, name)
}

// content returns what is given as base64 or in a file.
func (s Source) content(encoded, name, field string) ([]byte, error) {
	switch {
	case encoded != "":
		data, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil {
			return nil, fmt.Errorf("%w: %s-data is not base64", ErrKubeconfig, field)
		}
		return data, nil
	case name == "":
		return nil, nil
	case !filepath.IsAbs(name):
		name = filepath.Join(s.Dir, name)
	}
	data, err := s.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrKubeconfig, field, err)
	}
	return data, nil
}

// Kubeconfig returns a as a kubeconfig of data only, as a server takes it.
func (a *Access) Kubeconfig() ([]byte, error) {
	cluster := map[string]any{"server": a.Server}
	user := map[string]any{}
	put := func(into map[string]any, key string, value []byte) {
		if len(value) > 0 {
			into[key] = base64.StdEncoding.EncodeToString(value)
		}
	}
	put(cluster, "certificate-authority-data", a.CA)
	if a.ServerName != "" {
		cluster["tls-server-name"] = a.ServerName
	}
	if a.Token != "" {
		user["token"] = a.Token
	} else {
		put(user, "client-certificate-data", a.Cert)
		put(user, "client-key-data", a.Key)
	}
	const name = "waybill"
	data, err := yaml.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Config", "current-context": name,
		"clusters": []any{map[string]any{"name": name, "cluster": cluster}},
		"users":    []any{map[string]any{"name": name, "user": user}},
		"contexts": []any{map[string]any{"name": name, "context": map[string]any{"cluster": name, "user": name}}},
	})
	if err != nil {
		return nil, fmt.Errorf("write kubeconfig: %w", err)
	}
	return data, nil
}
