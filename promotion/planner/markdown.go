package planner

import (
	"fmt"
	"strings"

	"github.com/waybill-dev/waybill/gitops"
	"github.com/waybill-dev/waybill/promotion"
)

// Limits of the text: a pull request is to be read.
const (
	maxShownObjects = 50
	maxShownFiles   = 50
	maxShownText    = 200
)

// Markdown is the plan as the text of a pull request: what Freight brings, what
// happens to each object, the most dangerous first, and which files change.
func (p *Preview) Markdown() string {
	var b strings.Builder
	b.WriteString("### What this changes\n\n")
	for i := range p.Plan.Collection {
		for _, a := range promotion.ArtifactLines(p.Plan.Collection[i].Artifacts()) {
			fmt.Fprintf(&b, "- %s\n", code(a))
		}
	}
	for _, r := range p.Risks {
		fmt.Fprintf(&b, "- ⚠ %s: %s\n", r.Flag, code(r.Sentence))
	}
	for i := range p.Applications {
		p.Applications[i].markdown(&b)
	}
	if len(p.Commits) > 0 {
		b.WriteString("\n**Commits that come along**\n\n")
		for _, c := range p.Commits {
			fmt.Fprintf(&b, "- %s %s, by %s\n", code(shortHash(c.Commit)), code(c.Subject), code(c.Author))
		}
	}
	if len(p.Files) > 0 {
		fmt.Fprintf(&b, "\n<details><summary>%d files</summary>\n\n", len(p.Files))
		for i, f := range p.Files {
			if i == maxShownFiles {
				fmt.Fprintf(&b, "- and %d more\n", len(p.Files)-i)
				break
			}
			fmt.Fprintf(&b, "- %s\n", code(f.Path))
			for _, s := range f.Scalars {
				fmt.Fprintf(&b, "  - %s: %s → %s\n", code(s.Field), code(s.Before), code(s.After))
			}
		}
		b.WriteString("\n</details>\n")
	}
	if p.Plan.Hash != "" {
		fmt.Fprintf(&b, "\nPlan %s\n", code(p.Plan.Hash))
	}
	return b.String()
}

// markdown writes what happens to the objects of one Application.
func (a *Application) markdown(b *strings.Builder) {
	fmt.Fprintf(b, "\n**%s**", code(a.Name))
	if a.Broken != "" {
		fmt.Fprintf(b, ": cannot be rendered afterwards: %s\n", code(a.Broken))
		return
	}
	changes := gitops.Compare(a.Before, a.After)
	if len(changes) == 0 {
		b.WriteString(": no object changes\n")
		return
	}
	b.WriteString("\n\n")
	for i := range changes {
		c := &changes[i]
		if i == maxShownObjects {
			fmt.Fprintf(b, "- and %d more objects\n", len(changes)-i)
			break
		}
		fmt.Fprintf(b, "- %s %s\n", c.Kind, code(strings.TrimPrefix(c.Key.Namespace+"/", "/")+c.Key.Kind+"/"+c.Key.Name))
		for _, r := range c.Risks {
			fmt.Fprintf(b, "  - ⚠ %s: %s\n", r.Flag, code(r.Sentence))
		}
		for _, f := range c.Fields {
			fmt.Fprintf(b, "  - %s: %s → %s\n", code(f.Field), code(f.Before), code(f.After))
		}
	}
}

// code shows text of repositories as what it is: in one line, short, and without
// a meaning in Markdown.
func code(text string) string {
	text = strings.ReplaceAll(promotion.OneLine(text, maxShownText), "`", "'")
	if text == "" {
		return "(none)"
	}
	return "`" + text + "`"
}

func shortHash(hash string) string { return hash[:min(7, len(hash))] }
