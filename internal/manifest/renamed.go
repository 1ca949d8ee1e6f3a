package manifest

import (
	"fmt"
	"strings"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// rename says what became of a field of Kargo (v0.8 to v1.x) or Argo CD.
type rename struct {
	kind string
	// path without indexes: spec.subscriptions[].image.semverConstraint.
	path string
	// now is the new name; empty when there is none, then say tells what to do.
	now string
	say string
}

// renames returns what people bring along that is called differently here, or
// is not needed. Paths as in the definitions of Kargo v0.8 and v1.x and of Argo
// CD v3.
func renames() []rename {
	const image = "spec.subscriptions[].image."
	const git = "spec.subscriptions[].git."
	const chart = "spec.subscriptions[].chart."
	const update = "spec.promotionMechanisms.gitRepoUpdates[]."
	return []rename{
		{"Warehouse", image + "semverConstraint", "constraint", ""},
		{"Warehouse", image + "tagConstraint", "constraint", ""},
		{"Warehouse", image + "tagSelectionStrategy", "imageSelectionStrategy", ""},
		{"Warehouse", image + "allowTags", "allowTagsRegexes", "a list of regular expressions"},
		{"Warehouse", image + "ignoreTags", "ignoreTagsRegexes", "a list of regular expressions"},
		{"Warehouse", image + "gitRepoURL", "", "is not needed; leave it out"},
		{"Warehouse", image + "cacheByTag", "", "is not needed: digests are kept; leave it out"},
		{"Warehouse", git + "semverConstraint", "constraint", ""},
		{"Warehouse", git + "allowTags", "allowTagsRegexes", "a list of regular expressions"},
		{"Warehouse", git + "ignoreTags", "ignoreTagsRegexes", "a list of regular expressions"},
		{"Warehouse", git + "blobless", "", "is not needed: a repository is fetched once for all; leave it out"},
		{"Warehouse", git + "insecureSkipTLSVerify", "", "is not there: put the certificate authority under caCert of the credential Secret"},
		{"Warehouse", chart + "semverConstraint", "constraint", ""},
		{"Warehouse", chart + "registryURL", "repoURL", ""},
		{"Warehouse", "spec.subscriptions[].name", "", "is not needed: a subscription is known by its repository; leave it out"},
		{"Warehouse", "spec.subscriptions[].subscriptionType", "", "is not there: subscribe to image, git or chart"},
		{"Warehouse", "spec.shard", "", "is not needed; leave it out"},

		{"Stage", "spec.subscriptions", "requestedFreight", "{warehouse: W} is requestedFreight: [{origin: {kind: Warehouse, name: W}, sources: {direct: true}}], and upstreamStages go to sources.stages"},
		{"Stage", "spec.upstreamStages", "requestedFreight[].sources.stages", ""},
		{"Stage", "spec.requestedFreight[].sources.upstreamStages", "stages", ""},
		{"Stage", "spec.requestedFreight[].sources.warehouse", "direct", "direct: true"},
		{"Stage", "spec.requestedFreight[].sources.autoPromotionOptions", "spec.autoPromotion", ""},
		{"Stage", "spec.promotionMechanisms.argoCDAppUpdates", "deploy", "spec.deploy of the Stage: destination, source and syncPolicy, as in an Argo CD Application"},
		{"Stage", "spec.promotionMechanisms.origin", "", "is not needed: images are found by their repository; leave it out"},
		{"Stage", update + "render", "kustomize", "the reconciler renders; the promotion only sets images"},
		{"Stage", update + "helm.origin", "", "is not needed: images are found by their repository; leave it out"},
		{"Stage", update + "helm.images[].origin", "", "is not needed: images are found by their repository; leave it out"},
		{"Stage", update + "origin", "", "is not needed: images are found by their repository; leave it out"},
		{"Stage", update + "insecureSkipTLSVerify", "", "is not there: put the certificate authority under caCert of the credential Secret"},
		{"Stage", update + "kustomize.origin", "", "is not needed: images are found by their repository; leave it out"},
		{"Stage", update + "kustomize.images[].origin", "", "is not needed: images are found by their repository; leave it out"},
		{"Stage", "spec.shard", "", "is not needed; leave it out"},
		{"Stage", "spec.autoPromotionEnabled", "autoPromotion", "autoPromotion: {enabled: true}"},
		{"Stage", "spec.deploy[].destination.server", "cluster", "the name of a cluster; in-cluster is the one Waybill runs in"},
		{"Stage", "spec.deploy[].destination.name", "cluster", ""},

		{"Project", "spec.promotionPolicies", "autoPromotion", "spec.autoPromotion: {enabled: true} of the Stage"},

		{"Application", "spec.project", "", "is not needed: an Application belongs to the Project of its Namespace; leave it out"},
		{"Application", "spec.destination.server", "cluster", "the name of a cluster; in-cluster is the one Waybill runs in"},
		{"Application", "spec.destination.name", "cluster", ""},
		{"Application", "spec.sources", "source", "one source"},
		{"Application", "spec.revisionHistoryLimit", "", "is not needed: Git keeps the history; leave it out"},
	}
}

// renamed returns what to say about a field that has another name here or is
// not needed, or "".
func renamed(kind, parent, key string) string {
	path := withoutIndexes(join(parent, key))
	for _, r := range renames() {
		if r.kind != kind || r.path != path {
			continue
		}
		switch {
		case r.now == "":
			return fmt.Sprintf("%s %s", key, r.say)
		case r.say == "":
			return fmt.Sprintf("%s is now %s", key, r.now)
		default:
			return fmt.Sprintf("%s is now %s (%s)", key, r.now, r.say)
		}
	}
	return ""
}

// unknownKind says what to do about a kind that cannot be applied.
func unknownKind(apiVersion, kind string) string {
	ours := v1alpha1.GroupVersion().String()
	group, _, _ := strings.Cut(apiVersion, "/")
	_, same := kinds()[kind]
	switch {
	case apiVersion == "" && kind == "":
		return fmt.Sprintf("set apiVersion and kind, such as apiVersion: %s and kind: Stage", ours)
	case group == "kargo.akuity.io" && same, group == "argoproj.io" && kind == "Application", group == v1alpha1.Group && same:
		return fmt.Sprintf("%s is now %s", apiVersion, ours)
	case group == "kargo.akuity.io" && kind == "ProjectConfig":
		return "ProjectConfig is not needed: set spec.autoPromotion in the Stage (waybill import kargo does)"
	case (group == v1alpha1.Group || group == "kargo.akuity.io") && kind == "Freight":
		return "Freight is made by its Warehouse, not applied"
	case group == "argoproj.io" && kind == "AppProject":
		return fmt.Sprintf("an AppProject is spec.destinations and spec.kinds of the %s Project (waybill import argocd writes it)", ours)
	case group == "argoproj.io" && kind == "ApplicationSet":
		return "waybill import argocd translates an ApplicationSet"
	case group == "kargo.akuity.io", group == "argoproj.io" && strings.HasSuffix(kind, "AnalysisTemplate"):
		return fmt.Sprintf("waybill import kargo says what becomes of a %s", kind)
	}
	near := nearest(kind, kindNames())
	if group == v1alpha1.Group && near != "" {
		return fmt.Sprintf("unknown kind %q; did you mean %q?", kind, near)
	}
	return fmt.Sprintf("kind %q of %q cannot be applied here; known are %s of %s, and Namespace and Secret of v1",
		kind, apiVersion, strings.Join(kindNames(), ", "), ours)
}

func kindNames() []string {
	return []string{"Application", "Cluster", "Freeze", "Project", "Promotion", "PromotionTask", "Stage", "Warehouse"}
}
