package warehouse

import (
	"errors"
	"fmt"
	"strings"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// ErrNotCandidate: somebody chose what the Warehouse has not found.
var ErrNotCandidate = errors.New("not a candidate")

// Choice is what a person takes of one subscription.
type Choice struct {
	// RepoURL of the subscription, in any spelling, and Chart, the chart's name,
	// where several subscriptions share it.
	RepoURL, Chart string
	// Version is a tag, a digest, the beginning of a commit (7 digits or more) or
	// the version of a chart.
	Version string
}

// minCommitPrefix is how much of a commit names it.
const minCommitPrefix = 7

// Pick returns one candidate of every subscription in the status of w: the chosen
// one, or the newest where nothing is chosen. It returns ErrNotCandidate for a
// choice that is not among the candidates, so that people put together only what
// the Warehouse has found itself.
func Pick(w *v1alpha1.Warehouse, choices []Choice) (v1alpha1.Artifacts, error) {
	if repoURL, found := unproven(w); found {
		return v1alpha1.Artifacts{}, fmt.Errorf("%w: the signatures of %q are not checked yet; try again when the Warehouse was polled", ErrNotCandidate, repoURL)
	}
	used := make([]bool, len(choices))
	var out v1alpha1.Artifacts
	for _, s := range w.Status.Subscriptions {
		candidates := single(s)
		if len(candidates) == 0 {
			return v1alpha1.Artifacts{}, fmt.Errorf("%w: no candidate yet for %q", ErrNotCandidate, s.RepoURL)
		}
		picked := candidates[0]
		for i, c := range choices {
			if !isSameRepository(c.RepoURL, s.RepoURL) || c.Chart != "" && c.Chart != s.Chart {
				continue
			}
			if used[i] {
				return v1alpha1.Artifacts{}, fmt.Errorf("%w: several subscriptions watch %q; name the chart", ErrNotCandidate, c.RepoURL)
			}
			used[i] = true
			found, ok := named(candidates, c.Version)
			if !ok {
				return v1alpha1.Artifacts{}, fmt.Errorf("%w: %q of %q is not among the %d that the Warehouse knows; the newest is %q",
					ErrNotCandidate, c.Version, s.RepoURL, len(candidates), versionOf(candidates[0]))
			}
			picked = found
		}
		out = join(out, picked)
	}
	for i, c := range choices {
		if !used[i] {
			return v1alpha1.Artifacts{}, fmt.Errorf("%w: no subscription of Warehouse %q watches %q", ErrNotCandidate, w.Name, strings.TrimSuffix(c.RepoURL+" "+c.Chart, " "))
		}
	}
	return out, nil
}

// named finds the candidate that version names.
func named(candidates []v1alpha1.Artifacts, version string) (v1alpha1.Artifacts, bool) {
	if version == "" {
		return v1alpha1.Artifacts{}, false
	}
	for _, c := range candidates {
		for _, i := range c.Images {
			if i.Tag == version || i.Digest == version {
				return c, true
			}
		}
		for _, m := range c.Commits {
			if m.Tag == version || len(version) >= minCommitPrefix && strings.HasPrefix(m.ID, version) {
				return c, true
			}
		}
		for _, h := range c.Charts {
			if h.Version == version || h.Digest != "" && h.Digest == version {
				return c, true
			}
		}
	}
	return v1alpha1.Artifacts{}, false
}

// versionOf is how people call a set of one.
func versionOf(a v1alpha1.Artifacts) string {
	switch {
	case len(a.Images) > 0:
		return a.Images[0].Tag
	case len(a.Commits) > 0:
		return a.Commits[0].ID
	case len(a.Charts) > 0:
		return a.Charts[0].Version
	default:
		return ""
	}
}
