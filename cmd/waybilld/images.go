package main

import (
	"context"

	"github.com/waybill-dev/waybill/internal/credentials"
	"github.com/waybill-dev/waybill/internal/credentials/secretstore"
	"github.com/waybill-dev/waybill/warehouse/registry"
)

// imageUsers asks registries what images run as, as the Warehouses of the Project
// would ask them.
type imageUsers struct {
	registry *registry.Client
	store    *secretstore.Store
}

// ImageUser is planner.ImageUsers.
func (u imageUsers) ImageUser(ctx context.Context, project, repoURL, digest string) (string, error) {
	credential, err := u.store.Lookup(ctx, credentials.Image, project, repoURL)
	if err != nil {
		return "", err //nolint:wrapcheck // names the repository already
	}
	image, err := u.registry.Image(ctx, registry.Repository{URL: repoURL, Credential: credential}, digest, registry.Want{User: true})
	return image.User, err //nolint:wrapcheck // names the repository already
}
