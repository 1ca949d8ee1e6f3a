package secretstore

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/internal/credentials"
	"github.com/waybill-dev/waybill/warehouse/chart"
	"github.com/waybill-dev/waybill/warehouse/registry"
)

// Remotes asks repositories and registries whether they answer a Project, over the
// transports that Warehouses and promotions use.
type Remotes struct {
	Store    *Store
	Mirrors  *git.Mirrors
	Registry *registry.Client
	Charts   *chart.Source
}

// Place is one repository that can be asked.
type Place struct {
	Type    credentials.Type
	RepoURL string
	// IsInsecure: its certificate is not looked at.
	IsInsecure bool
}

// tryTime bounds one question.
const tryTime = 15 * time.Second

// Try asks a repository now, with the credential that the Project has for it, and
// says what it has. Errors hold nothing that a Secret says.
func (r *Remotes) Try(ctx context.Context, project string, p Place) (said string, err error) {
	ctx, cancel := context.WithTimeout(ctx, tryTime)
	defer cancel()
	if p.Type == credentials.Git {
		remote, err := r.Store.Remote(ctx, project, p.RepoURL)
		if err != nil {
			return "", err
		}
		refs, err := r.Mirrors.LsRemote(ctx, remote)
		if err != nil {
			return "", err //nolint:wrapcheck // names the repository already
		}
		said = fmt.Sprintf("branches: %d, tags: %d", len(refs.Branches), len(refs.Tags))
		if refs.DefaultBranch != "" {
			said += ", default branch: " + refs.DefaultBranch
		}
		return said, nil
	}
	c, err := r.Store.Lookup(ctx, p.Type, project, p.RepoURL)
	if err != nil {
		return "", err
	}
	image, isOCI := strings.CutPrefix(p.RepoURL, "oci://")
	if p.Type == credentials.Chart && !isOCI {
		size, err := r.Charts.Index(ctx, c, p.RepoURL, p.IsInsecure)
		return fmt.Sprintf("an index of %d KiB", (size+1023)/1024), err //nolint:wrapcheck // names the repository already
	}
	list, err := r.Registry.Tags(ctx, registry.Repository{URL: image, Credential: c, InsecureSkipTLSVerify: p.IsInsecure}, time.Time{})
	return fmt.Sprintf("tags: %d", len(list.Tags)), err //nolint:wrapcheck // names the repository already
}
