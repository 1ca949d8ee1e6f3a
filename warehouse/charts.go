package warehouse

import (
	"fmt"
	"strings"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/repourl"
)

// ociScheme begins the address of a chart in an OCI registry.
const ociScheme = "oci://"

// ChartPolicy is a compiled ChartSubscription: which versions count and which is
// newest.
type ChartPolicy struct {
	sub  v1alpha1.ChartSubscription
	tags *Policy
}

// CompileChart checks sub and returns its ChartPolicy, or an error that wraps
// ErrInvalid and names the field.
func CompileChart(sub v1alpha1.ChartSubscription) (*ChartPolicy, error) {
	bad := func(field, format string, args ...any) (*ChartPolicy, error) {
		return nil, fmt.Errorf("%w: %s of chart %q: %s", ErrInvalid, field, strings.TrimSuffix(sub.RepoURL+" "+sub.Name, " "), fmt.Sprintf(format, args...))
	}
	if _, err := repourl.Normalize(sub.RepoURL); err != nil {
		sub.RepoURL = "" // it may hold a password
		return bad("repoURL", "%v", err)
	}
	image, isOCI := strings.CutPrefix(sub.RepoURL, ociScheme)
	switch {
	case isOCI && sub.Name != "":
		return bad("name", "an oci:// repoURL names the chart already; leave it out")
	case !isOCI && sub.Name == "":
		return bad("name", "say which chart of the repository to watch")
	case !isOCI && !strings.HasPrefix(sub.RepoURL, "https://") && !strings.HasPrefix(sub.RepoURL, "http://"):
		return bad("repoURL", "it begins with https://, http:// or oci://")
	}
	if !isOCI {
		image = "charts"
	}
	tags, err := Compile(v1alpha1.ImageSubscription{RepoURL: image, Constraint: sub.Constraint, DiscoveryLimit: sub.DiscoveryLimit})
	if err != nil {
		return nil, fmt.Errorf("%w of chart %q", err, strings.TrimSuffix(sub.RepoURL+" "+sub.Name, " "))
	}
	tags.isChart = true
	tags.isName = isChartVersion
	return &ChartPolicy{sub, tags}, nil
}

// isChartVersion accepts a semantic version in either spelling: a tag cannot hold
// the plus sign, so Helm writes an underscore there.
func isChartVersion(v string) bool {
	return len(v) <= 128 && v != "" && strings.Trim(v, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz.-+_") == ""
}

// RepoURL returns the repository as the subscription spells it.
func (p *ChartPolicy) RepoURL() string { return p.sub.RepoURL }

// Name of the chart in an HTTP repository; empty for oci://.
func (p *ChartPolicy) Name() string { return p.sub.Name }

// OCI returns the image name of a chart in an OCI registry and how to select its
// tags; false for an HTTP repository.
func (p *ChartPolicy) OCI() (*Policy, bool) {
	return p.tags, strings.HasPrefix(p.sub.RepoURL, ociScheme)
}

// Limit is how many candidates are kept.
func (p *ChartPolicy) Limit() int { return p.tags.limit }

// Order returns the versions in the constraint, newest first and each once.
func (p *ChartPolicy) Order(versions []string) []string { return p.tags.Order(versions) }

// Charts turns the images that stand for versions of an OCI chart into charts.
func (p *ChartPolicy) Charts(images []v1alpha1.Image) []v1alpha1.Chart {
	var out []v1alpha1.Chart
	for _, i := range images {
		out = append(out, v1alpha1.Chart{RepoURL: p.sub.RepoURL, Version: chartVersion(i.Tag), Digest: i.Digest})
	}
	return out
}

// chartVersion is the version that a tag of an OCI chart stands for.
func chartVersion(tag string) string { return strings.ReplaceAll(tag, "_", "+") }

// NoMatch says why there is no candidate among the versions of the chart.
func (p *ChartPolicy) NoMatch(versions int) string {
	what := "is a released version"
	if p.sub.Constraint != "" {
		what = fmt.Sprintf("is a version in %q", p.sub.Constraint)
	}
	return fmt.Sprintf("none of %d versions of chart %q %s", versions, strings.TrimSuffix(p.sub.RepoURL+" "+p.sub.Name, " "), what)
}
