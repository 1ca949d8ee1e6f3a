package promotion

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// Reasons of a Stage whose forEach cannot be followed.
const (
	// ReasonNoCluster: no Cluster has the labels.
	ReasonNoCluster = "NoCluster"
	// ReasonInvalidForEach: the selector cannot be read, or two entries come to
	// the same name.
	ReasonInvalidForEach = "InvalidForEach"
)

// maxApplicationName is what a label and a DNS name hold.
const maxApplicationName = 63

// itemMark stands in a path for the name of the item.
const itemMark = "{name}"

// SelectsClusters reports whether what s deploys depends on the Clusters.
func SelectsClusters(s *v1alpha1.Stage) bool {
	return slices.ContainsFunc(s.Spec.Deploy, func(d v1alpha1.Deployment) bool { return d.ForEach != nil && d.ForEach.Clusters != nil })
}

// ExpandDeploy replaces the entries of spec.deploy that have forEach by one for
// each item, called ENTRY-ITEM, in the order of the names of the Clusters. Such
// an entry keeps an empty forEach, which tells that it was made.
//
// An entry that comes to nothing stays as it is: a Stage that should deploy and
// has nowhere to is not one that has nothing to deploy. CheckForEach says why.
func ExpandDeploy(s *v1alpha1.Stage, clusters []v1alpha1.Cluster) {
	if !slices.ContainsFunc(s.Spec.Deploy, func(d v1alpha1.Deployment) bool { return d.ForEach != nil }) {
		return
	}
	var out []v1alpha1.Deployment
	for _, d := range s.Spec.Deploy {
		items := itemsOf(d.ForEach, clusters)
		if len(items) == 0 {
			out = append(out, d)
			continue
		}
		for _, item := range items {
			out = append(out, expand(d, item))
		}
	}
	s.Spec.Deploy = out
}

// IsUnexpanded reports whether d stands for destinations that are not known.
func IsUnexpanded(d *v1alpha1.Deployment) bool {
	return d.ForEach != nil && (d.ForEach.List != nil || d.ForEach.Clusters != nil)
}

// itemsOf returns what f stands for; nothing when f is nil or cannot be followed.
func itemsOf(f *v1alpha1.ForEach, clusters []v1alpha1.Cluster) []v1alpha1.ForEachItem {
	if f == nil || f.Clusters == nil {
		if f == nil {
			return nil
		}
		return f.List
	}
	selector, err := metav1.LabelSelectorAsSelector(f.Clusters)
	if err != nil {
		return nil
	}
	var out []v1alpha1.ForEachItem
	for i := range clusters {
		if c := &clusters[i]; c.DeletionTimestamp == nil && selector.Matches(labels.Set(c.Labels)) {
			out = append(out, v1alpha1.ForEachItem{Name: c.Name, Cluster: c.Name})
		}
	}
	slices.SortFunc(out, func(a, b v1alpha1.ForEachItem) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func expand(d v1alpha1.Deployment, item v1alpha1.ForEachItem) v1alpha1.Deployment {
	out := *d.DeepCopy()
	out.Name = d.Name + "-" + item.Name
	out.ForEach = &v1alpha1.ForEach{}
	out.Destination.Cluster = item.Cluster
	if item.Namespace != "" {
		out.Destination.Namespace = item.Namespace
	}
	if item.Path != "" {
		out.Source.Path = item.Path
	}
	out.Source.Path = strings.ReplaceAll(out.Source.Path, itemMark, item.Name)
	if h := out.Source.Helm; h != nil {
		for i := range h.ValueFiles {
			h.ValueFiles[i] = strings.ReplaceAll(h.ValueFiles[i], itemMark, item.Name)
		}
	}
	return out
}

// CheckForEach returns what is wrong with the expanded deploy entries of s.
func CheckForEach(s *v1alpha1.Stage) []Problem {
	var out []Problem
	seen := map[string]bool{}
	for i := range s.Spec.Deploy {
		d := &s.Spec.Deploy[i]
		if IsUnexpanded(d) {
			if _, err := metav1.LabelSelectorAsSelector(d.ForEach.Clusters); err != nil {
				out = append(out, Problem{ReasonInvalidForEach, fmt.Sprintf("deploy entry %q: forEach.clusters: %v", d.Name, err)})
				continue
			}
			out = append(out, Problem{ReasonNoCluster, fmt.Sprintf("deploy entry %q: no Cluster has the labels %q; label one, or correct forEach.clusters", d.Name, metav1.FormatLabelSelector(d.ForEach.Clusters))})
			continue
		}
		if d.ForEach == nil {
			continue
		}
		name := ApplicationName(s, d)
		if seen[name] {
			out = append(out, Problem{ReasonInvalidForEach, fmt.Sprintf("two deploy entries come to an Application %q; give one of them another name", name)})
		}
		if len(name) > maxApplicationName {
			out = append(out, Problem{ReasonInvalidForEach, fmt.Sprintf("the Application of deploy entry %q would be called %q, which has more than %d characters; use shorter names", d.Name, name, maxApplicationName)})
		}
		seen[name] = true
	}
	return out
}
