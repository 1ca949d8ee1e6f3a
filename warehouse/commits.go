package warehouse

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/expression"
	"github.com/waybill-dev/waybill/internal/repourl"
)

// CommitPolicy is a compiled GitSubscription: which commits count and which is
// newest.
type CommitPolicy struct {
	sub      v1alpha1.GitSubscription
	strategy v1alpha1.CommitSelectionStrategy
	tags     *Policy // for the strategies that watch tags
	paths    pathRules
	filter   condition // empty: none
	limit    int
	digest   string
}

// Commit is what a repository says about one commit, and about the tag that leads
// to it.
type Commit struct {
	ID, Message       string
	Author, Committer string // name <email>
	Date              time.Time
	// Tag is empty for the commits of a branch. TagDate is the tagger's date, or
	// the commit's; Tagger and Annotation are empty without a tag object.
	Tag, Tagger, Annotation string
	TagDate                 time.Time
}

// CompileCommits checks sub and returns its CommitPolicy, or an error that wraps
// ErrInvalid and names the field.
func CompileCommits(sub v1alpha1.GitSubscription) (*CommitPolicy, error) {
	bad := func(field, format string, args ...any) (*CommitPolicy, error) {
		return nil, fmt.Errorf("%w: %s of repository %q: %s", ErrInvalid, field, sub.RepoURL, fmt.Sprintf(format, args...))
	}
	p := &CommitPolicy{sub: sub, strategy: cmp.Or(sub.CommitSelectionStrategy, v1alpha1.SelectNewestFromBranch), limit: int(sub.DiscoveryLimit)}
	if _, err := repourl.Normalize(sub.RepoURL); err != nil {
		sub.RepoURL = "" // it may hold a password
		return bad("repoURL", "%v", err)
	}
	if p.limit == 0 {
		p.limit = defaultDiscoveryLimit
	}
	if p.limit < 1 || p.limit > maxDiscoveryLimit {
		return bad("discoveryLimit", "%d is not between 1 and %d", p.limit, maxDiscoveryLimit)
	}
	order := v1alpha1.SelectLexical
	switch p.strategy {
	case v1alpha1.SelectNewestFromBranch:
		if len(sub.AllowTagsRegexes)+len(sub.IgnoreTagsRegexes) > 0 {
			return bad("allowTagsRegexes", "strategy %s watches a branch; leave tag regexes out", p.strategy)
		}
	case v1alpha1.SelectTagSemVer:
		order = v1alpha1.SelectSemVer
	case v1alpha1.SelectNewestTag, v1alpha1.SelectTagLexical:
	default:
		return bad("commitSelectionStrategy", "%q is not one of NewestFromBranch, NewestTag, SemVer, Lexical", p.strategy)
	}
	if p.strategy != v1alpha1.SelectNewestFromBranch && sub.Branch != "" {
		return bad("branch", "strategy %s watches tags; leave branch out", p.strategy)
	}
	if p.strategy != v1alpha1.SelectTagSemVer && sub.Constraint != "" {
		return bad("constraint", "strategy %s has no constraint; use allowTagsRegexes", p.strategy)
	}
	tags, err := Compile(v1alpha1.ImageSubscription{
		RepoURL: "git", ImageSelectionStrategy: order, Constraint: sub.Constraint, StrictSemvers: sub.StrictSemvers,
		AllowTagsRegexes: sub.AllowTagsRegexes, IgnoreTagsRegexes: sub.IgnoreTagsRegexes,
	})
	if err != nil {
		return nil, fmt.Errorf("%w of a tag of repository %q", err, sub.RepoURL)
	}
	tags.isName = isGitTag
	p.tags = tags
	if p.paths.include, err = each(sub.IncludePaths, compilePath); err != nil {
		return bad("includePaths", "%v", err)
	}
	if p.paths.exclude, err = each(sub.ExcludePaths, compilePath); err != nil {
		return bad("excludePaths", "%v", err)
	}
	if sub.ExpressionFilter != "" {
		if p.filter, err = compileCondition(sub.ExpressionFilter, p.scope(Commit{})); err != nil {
			return bad("expressionFilter", "%v", err)
		}
	}
	p.digest = digestOf(sub)
	return p, nil
}

// digestOf stands for how a subscription was told to look.
func digestOf(sub any) string {
	text, err := json.Marshal(sub)
	if err != nil { // its fields are texts, numbers and times
		return ""
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// isGitTag accepts what can be shown, written into a commit and put into a URL.
func isGitTag(tag string) bool {
	return tag != "" && len(tag) <= 255 && !strings.ContainsFunc(tag, func(r rune) bool { return r <= ' ' || r == 0x7f })
}

// RepoURL returns the repository as the subscription spells it.
func (p *CommitPolicy) RepoURL() string { return p.sub.RepoURL }

// Branch to watch; empty is the default branch. false when tags are watched.
func (p *CommitPolicy) Branch() (string, bool) {
	return p.sub.Branch, p.strategy == v1alpha1.SelectNewestFromBranch
}

// Limit is how many candidates are kept.
func (p *CommitPolicy) Limit() int { return p.limit }

// NeedsPaths reports whether Accepts looks at the files a commit changed.
func (p *CommitPolicy) NeedsPaths() bool { return !p.paths.isEmpty() }

// NeedsAllTags reports whether the order of tags depends on when they were made:
// then every tag that passes has to be read, not only the first.
func (p *CommitPolicy) NeedsAllTags() bool { return p.strategy == v1alpha1.SelectNewestTag }

// OrderTags returns the tags that pass the filters, newest first and each once.
// For NewestTag the order is not known yet.
func (p *CommitPolicy) OrderTags(tags []string) []string { return p.tags.Order(tags) }

// TagNewer orders two tags of strategy NewestTag: negative when a is newer.
func (p *CommitPolicy) TagNewer(a, b Commit) int {
	return cmp.Or(b.TagDate.Compare(a.TagDate), strings.Compare(b.Tag, a.Tag))
}

// IsPast reports whether c is older than what since asks for. On a branch nothing
// before it is looked at.
func (p *CommitPolicy) IsPast(c Commit) bool {
	return p.sub.Since != nil && p.when(c).Before(p.sub.Since.Time)
}

func (p *CommitPolicy) when(c Commit) time.Time {
	if c.Tag != "" {
		return c.TagDate
	}
	return c.Date
}

// Accepts reports whether c counts. paths are the files it changed, needed when
// NeedsPaths says so; nil means too many to list, which counts as a match.
func (p *CommitPolicy) Accepts(c Commit, paths []string) (bool, error) {
	if p.IsPast(c) || p.NeedsPaths() && paths != nil && !p.paths.matches(paths) {
		return false, nil
	}
	if p.filter == "" {
		return true, nil
	}
	is, err := p.filter.isTrue(p.scope(c))
	if err != nil {
		return false, fmt.Errorf("%w: expressionFilter of repository %q: %w", ErrInvalid, p.sub.RepoURL, err)
	}
	return is, nil
}

// scope is what expressionFilter can ask about.
func (p *CommitPolicy) scope(c Commit) expression.Scope {
	v := map[string]any{
		"id": c.ID, "commitDate": c.Date, "author": c.Author, "committer": c.Committer, "subject": subjectOf(c.Message),
	}
	if _, isBranch := p.Branch(); !isBranch {
		v["tag"], v["creatorDate"], v["tagger"], v["annotation"] = c.Tag, c.TagDate, c.Tagger, c.Annotation
	}
	return expression.Scope{Variables: v}
}

// Candidate is c as it goes into status and Freight. branch is where it was
// found, for NewestFromBranch.
func (p *CommitPolicy) Candidate(c Commit, branch string) v1alpha1.Commit {
	at := metav1.NewTime(p.when(c).UTC().Truncate(time.Second))
	name, _, _ := strings.Cut(c.Author, " <")
	return v1alpha1.Commit{
		RepoURL: p.sub.RepoURL, ID: c.ID, Branch: branch, Tag: c.Tag,
		Message: oneLine(subjectOf(c.Message), 200), Author: oneLine(name, 100), Date: &at,
	}
}

// Seen stands for a repository whose watched references are refs, looked at by
// this policy: as long as it is the same, the candidates are.
func (p *CommitPolicy) Seen(refs []string) string {
	sorted := slices.Sorted(slices.Values(refs))
	sum := sha256.Sum256([]byte(strings.Join(sorted, "\n")))
	return p.digest + ":" + hex.EncodeToString(sum[:16])
}

// SeenHead is Seen for a branch, from which SeenBefore can tell its head.
func (p *CommitPolicy) SeenHead(head string) string { return p.digest + "@" + head }

// SeenBefore returns the head of the branch when it was last looked at by this
// policy, or "".
func (p *CommitPolicy) SeenBefore(observed string) string {
	head, isOurs := strings.CutPrefix(observed, p.digest+"@")
	if !isOurs {
		return ""
	}
	return head
}

// NoMatch says why there is no candidate among what was looked at.
func (p *CommitPolicy) NoMatch(seen int) string {
	kind := "tags"
	if _, isBranch := p.Branch(); isBranch {
		kind = "commits"
	}
	return fmt.Sprintf("none of %d %s in %q passes the filters of the subscription", seen, kind, p.sub.RepoURL)
}

func subjectOf(message string) string {
	subject, _, _ := strings.Cut(message, "\n")
	return subject
}

// oneLine makes foreign text fit for a status, in at most limit characters.
func oneLine(text string, limit int) string {
	text = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(text, "?"), func(r rune) bool {
		return r <= ' ' || r == 0x7f || r == '\u2028' || r == '\u2029'
	}), " ")
	if runes := []rune(text); len(runes) > limit {
		text = string(runes[:limit-3]) + "..."
	}
	return text
}
