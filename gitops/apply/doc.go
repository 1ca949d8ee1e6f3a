// Package apply writes to destination clusters: server-side apply, deletion
// with preconditions and the creation of namespaces. Every error is an *Error
// that says what kind of failure it is; library errors end here.
package apply
