package gitops

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// Owner identifies the Application that applied an object.
type Owner struct {
	// Cluster is the name of the destination cluster.
	Cluster string
	// Namespace (the Project) and Application name the owner.
	Namespace, Application string
	// UID of the Application.
	UID string
}

// OwnerOf returns the owner of what app applies.
func OwnerOf(app *v1alpha1.Application) Owner {
	cluster := app.Spec.Destination.Cluster
	if cluster == "" {
		cluster = v1alpha1.InCluster
	}
	return Owner{Cluster: cluster, Namespace: app.Namespace, Application: app.Name, UID: string(app.UID)}
}

// Label returns the value of the label waybill.dev/managed-by: the first eight
// hex digits of the SHA-256 of the Application's UID.
func (o Owner) Label() string {
	sum := sha256.Sum256([]byte(o.UID))
	return hex.EncodeToString(sum[:4])
}

// Annotation returns the value of waybill.dev/owner:
// <cluster>/<namespace>/<application>.
func (o Owner) Annotation() string {
	return o.Cluster + "/" + o.Namespace + "/" + o.Application
}

// ParseOwner reads the annotation waybill.dev/owner. ok is false when the text
// has another form. The UID is not in it and stays empty.
func ParseOwner(annotation string) (o Owner, ok bool) {
	parts := strings.Split(annotation, "/")
	if len(parts) != 3 || parts[0] == "" || parts[1] == "" || parts[2] == "" {
		return Owner{}, false
	}
	return Owner{Cluster: parts[0], Namespace: parts[1], Application: parts[2]}, true
}
