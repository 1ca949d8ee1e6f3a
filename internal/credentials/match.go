package credentials

import (
	"cmp"
	"slices"
	"strings"

	"github.com/waybill-dev/waybill/internal/repourl"
)

// Request asks for the credential of one repository on behalf of one Project.
type Request struct {
	Type    Type
	RepoURL string
	// Project is the name of the Project and of its namespace.
	Project string
	// SystemNamespace is Waybill's own, where shared Secrets live. Empty: none.
	SystemNamespace string
}

// Match returns the credential for r, and false when anonymous access is all
// there is. The answer does not depend on the order of all.
func Match(r Request, all []Credential) (Credential, bool) {
	target, err := normalize(r.Type, r.RepoURL)
	if err != nil || r.Project == "" || hasDotSegments(target) {
		return Credential{}, false
	}
	if r.Type == Image {
		target = repourl.OfficialImage(target)
	}
	best, bestRank, found := Credential{}, rank{}, false
	for _, c := range all {
		if c.Type != r.Type || !c.serves(r) {
			continue
		}
		k, ok := c.rank(target)
		if !ok {
			continue
		}
		k.isShared = c.Namespace != r.Project
		if !found || k.compare(bestRank) < 0 {
			best, bestRank, found = c, k, true
		}
	}
	return best, found
}

// serves reports whether the Project of r may use c at all.
func (c Credential) serves(r Request) bool {
	if c.Namespace == r.Project {
		// A Project lends itself no identity that is not its own.
		return !c.IsAmbient() || c.Namespace == r.SystemNamespace
	}
	return r.SystemNamespace != "" && c.Namespace == r.SystemNamespace &&
		(slices.Contains(c.SharedWith, r.Project) || slices.Contains(c.SharedWith, "*"))
}

// rank orders the credentials that fit; the smallest is used.
type rank struct {
	isShared bool
	kind     int // 0 exact, 1 prefix, 2 regular expression
	length   int // of the prefix
	name     string
}

func (a rank) compare(b rank) int {
	if a.isShared != b.isShared {
		if a.isShared {
			return 1
		}
		return -1
	}
	return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(b.length, a.length), cmp.Compare(a.name, b.name))
}

func (c Credential) rank(target string) (rank, bool) {
	switch {
	case c.IsRegex:
		return rank{kind: 2, name: c.Name}, c.pattern != nil && (c.pattern.MatchString(target) || c.pattern.MatchString(scpForm(target)))
	case c.normalized == "":
		return rank{}, false // not made by Parse
	// A Docker Hub name is compared in both forms, because docker.io/team may
	// also be meant as the prefix of a team.
	case c.normalized == target, c.Type == Image && repourl.OfficialImage(c.normalized) == target:
		return rank{name: c.Name}, true
	default:
		return rank{kind: 1, length: len(c.normalized), name: c.Name}, strings.HasPrefix(target, c.normalized+"/")
	}
}

// scpForm returns user@host:path for an SSH address on the default port, which
// is how people write it in patterns, and what it is given otherwise.
func scpForm(target string) string {
	rest, isSSH := strings.CutPrefix(target, "ssh://")
	host, path, found := strings.Cut(rest, "/")
	if !isSSH || !found || strings.Contains(host, ":") {
		return target
	}
	return host + ":" + path
}

// hasDotSegments reports whether a server might read target as another path
// than the one that is compared here.
func hasDotSegments(target string) bool {
	lower := strings.ReplaceAll(strings.ToLower(target), "%2e", ".")
	lower = strings.ReplaceAll(lower, "%2f", "/")
	for _, s := range strings.Split(lower, "/") {
		if s == "." || s == ".." {
			return true
		}
	}
	return strings.Contains(lower, `\`)
}

// normalize returns the form in which addresses of type t are compared.
func normalize(t Type, raw string) (string, error) {
	if t == Image {
		return repourl.Image(raw) //nolint:wrapcheck // says what is wrong already
	}
	return repourl.Normalize(raw) //nolint:wrapcheck // says what is wrong already
}
