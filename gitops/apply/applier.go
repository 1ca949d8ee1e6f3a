package apply

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/gitops"
	"github.com/waybill-dev/waybill/gitops/cluster"
)

// requestTimeout bounds one write: the API server itself gives up after 34 s
// (webhooks included), so a longer wait brings nothing.
const requestTimeout = 40 * time.Second

// Lane separates writes that somebody waits for from those of a mass sync, so
// that a promotion is not held up by 200 other Applications.
type Lane int

// The lanes. Each has its own slots.
const (
	Bulk Lane = iota
	Express
)

// Applier writes to one cluster. It is safe for concurrent use.
type Applier struct {
	cluster *cluster.Cluster
	slots   [2]chan struct{}
}

// New returns an Applier with at most concurrency writes at a time per lane.
func New(c *cluster.Cluster, concurrency int) *Applier {
	return &Applier{cluster: c, slots: [2]chan struct{}{make(chan struct{}, concurrency), make(chan struct{}, concurrency)}}
}

// As returns an Applier that writes to the same cluster through other clients; the
// two share their slots.
func (a *Applier) As(c *cluster.Cluster) *Applier { return &Applier{cluster: c, slots: a.slots} }

// Apply sends one server-side apply of d and returns the server's answer. It
// waits for a free slot of the lane. Errors are *Error.
func (a *Applier) Apply(ctx context.Context, lane Lane, d gitops.Desired) (*unstructured.Unstructured, error) {
	slots := a.slots[lane]
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
	case <-ctx.Done():
		return nil, classify(d.Key, ctx.Err())
	}
	return a.ApplyNow(ctx, d)
}

// ApplyNow is Apply without waiting for a slot: a single heal is not held up by
// a mass sync.
func (a *Applier) ApplyNow(ctx context.Context, d gitops.Desired) (*unstructured.Unstructured, error) {
	kind, err := a.kind(ctx, d.Key, d.Version)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	resource := a.cluster.Dynamic.Resource(kind.Resource).Namespace(d.Key.Namespace)
	send := d.Object
	if d.Options.Replace || d.Ignored.In(d.Object) {
		live, err := resource.Get(ctx, d.Key.Name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
		case err != nil:
			return nil, classify(d.Key, err)
		default:
			if !d.Ignored.IsEmpty() {
				send = d.Ignored.Payload(d.Object, live)
			}
			if d.Options.Replace {
				if err := replace(ctx, resource, send, live); err != nil {
					return nil, classify(d.Key, err)
				}
			}
		}
	}
	body := d.Body
	if body == nil || send != d.Object {
		if body, err = json.Marshal(send.Object); err != nil {
			return nil, &Error{Key: d.Key, Reason: Invalid, Message: err.Error(), cause: err}
		}
	}
	force := true
	options := metav1.PatchOptions{FieldManager: gitops.FieldManager, Force: &force}
	if d.Options.LooseFields {
		options.FieldValidation = metav1.FieldValidationIgnore
	}
	answer, err := resource.Patch(ctx, d.Key.Name, types.ApplyPatchType, body, options)
	if apierrors.IsUnsupportedMediaType(err) {
		answer, err = merge(ctx, resource, send)
	}
	if err != nil {
		return nil, classify(d.Key, err)
	}
	if d.Key.Kind == "CustomResourceDefinition" {
		a.cluster.ForgetKinds()
	}
	return answer, nil
}

// replace writes obj over live as a whole; the apply that follows makes its
// fields ours. The live version is a precondition.
func replace(ctx context.Context, resource dynamic.ResourceInterface, obj, live *unstructured.Unstructured) error {
	whole := obj.DeepCopy()
	whole.SetResourceVersion(live.GetResourceVersion())
	_, err := resource.Update(ctx, whole, metav1.UpdateOptions{FieldManager: gitops.FieldManager})
	return err
}

// Create makes the object of a hook and returns the server's answer. It is a
// Changed error when an object of that name is there already.
func (a *Applier) Create(ctx context.Context, d gitops.Desired) (*unstructured.Unstructured, error) {
	kind, err := a.kind(ctx, d.Key, d.Version)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	answer, err := a.cluster.Dynamic.Resource(kind.Resource).Namespace(d.Key.Namespace).Create(ctx, d.Object, metav1.CreateOptions{FieldManager: gitops.FieldManager})
	return answer, classify(d.Key, err)
}

// CheckNew asks the API server whether it would take d as a new object, under
// another name, without making it.
func (a *Applier) CheckNew(ctx context.Context, d gitops.Desired) error {
	kind, err := a.kind(ctx, d.Key, d.Version)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	trial := d.Object.DeepCopy()
	trial.SetName("")
	trial.SetGenerateName("waybill-trial-")
	_, err = a.cluster.Dynamic.Resource(kind.Resource).Namespace(d.Key.Namespace).Create(ctx, trial,
		metav1.CreateOptions{FieldManager: gitops.FieldManager, DryRun: []string{metav1.DryRunAll}})
	return classify(d.Key, err)
}

// ReadWhole returns an object, or nil when it does not exist.
func (a *Applier) ReadWhole(ctx context.Context, key gitops.Key, version string) (*unstructured.Unstructured, error) {
	kind, err := a.kind(ctx, key, version)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	obj, err := a.cluster.Dynamic.Resource(kind.Resource).Namespace(key.Namespace).Get(ctx, key.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil //nolint:nilnil // Absent is an answer, not an error.
	}
	return obj, classify(key, err)
}

func (a *Applier) kind(ctx context.Context, key gitops.Key, version string) (cluster.Kind, error) {
	gvk := schema.GroupVersionKind{Group: key.Group, Version: version, Kind: key.Kind}
	kind, served, err := a.cluster.Kind(ctx, gvk)
	if err != nil {
		return cluster.Kind{}, classify(key, err)
	}
	if !served {
		return cluster.Kind{}, &Error{Key: key, Reason: KindUnknown,
			Message: fmt.Sprintf("the cluster serves no kind %q in %q; install its CustomResourceDefinition or correct apiVersion", gvk.Kind, gvk.GroupVersion())}
	}
	return kind, nil
}

// TakeOver sends a patch of gitops.TakeAdditions: the first of the two requests
// that remove additions. A Changed error means that the object moved on; its
// watch event brings the new state.
func (a *Applier) TakeOver(ctx context.Context, key gitops.Key, version string, patch []gitops.PatchOperation) error {
	kind, err := a.kind(ctx, key, version)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	body, err := json.Marshal(patch)
	if err != nil {
		return &Error{Key: key, Reason: Failed, Message: err.Error(), cause: err}
	}
	_, err = a.cluster.Metadata.Resource(kind.Resource).Namespace(key.Namespace).Patch(ctx, key.Name, types.JSONPatchType, body, metav1.PatchOptions{})
	if apierrors.IsInvalid(err) {
		// A failed test of a JSON patch is answered as "invalid".
		return &Error{Key: key, Reason: Changed, Message: "it changed while its additions were taken over", cause: err}
	}
	return classify(key, err)
}

// Read returns the metadata of an object, or nil when it does not exist.
func (a *Applier) Read(ctx context.Context, key gitops.Key, version string) (*metav1.PartialObjectMetadata, error) {
	kind, err := a.kind(ctx, key, version)
	if err != nil {
		if reasonOf(err) == KindUnknown {
			return nil, nil //nolint:nilnil // An object of a kind that is not served does not exist.
		}
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	obj, err := a.cluster.Metadata.Resource(kind.Resource).Namespace(key.Namespace).Get(ctx, key.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil //nolint:nilnil // Absent is an answer, not an error.
	case err != nil:
		return nil, classify(key, err)
	default:
		return obj, nil
	}
}

// Delete deletes d and looks whether it is gone. The UID is a precondition: an
// object that was made anew under the name stays. gone is false while the
// object is being finalised; finalizers then names what holds it.
//
// The caller has checked ownership in the watch; when the object was not there
// (isSeen false) it is read first, and deleted only if it is the very object
// that was applied, whose label somebody removed.
func (a *Applier) Delete(ctx context.Context, d gitops.Deletion, isSeen bool, propagation metav1.DeletionPropagation) (gone bool, finalizers []string, err error) {
	if d.UID == "" {
		return true, nil, nil
	}
	if !isSeen {
		found, err := a.Read(ctx, d.Key, d.Version)
		if err != nil {
			return false, nil, err
		}
		if found == nil || string(found.UID) != d.UID {
			return true, nil, nil
		}
		if found.DeletionTimestamp != nil {
			return false, found.Finalizers, nil
		}
	}
	kind, err := a.kind(ctx, d.Key, d.Version)
	if err != nil {
		if reasonOf(err) == KindUnknown {
			return true, nil, nil
		}
		return false, nil, err
	}
	bounded, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	uid := types.UID(d.UID)
	err = a.cluster.Dynamic.Resource(kind.Resource).Namespace(d.Key.Namespace).Delete(bounded, d.Key.Name, metav1.DeleteOptions{
		Preconditions:     &metav1.Preconditions{UID: &uid},
		PropagationPolicy: &propagation,
	})
	if apierrors.IsNotFound(err) {
		return true, nil, nil
	}
	if err != nil && !apierrors.IsConflict(err) {
		return false, nil, classify(d.Key, err)
	}
	found, err := a.Read(ctx, d.Key, d.Version)
	if err != nil {
		return false, nil, err
	}
	if found == nil || string(found.UID) != d.UID {
		return true, nil, nil
	}
	return false, found.Finalizers, nil
}

// CreateNamespace makes namespace when it does not exist, marked as made for
// the owner's Project. One that exists is used as it is, unless it belongs to
// another Project (NamespaceTaken) or is being deleted (NamespaceTerminating).
//
// metadata, when given, is applied to it in any case but those.
func (a *Applier) CreateNamespace(ctx context.Context, namespace string, owner gitops.Owner, metadata *v1alpha1.NamespaceMetadata) error {
	key := gitops.Key{Kind: "Namespace", Name: namespace}
	bounded, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	client := a.cluster.Dynamic.Resource(corev1.SchemeGroupVersion.WithResource("namespaces"))
	obj := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Namespace",
		"metadata": map[string]any{
			"name":        namespace,
			"labels":      map[string]any{v1alpha1.LabelNamespaceOf: owner.Namespace},
			"annotations": map[string]any{v1alpha1.AnnotationOwner: owner.Annotation()},
		},
	}}
	_, err := client.Create(bounded, obj, metav1.CreateOptions{FieldManager: gitops.FieldManager})
	if err == nil {
		return a.labelNamespace(bounded, key, metadata)
	}
	if !apierrors.IsAlreadyExists(err) {
		return classify(key, err)
	}
	found, err := a.Read(ctx, key, "v1")
	switch {
	case err != nil:
		return err
	case found == nil:
		return &Error{Key: key, Reason: Changed, Message: "it was deleted while it was looked at"}
	case found.DeletionTimestamp != nil:
		return &Error{Key: key, Reason: NamespaceTerminating, Message: "it is being deleted; it is created again when it is gone"}
	}
	if project := projectOf(found); project != "" && project != owner.Namespace {
		return &Error{Key: key, Reason: NamespaceTaken, Message: fmt.Sprintf("it belongs to Project %q; choose another destination", project)}
	}
	return a.labelNamespace(bounded, key, metadata)
}

// labelNamespace sets the labels and annotations of managedNamespaceMetadata.
func (a *Applier) labelNamespace(ctx context.Context, key gitops.Key, metadata *v1alpha1.NamespaceMetadata) error {
	if metadata == nil || len(metadata.Labels)+len(metadata.Annotations) == 0 {
		return nil
	}
	body, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Namespace",
		"metadata": map[string]any{"name": key.Name, "labels": metadata.Labels, "annotations": metadata.Annotations},
	})
	if err != nil {
		return &Error{Key: key, Reason: Invalid, Message: err.Error(), cause: err}
	}
	force := true
	_, err = a.cluster.Dynamic.Resource(corev1.SchemeGroupVersion.WithResource("namespaces")).Patch(ctx, key.Name,
		types.ApplyPatchType, body, metav1.PatchOptions{FieldManager: gitops.FieldManager + "-namespace", Force: &force})
	return classify(key, err)
}

// projectOf returns the Project a namespace was made for or is the home of; ""
// when it is nobody's.
func projectOf(ns *metav1.PartialObjectMetadata) string {
	if p := ns.Labels[v1alpha1.LabelNamespaceOf]; p != "" {
		return p
	}
	if ns.Labels[v1alpha1.LabelProject] == "true" {
		return ns.Name
	}
	return ""
}
