package planner

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"sort"
	"strconv"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/gitops"
	"github.com/waybill-dev/waybill/internal/secret"
	"github.com/waybill-dev/waybill/promotion"
)

// File is one file a promotion would change.
type File struct {
	RepoURL, Path string
	// Scalars that differ, sorted by field; empty for a file that is no YAML or
	// too large. Those of Secrets are masked.
	Scalars []Scalar
}

// Scalar is one value of a YAML file; Before or After is empty when it is not
// there.
type Scalar struct{ Field, Before, After string }

// Commit is one that a promotion brings along from the branch that is read.
type Commit struct {
	RepoURL, Commit, Author, Subject string
	When                             time.Time
}

// Preview is what a promotion would do, as people see it before they agree.
type Preview struct {
	// Plan with its hash.
	Plan *v1alpha1.PromotionPlan
	// Files of Git that would differ: from the branch, or from the base when the
	// branch does not exist yet.
	Files []File
	// Applications with what they are told before and after.
	Applications []Application
	// Commits on the branches that are read since what runs now was promoted, as
	// far as they touch what is rendered; newest first.
	Commits []Commit
	// Risks of the images; those of objects are with the Applications.
	Risks []gitops.Risk
}

// Preview rehearses the plan of p, without any effect.
func (l *Planner) Preview(ctx context.Context, o *promotion.Observation, p *v1alpha1.Promotion, freight *v1alpha1.Freight) (*Preview, error) {
	r, err := l.Rehearse(ctx, o, p, freight)
	if err != nil {
		return nil, err
	}
	out := &Preview{Plan: r.Plan, Applications: r.Applications, Risks: l.imageRisks(ctx, o.Stage, r.Plan.Collection)}
	left := maxAllScalars
	for _, t := range r.Trees {
		before := t.Head
		if before.IsZero() {
			before, _ = baseIn(r.Plan.Bases, v1alpha1.PlanBase{RepoURL: t.RepoURL})
		}
		changes, err := t.Mirror.ChangedPaths(before, t.Root)
		if err != nil {
			return nil, fmt.Errorf("compare %s: %w", t.RepoURL, err)
		}
		for _, c := range changes {
			file := File{RepoURL: t.RepoURL, Path: c.Path}
			if left > 0 {
				file.Scalars = scalars(t.Mirror, before, t.Root, c.Path, min(left, maxScalars))
				left -= len(file.Scalars)
			}
			out.Files = append(out.Files, file)
		}
	}
	if out.Commits, err = l.commitsSince(ctx, o, r); err != nil {
		return nil, err
	}
	sort.Slice(out.Files, func(i, j int) bool {
		return out.Files[i].RepoURL+"\x00"+out.Files[i].Path < out.Files[j].RepoURL+"\x00"+out.Files[j].Path
	})
	return out, nil
}

// scalars returns the values in which two versions of a YAML file differ, at
// most limit of them.
func scalars(m *git.Mirror, before, after git.Hash, file string, limit int) []Scalar {
	switch path.Ext(file) {
	case ".yaml", ".yml":
	default:
		return nil
	}
	old, now := values(m, before, file), values(m, after, file)
	var fields []string
	for f := range old {
		if old[f] != now[f] {
			fields = append(fields, f)
		}
	}
	for f := range now {
		if _, known := old[f]; !known {
			fields = append(fields, f)
		}
	}
	sort.Strings(fields)
	var out []Scalar
	for _, f := range fields[:min(limit, len(fields))] {
		out = append(out, Scalar{Field: promotion.Shorten(f, maxShown), Before: old[f].shown(), After: now[f].shown()})
	}
	return out
}

// value is one scalar of a document.
type value struct {
	text string
	// isSecret: it may be compared and not shown.
	isSecret bool
}

// shown returns what people may see: "***" for a secret.
func (v value) shown() string {
	if v.isSecret {
		return secret.New(v.text).String()
	}
	return promotion.Shorten(v.text, maxShown)
}

// values flattens the first document of a file: images[0].newTag = 1.27.0.
func values(m *git.Mirror, tree git.Hash, file string) map[string]value {
	files, err := m.FS(tree)
	if err != nil {
		return nil
	}
	if info, err := fs.Stat(files, file); err != nil || info.Size() > maxFileBytes {
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
	out := map[string]value{}
	flatten(&doc, "", out, 0, false)
	return out
}

const (
	// maxDepth bounds how deep a document is followed; aliases are not followed.
	maxDepth = 64
	// maxFileBytes bounds a file whose values are compared.
	maxFileBytes = 1 << 20
	// maxShown bounds a value and a field's path as shown, in bytes.
	maxShown = 256
	// maxScalars bounds the values shown of one file, and maxAllScalars those
	// of a preview; that a file changes is always said.
	maxScalars    = 100
	maxAllScalars = 1_000
)

func flatten(n *yaml.Node, at string, out map[string]value, depth int, isSecret bool) {
	if depth > maxDepth {
		return
	}
	switch n.Kind {
	case yaml.DocumentNode:
		for _, c := range n.Content {
			flatten(c, at, out, depth+1, isSecret)
		}
	case yaml.MappingNode:
		isSecret = isSecret || holdsSecret(n)
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i].Value
			below := isSecret || namesSecret(key)
			if at != "" {
				key = at + "." + key
			}
			flatten(n.Content[i+1], key, out, depth+1, below)
		}
	case yaml.SequenceNode:
		for i, c := range n.Content {
			flatten(c, at+"["+strconv.Itoa(i)+"]", out, depth+1, isSecret)
		}
	case yaml.ScalarNode:
		out[at] = value{n.Value, isSecret || quotesSecret(n.Value)}
	}
}
