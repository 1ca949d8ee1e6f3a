package planner

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"sort"
	"strconv"

	"go.yaml.in/yaml/v3"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/promotion"
)

// File is one file a promotion would change.
type File struct {
	RepoURL, Path string
	// Scalars that differ, sorted by field; empty for a file that is no YAML.
	Scalars []Scalar
}

// Scalar is one value of a YAML file; Before or After is empty when it is not
// there.
type Scalar struct{ Field, Before, After string }

// Preview runs the steps of a plan against throw-away trees, without any
// effect, and returns what would differ: from the branch, or from the base when
// the branch does not exist yet.
func (l *Planner) Preview(ctx context.Context, o *promotion.Observation, p *v1alpha1.Promotion, freight *v1alpha1.Freight) (*v1alpha1.PromotionPlan, []File, error) {
	plan, err := l.Plan(ctx, o, p, freight)
	if err != nil {
		return nil, nil, err
	}
	work := p.DeepCopy()
	work.Status.Plan = plan
	trees, err := l.Engine.Rehearse(ctx, work, o.Now)
	if err != nil {
		return nil, nil, err //nolint:wrapcheck // names the step already
	}
	var out []File
	for _, t := range trees {
		before := t.Head
		if before.IsZero() {
			before = baseOf(plan, t.RepoURL)
		}
		changes, err := t.Mirror.ChangedPaths(before, t.Root)
		if err != nil {
			return nil, nil, fmt.Errorf("compare %s: %w", t.RepoURL, err)
		}
		for _, c := range changes {
			out = append(out, File{RepoURL: t.RepoURL, Path: c.Path, Scalars: scalars(t.Mirror, before, t.Root, c.Path)})
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].RepoURL+"\x00"+out[i].Path < out[j].RepoURL+"\x00"+out[j].Path })
	return plan, out, nil
}

func baseOf(plan *v1alpha1.PromotionPlan, repoURL string) git.Hash {
	for _, b := range plan.Bases {
		if b.RepoURL == repoURL {
			if h, err := git.ParseHash(b.Commit); err == nil {
				return h
			}
		}
	}
	return git.Hash{}
}

// scalars returns the values in which two versions of a YAML file differ.
func scalars(m *git.Mirror, before, after git.Hash, file string) []Scalar {
	switch path.Ext(file) {
	case ".yaml", ".yml":
	default:
		return nil
	}
	old, now := values(m, before, file), values(m, after, file)
	if old == nil && now == nil {
		return nil
	}
	fields := map[string]bool{}
	for f := range old {
		fields[f] = true
	}
	for f := range now {
		fields[f] = true
	}
	var out []Scalar
	for f := range fields {
		if old[f] != now[f] {
			out = append(out, Scalar{Field: f, Before: old[f], After: now[f]})
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Field < out[j].Field })
	return out
}

// values flattens the first document of a file: images[0].newTag = 1.27.0.
func values(m *git.Mirror, tree git.Hash, file string) map[string]string {
	files, err := m.FS(tree)
	if err != nil {
		return nil
	}
	raw, err := fs.ReadFile(files, file)
	if err != nil {
		return nil
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(raw, &doc); err != nil {
		return nil
	}
	out := map[string]string{}
	flatten(&doc, "", out, 0)
	return out
}

// maxDepth bounds how deep a document is followed; aliases are not followed.
const maxDepth = 64

func flatten(n *yaml.Node, at string, out map[string]string, depth int) {
	if depth > maxDepth {
		return
	}
	switch n.Kind {
	case yaml.DocumentNode:
		for _, c := range n.Content {
			flatten(c, at, out, depth+1)
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i].Value
			if at != "" {
				key = at + "." + key
			}
			flatten(n.Content[i+1], key, out, depth+1)
		}
	case yaml.SequenceNode:
		for i, c := range n.Content {
			flatten(c, at+"["+strconv.Itoa(i)+"]", out, depth+1)
		}
	case yaml.ScalarNode:
		out[at] = n.Value
	}
}
