package localkube

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
)

// The kubeconfig format as far as it is written here
// (https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/). JSON is YAML, so JSON is written.
type kubeconfig struct {
	APIVersion     string         `json:"apiVersion"`
	Kind           string         `json:"kind"`
	Clusters       []namedCluster `json:"clusters"`
	Users          []namedUser    `json:"users"`
	Contexts       []namedContext `json:"contexts"`
	CurrentContext string         `json:"current-context"`
}

type namedCluster struct {
	Name    string `json:"name"`
	Cluster struct {
		Server string `json:"server"`
		CA     []byte `json:"certificate-authority-data"`
	} `json:"cluster"`
}

type namedUser struct {
	Name string `json:"name"`
	User struct {
		Cert []byte `json:"client-certificate-data"`
		Key  []byte `json:"client-key-data"`
	} `json:"user"`
}

type namedContext struct {
	Name    string `json:"name"`
	Context struct {
		Cluster string `json:"cluster"`
		User    string `json:"user"`
	} `json:"context"`
}

// contextName names cluster and context in every kubeconfig written here.
const contextName = "waybill-local"

// newKubeconfig describes server, which shows a certificate of the authority ca, to the user who holds client.
func newKubeconfig(server string, ca []byte, user string, client pair) kubeconfig {
	var cluster namedCluster
	cluster.Name, cluster.Cluster.Server, cluster.Cluster.CA = contextName, server, ca
	var person namedUser
	person.Name, person.User.Cert, person.User.Key = user, client.cert, client.key
	var context namedContext
	context.Name, context.Context.Cluster, context.Context.User = contextName, contextName, user
	return kubeconfig{
		APIVersion: "v1", Kind: "Config", CurrentContext: contextName,
		Clusters: []namedCluster{cluster}, Users: []namedUser{person}, Contexts: []namedContext{context},
	}
}

func (k kubeconfig) write(path string) error {
	data, err := json.MarshalIndent(k, "", "  ")
	if err != nil {
		return fmt.Errorf("kubeconfig %q: %w", path, err)
	}
	return writeFile(path, append(data, '\n'), 0o600)
}

// clientFile is the name of a user's kubeconfig: readable, safe as a file name, and different for different users
// and group lists.
func clientFile(user string, groups []string) string {
	safe := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '-', r == '_':
			return r
		}
		return '-'
	}, user)
	sum := sha256.Sum256([]byte(strings.Join(append([]string{user}, groups...), "\x00")))
	return safe[:min(len(safe), 80)] + "-" + hex.EncodeToString(sum[:4]) + ".kubeconfig"
}

// issue writes a kubeconfig for user into the data directory's clients/ and returns its path.
func (c *Cluster) issue(user string, groups []string) (string, error) {
	if user == "" {
		return "", fmt.Errorf("issue kubeconfig: no user given")
	}
	cert, err := c.ca.client(user, groups, c.opts.Now())
	if err != nil {
		return "", fmt.Errorf("issue kubeconfig for %q: %w", user, err)
	}
	path := filepath.Join(c.opts.DataDir, "clients", clientFile(user, groups))
	if err := newKubeconfig(c.Server(), c.ca.cert, user, cert).write(path); err != nil {
		return "", fmt.Errorf("issue kubeconfig for %q: %w", user, err)
	}
	return path, nil
}
