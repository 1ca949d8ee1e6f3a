// Package secretstore finds credentials in the cluster's Secrets.
package secretstore

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/internal/credentials"
	"github.com/waybill-dev/waybill/internal/credentials/tokens"
)

// Store reads credential Secrets of Projects. It is safe for concurrent use.
type Store struct {
	// Reader reads Secrets that carry the label waybill.dev/cred-type, from a
	// cache that holds no others.
	Reader client.Reader
	// SystemNamespace is where shared credentials live.
	SystemNamespace string
	// Tokens exchanges GitHub Apps and cloud identities for passwords. Nil: they
	// are returned as they are.
	Tokens *tokens.Source
}

// Lookup returns the credential a Project has for a repository, with the
// password that the server takes; the zero Credential, which is anonymous
// access, when there is none. A Secret of another Project is never considered. A
// Secret that cannot be read as a credential is an error only when none fits
// without it.
func (s *Store) Lookup(ctx context.Context, kind credentials.Type, project, repoURL string) (credentials.Credential, error) {
	c, err := s.find(ctx, kind, project, repoURL)
	if err != nil || s.Tokens == nil {
		return c, err
	}
	return s.Tokens.Resolve(ctx, c, repoURL) //nolint:wrapcheck // names the Secret already
}

func (s *Store) find(ctx context.Context, kind credentials.Type, project, repoURL string) (credentials.Credential, error) {
	request := credentials.Request{Type: kind, RepoURL: repoURL, Project: project, SystemNamespace: s.SystemNamespace}
	found, err := s.concerning(ctx, request)
	if err != nil {
		return credentials.Credential{}, err
	}
	var all []credentials.Credential
	var broken []error
	for i := range found {
		parsed, err := s.parse(SourceOf(&found[i]))
		if err != nil {
			broken = append(broken, err)
		}
		all = append(all, parsed...)
	}
	if c, ok := credentials.Match(request, all); ok {
		return c, nil
	}
	return credentials.Credential{}, errors.Join(broken...)
}

// SourceOf returns the part of a Secret that is read.
func SourceOf(s *corev1.Secret) credentials.Source {
	return credentials.Source{Name: s.Name, Namespace: s.Namespace, Labels: s.Labels, Annotations: s.Annotations, Data: s.Data}
}

// concerning returns the Secrets that could serve r, the Project's own first.
func (s *Store) concerning(ctx context.Context, r credentials.Request) ([]corev1.Secret, error) {
	var out []corev1.Secret
	for _, namespace := range []string{r.Project, s.SystemNamespace} {
		var list corev1.SecretList
		err := s.Reader.List(ctx, &list, client.InNamespace(namespace), client.HasLabels{credentials.TypeLabel})
		if err != nil {
			return nil, fmt.Errorf("list credentials of %q: %w", namespace, err)
		}
		for i := range list.Items {
			if SourceOf(&list.Items[i]).Concerns(r) {
				out = append(out, list.Items[i])
			}
		}
	}
	return out, nil
}

// parse returns what is in a Secret, with an error for what cannot be used.
func (s *Store) parse(source credentials.Source) ([]credentials.Credential, error) {
	parsed, err := credentials.Parse(source)
	for _, c := range parsed {
		if c.IsAmbient() && c.Namespace != s.SystemNamespace {
			err = fmt.Errorf("credential %v: provider %q without keys is the identity of Waybill itself; only a Secret in %q, shared with the Project, lends it", c, c.Provider, s.SystemNamespace)
		}
	}
	return parsed, err
}

// Remote returns a Git repository with the Project's credentials for it.
func (s *Store) Remote(ctx context.Context, project, repoURL string) (git.Remote, error) {
	c, err := s.Lookup(ctx, credentials.Git, project, repoURL)
	if err != nil {
		return git.Remote{}, err
	}
	r := git.Remote{
		URL: repoURL, Username: c.Username, Password: c.Password, CABundle: c.CACert,
		SSHPrivateKey: c.SSHPrivateKey, KnownHosts: c.KnownHosts,
	}
	if !c.IsAnonymous() {
		r.CredentialName = c.Namespace + "/" + c.Name
	}
	return r, nil
}

// Repositories opens the mirrors of Projects' repositories.
type Repositories struct {
	Store   *Store
	Mirrors *git.Mirrors
}

// Open returns the mirror of repoURL as the Project may see it, without a
// request.
func (r *Repositories) Open(ctx context.Context, project, repoURL string) (*git.Mirror, error) {
	remote, err := r.Store.Remote(ctx, project, repoURL)
	if err != nil {
		return nil, err
	}
	return r.Mirrors.Open(remote) //nolint:wrapcheck // names the repository already
}
