package cluster

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"
)

// maxKubeconfig bounds a kubeconfig, in bytes.
const maxKubeconfig = 256 << 10

// ErrKubeconfig is wrapped by every refusal of a kubeconfig.
var ErrKubeconfig = errors.New("kubeconfig")

// kubeconfig is what is read of one. Everything else in it is looked for and
// refused, or means nothing to us.
type kubeconfig struct {
	CurrentContext string        `json:"current-context"`
	Contexts       []kubeContext `json:"contexts"`
	Clusters       []struct {
		Name    string         `json:"name"`
		Cluster map[string]any `json:"cluster"`
	} `json:"clusters"`
	Users []struct {
		Name string         `json:"name"`
		User map[string]any `json:"user"`
	} `json:"users"`
}

type kubeContext struct {
	Name    string `json:"name"`
	Context struct {
		Cluster string `json:"cluster"`
		User    string `json:"user"`
	} `json:"context"`
}

// ReadKubeconfig returns the connection that the current context of a kubeconfig
// describes (or the only one, when none is current). It takes the server, its CA
// and name, and a token or a client certificate, and refuses all that would make
// us start a program, read a file, send a password, skip a check or act as
// somebody else. Errors are ErrKubeconfig and repeat no value but names.
func ReadKubeconfig(data []byte) (*rest.Config, error) {
	if len(data) > maxKubeconfig {
		return nil, fmt.Errorf("%w: larger than %d KiB", ErrKubeconfig, maxKubeconfig>>10)
	}
	var k kubeconfig
	if err := yaml.Unmarshal(data, &k); err != nil {
		return nil, fmt.Errorf("%w: is not YAML of the form of a kubeconfig", ErrKubeconfig)
	}
	at := slices.IndexFunc(k.Contexts, func(c kubeContext) bool {
		return c.Name == k.CurrentContext || k.CurrentContext == "" && len(k.Contexts) == 1
	})
	if at < 0 {
		return nil, fmt.Errorf("%w: current-context names none of the contexts", ErrKubeconfig)
	}
	var cluster, user map[string]any
	for _, c := range k.Clusters {
		if c.Name == k.Contexts[at].Context.Cluster {
			cluster = c.Cluster
		}
	}
	for _, u := range k.Users {
		if u.Name == k.Contexts[at].Context.User {
			user = u.User
		}
	}
	if cluster == nil || user == nil {
		return nil, fmt.Errorf("%w: the cluster or the user of the context is not in it", ErrKubeconfig)
	}
	if err := onlyFields("cluster", cluster, "server", "certificate-authority-data", "tls-server-name", "extensions", "disable-compression"); err != nil {
		return nil, err
	}
	if err := onlyFields("user", user, "token", "client-certificate-data", "client-key-data", "extensions"); err != nil {
		return nil, err
	}
	config := &rest.Config{Host: textOf(cluster, "server"), BearerToken: textOf(user, "token")}
	if err := checkServer(config.Host); err != nil {
		return nil, err
	}
	config.ServerName = textOf(cluster, "tls-server-name")
	for _, part := range []struct {
		from map[string]any
		name string
		to   *[]byte
	}{
		{cluster, "certificate-authority-data", &config.CAData},
		{user, "client-certificate-data", &config.CertData}, {user, "client-key-data", &config.KeyData},
	} {
		decoded, err := decode64(textOf(part.from, part.name))
		if err != nil {
			return nil, fmt.Errorf("%w: %s is not base64", ErrKubeconfig, part.name)
		}
		*part.to = decoded
	}
	switch hasCertificate := len(config.CertData) > 0; {
	case hasCertificate != (len(config.KeyData) > 0):
		return nil, fmt.Errorf("%w: client-certificate-data and client-key-data go together", ErrKubeconfig)
	case !hasCertificate && config.BearerToken == "":
		return nil, fmt.Errorf("%w: the user has neither a token nor a client certificate", ErrKubeconfig)
	}
	return config, nil
}

// onlyFields refuses every field that is not known.
func onlyFields(what string, fields map[string]any, known ...string) error {
	var others []string
	for name, value := range fields {
		if !slices.Contains(known, name) && value != nil && value != false && value != "" {
			others = append(others, name)
		}
	}
	if len(others) == 0 {
		return nil
	}
	slices.Sort(others)
	return fmt.Errorf("%w: the %s has %q; programs, plugins, files, passwords, proxies, impersonation and unchecked TLS are not accepted: give the server with certificate-authority-data, and a token or client-certificate-data with client-key-data",
		ErrKubeconfig, what, strings.Join(others, ", "))
}

func decode64(text string) ([]byte, error) {
	if text == "" {
		return nil, nil
	}
	return base64.StdEncoding.DecodeString(text)
}

func textOf(fields map[string]any, name string) string {
	s, _ := fields[name].(string)
	return s
}

// checkServer refuses addresses at which no API server of a cluster is.
func checkServer(server string) error {
	u, err := url.Parse(server)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" {
		return fmt.Errorf("%w: server is no https URL", ErrKubeconfig)
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("%w: server has user information or parameters", ErrKubeconfig)
	}
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil {
		if ip = ip.Unmap(); ip.IsLinkLocalUnicast() || ip.IsMulticast() || ip.IsUnspecified() {
			return fmt.Errorf("%w: server is a link-local or multicast address", ErrKubeconfig)
		}
	}
	return nil
}
