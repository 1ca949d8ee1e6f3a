package live

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/clock"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/gitops"
	"github.com/waybill-dev/waybill/gitops/apply"
	"github.com/waybill-dev/waybill/gitops/cluster"
	"github.com/waybill-dev/waybill/gitops/render"
	"github.com/waybill-dev/waybill/warehouse/chart"
)

// Options are what an Inspector needs. All fields but RenderLimits are required.
type Options struct {
	// Clusters finds destinations by name.
	Clusters *cluster.Registry
	// Charts downloads charts; nil: Applications of charts cannot be compared.
	Charts *chart.Fetcher
	// Open returns the mirror of a repository, with the credentials that a
	// Project has for it.
	Open func(ctx context.Context, project, repoURL string) (*git.Mirror, error)
	// Renders is the one the Application controller renders with.
	Renders *render.Cache
	// Limits returns what a Project may touch.
	Limits func(ctx context.Context, project string) (gitops.Limits, error)
	Clock  clock.PassiveClock
	// RenderLimits bound what a repository can make us render.
	RenderLimits render.Limits
}

// Inspector answers questions about Applications. It is safe for concurrent use.
type Inspector struct{ o Options }

// New returns an Inspector.
func New(o Options) (*Inspector, error) {
	if o.Clusters == nil || o.Open == nil || o.Renders == nil || o.Limits == nil || o.Clock == nil {
		return nil, errors.New("live: Clusters, Open, Renders, Limits and Clock are required")
	}
	return &Inspector{o: o}, nil
}

const (
	// answerTime bounds one answer.
	answerTime = 25 * time.Second
	// fanOut is how many requests one answer has under way.
	fanOut = 8
	// maxListed bounds one list of objects, maxNamespaces how many namespaces
	// are looked into.
	maxListed     = 500
	maxNamespaces = 10
)

// Kinds of errors.
var (
	// ErrUnreachable: the cluster is not known or does not answer.
	ErrUnreachable = errors.New("cluster cannot be asked")
	// ErrNotThere: what was asked for is not part of the Application.
	ErrNotThere = errors.New("not part of the Application")
	// ErrNoRevision: there is no revision to compare with.
	ErrNoRevision = errors.New("no revision")
)

// Object returns one object of the Application's inventory as it is in the
// cluster, whole; nil when it is not there.
func (i *Inspector) Object(ctx context.Context, app *v1alpha1.Application, key gitops.Key) (*unstructured.Unstructured, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	for _, e := range app.Status.Inventory {
		if gitops.EntryKey(e) != key {
			continue
		}
		c, _, err := i.clusterOf(ctx, app)
		if err != nil {
			return nil, err
		}
		obj, err := apply.New(c, 1).ReadWhole(ctx, key, e.Version)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
		}
		if obj != nil && obj.GetLabels()[v1alpha1.LabelManagedBy] != gitops.OwnerOf(app).Label() {
			return nil, nil //nolint:nilnil // another's object of that name
		}
		return obj, nil
	}
	return nil, fmt.Errorf("%w: %s", ErrNotThere, key)
}

// clusterOf returns the Application's cluster, after a look at the limits of
// its Project: an Application whose destination is forbidden shows nothing of it.
func (i *Inspector) clusterOf(ctx context.Context, app *v1alpha1.Application) (*cluster.Cluster, gitops.Limits, error) {
	limits, err := i.o.Limits(ctx, app.Namespace)
	if err != nil {
		return nil, limits, err
	}
	owner := gitops.OwnerOf(app)
	if err := limits.Namespace(owner.Cluster, app.Spec.Destination.Namespace); err != nil {
		return nil, limits, fmt.Errorf("%w: %w", ErrNotThere, err)
	}
	c, err := i.o.Clusters.Get(owner.Cluster)
	if err != nil {
		return nil, limits, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	return c, limits, nil
}
