package git

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/go-git/go-git/v5/plumbing"
)

// maxBranchBytes bounds a branch name; servers store it as a file name.
const maxBranchBytes = 200

// ValidateBranch returns an ErrInvalidBranch unless name can be a branch. The
// rules are those of git check-ref-format(1) for "refs/heads/<name>".
func ValidateBranch(name string) error {
	bad := func(why string) error { return fmt.Errorf("%w: %q %s", ErrInvalidBranch, name, why) }
	switch {
	case name == "":
		return fmt.Errorf("%w: it is empty", ErrInvalidBranch)
	case len(name) > maxBranchBytes:
		return fmt.Errorf("%w: it is longer than %d bytes", ErrInvalidBranch, maxBranchBytes)
	case !utf8.ValidString(name):
		return bad("is not UTF-8")
	case strings.HasPrefix(name, "refs/"):
		return bad(`is a full reference; leave out "refs/heads/"`)
	case strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune(`~^:?*[\`, r) }):
		return bad("has a character that branch names cannot have")
	case name == "HEAD" || plumbing.NewBranchReferenceName(name).Validate() != nil:
		return bad("is not allowed by git check-ref-format")
	}
	return nil
}
