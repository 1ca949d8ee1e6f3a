package cluster

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/discovery"
	"k8s.io/utils/clock"

	"github.com/waybill-dev/waybill/gitops"
)

// Kind is how the API server serves a kind.
type Kind struct {
	Resource   schema.GroupVersionResource
	Namespaced bool
	// shortNames as kubectl takes them.
	shortNames []string
}

// missInterval limits how often a kind that is not served makes us ask again.
const missInterval = 2 * time.Second

// kinds remembers what the cluster serves. It asks when it is first used and
// when it meets a kind it does not know, never by itself.
type kinds struct {
	disco discovery.DiscoveryInterface
	clock clock.PassiveClock

	mu     sync.Mutex
	known  map[schema.GroupVersionKind]Kind
	asked  time.Time
	isRead bool
}

func newKinds(disco discovery.DiscoveryInterface, clk clock.PassiveClock) *kinds {
	return &kinds{disco: disco, clock: clk}
}

// Kind returns how gvk is served. served is false for a kind the cluster does
// not have; err is for a cluster that did not answer.
func (c *Cluster) Kind(ctx context.Context, gvk schema.GroupVersionKind) (k Kind, served bool, err error) {
	return c.kinds.find(ctx, gvk)
}

// Named returns the kinds that a name may mean, each in its most stable version,
// by group; err is for a cluster that did not answer.
func (c *Cluster) Named(ctx context.Context, name gitops.KindName) ([]schema.GroupVersionKind, error) {
	return c.kinds.named(ctx, name)
}

// ForgetKinds makes the next use of an unknown kind ask the cluster again at
// once: a CustomResourceDefinition was applied.
func (c *Cluster) ForgetKinds() {
	c.kinds.mu.Lock()
	defer c.kinds.mu.Unlock()
	c.kinds.asked = time.Time{}
}

func (k *kinds) find(ctx context.Context, gvk schema.GroupVersionKind) (Kind, bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if found, ok := k.known[gvk]; ok {
		return found, true, nil
	}
	if k.isRead && k.clock.Since(k.asked) < missInterval {
		return Kind{}, false, nil
	}
	if err := k.read(ctx); err != nil {
		return Kind{}, false, err
	}
	found, ok := k.known[gvk]
	return found, ok, nil
}

func (k *kinds) named(ctx context.Context, name gitops.KindName) ([]schema.GroupVersionKind, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	found := k.meant(name)
	if len(found) > 0 || k.isRead && k.clock.Since(k.asked) < missInterval {
		return found, nil
	}
	if err := k.read(ctx); err != nil {
		return nil, err
	}
	return k.meant(name), nil
}

// meant returns those of the known kinds that a name may mean.
func (k *kinds) meant(name gitops.KindName) []schema.GroupVersionKind {
	best := map[schema.GroupKind]string{}
	for gvk, kind := range k.known {
		isResource := (name.Group == "" || name.Group == gvk.Group) && (kind.Resource.Resource == name.Name || slices.Contains(kind.shortNames, name.Name))
		if !isResource && !name.Fits(gvk.GroupKind()) {
			continue
		}
		if v, known := best[gvk.GroupKind()]; !known || version.CompareKubeAwareVersionStrings(gvk.Version, v) > 0 {
			best[gvk.GroupKind()] = gvk.Version
		}
	}
	out := make([]schema.GroupVersionKind, 0, len(best))
	for gk, v := range best {
		out = append(out, gk.WithVersion(v))
	}
	slices.SortFunc(out, func(a, b schema.GroupVersionKind) int { return strings.Compare(a.String(), b.String()) })
	return out
}

// read asks for everything the cluster serves: two requests with aggregated
// discovery. An aggregated API that is down hides only its own group, and what
// was known of that stays.
func (k *kinds) read(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	_, lists, err := k.disco.ServerGroupsAndResources()
	failed, isPartial := discovery.GroupDiscoveryFailedErrorGroups(err)
	if err != nil && !isPartial {
		return fmt.Errorf("discover kinds: %w", err)
	}
	known := make(map[schema.GroupVersionKind]Kind, 128)
	for gvk, kind := range k.known {
		if _, down := failed[gvk.GroupVersion()]; down {
			known[gvk] = kind
		}
	}
	for _, list := range lists {
		addKinds(known, list)
	}
	k.known, k.asked, k.isRead = known, k.clock.Now(), true
	return nil
}

func addKinds(known map[schema.GroupVersionKind]Kind, list *metav1.APIResourceList) {
	gv, err := schema.ParseGroupVersion(list.GroupVersion)
	if err != nil {
		return
	}
	for _, r := range list.APIResources {
		if strings.Contains(r.Name, "/") { // a subresource
			continue
		}
		known[gv.WithKind(r.Kind)] = Kind{Resource: gv.WithResource(r.Name), Namespaced: r.Namespaced, shortNames: r.ShortNames}
	}
}
