package live

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/gitops"
	"github.com/waybill-dev/waybill/gitops/render"
)

// Asked is an object as somebody names it.
type Asked struct {
	Kind gitops.KindName
	// Namespace is "" for any; it means nothing for an object that has none.
	Namespace, Name string
}

// Trail leads from an object to the Application that manages it, or what owns it.
type Trail struct {
	App *v1alpha1.Application
	// Nodes: the object itself, then what owns each. The last is in the inventory
	// of App.
	Nodes []Node
}

// Traced is what a Trace found.
type Traced struct {
	// Trails by cluster, Project and Application.
	Trails []Trail
	// IsKind: one of the clusters serves such a kind.
	IsKind bool
	// Unreachable clusters: an inventory was looked into, and nothing else.
	Unreachable []string
	// IsCut: not every namespace was looked into, or more objects fit.
	IsCut bool
}

const (
	// maxOwners is how far an object may be from what was applied.
	maxOwners = 8
	// maxTrails and maxTraced bound one cluster: what is found, and the namespaces
	// in which an object of a kind is asked for.
	maxTrails = 20
	maxTraced = 50
)

// ReasonNotOurs is the reason of the health of an object in an inventory that
// carries the mark of another Application.
const ReasonNotOurs = "NotOurs"

// Trace finds which of apps manage an object: it is in their inventory, or it is
// owned, over some steps, by one that is. Only namespaces of apps are looked into,
// and only what leads to one of them is told.
func (i *Inspector) Trace(ctx context.Context, apps []*v1alpha1.Application, a Asked) (Traced, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	tracers := map[string]*tracer{}
	for _, app := range apps {
		limits, err := i.o.Limits(ctx, app.Namespace)
		if apierrors.IsNotFound(err) {
			continue // its Project is being deleted
		}
		if err != nil {
			return Traced{}, err
		}
		owner := gitops.OwnerOf(app)
		if limits.Namespace(owner.Cluster, app.Spec.Destination.Namespace) != nil {
			continue // as in clusterOf
		}
		t := tracers[owner.Cluster]
		if t == nil {
			t = &tracer{b: builder{i: i, now: i.o.Clock.Now(), byUID: map[types.UID]bool{}}, cluster: owner.Cluster, asked: a}
			tracers[owner.Cluster] = t
		}
		t.apps = append(t.apps, managed{app, limits})
	}
	var out Traced
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(fanOut)
	for _, t := range tracers {
		group.Go(func() error {
			isReached := t.run(ctx)
			mu.Lock()
			defer mu.Unlock()
			out.Trails, out.IsKind, out.IsCut = append(out.Trails, t.trails...), out.IsKind || len(t.kinds) > 0, out.IsCut || t.isCut
			if !isReached {
				out.Unreachable = append(out.Unreachable, t.cluster)
			}
			return nil
		})
	}
	err := group.Wait()
	slices.Sort(out.Unreachable)
	slices.SortStableFunc(out.Trails, func(x, y Trail) int {
		return cmp.Or(cmp.Compare(gitops.OwnerOf(x.App).Annotation(), gitops.OwnerOf(y.App).Annotation()), x.Nodes[0].Key.Compare(y.Nodes[0].Key))
	})
	return out, err
}

// managed is an Application and what its Project may touch.
type managed struct {
	app    *v1alpha1.Application
	limits gitops.Limits
}

// tracer looks in one cluster.
type tracer struct {
	b       builder
	cluster string
	apps    []managed
	asked   Asked
	// kinds that the asked one may be, as the cluster says.
	kinds  []schema.GroupVersionKind
	trails []Trail
	isCut  bool
}

// run fills in the trails; isReached says that the cluster answered.
func (t *tracer) run(ctx context.Context) (isReached bool) {
	c, err := t.b.i.o.Clusters.Get(t.cluster)
	if err == nil {
		t.b.c = c
		t.kinds, err = c.Named(ctx, t.asked.Kind)
	}
	isReached = err == nil
	for _, m := range t.apps {
		for _, e := range m.app.Status.Inventory {
			if !t.means(e) {
				continue
			}
			if len(t.trails) == maxTrails {
				t.isCut = true
				return isReached
			}
			var n Node
			if n, err = t.applied(ctx, m.app, e, isReached); err != nil {
				isReached = false
			}
			t.trails = append(t.trails, Trail{App: m.app, Nodes: []Node{n}})
		}
	}
	if len(t.trails) > 0 || !isReached {
		return isReached
	}
	return t.owned(ctx) == nil
}

// means reports whether an entry of an inventory is what was asked for.
func (t *tracer) means(e v1alpha1.InventoryEntry) bool {
	if e.Name != t.asked.Name || t.asked.Namespace != "" && e.Namespace != "" && e.Namespace != t.asked.Namespace {
		return false
	}
	gk := schema.GroupKind{Group: e.Group, Kind: e.Kind}
	return t.asked.Kind.Fits(gk) || slices.ContainsFunc(t.kinds, func(k schema.GroupVersionKind) bool { return k.GroupKind() == gk })
}

// applied is the node of an object of an inventory. An error is of a cluster that
// did not answer; the node then says so.
func (t *tracer) applied(ctx context.Context, app *v1alpha1.Application, e v1alpha1.InventoryEntry, isReached bool) (Node, error) {
	unseen := Node{Key: gitops.EntryKey(e), Version: e.Version, Health: v1alpha1.Health{
		Status: v1alpha1.HealthUnknown, Reason: "NotSeen", Message: fmt.Sprintf("cluster %q does not answer", t.cluster),
	}}
	if !isReached {
		return unseen, nil
	}
	obj, isHidden, err := t.b.get(ctx, schema.GroupVersionKind{Group: e.Group, Version: e.Version, Kind: e.Kind}, e.Namespace, e.Name)
	if err != nil {
		return unseen, err
	}
	n := t.b.applied(e, obj, isHidden, toldOf(app))
	if obj != nil && obj.GetLabels()[v1alpha1.LabelManagedBy] != gitops.OwnerOf(app).Label() {
		n.Health = v1alpha1.Health{Status: v1alpha1.HealthUnknown, Reason: ReasonNotOurs, Message: "it does not carry the mark of this Application"}
	}
	return n, nil
}

// owned looks for objects that no inventory has.
func (t *tracer) owned(ctx context.Context) error {
	for _, gvk := range t.kinds {
		kind, _, err := t.b.c.Kind(ctx, gvk)
		if err != nil {
			return err //nolint:wrapcheck // only whether there is one counts
		}
		places := []string{""}
		if kind.Namespaced {
			places = t.namespaces()
		}
		for _, ns := range places {
			obj, _, err := t.b.get(ctx, gvk, ns, t.asked.Name)
			if err != nil {
				return err
			}
			if obj == nil {
				continue
			}
			trail, isFound, err := t.climb(ctx, obj, nil)
			if err != nil {
				return err
			}
			if isFound {
				t.trails = append(t.trails, trail)
			}
		}
	}
	return nil
}

// namespaces are those of the Applications, or the one that was asked for if it is
// among them.
func (t *tracer) namespaces() []string {
	all := map[string]bool{}
	for _, m := range t.apps {
		all[m.app.Spec.Destination.Namespace] = true
		for _, e := range m.app.Status.Inventory {
			all[e.Namespace] = true
		}
	}
	delete(all, "")
	switch out := slices.Sorted(maps.Keys(all)); {
	case t.asked.Namespace != "" && all[t.asked.Namespace]:
		return []string{t.asked.Namespace}
	case t.asked.Namespace != "":
		return nil
	case len(out) > maxTraced:
		t.isCut = true
		return out[:maxTraced]
	default:
		return out
	}
}

// climb follows the owners of obj, its controller first, to an object that one of
// the Applications applied.
func (t *tracer) climb(ctx context.Context, obj *unstructured.Unstructured, below []Node) (Trail, bool, error) {
	if len(below) == maxOwners {
		return Trail{}, false, nil
	}
	owners := slices.Clone(obj.GetOwnerReferences())
	slices.SortStableFunc(owners, func(a, b metav1.OwnerReference) int {
		isController := func(r metav1.OwnerReference) int {
			if r.Controller != nil && *r.Controller {
				return 0
			}
			return 1
		}
		return isController(a) - isController(b)
	})
	for _, r := range owners {
		nodes := append(slices.Clone(below), t.b.node(obj, string(r.UID)))
		if m, e := t.entry(r, obj.GetNamespace()); m != nil {
			n, err := t.applied(ctx, m, e, true)
			return Trail{App: m, Nodes: append(nodes, n)}, err == nil, err
		}
		gv, err := schema.ParseGroupVersion(r.APIVersion)
		if err != nil {
			continue
		}
		owner, _, err := t.b.get(ctx, gv.WithKind(r.Kind), obj.GetNamespace(), r.Name)
		if err != nil {
			return Trail{}, false, err
		}
		if owner == nil || owner.GetUID() != r.UID {
			continue
		}
		if trail, isFound, err := t.climb(ctx, owner, nodes); err != nil || isFound {
			return trail, isFound, err
		}
	}
	return Trail{}, false, nil
}

// entry returns the Application whose inventory has an owner. What lies in a
// namespace that its Project has no more is not told of.
func (t *tracer) entry(r metav1.OwnerReference, namespace string) (*v1alpha1.Application, v1alpha1.InventoryEntry) {
	for _, m := range t.apps {
		if namespace != "" && m.limits.Namespace(t.cluster, namespace) != nil {
			continue
		}
		for _, e := range m.app.Status.Inventory {
			if e.UID == string(r.UID) && e.Kind == r.Kind && e.Name == r.Name {
				return m.app, e
			}
		}
	}
	return nil, v1alpha1.InventoryEntry{}
}

// Origin is where an object of an Application was written down.
type Origin struct {
	// Commit of the revision that runs; zero for a chart of a Helm repository.
	Commit git.Commit
	// File that declares the object, from the root of the repository or the chart;
	// where a kustomization makes it up, the kustomization. "" when it is in none:
	// it left the revision, or that cannot be rendered.
	File string
}

// Origin returns where the revision of app that runs declares an object.
func (i *Inspector) Origin(ctx context.Context, app *v1alpha1.Application, key gitops.Key) (Origin, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	if app.Status.Sync.Revision == "" {
		return Origin{}, ErrNoRevision
	}
	r, err := i.revision(ctx, app, app.Status.Sync.Revision)
	if err != nil {
		return Origin{}, err
	}
	out := Origin{Commit: r.commit}
	for n, obj := range r.result.Objects {
		k := gitops.KeyOf(obj)
		if k.GroupKind() != key.GroupKind() || k.Name != key.Name || k.Namespace != "" && k.Namespace != key.Namespace {
			continue
		}
		if file := r.result.Templates[n]; file != "" {
			out.File = path.Join(app.Spec.Source.Path, file)
		} else {
			out.File = render.DeclaredIn(r.files, r.result.Files, app.Spec.Source.Path, obj)
		}
		break
	}
	return out, nil
}
