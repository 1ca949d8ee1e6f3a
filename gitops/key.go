package gitops

import (
	"cmp"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// FieldManager is the name under which every applied field is owned.
const FieldManager = "waybill"

// Key names one object of a cluster. The version is not part of it: an object
// stays the same object when its manifest moves to another version.
type Key struct {
	Group, Kind, Namespace, Name string
}

// KeyOf returns the key of obj as its metadata says.
func KeyOf(obj *unstructured.Unstructured) Key {
	gvk := obj.GroupVersionKind()
	return Key{Group: gvk.Group, Kind: gvk.Kind, Namespace: obj.GetNamespace(), Name: obj.GetName()}
}

// EntryKey returns the key of an inventory entry.
func EntryKey(e v1alpha1.InventoryEntry) Key {
	return Key{Group: e.Group, Kind: e.Kind, Namespace: e.Namespace, Name: e.Name}
}

// GroupKind returns the kind of the object.
func (k Key) GroupKind() schema.GroupKind { return schema.GroupKind{Group: k.Group, Kind: k.Kind} }

// String returns the form shown to people: Deployment guestbook-test/web.
func (k Key) String() string {
	if k.Namespace == "" {
		return k.Kind + " " + k.Name
	}
	return k.Kind + " " + k.Namespace + "/" + k.Name
}

// Compare orders keys by kind, group, namespace and name.
func (k Key) Compare(o Key) int {
	return cmp.Or(cmp.Compare(k.Kind, o.Kind), cmp.Compare(k.Group, o.Group),
		cmp.Compare(k.Namespace, o.Namespace), cmp.Compare(k.Name, o.Name))
}

// ObjectError is something wrong with one object. Reason is a CamelCase word
// for programs, Message one sentence for people: what, which input, what next.
type ObjectError struct {
	Key     Key
	Reason  string
	Message string
}

// Error returns the key and the message.
func (e *ObjectError) Error() string { return e.Key.String() + ": " + e.Message }
