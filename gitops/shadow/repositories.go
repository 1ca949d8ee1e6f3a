package shadow

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/gitops/cluster"
	"github.com/waybill-dev/waybill/internal/credentials"
	"github.com/waybill-dev/waybill/internal/secret"
)

var (
	secrets    = schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
	configMaps = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
)

// repositories are the credentials that Argo CD has for Git.
type repositories struct {
	remotes []git.Remote
	// isPrefix says which of them are for all repositories below their URL.
	isPrefix   []bool
	knownHosts []byte
	// certificates by host.
	certificates map[string]string
}

// readRepositories reads Argo CD's repository Secrets. What may not be read is told
// in notes: the repositories are then asked without credentials.
func readRepositories(ctx context.Context, c *cluster.Cluster, namespace string) (repositories, []string, error) {
	var r repositories
	var notes []string
	for _, kind := range []string{"repository", "repo-creds"} {
		list, err := c.Dynamic.Resource(secrets).Namespace(namespace).List(ctx, metav1.ListOptions{LabelSelector: "argocd.argoproj.io/secret-type=" + kind})
		if apierrors.IsForbidden(err) {
			return r, []string{fmt.Sprintf("Secrets of namespace %q may not be read: repositories are asked without credentials", namespace)}, nil
		}
		if err != nil {
			return r, nil, fmt.Errorf("read the Secrets of Argo CD's repositories: %w", err)
		}
		for i := range list.Items {
			var s corev1.Secret
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(list.Items[i].Object, &s); err != nil {
				return r, nil, fmt.Errorf("read Secret %q: %w", list.Items[i].GetName(), err)
			}
			text := func(key string) string { return string(s.Data[key]) }
			if text("githubAppPrivateKey") != "" {
				notes = append(notes, fmt.Sprintf("repository %s is read with a GitHub App, which observe does not: it is asked without credentials", withoutUser(text("url"))))
				continue
			}
			r.remotes = append(r.remotes, git.Remote{
				URL: text("url"), Username: text("username"), Password: secret.New(text("password")),
				SSHPrivateKey: secret.New(text("sshPrivateKey")), CredentialName: s.Namespace + "/" + s.Name,
			})
			r.isPrefix = append(r.isPrefix, kind == "repo-creds")
		}
	}
	hosts, err := r.readConfig(ctx, c, namespace, "argocd-ssh-known-hosts-cm")
	if err != nil {
		return r, nil, err
	}
	r.knownHosts = []byte(hosts["ssh_known_hosts"])
	r.certificates, err = r.readConfig(ctx, c, namespace, "argocd-tls-certs-cm")
	return r, notes, err
}

// readConfig returns the data of a ConfigMap; nothing when there is none or it may
// not be read.
func (r *repositories) readConfig(ctx context.Context, c *cluster.Cluster, namespace, name string) (map[string]string, error) {
	obj, err := c.Dynamic.Resource(configMaps).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read ConfigMap %q: %w", name, err)
	}
	var m corev1.ConfigMap
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(obj.Object, &m); err != nil {
		return nil, fmt.Errorf("read ConfigMap %q: %w", name, err)
	}
	return m.Data, nil
}

// remote returns how a repository is reached: its own credentials, else those of the
// longest prefix, else none.
func (r *repositories) remote(repoURL string) git.Remote {
	best := git.Remote{}
	for i, c := range r.remotes {
		switch {
		case !r.isPrefix[i] && plain(c.URL) == plain(repoURL):
			return r.complete(c, repoURL)
		case r.isPrefix[i] && strings.HasPrefix(plain(repoURL)+"/", plain(c.URL)+"/") && len(c.URL) > len(best.URL):
			best = c
		}
	}
	return r.complete(best, repoURL)
}

// chart returns the credential for a repository of charts.
func (r *repositories) chart(repoURL string) credentials.Credential {
	address := strings.TrimPrefix(plain(repoURL), "oci://")
	out := credentials.Credential{Type: credentials.Chart, URL: repoURL}
	longest := -1
	for _, c := range r.remotes {
		known := strings.TrimPrefix(plain(c.URL), "oci://")
		if c.Username == "" && c.Password.IsEmpty() || len(known) <= longest || !strings.HasPrefix(address+"/", known+"/") {
			continue
		}
		longest = len(known)
		out.Name, out.Username, out.Password = c.CredentialName, c.Username, c.Password
	}
	return out
}

func (r *repositories) complete(c git.Remote, repoURL string) git.Remote {
	c.URL, c.KnownHosts = repoURL, r.knownHosts
	if u, err := url.Parse(repoURL); err == nil {
		c.CABundle = []byte(r.certificates[u.Hostname()])
	}
	return c
}

// plain is a URL for comparing, as Argo CD compares them.
func plain(repoURL string) string {
	return strings.TrimSuffix(strings.TrimSuffix(strings.ToLower(repoURL), "/"), ".git")
}

func withoutUser(repoURL string) string {
	if u, err := url.Parse(repoURL); err == nil {
		return u.Redacted()
	}
	return "?"
}
