package promotion

import (
	"cmp"
	"strings"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// Collection returns what the Stage will run: freight, and what is current for
// its other requested origins, in the order of the requests.
func Collection(stage *v1alpha1.Stage, freight *v1alpha1.Freight) []v1alpha1.StageFreight {
	var out []v1alpha1.StageFreight
	for _, r := range stage.Spec.RequestedFreight {
		if r.Origin.Name == freight.Origin.Name {
			out = append(out, v1alpha1.StageFreight{
				Origin: freight.Origin.Name, Freight: freight.Name, Order: freight.Order,
				Images: freight.Images, Commits: freight.Commits, Charts: freight.Charts,
			})
			continue
		}
		if cur := Current(stage, r.Origin.Name); cur != nil {
			out = append(out, content(*cur))
		}
	}
	return out
}

// content is f without how it came into the Stage.
func content(f v1alpha1.StageFreight) v1alpha1.StageFreight {
	return v1alpha1.StageFreight{
		Origin: f.Origin, Freight: f.Freight, Order: f.Order, Images: f.Images, Commits: f.Commits, Charts: f.Charts,
	}
}

// Chart returns a chart of a collection. An oci:// repository of a subscription
// names the chart as well.
func Chart(collection []v1alpha1.StageFreight, repository, name string) (v1alpha1.Chart, bool) {
	for _, f := range collection {
		for _, c := range f.Charts {
			if IsSameRepository(c.RepoURL, repository) && cmp.Or(c.Name, name) == name ||
				c.Name == "" && IsSameRepository(c.RepoURL, strings.TrimSuffix(repository, "/")+"/"+name) {
				return c, true
			}
		}
	}
	return v1alpha1.Chart{}, false
}

// BaseCommit returns the commit of a repository in a collection: what a
// promotion builds on when there is one.
func BaseCommit(collection []v1alpha1.StageFreight, repoURL string) (v1alpha1.Commit, bool) {
	for _, f := range collection {
		for _, c := range f.Commits {
			if IsSameRepository(c.RepoURL, repoURL) {
				return c, true
			}
		}
	}
	return v1alpha1.Commit{}, false
}
