package yamledit

import (
	"errors"
	"fmt"
)

// Reasons an edit is refused. Each is found with errors.Is in the *Error that Set, Delete and SetKustomizeImage return.
var (
	// ErrTooLarge: more than MaxBytes, deeper than MaxDepth, or aliases that expand beyond MaxExpanded nodes.
	ErrTooLarge = errors.New("document is too large")
	// ErrNotYAML: not UTF-8, holds a NUL byte, or does not parse.
	ErrNotYAML = errors.New("not a YAML document")
	// ErrMultipleDocuments: the file holds more than one document, so a path does not say which is meant.
	ErrMultipleDocuments = errors.New("file holds more than one YAML document")
	// ErrNotScalar: the path ends at a mapping or a list, which a scalar would replace.
	ErrNotScalar = errors.New("value is a mapping or a list, not a scalar")
	// ErrNoSuchPath: the path leads through a scalar, through an alias, or to a list index that does not exist.
	ErrNoSuchPath = errors.New("path does not exist")
	// ErrShared: the edit would also change another place of the document (anchor, alias or merge key).
	ErrShared = errors.New("edit would change more than the path")
	// ErrUnsupported: the layout at that place is one this package does not edit.
	ErrUnsupported = errors.New("layout cannot be edited in place")
	// ErrInvalidValue: the new value cannot be written as YAML, or an ImageUpdate is incomplete.
	ErrInvalidValue = errors.New("invalid value")
)

// Error says where in the document an edit was refused, and why.
type Error struct {
	// Line and Column are 1-based; columns count characters. Both are 0 when the whole document is meant.
	Line, Column int
	// Path is the target of the edit; nil when the whole document is meant.
	Path Path
	// Err wraps one of the reasons above.
	Err error
}

// Error returns "line 3, column 5: images.0.newTag: <reason>", without the parts that are not known.
func (e *Error) Error() string {
	text := e.Err.Error()
	if len(e.Path) > 0 {
		text = e.Path.String() + ": " + text
	}
	if e.Line > 0 {
		text = fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, text)
	}
	return text
}

// Unwrap returns the reason.
func (e *Error) Unwrap() error { return e.Err }
