package gitops

import (
	"fmt"
	"slices"
	"strings"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// Limits say what the Applications of one Project may touch. Without widening:
// the Namespaces <project> and <project>-*, unless one belongs to another
// Project; namespaced kinds and Namespace.
type Limits struct {
	// Project is the name of the Project.
	Project string
	// Destinations and Kinds of the Project's spec widen the default.
	Destinations []v1alpha1.ProjectDestination
	Kinds        []v1alpha1.ProjectKind
	// OtherProjects are the names of all other Projects.
	OtherProjects []string
	// SystemNamespace is where Waybill itself runs; never a destination.
	SystemNamespace string
}

// ReasonForbidden is the reason of every refusal by Limits.
const ReasonForbidden = "DestinationForbidden"

// Namespace returns nil when objects may be applied to namespace of cluster,
// and otherwise an error that says why not and what would allow it.
func (l Limits) Namespace(cluster, namespace string) error {
	if isReserved(namespace, l.SystemNamespace) {
		return fmt.Errorf("namespace %q belongs to the system and is never a destination; choose another", namespace)
	}
	widenedBy := l.widening(cluster, namespace)
	if owner, taken := l.otherOwner(namespace); taken {
		// A pattern does not reach into another Project by accident; the exact
		// name is a decision.
		if widenedBy == namespace {
			return nil
		}
		return fmt.Errorf("namespace %q belongs to Project %q; name it in spec.destinations of Project %q to allow it", namespace, owner, l.Project)
	}
	if namespace == l.Project || strings.HasPrefix(namespace, l.Project+"-") || widenedBy != "" {
		return nil
	}
	return fmt.Errorf("namespace %q of cluster %q is no destination of Project %q; use %q, a namespace that starts with %q, or add it to spec.destinations of the Project",
		namespace, cluster, l.Project, l.Project, l.Project+"-")
}

func isReserved(namespace, system string) bool {
	return strings.HasPrefix(namespace, "kube-") || system != "" && namespace == system
}

// widening returns the entry of spec.destinations that allows namespace, the
// exact name before a pattern, or "".
func (l Limits) widening(cluster, namespace string) string {
	found := ""
	for _, d := range l.Destinations {
		clusterPattern := d.Cluster
		if clusterPattern == "" {
			clusterPattern = "*"
		}
		if !matches(clusterPattern, cluster) || !matches(d.Namespace, namespace) {
			continue
		}
		if d.Namespace == namespace {
			return namespace
		}
		found = d.Namespace
	}
	return found
}

// otherOwner returns the other Project whose default destinations contain
// namespace: its own Namespace, or one that starts with its name when no
// longer name fits better (guest-book-test is guest-book's, not guest's).
func (l Limits) otherOwner(namespace string) (string, bool) {
	best := ""
	if namespace == l.Project || strings.HasPrefix(namespace, l.Project+"-") {
		best = l.Project
	}
	for _, p := range l.OtherProjects {
		if p != l.Project && len(p) > len(best) && (namespace == p || strings.HasPrefix(namespace, p+"-")) {
			best = p
		}
	}
	return best, best != "" && best != l.Project
}

// kind returns nil when objects of d's kind may be applied.
func (l Limits) kind(d Desired) error {
	if slices.ContainsFunc(l.Kinds, func(k v1alpha1.ProjectKind) bool {
		return matches(k.Group, d.Key.Group) && matches(k.Kind, d.Key.Kind)
	}) {
		return nil
	}
	kindName := d.Key.GroupKind().String()
	if d.Key.Group == v1alpha1.Group {
		return fmt.Errorf("kind %q is Waybill's own; add it to spec.kinds of Project %q to allow it", kindName, l.Project)
	}
	if d.Namespaced || d.Key.Group == "" && d.Key.Kind == "Namespace" {
		return nil
	}
	return fmt.Errorf("kind %q is not namespaced; add it to spec.kinds of Project %q to allow it", kindName, l.Project)
}

// CheckLimits returns an error for every object that l does not allow in
// cluster, in the order of objs; nil when all are allowed.
func CheckLimits(l Limits, cluster string, objs []Desired) []*ObjectError {
	var errs []*ObjectError
	for _, d := range objs {
		err := l.kind(d)
		if err == nil {
			switch {
			case d.Namespaced:
				err = l.Namespace(cluster, d.Key.Namespace)
			case d.Key.Group == "" && d.Key.Kind == "Namespace":
				err = l.Namespace(cluster, d.Key.Name)
			}
		}
		if err != nil {
			errs = append(errs, &ObjectError{Key: d.Key, Reason: ReasonForbidden, Message: err.Error()})
		}
	}
	return errs
}

// matches reports whether name fits pattern, in which * is any run of
// characters.
func matches(pattern, name string) bool {
	head, rest, starred := strings.Cut(pattern, "*")
	if !starred {
		return pattern == name
	}
	if !strings.HasPrefix(name, head) {
		return false
	}
	name = name[len(head):]
	for {
		part, more, again := strings.Cut(rest, "*")
		if !again {
			return strings.HasSuffix(name, part)
		}
		at := strings.Index(name, part)
		if at < 0 {
			return false
		}
		name, rest = name[at+len(part):], more
	}
}
