package live

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/gitops"
	"github.com/waybill-dev/waybill/gitops/cluster"
	"github.com/waybill-dev/waybill/gitops/health"
)

// Node is one object of an Application, or one that such an object owns.
type Node struct {
	Key     gitops.Key
	Version string
	// UID is "" for an object of the inventory that does not exist.
	UID string
	// Parent is the UID of the owner that is in the tree, "" for objects that
	// were applied.
	Parent string
	// Health as the object tells it; Status is "" for kinds without health.
	Health v1alpha1.Health
	// CreatedAt is zero for what does not exist.
	CreatedAt time.Time
	// Containers of a Pod, those that run first before the others.
	Containers []string
}

// Tree is what an Application has in its cluster.
type Tree struct {
	// Nodes: what was applied first, in the order of the inventory, then what is
	// owned, each by kind and name.
	Nodes []Node
	// IsCut says that there is more than is shown.
	IsCut bool
}

// ownedKinds are the kinds that controllers of Kubernetes make, owners before
// what they own. Operators make workloads, so those are among them.
func ownedKinds() []schema.GroupVersionKind {
	return []schema.GroupVersionKind{
		{Group: "apps", Version: "v1", Kind: "Deployment"},
		{Group: "apps", Version: "v1", Kind: "StatefulSet"},
		{Group: "apps", Version: "v1", Kind: "DaemonSet"},
		{Group: "batch", Version: "v1", Kind: "Job"},
		{Group: "apps", Version: "v1", Kind: "ReplicaSet"},
		{Version: "v1", Kind: "PersistentVolumeClaim"},
		{Group: "discovery.k8s.io", Version: "v1", Kind: "EndpointSlice"},
		{Version: "v1", Kind: "Pod"},
	}
}

// Tree returns the objects of app, and what they own.
func (i *Inspector) Tree(ctx context.Context, app *v1alpha1.Application) (Tree, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	c, limits, err := i.clusterOf(ctx, app)
	if err != nil {
		return Tree{}, err
	}
	owner := gitops.OwnerOf(app)
	b := builder{i: i, c: c, now: i.o.Clock.Now(), byUID: map[types.UID]bool{}}
	if err := b.addApplied(ctx, app, owner); err != nil {
		return Tree{}, err
	}
	for _, ns := range b.namespaces(app) {
		if limits.Namespace(owner.Cluster, ns) != nil {
			continue // it is not the Project's any more
		}
		for _, gvk := range ownedKinds() {
			if err := b.addOwned(ctx, gvk, ns); err != nil {
				return Tree{}, err
			}
		}
	}
	return b.tree, nil
}

// builder puts a tree together.
type builder struct {
	i     *Inspector
	c     *cluster.Cluster
	now   time.Time
	tree  Tree
	byUID map[types.UID]bool
}

// addApplied adds the inventory. Objects are listed by the owner's label, one
// list for each kind and namespace.
func (b *builder) addApplied(ctx context.Context, app *v1alpha1.Application, owner gitops.Owner) error {
	type place struct {
		gvk       schema.GroupVersionKind
		namespace string
	}
	listed := map[place]listing{}
	told := toldOf(app)
	for _, e := range app.Status.Inventory {
		at := place{schema.GroupVersionKind{Group: e.Group, Version: e.Version, Kind: e.Kind}, e.Namespace}
		if listed[at].byName == nil {
			found, err := b.list(ctx, at.gvk, at.namespace, v1alpha1.LabelManagedBy+"="+owner.Label())
			if err != nil {
				return err
			}
			listed[at] = found
		}
		found := listed[at]
		b.tree.Nodes = append(b.tree.Nodes, b.applied(e, found.byName[e.Name], found.isForbidden || found.isCut, told))
	}
	return nil
}

// toldOf returns what the reconciler says of the objects that are not Healthy.
func toldOf(app *v1alpha1.Application) map[gitops.Key]v1alpha1.ObjectStatus {
	told := map[gitops.Key]v1alpha1.ObjectStatus{}
	for _, o := range app.Status.Objects {
		told[gitops.Key{Group: o.Group, Kind: o.Kind, Namespace: o.Namespace, Name: o.Name}] = o
	}
	return told
}

// applied is the node of an entry of the inventory; obj is nil when it was not
// seen, which means nothing when isHidden.
func (b *builder) applied(e v1alpha1.InventoryEntry, obj *unstructured.Unstructured, isHidden bool, told map[gitops.Key]v1alpha1.ObjectStatus) Node {
	n := Node{Key: gitops.EntryKey(e), Version: e.Version}
	switch {
	case obj != nil:
		n = b.node(obj, "")
	case isHidden:
		n.Health = v1alpha1.Health{Status: v1alpha1.HealthUnknown, Reason: "NotSeen", Message: "the cluster does not let it be read"}
	default:
		n.Health = v1alpha1.Health{Status: v1alpha1.HealthMissing, Reason: "Missing", Message: "it does not exist in the cluster"}
	}
	// What the reconciler says of an object counts: it knows its pods and the
	// Application's own health checks.
	if o, ok := told[gitops.EntryKey(e)]; ok {
		n.Health.Status, n.Health.Reason, n.Health.Message = cmp.Or(o.Health, n.Health.Status), o.Reason, o.Message
	}
	return n
}

// namespaces returns those in which something was applied, the destination first.
func (b *builder) namespaces(app *v1alpha1.Application) []string {
	out := []string{app.Spec.Destination.Namespace}
	for _, e := range app.Status.Inventory {
		if e.Namespace != "" && !slices.Contains(out, e.Namespace) {
			out = append(out, e.Namespace)
		}
	}
	if len(out) > maxNamespaces {
		b.tree.IsCut, out = true, out[:maxNamespaces]
	}
	return out
}

// addOwned adds the objects of a kind that something in the tree owns.
func (b *builder) addOwned(ctx context.Context, gvk schema.GroupVersionKind, namespace string) error {
	found, err := b.list(ctx, gvk, namespace, "")
	if err != nil {
		return err
	}
	b.tree.IsCut = b.tree.IsCut || found.isForbidden
	var nodes []Node
	for _, obj := range found.byName {
		if b.byUID[obj.GetUID()] {
			continue
		}
		at := slices.IndexFunc(obj.GetOwnerReferences(), func(r metav1.OwnerReference) bool { return b.byUID[r.UID] })
		if at < 0 || isEmptyReplicaSet(obj) {
			continue
		}
		nodes = append(nodes, b.node(obj, string(obj.GetOwnerReferences()[at].UID)))
	}
	slices.SortFunc(nodes, func(x, y Node) int { return x.Key.Compare(y.Key) })
	b.tree.Nodes = append(b.tree.Nodes, nodes...)
	return nil
}

// isEmptyReplicaSet: a Deployment keeps those of earlier revisions, which run
// nothing.
func isEmptyReplicaSet(obj *unstructured.Unstructured) bool {
	if obj.GetKind() != "ReplicaSet" {
		return false
	}
	wanted, _, _ := unstructured.NestedInt64(obj.Object, "spec", "replicas")
	running, _, _ := unstructured.NestedInt64(obj.Object, "status", "replicas")
	return wanted == 0 && running == 0
}

func (b *builder) node(obj *unstructured.Unstructured, parent string) Node {
	b.byUID[obj.GetUID()] = true
	n := Node{
		Key: gitops.KeyOf(obj), Version: obj.GroupVersionKind().Version, UID: string(obj.GetUID()), Parent: parent,
		CreatedAt: obj.GetCreationTimestamp().UTC(),
	}
	if !isMetadataOnly(obj.GroupVersionKind()) || obj.GetDeletionTimestamp() != nil {
		n.Health = health.Assess(obj, b.now).Health()
	}
	if n.Key.Kind == "Pod" && n.Key.Group == "" {
		for _, field := range []string{"containers", "initContainers"} {
			list, _, _ := unstructured.NestedSlice(obj.Object, "spec", field)
			for _, item := range list {
				if container, ok := item.(map[string]any); ok {
					name, _ := container["name"].(string)
					n.Containers = append(n.Containers, name)
				}
			}
		}
	}
	return n
}

// isMetadataOnly: the content of these may be secret, and says nothing about
// health.
func isMetadataOnly(gvk schema.GroupVersionKind) bool {
	switch gvk.Group {
	case "rbac.authorization.k8s.io", "discovery.k8s.io":
		return true
	case "":
		return gvk.Kind == "Secret" || gvk.Kind == "ConfigMap" || gvk.Kind == "ServiceAccount"
	}
	return false
}

// listing is what one list brought.
type listing struct {
	byName map[string]*unstructured.Unstructured
	// isForbidden: the server's account may not list them. isCut: there are more.
	isForbidden, isCut bool
}

// list returns objects by name. A kind that is not served has none.
func (b *builder) list(ctx context.Context, gvk schema.GroupVersionKind, namespace, selector string) (listing, error) {
	kind, served, err := b.c.Kind(ctx, gvk)
	if err != nil {
		return listing{}, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	out := listing{byName: map[string]*unstructured.Unstructured{}}
	if !served || namespace == "" && kind.Namespaced {
		return out, nil
	}
	options := metav1.ListOptions{LabelSelector: selector, Limit: maxListed}
	var more string
	if isMetadataOnly(gvk) {
		var found *metav1.PartialObjectMetadataList
		if found, err = b.c.Metadata.Resource(kind.Resource).Namespace(namespace).List(ctx, options); err == nil {
			more = found.Continue
			for i := range found.Items {
				out.byName[found.Items[i].Name] = bare(gvk, &found.Items[i])
			}
		}
	} else {
		var found *unstructured.UnstructuredList
		if found, err = b.c.Dynamic.Resource(kind.Resource).Namespace(namespace).List(ctx, options); err == nil {
			more = found.GetContinue()
			for i := range found.Items {
				found.Items[i].SetGroupVersionKind(gvk)
				out.byName[found.Items[i].GetName()] = &found.Items[i]
			}
		}
	}
	out.isForbidden, out.isCut = apierrors.IsForbidden(err), more != ""
	b.tree.IsCut = b.tree.IsCut || out.isCut
	return out, readError(gvk, err)
}

// get returns one object of a kind; nil when there is none, and isHidden when the
// server's account may not read it.
func (b *builder) get(ctx context.Context, gvk schema.GroupVersionKind, namespace, name string) (obj *unstructured.Unstructured, isHidden bool, err error) {
	kind, served, err := b.c.Kind(ctx, gvk)
	if err != nil {
		return nil, false, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	if !served || kind.Namespaced && namespace == "" {
		return nil, false, nil
	}
	if !kind.Namespaced {
		namespace = ""
	}
	if isMetadataOnly(gvk) {
		var found *metav1.PartialObjectMetadata
		if found, err = b.c.Metadata.Resource(kind.Resource).Namespace(namespace).Get(ctx, name, metav1.GetOptions{}); err == nil {
			return bare(gvk, found), false, nil
		}
	} else if obj, err = b.c.Dynamic.Resource(kind.Resource).Namespace(namespace).Get(ctx, name, metav1.GetOptions{}); err == nil {
		return obj, false, nil
	}
	return nil, apierrors.IsForbidden(err), readError(gvk, err)
}

// bare returns an object that is known by its metadata only.
func bare(gvk schema.GroupVersionKind, m *metav1.PartialObjectMetadata) *unstructured.Unstructured {
	obj := &unstructured.Unstructured{Object: map[string]any{}}
	obj.SetGroupVersionKind(gvk)
	obj.SetNamespace(m.Namespace)
	obj.SetName(m.Name)
	obj.SetUID(m.UID)
	obj.SetLabels(m.Labels)
	obj.SetOwnerReferences(m.OwnerReferences)
	obj.SetCreationTimestamp(m.CreationTimestamp)
	obj.SetDeletionTimestamp(m.DeletionTimestamp)
	obj.SetFinalizers(m.Finalizers)
	return obj
}

// readError keeps the errors that make an answer impossible: what the server's
// account may not read is left out instead.
func readError(gvk schema.GroupVersionKind, err error) error {
	if err == nil || apierrors.IsForbidden(err) || apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err) {
		return nil
	}
	return fmt.Errorf("%w: read %s: %w", ErrUnreachable, gvk.Kind, err)
}
