package warehouse

import (
	"fmt"
	"slices"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/expression"
	"github.com/waybill-dev/waybill/internal/repourl"
)

// maxSets bounds how many sets of candidates are tried against the criteria for
// one version of the first subscription.
const maxSets = 2000

// Criteria is a compiled freightCreationCriteria.expression.
type Criteria struct{ expression condition }

// CompileCriteria returns nil when there are none, or an error that wraps
// ErrInvalid.
func CompileCriteria(c *v1alpha1.FreightCreationCriteria) (*Criteria, error) {
	if c == nil || c.Expression == "" {
		return nil, nil
	}
	e, err := compileCondition(c.Expression, criteriaScope(nil))
	if err != nil {
		return nil, fmt.Errorf("%w: freightCreationCriteria.expression: %w", ErrInvalid, err)
	}
	return &Criteria{e}, nil
}

// criteriaScope is what the expression can ask about: imageFrom(repoURL),
// commitFrom(repoURL) and chartFrom(repoURL, name). Without a set, everything
// there could be is there.
func criteriaScope(set *v1alpha1.Artifacts) expression.Scope {
	from := func(name string, find func(repoURL, name string) (any, bool)) expression.Function {
		return func(args ...any) (any, error) {
			var texts [2]string
			if len(args) < 1 || len(args) > 2 || len(args) == 2 && name != "chartFrom" {
				return nil, fmt.Errorf("%s takes the address of a repository", name)
			}
			for i, a := range args {
				text, ok := a.(string)
				if !ok {
					return nil, fmt.Errorf("%s takes the address of a repository", name)
				}
				texts[i] = text
			}
			if found, ok := find(texts[0], texts[1]); ok {
				return found, nil
			}
			return nil, fmt.Errorf("%s(%q): no subscription watches it", name, texts[0])
		}
	}
	held := v1alpha1.Artifacts{}
	if set != nil {
		held = *set
	}
	return expression.Scope{Functions: map[string]expression.Function{
		"imageFrom": from("imageFrom", func(repoURL, _ string) (any, bool) {
			return first(held.Images, func(i v1alpha1.Image) bool { return isSameRepository(i.RepoURL, repoURL) },
				set == nil, v1alpha1.Image{RepoURL: repoURL, Tag: "1.0.0"})
		}),
		"commitFrom": from("commitFrom", func(repoURL, _ string) (any, bool) {
			return first(held.Commits, func(c v1alpha1.Commit) bool { return isSameRepository(c.RepoURL, repoURL) },
				set == nil, v1alpha1.Commit{RepoURL: repoURL, Tag: "1.0.0"})
		}),
		"chartFrom": from("chartFrom", func(repoURL, name string) (any, bool) {
			return first(held.Charts, func(c v1alpha1.Chart) bool {
				return isSameRepository(c.RepoURL, repoURL) && (name == "" || c.Name == name)
			},
				set == nil, v1alpha1.Chart{RepoURL: repoURL, Name: name, Version: "1.0.0"})
		}),
	}}
}

// first returns the first of all that is meant, or example when that is enough.
func first[T any](all []T, isMeant func(T) bool, takesExample bool, example T) (any, bool) {
	if takesExample {
		return example, true
	}
	if i := slices.IndexFunc(all, isMeant); i >= 0 {
		return all[i], true
	}
	return nil, false
}

func isSameRepository(a, b string) bool {
	x, errX := repourl.Normalize(a)
	y, errY := repourl.Normalize(b)
	return errX == nil && errY == nil && x == y
}

// Accepts reports whether Freight may be made of set.
func (c *Criteria) Accepts(set v1alpha1.Artifacts) (bool, error) {
	if c == nil {
		return true, nil
	}
	is, err := c.expression.isTrue(criteriaScope(&set))
	if err != nil {
		return false, fmt.Errorf("%w: freightCreationCriteria: %w", ErrInvalid, err)
	}
	return is, nil
}

// Assembly is what can be made of the candidates.
type Assembly struct {
	// Sets to make Freight of, the oldest first.
	Sets []v1alpha1.Artifacts
	// Missing are subscriptions without a candidate: nothing can be made.
	Missing []string
	// IsHeldBack: the newest candidates do not meet the criteria.
	IsHeldBack bool
}

// Assemble combines the candidates in the status of w as its policy says.
//
// Automatic makes one set: the newest candidate of the first subscription with the
// newest of all others or, with criteria, with the newest that meet them. Every
// makes one for each version of the first subscription that no Freight of this
// Warehouse holds and that is newer than those; the very first time only the
// newest. Manual makes none.
func Assemble(w *v1alpha1.Warehouse, criteria *Criteria, existing []v1alpha1.Freight) (Assembly, error) {
	var out Assembly
	var choices [][]v1alpha1.Artifacts
	for _, s := range w.Status.Subscriptions {
		c := single(s)
		if len(c) == 0 {
			out.Missing = append(out.Missing, Identity{RepoURL: s.RepoURL, Chart: s.Chart}.String())
		}
		choices = append(choices, c)
	}
	if len(out.Missing) > 0 || len(choices) == 0 || w.Spec.FreightCreationPolicy == v1alpha1.FreightManual {
		return out, nil
	}
	drivers := choices[0][:1]
	if w.Spec.FreightCreationPolicy == v1alpha1.FreightEvery {
		drivers = unseen(choices[0], w, existing)
	}
	for i, driver := range drivers {
		set, ok, err := firstAccepted(driver, choices[1:], criteria)
		if err != nil {
			return Assembly{}, err
		}
		if ok {
			out.Sets = append(out.Sets, set)
		} else if i == 0 {
			out.IsHeldBack = true
		}
	}
	slices.Reverse(out.Sets)
	return out, nil
}

// single returns each candidate of a subscription as a set of one.
func single(s v1alpha1.SubscriptionStatus) []v1alpha1.Artifacts {
	var out []v1alpha1.Artifacts
	for i := range s.Candidates {
		out = append(out, v1alpha1.Artifacts{Images: s.Candidates[i : i+1]})
	}
	for i := range s.Commits {
		out = append(out, v1alpha1.Artifacts{Commits: s.Commits[i : i+1]})
	}
	for i := range s.Charts {
		out = append(out, v1alpha1.Artifacts{Charts: s.Charts[i : i+1]})
	}
	return out
}

// unseen returns the candidates, newest first, before the first one that Freight
// of w holds; only the newest when w has made no Freight yet.
func unseen(candidates []v1alpha1.Artifacts, w *v1alpha1.Warehouse, existing []v1alpha1.Freight) []v1alpha1.Artifacts {
	held, isFirst := map[artifact]bool{}, w.Status.LastOrder == 0
	for i := range existing {
		if f := &existing[i]; IsFrom(f, w) {
			isFirst = false
			all, err := identify(f.Artifacts())
			if err != nil {
				continue // not made by us
			}
			for _, a := range all {
				held[a] = true
			}
		}
	}
	if isFirst {
		return candidates[:1]
	}
	for i, c := range candidates {
		a, err := identify(c)
		if err == nil && held[a[0]] {
			return candidates[:max(i, 1)]
		}
	}
	return candidates
}

// firstAccepted returns the newest set with driver that meets the criteria.
func firstAccepted(driver v1alpha1.Artifacts, others [][]v1alpha1.Artifacts, criteria *Criteria) (v1alpha1.Artifacts, bool, error) {
	at := make([]int, len(others))
	for range maxSets {
		set := join(driver)
		for i, o := range others {
			set = join(set, o[at[i]])
		}
		ok, err := criteria.Accepts(set)
		if err != nil || ok {
			return set, ok, err
		}
		// The next set: the last subscription goes back first.
		i := len(others) - 1
		for ; i >= 0; i-- {
			if at[i]++; at[i] < len(others[i]) {
				break
			}
			at[i] = 0
		}
		if i < 0 {
			break
		}
	}
	return v1alpha1.Artifacts{}, false, nil
}

func join(sets ...v1alpha1.Artifacts) v1alpha1.Artifacts {
	var out v1alpha1.Artifacts
	for _, s := range sets {
		out.Images = append(out.Images, s.Images...)
		out.Commits = append(out.Commits, s.Commits...)
		out.Charts = append(out.Charts, s.Charts...)
	}
	return out
}
