package gitops

import (
	"regexp"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// KindName is a kind as people type it for kubectl: deploy, deployments,
// Deployment, deployments.apps, deployments.v1.apps.
type KindName struct {
	// Name in lower case: of the kind, its plural, or a short name.
	Name string
	// Group in lower case; "" fits any.
	Group string
}

// apiVersion is one label that names a version, as in kubectl's
// RESOURCE.VERSION.GROUP.
var apiVersion = regexp.MustCompile(`^v[0-9]+((alpha|beta)[0-9]+)?$`)

// ParseKindName reads what somebody typed. A version in it has no meaning: an
// object is the same in each.
func ParseKindName(text string) KindName {
	name, rest, _ := strings.Cut(strings.ToLower(text), ".")
	if version, group, isPair := strings.Cut(rest, "."); isPair && apiVersion.MatchString(version) {
		rest = group
	}
	return KindName{Name: name, Group: rest}
}

// String is the name with its group.
func (n KindName) String() string { return strings.TrimSuffix(n.Name+"."+n.Group, ".") }

// Fits reports whether gk is meant, by its kind and the plural that such a kind
// usually has. Short names, and plurals of another make, the cluster knows.
func (n KindName) Fits(gk schema.GroupKind) bool {
	if n.Group != "" && n.Group != strings.ToLower(gk.Group) {
		return false
	}
	plural, singular := meta.UnsafeGuessKindToResource(gk.WithVersion(""))
	return n.Name != "" && (n.Name == singular.Resource || n.Name == plural.Resource)
}
