package warehouse

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/repourl"
)

// ErrInvalid marks a subscription that only a change of the spec can mend.
var ErrInvalid = errors.New("invalid subscription")

const (
	defaultDiscoveryLimit = 20
	maxDiscoveryLimit     = 100
	maxPatternLength      = 512 // bytes, as in the CRD
)

// tagSyntax is the grammar of tags in the OCI distribution specification. What a
// registry lists beside it is passed over: it would end up in URLs and commits.
var tagSyntax = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)

// attachedSyntax is that of tags which programs use to find what is about an
// image by its digest: signatures, attestations. They are no versions.
var attachedSyntax = regexp.MustCompile(`^sha256-[a-f0-9]{64}([.][a-z]+)?$`)

// isVersion accepts a tag that a person may have given.
func isVersion(tag string) bool {
	return tagSyntax.MatchString(tag) && !attachedSyntax.MatchString(tag)
}

// Policy is a compiled ImageSubscription: which tags count and which is newest.
type Policy struct {
	repoURL     string
	strategy    v1alpha1.ImageSelectionStrategy
	constraint  *semver.Constraints // SemVer
	source      string              // of the constraint; the tag, for Digest
	isStrict    bool
	allow, deny []*regexp.Regexp
	extract     *regexp.Regexp // with one group; nil: the whole tag
	mutable     *regexp.Regexp // nil: none
	platform    Platform
	signature   *v1alpha1.ImageSignature // nil: nobody has to sign
	limit       int
	// isName accepts what can be the name of a tag here; isChart says that the
	// tags are versions of a chart.
	isName  func(string) bool
	isChart bool
}

// Compile checks sub and returns its Policy, or an error that wraps ErrInvalid
// and names the field.
func Compile(sub v1alpha1.ImageSubscription) (*Policy, error) {
	bad := func(field, format string, args ...any) (*Policy, error) {
		return nil, fmt.Errorf("%w: %s of image %q: %s", ErrInvalid, field, sub.RepoURL, fmt.Sprintf(format, args...))
	}
	p := &Policy{
		repoURL: sub.RepoURL, strategy: sub.ImageSelectionStrategy, source: strings.TrimSpace(sub.Constraint),
		isStrict: sub.StrictSemvers == nil || *sub.StrictSemvers, limit: int(sub.DiscoveryLimit), isName: isVersion,
	}
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
	switch p.strategy {
	case "":
		p.strategy = v1alpha1.SelectSemVer
	case v1alpha1.SelectSemVer, v1alpha1.SelectLexical, v1alpha1.SelectNumerical, v1alpha1.SelectNewestBuild, v1alpha1.SelectDigest:
	default:
		return bad("imageSelectionStrategy", "%q is not one of SemVer, Lexical, Numerical, NewestBuild, Digest", p.strategy)
	}
	if err := p.compileConstraint(); err != nil {
		return bad("constraint", "%v", err)
	}
	var err error
	if p.allow, err = each(sub.AllowTagsRegexes, pattern); err != nil {
		return bad("allowTagsRegexes", "%v", err)
	}
	if p.deny, err = each(sub.IgnoreTagsRegexes, pattern); err != nil {
		return bad("ignoreTagsRegexes", "%v", err)
	}
	if p.extract, err = p.compileExtract(sub.Extract); err != nil {
		return bad("extract", "%v", err)
	}
	if p.mutable, err = p.compileMutable(sub.MutableTags); err != nil {
		return bad("mutableTags", "%v", err)
	}
	if sub.Platform != "" {
		if p.platform, err = ParsePlatform(sub.Platform); err != nil {
			return bad("platform", "%v", err)
		}
	}
	if sub.Signature != nil {
		if field, err := checkSignature(sub.Signature); err != nil {
			return bad(field, "%v", err)
		}
		p.signature = sub.Signature
	}
	return p, nil
}

func (p *Policy) compileConstraint() error {
	switch p.strategy {
	case v1alpha1.SelectSemVer:
		source := p.source
		if source == "" {
			source = "*" // every release, no pre-release
		}
		c, err := semver.NewConstraint(source)
		if err != nil {
			return fmt.Errorf("%q is not a version range such as ^1.26.0", p.source)
		}
		p.constraint = c
	case v1alpha1.SelectDigest:
		if !tagSyntax.MatchString(p.source) {
			return fmt.Errorf("%q is not a tag; strategy Digest follows the one tag it names", p.source)
		}
	default:
		if p.source != "" {
			return fmt.Errorf("strategy %s has no constraint; use allowTagsRegexes", p.strategy)
		}
	}
	return nil
}

func (p *Policy) compileExtract(source string) (*regexp.Regexp, error) {
	if source == "" {
		return nil, nil
	}
	switch p.strategy {
	case v1alpha1.SelectNewestBuild, v1alpha1.SelectDigest:
		return nil, fmt.Errorf("strategy %s does not order tags by their text; leave it out", p.strategy)
	}
	re, err := pattern(source)
	if err != nil {
		return nil, err
	}
	if n := re.NumSubexp(); n != 1 {
		return nil, fmt.Errorf("%q has %d groups, it needs one: the part to order by; write other parentheses as (?:...)", source, n)
	}
	return re, nil
}

func (p *Policy) compileMutable(source string) (*regexp.Regexp, error) {
	if source == "" {
		return nil, nil
	}
	if p.strategy == v1alpha1.SelectDigest {
		return nil, errors.New("strategy Digest asks for its tag at every poll; leave it out")
	}
	return pattern(source)
}

// each compiles every one of sources.
func each(sources []string, compile func(string) (*regexp.Regexp, error)) ([]*regexp.Regexp, error) {
	var out []*regexp.Regexp
	for _, s := range sources {
		re, err := compile(s)
		if err != nil {
			return nil, err
		}
		out = append(out, re)
	}
	return out, nil
}

func pattern(source string) (*regexp.Regexp, error) {
	if len(source) > maxPatternLength {
		return nil, fmt.Errorf("a pattern is longer than %d bytes", maxPatternLength)
	}
	re, err := regexp.Compile(source)
	if err != nil {
		return nil, fmt.Errorf("%q is not a regular expression (RE2 syntax)", source)
	}
	return re, nil
}

// RepoURL returns the repository as the subscription spells it.
func (p *Policy) RepoURL() string { return p.repoURL }

// FollowedTag returns the one tag of strategy Digest; false for all others, whose
// tags must be listed.
func (p *Policy) FollowedTag() (string, bool) {
	return p.source, p.strategy == v1alpha1.SelectDigest
}

// NeedsCreated reports whether Select needs the creation time of every tag that
// Order returns; otherwise the first Limit that fit the platform are enough.
func (p *Policy) NeedsCreated() bool { return p.strategy == v1alpha1.SelectNewestBuild }

// NeedsPlatforms reports whether Select looks at platforms.
func (p *Policy) NeedsPlatforms() bool { return p.platform != Platform{} }

// WantsCharts reports whether the tags are versions of a Helm chart.
func (p *Policy) WantsCharts() bool { return p.isChart }

// Limit is how many candidates are kept.
func (p *Policy) Limit() int { return p.limit }

// IsMutable reports whether tag is one that moves: what it points at has to be
// asked for at every poll.
func (p *Policy) IsMutable(tag string) bool { return p.mutable != nil && p.mutable.MatchString(tag) }

// Order returns the tags that pass the filters, newest first and each once.
//
// SemVer orders by precedence, equal versions by the bytes of the tag;
// pre-releases are excluded unless the constraint names one (the rule of
// Masterminds/semver). Lexical orders by bytes, Numerical by value, whatever the
// number of digits. With extract, it is the part of the tag that is ordered.
// NewestBuild cannot know yet: its order is that of Lexical. Digest returns the
// followed tag if it is listed.
func (p *Policy) Order(tags []string) []string {
	var kept []ranked
	for _, tag := range tags {
		if !p.isName(tag) {
			continue
		}
		if p.strategy == v1alpha1.SelectDigest {
			if tag == p.source {
				return []string{tag}
			}
			continue
		}
		if r, ok := p.rank(tag); ok {
			kept = append(kept, r)
		}
	}
	slices.SortFunc(kept, func(a, b ranked) int { return cmp.Or(b.compare(a), strings.Compare(b.tag, a.tag)) })
	kept = slices.CompactFunc(kept, func(a, b ranked) bool { return a.tag == b.tag })
	out := make([]string, len(kept))
	for i, r := range kept {
		out[i] = r.tag
	}
	return out
}

// ranked is a tag and what it is ordered by.
type ranked struct {
	tag     string
	part    string          // of the tag: all, or what extract takes
	version *semver.Version // SemVer
	number  *number         // Numerical
}

// rank takes from tag what it is ordered by; false when it does not qualify.
func (p *Policy) rank(tag string) (ranked, bool) {
	r := ranked{tag: tag, part: tag}
	if !p.passes(tag) {
		return r, false
	}
	if p.extract != nil {
		m := p.extract.FindStringSubmatch(tag)
		if m == nil {
			return r, false
		}
		r.part = m[1]
	}
	if p.isChart {
		r.part = chartVersion(r.part)
	}
	switch p.strategy {
	case v1alpha1.SelectSemVer:
		r.version = parseVersion(r.part, p.isStrict)
		return r, r.version != nil && p.constraint.Check(r.version)
	case v1alpha1.SelectNumerical:
		n, ok := parseNumber(r.part)
		r.number = &n
		return r, ok
	}
	return r, true
}

func (r ranked) compare(other ranked) int {
	switch {
	case r.version != nil:
		return r.version.Compare(other.version)
	case r.number != nil:
		return r.number.compare(*other.number)
	}
	return strings.Compare(r.part, other.part)
}

func (p *Policy) passes(tag string) bool {
	matches := func(re *regexp.Regexp) bool { return re.MatchString(tag) }
	return (len(p.allow) == 0 || slices.ContainsFunc(p.allow, matches)) && !slices.ContainsFunc(p.deny, matches)
}

// parseVersion returns the version in tag, with or without a leading v, or nil.
// Strict versions have major, minor and patch.
func parseVersion(tag string, isStrict bool) *semver.Version {
	var v *semver.Version
	var err error
	if isStrict {
		v, err = semver.StrictNewVersion(strings.TrimPrefix(tag, "v"))
	} else {
		v, err = semver.NewVersion(tag)
	}
	if err != nil {
		return nil
	}
	return v
}

// NoMatch says why there is no candidate among the tags of the repository.
func (p *Policy) NoMatch(tags int) string {
	var rules []string
	switch {
	case p.strategy == v1alpha1.SelectDigest:
		rules = append(rules, fmt.Sprintf("is %q", p.source))
	case p.strategy == v1alpha1.SelectSemVer && p.source != "":
		rules = append(rules, fmt.Sprintf("is a version in %q", p.source))
	case p.strategy == v1alpha1.SelectSemVer:
		rules = append(rules, "is a released version")
	case p.strategy == v1alpha1.SelectNumerical:
		rules = append(rules, "is a number")
	}
	if p.extract != nil {
		rules = append(rules, "matches extract")
	}
	if len(p.allow)+len(p.deny) > 0 {
		rules = append(rules, "passes the tag regexes")
	}
	if p.NeedsPlatforms() {
		rules = append(rules, "has platform "+p.platform.String())
	}
	if len(rules) == 0 {
		rules = append(rules, "is an image")
	}
	return fmt.Sprintf("none of %d tags in %q %s", tags, p.repoURL, strings.Join(rules, " and "))
}
