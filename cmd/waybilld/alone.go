package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	coordination "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"github.com/waybill-dev/waybill/internal/instance"
)

// claimCluster makes sure that no other waybilld works on the cluster, and returns
// what keeps it so. Without the right to see Leases (an older installation) it says
// so and goes on.
func claimCluster(ctx context.Context, config *rest.Config, o serveOptions, logger *slog.Logger) (keep func(context.Context) error, err error) {
	none := func(ctx context.Context) error { <-ctx.Done(); return nil }
	c, err := coordination.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("connect to Waybill's cluster: %w", err)
	}
	id, err := instance.ReadID(o.data)
	if err != nil {
		return nil, err //nolint:wrapcheck // names the file
	}
	claim := instance.Options{Leases: c.Leases(o.systemNamespace), ID: id, ElectionLease: instance.ElectionLease, Elects: o.leaderElect, Clock: clock.RealClock{}}
	var other *instance.OtherError
	switch err := instance.Claim(ctx, claim); {
	case errors.As(err, &other) && o.allowOther:
		logger.Warn("another waybilld works on this cluster; this one was told to start all the same", "other", other.Holder)
		return none, nil
	case apierrors.IsForbidden(err), apierrors.IsNotFound(err):
		logger.Warn("cannot see whether another waybilld works on this cluster; run waybilld install again", "error", err)
		return none, nil
	case err != nil:
		return nil, err //nolint:wrapcheck // says what to do
	}
	return func(ctx context.Context) error { return instance.Run(ctx, claim) }, nil
}
