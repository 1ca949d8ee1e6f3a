package git

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Kinds of failure. Every error of this package that comes from outside the
// program matches exactly one of them with errors.Is; one that was caused by
// the caller's context matches context.Canceled or context.DeadlineExceeded
// too.
var (
	// ErrInvalidRemote: the address is not one we use (scheme, user info).
	// Terminal until the spec changes.
	ErrInvalidRemote = errors.New("invalid repository URL")
	// ErrInvalidBranch: not a branch name. Terminal until the spec changes.
	ErrInvalidBranch = errors.New("invalid branch name")
	// ErrAuthentication: the server wants other credentials. Terminal until
	// the Secret changes.
	ErrAuthentication = errors.New("authentication failed")
	// ErrHostKey: the SSH server's host key is not in known_hosts, or is another
	// than the one there. Terminal until the Secret changes.
	ErrHostKey = errors.New("host key is not trusted")
	// ErrNotFound: the server knows no such repository, or hides it.
	ErrNotFound = errors.New("repository not found")
	// ErrBranchNotFound: the repository has no such branch.
	ErrBranchNotFound = errors.New("branch not found")
	// ErrUnreachable: no connection, no answer in time, one that was cut off, or
	// one that asks to come back later. Transient; see Error.RetryAfter.
	ErrUnreachable = errors.New("no usable answer from the remote")
	// ErrRedirected: the server points to another host. Terminal until the
	// spec names that host.
	ErrRedirected = errors.New("remote redirects to another host")
	// ErrNotGit: the answer is not the Git protocol but, say, a login page.
	// Terminal until the spec or the server changes.
	ErrNotGit = errors.New("answer is not the Git protocol")
	// ErrTooLarge: a limit was exceeded.
	ErrTooLarge = errors.New("limit exceeded")
	// ErrMoved: the branch is not where the caller expected it; errors.As with
	// *MovedError says where it is. Fetch, do the work again, push again.
	ErrMoved = errors.New("remote moved")
	// ErrRejected: the server refused (a hook, a protected branch). The branch
	// is where the caller expected it. Terminal until somebody changes the
	// server.
	ErrRejected = errors.New("rejected by the remote")
	// ErrUnknownOutcome: a push was sent and its answer lost. Fetch, and look
	// for the commit.
	ErrUnknownOutcome = errors.New("outcome of the push is unknown")
	// ErrNotDescendant: the push would take commits off the branch. A mistake
	// in the program.
	ErrNotDescendant = errors.New("new commit does not descend from the old one")
	// ErrNotAncestor: a walk over history reached its end without meeting the
	// commit it was to stop at: the branch was rewritten.
	ErrNotAncestor = errors.New("commit is not an ancestor")
	// ErrUnknownObject: a commit or tree named by the caller is not in the
	// mirror; fetch first.
	ErrUnknownObject = errors.New("object is not in the mirror")
	// ErrDamaged: the mirror cannot be read. Transient: the next Fetch builds
	// it anew.
	ErrDamaged = errors.New("mirror is damaged")
	// ErrSymlink: the path is, or leads through, a symbolic link.
	ErrSymlink = errors.New("is a symbolic link, which is never followed")
	// ErrSubmodule: the path is, or leads into, a submodule.
	ErrSubmodule = errors.New("is a submodule, which is never fetched")
	// ErrUnsafePath: a path or a name in a tree that could leave the tree.
	ErrUnsafePath = errors.New("unsafe path")
	// ErrLocked: another process uses the directory of mirrors.
	ErrLocked = errors.New("directory is in use by another process")
)

// Error is a failed operation. Its text stays equal while the facts do.
type Error struct {
	// Op says what was attempted, with its input.
	Op string
	// Kind is one of the Err values of this package, or a *MovedError.
	Kind error
	// Detail says more, in one line without secrets; may be empty.
	Detail string
	// RetryAfter is how long the server asked to be left alone; 0: it did not.
	RetryAfter time.Duration

	cause   error // a context error, or nil
	refused bool  // it is certain that the request was not carried out
}

// Error returns "op: kind: detail".
func (e *Error) Error() string {
	text := e.Op + ": " + e.Kind.Error()
	if e.Detail != "" {
		text += ": " + e.Detail
	}
	return text
}

// Unwrap gives errors.Is and errors.As the kind and the context's error.
func (e *Error) Unwrap() []error {
	if e.cause != nil {
		return []error{e.Kind, e.cause}
	}
	return []error{e.Kind}
}

// MovedError says where a branch is instead of where it was expected. It
// matches ErrMoved.
type MovedError struct {
	// Expected and Found are zero for "no such branch".
	Expected, Found Hash
}

// Error names both hashes in short form.
func (e *MovedError) Error() string {
	name := func(h Hash) string {
		if h.IsZero() {
			return "no branch"
		}
		return h.Short()
	}
	return fmt.Sprintf("%v: expected %s, found %s", ErrMoved, name(e.Expected), name(e.Found))
}

// Is reports whether target is ErrMoved.
func (e *MovedError) Is(target error) bool { return target == ErrMoved }

// maxDetailBytes bounds how much of a server's text an error carries.
const maxDetailBytes = 300

// oneLine makes a server's text fit for an error: printable, in one line,
// short. Secrets are the caller's business.
func oneLine(text string) string {
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '\uFFFD' }), " ")
	if len(text) > maxDetailBytes {
		text = strings.ToValidUTF8(text[:maxDetailBytes], "") + "…"
	}
	return text
}
