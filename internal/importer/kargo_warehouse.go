package importer

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// warehouseLosses are fields of a Warehouse without a place here.
func warehouseLosses() map[string]loss {
	caCert := lost("certificates are always checked: put the authority under caCert of the credential Secret")
	return map[string]loss{
		// A subscription of a type of its own is told as a whole.
		"subscriptions[].subscriptionType": {outcome: Mapped}, "subscriptions[].config": {outcome: Mapped}, "subscriptions[].discoveryLimit": {outcome: Mapped},
		"shard":                                     notNeeded("replicas share the work by themselves"),
		"subscriptions[].name":                      notNeeded("a subscription is known by its repository"),
		"subscriptions[].image.gitRepoURL":          notNeeded("it was for links only"),
		"subscriptions[].image.cacheByTag":          notNeeded("what a tag points at is looked up once, and again every hour; mutableTags says which move"),
		"subscriptions[].git.blobless":              notNeeded("a repository is fetched once for all"),
		"subscriptions[].git.insecureSkipTLSVerify": caCert,
	}
}

// renamedSubscription are fields of subscriptions that had other names, up to
// Kargo v1.9, by where they stand.
func renamedSubscription() map[string]map[string]string {
	return map[string]map[string]string{
		"image": {"semverConstraint": "constraint", "tagConstraint": "constraint", "tagSelectionStrategy": "imageSelectionStrategy"},
		"git":   {"semverConstraint": "constraint"},
		"chart": {"semverConstraint": "constraint", "registryURL": "repoURL"},
	}
}

func (i *importing) readWarehouse(o *object) {
	o.done = true
	out := v1alpha1.Warehouse{Spec: v1alpha1.WarehouseSpec{Interval: defaultInterval()}}
	out.Name, out.Namespace = o.report.Name, i.home(o)
	out.Labels, out.Annotations = readMeta(o, nil)
	spec := o.at("spec")
	spelled := respellWarehouse(spec)
	if !spec.as(spelled).into(&out.Spec, warehouseLosses(), lost("there is no such field of a Warehouse here")) {
		return
	}
	readInterval(spec.at("interval"), &out.Spec.Interval)
	if c := out.Spec.FreightCreationCriteria; c != nil {
		c.Expression = bare(c.Expression)
	}
	kept := out.Spec.Subscriptions[:0]
	for n, sub := range out.Spec.Subscriptions {
		if f := spec.at("subscriptions").items()[n]; checkSubscription(f, &sub) {
			kept = append(kept, sub)
		}
	}
	out.Spec.Subscriptions = kept
	if len(kept) == 0 {
		o.add(Dropped, "spec.subscriptions", "nothing is left to watch", false)
		return
	}
	i.write("Warehouse", out.Namespace, out.Name, &out, o)
}

// bare takes the braces of an expression off.
func bare(expression string) string {
	text := strings.TrimSpace(expression)
	if inside, found := strings.CutPrefix(text, "${{"); found && strings.Count(text, "${{") == 1 {
		if inside, found = strings.CutSuffix(inside, "}}"); found {
			return strings.TrimSpace(inside)
		}
	}
	return text
}

func readInterval(f field, d *metav1.Duration) {
	switch {
	case d.Duration == 0:
		*d = defaultInterval()
	case d.Duration < 5*time.Second:
		f.approximate("5s is the least")
		d.Duration = 5 * time.Second
	case d.Duration > 24*time.Hour:
		f.approximate("24h is the most")
		d.Duration = 24 * time.Hour
	}
}

// respellWarehouse gives old fields their new names, in a copy.
func respellWarehouse(spec field) any {
	var out map[string]any
	if convert(spec.value, &out) != nil || out == nil {
		return spec.value
	}
	list, _ := out["subscriptions"].([]any)
	for n, entry := range list {
		sub, _ := entry.(map[string]any)
		for kind, names := range renamedSubscription() {
			one, _ := sub[kind].(map[string]any)
			if one == nil {
				continue
			}
			f := spec.at("subscriptions").items()[n].at(kind)
			for _, old := range sortedKeys(names) {
				if one[old] != nil && one[names[old]] == nil {
					one[names[old]] = one[old]
				}
				if one[old] != nil {
					f.at(old).mapped()
					delete(one, old)
				}
			}
			respellTags(f, one)
		}
	}
	return out
}

// respellTags makes lists of regular expressions of what Kargo had before v1.11.
func respellTags(f field, one map[string]any) {
	if allow, isText := one["allowTags"].(string); isText && allow != "" {
		one["allowTagsRegexes"] = append(anyList(one["allowTagsRegexes"]), allow)
		f.at("allowTags").mapped()
	}
	for _, tag := range anyList(one["ignoreTags"]) {
		if text, isText := tag.(string); isText {
			one["ignoreTagsRegexes"] = append(anyList(one["ignoreTagsRegexes"]), "^"+regexp.QuoteMeta(text)+"$")
			f.at("ignoreTags").mapped()
		}
	}
	delete(one, "allowTags")
	delete(one, "ignoreTags")
}

func anyList(v any) []any { list, _ := v.([]any); return list }

// checkSubscription reports whether it watches something that Waybill watches.
func checkSubscription(f field, s *v1alpha1.Subscription) bool {
	switch {
	case s.Image != nil:
		if c := s.Image.Constraint; s.Image.ImageSelectionStrategy == v1alpha1.SelectDigest && c == "" {
			f.at("image").drop("Digest follows one tag: name it in constraint")
			return false
		}
	case s.Git != nil:
		s.Git.RepoURL = address(f.at("git", "repoURL"), s.Git.RepoURL)
		if strategy := s.Git.CommitSelectionStrategy; strategy != "" && strategy != v1alpha1.SelectNewestFromBranch {
			if s.Git.Branch != "" {
				f.at("git", "branch").approximate("%s watches tags, wherever they are", strategy)
				s.Git.Branch = ""
			}
		} else if len(s.Git.AllowTagsRegexes)+len(s.Git.IgnoreTagsRegexes) > 0 {
			f.at("git", "allowTagsRegexes").approximate("NewestFromBranch looks at no tags")
			f.at("git", "ignoreTagsRegexes").approximate("NewestFromBranch looks at no tags")
			s.Git.AllowTagsRegexes, s.Git.IgnoreTagsRegexes = nil, nil
		}
		if s.Git.CommitSelectionStrategy != v1alpha1.SelectTagSemVer && s.Git.Constraint != "" {
			f.at("git", "semverConstraint").approximate("a constraint is for SemVer")
			s.Git.Constraint = ""
		}
	case s.Chart != nil:
		s.Chart.RepoURL = address(f.at("chart", "repoURL"), s.Chart.RepoURL)
	default:
		kinds := []string{}
		for _, e := range f.entries() {
			if e.name != "name" {
				kinds = append(kinds, e.name)
			}
		}
		f.drop("%s: only images, Git repositories and charts are watched", fmt.Sprint(kinds))
		return false
	}
	return true
}
