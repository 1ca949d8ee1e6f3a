package secretstore

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/internal/credentials"
)

// Known are the credentials that a Project has.
type Known struct {
	// Secrets, by type and name, the Project's own before those shared with it.
	Secrets []KnownSecret

	project, systemNamespace string
	all                      []credentials.Credential
}

// KnownSecret is a Secret without what it holds.
type KnownSecret struct {
	Name, Namespace string
	Type            credentials.Type
	// URLs as written; IsPattern says that they are regular expressions.
	URLs      []string
	IsPattern bool
	// Means says what it proves itself with.
	Means string
	// Problem says why it is not used; empty: it is.
	Problem   string
	CreatedAt time.Time
}

// Known returns the credentials that a Project has for repositories, without what
// they hold.
func (s *Store) Known(ctx context.Context, project string) (*Known, error) {
	out := &Known{project: project, systemNamespace: s.SystemNamespace}
	for _, kind := range []credentials.Type{credentials.Git, credentials.Image, credentials.Chart} {
		found, err := s.concerning(ctx, credentials.Request{Type: kind, Project: project, SystemNamespace: s.SystemNamespace})
		if err != nil {
			return nil, err
		}
		var secrets []KnownSecret
		for i := range found {
			if credentials.Type(found[i].Labels[credentials.TypeLabel]) != kind {
				continue // it says nothing, or something else
			}
			one := KnownSecret{Name: found[i].Name, Namespace: found[i].Namespace, Type: kind, CreatedAt: found[i].CreationTimestamp.UTC()}
			parsed, err := s.parse(SourceOf(&found[i]))
			if err != nil {
				one.Problem = err.Error()
			}
			for _, c := range parsed {
				one.URLs, one.IsPattern, one.Means = append(one.URLs, c.URL), c.IsRegex, c.Means()
			}
			secrets, out.all = append(secrets, one), append(out.all, parsed...)
		}
		slices.SortStableFunc(secrets, func(a, b KnownSecret) int {
			if isShared := a.Namespace != project; isShared != (b.Namespace != project) {
				if isShared {
					return 1
				}
				return -1
			}
			return strings.Compare(a.Name, b.Name)
		})
		out.Secrets = append(out.Secrets, secrets...)
	}
	return out, nil
}

// For returns the Secret that is used for a repository, as namespace and name; ok is
// false for anonymous access.
func (k *Known) For(kind credentials.Type, repoURL string) (namespace, name string, ok bool) {
	c, ok := credentials.Match(credentials.Request{Type: kind, RepoURL: repoURL, Project: k.project, SystemNamespace: k.systemNamespace}, k.all)
	return c.Namespace, c.Name, ok
}
