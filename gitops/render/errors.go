package render

import (
	"errors"
	"fmt"
	"strings"
)

// Kinds of failure, found with errors.Is in what Render returns. None of them passes by itself: the repository, the
// path or a limit has to change. A cancelled context is returned as it is.
var (
	// ErrPathNotFound: the path is not a folder of this revision.
	ErrPathNotFound = errors.New("path does not exist")
	// ErrNothingRendered: the path is there and holds no object.
	ErrNothingRendered = errors.New("path renders nothing")
	// ErrRemoteReference: a kustomization names something outside the repository.
	ErrRemoteReference = errors.New("reference leaves the repository")
	// ErrUnsupported: Helm inflation, plugins, and files that cannot be read as part of the tree (links).
	ErrUnsupported = errors.New("not supported")
	// ErrInvalid: not YAML, or not a Kubernetes object.
	ErrInvalid = errors.New("invalid manifest")
	// ErrDuplicateObject: one object is rendered twice.
	ErrDuplicateObject = errors.New("object is rendered twice")
	// ErrTooLarge: one of Limits is exceeded.
	ErrTooLarge = errors.New("limit exceeded")
	// ErrTimeout: rendering took longer than Limits.Timeout.
	ErrTimeout = errors.New("rendering took too long")
	// ErrKustomize: kustomize refused the kustomization.
	ErrKustomize = errors.New("kustomize")
	// ErrDecryption: an encrypted file cannot be decrypted: no key, a key service that is not supported, a MAC that
	// does not fit.
	ErrDecryption = errors.New("encrypted file")
	// ErrHelm: the chart, or the values given to it, cannot be rendered.
	ErrHelm = errors.New("helm")
)

// Error says where in the repository rendering failed, and why.
type Error struct {
	// File is the path from the root of the repository; a folder when no single file is at fault.
	File string
	// Document is the number of the YAML document in the file, from 1; 0 when the file as a whole is meant.
	Document int
	// Line of the file, from 1; 0 when it is not known.
	Line int
	// Field is the field at fault, as in "resources[2]"; empty when none is.
	Field string
	// Err wraps one of the kinds above.
	Err error
}

// Error returns "stages/test/app.yaml, document 2, line 14: metadata.name: invalid manifest: ...".
func (e *Error) Error() string {
	var b strings.Builder
	if e.File != "" {
		b.WriteString(e.File)
		if e.Document > 0 {
			fmt.Fprintf(&b, ", document %d", e.Document)
		}
		if e.Line > 0 {
			fmt.Fprintf(&b, ", line %d", e.Line)
		}
		b.WriteString(": ")
	}
	if e.Field != "" {
		b.WriteString(e.Field + ": ")
	}
	b.WriteString(e.Err.Error())
	return b.String()
}

// Unwrap returns the kind of failure and its cause.
func (e *Error) Unwrap() error { return e.Err }
