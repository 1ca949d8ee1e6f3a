// Package cluster holds the connections to destination clusters: one transport,
// one set of clients and one memory of what the API server serves per cluster.
package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"

	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/fence"
	"github.com/waybill-dev/waybill/internal/identity"
)

// ErrUnknown is returned for a cluster that is not registered.
var ErrUnknown = errors.New("unknown cluster")

// Cluster is one destination. It is safe for concurrent use.
type Cluster struct {
	// Name as in spec.destination.cluster.
	Name string
	// Dynamic reads and writes whole objects, Metadata reads metadata only.
	// Neither limits its own rate: the API server's priority and fairness
	// does, and our concurrency is bounded.
	Dynamic  dynamic.Interface
	Metadata metadata.Interface
	// pods reads what containers wrote.
	pods  corev1client.PodsGetter
	kinds *kinds

	config *rest.Config
	http   *http.Client
}

// As returns the cluster as a ServiceAccount sees it, on the same connections: its
// requests carry the account in their headers. What the API server serves is known
// to both. No request is sent.
func (c *Cluster) As(namespace, account string) (*Cluster, error) {
	through, err := identity.AsServiceAccount(c.http.Transport, namespace, account)
	if err != nil {
		return nil, err //nolint:wrapcheck // names the account already
	}
	client := &http.Client{Transport: through, Timeout: c.http.Timeout}
	out := &Cluster{Name: c.Name, kinds: c.kinds, pods: c.pods, config: c.config, http: client}
	if out.Dynamic, err = dynamic.NewForConfigAndClient(c.config, client); err != nil {
		return nil, fmt.Errorf("cluster %q: %w", c.Name, err)
	}
	if out.Metadata, err = metadata.NewForConfigAndClient(c.config, client); err != nil {
		return nil, fmt.Errorf("cluster %q: %w", c.Name, err)
	}
	return out, nil
}

// Connect makes the clients for config. No request is sent yet.
func Connect(name string, config *rest.Config, clk clock.PassiveClock) (*Cluster, error) {
	cfg := rest.CopyConfig(config)
	cfg.QPS = -1
	if cfg.UserAgent == "" {
		cfg.UserAgent = "waybill"
	}
	cfg.Wrap(fence.Transport)
	httpClient, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return nil, fmt.Errorf("cluster %q: %w", name, err)
	}
	c := &Cluster{Name: name, config: cfg, http: httpClient}
	if c.Dynamic, err = dynamic.NewForConfigAndClient(cfg, httpClient); err != nil {
		return nil, fmt.Errorf("cluster %q: %w", name, err)
	}
	if c.Metadata, err = metadata.NewForConfigAndClient(cfg, httpClient); err != nil {
		return nil, fmt.Errorf("cluster %q: %w", name, err)
	}
	if c.pods, err = corev1client.NewForConfigAndClient(cfg, httpClient); err != nil {
		return nil, fmt.Errorf("cluster %q: %w", name, err)
	}
	disco, err := discovery.NewDiscoveryClientForConfigAndClient(cfg, httpClient)
	if err != nil {
		return nil, fmt.Errorf("cluster %q: %w", name, err)
	}
	c.kinds = newKinds(disco, clk)
	return c, nil
}

// Registry finds clusters by name. It is safe for concurrent use.
type Registry struct {
	mu       sync.RWMutex
	clusters map[string]*Cluster
	changed  []func(name string)
}

// NewRegistry returns a registry with the given clusters. The one Waybill runs
// in is named v1alpha1.InCluster.
func NewRegistry(clusters ...*Cluster) *Registry {
	r := &Registry{clusters: make(map[string]*Cluster, len(clusters))}
	for _, c := range clusters {
		r.clusters[c.Name] = c
	}
	return r
}

// Get returns the cluster called name; "" means v1alpha1.InCluster. It returns
// ErrUnknown, with the names that exist, for any other.
func (r *Registry) Get(name string) (*Cluster, error) {
	if name == "" {
		name = v1alpha1.InCluster
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	c, ok := r.clusters[name]
	if !ok {
		names := slices.Sorted(maps.Keys(r.clusters))
		return nil, fmt.Errorf("%w %q; known: %s", ErrUnknown, name, strings.Join(names, ", "))
	}
	return c, nil
}

// Put adds or replaces a cluster, and tells who asked to be told.
func (r *Registry) Put(c *Cluster) {
	r.mu.Lock()
	r.clusters[c.Name] = c
	r.mu.Unlock()
	r.tell(c.Name)
}

// Remove forgets a cluster.
func (r *Registry) Remove(name string) {
	r.mu.Lock()
	_, known := r.clusters[name]
	delete(r.clusters, name)
	r.mu.Unlock()
	if known {
		r.tell(name)
	}
}

// OnChange calls changed with the name of every cluster that is put or removed
// from now on.
func (r *Registry) OnChange(changed func(name string)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changed = append(r.changed, changed)
}

func (r *Registry) tell(name string) {
	r.mu.RLock()
	changed := slices.Clone(r.changed)
	r.mu.RUnlock()
	for _, f := range changed {
		f(name)
	}
}

// Version asks the API server for its version: the cheapest question that proves
// address, certificate and, where anonymous access is off, credentials.
func (c *Cluster) Version(ctx context.Context) (string, error) {
	var v struct {
		GitVersion string `json:"gitVersion"`
	}
	raw, err := c.kinds.disco.RESTClient().Get().AbsPath("/version").Do(ctx).Raw()
	if err == nil {
		err = json.Unmarshal(raw, &v)
	}
	if err != nil {
		return "", fmt.Errorf("ask cluster %q for its version: %w", c.Name, err)
	}
	return v.GitVersion, nil
}
