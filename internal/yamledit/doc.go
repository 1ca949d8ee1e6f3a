// Package yamledit changes single values in YAML files by splicing bytes.
//
// A YAML library that prints a tree it parsed rewrites lines nobody asked to change. Here the library
// (go.yaml.in/yaml/v3) only says where things are; the edit replaces, inserts or removes exactly the bytes of
// the value. Comments, key order, quoting style, indentation, CRLF line ends, a byte order mark and a missing
// final newline therefore survive.
//
// Every edit is proven before it is returned: the new text is parsed again and must decode to the old document
// with only the target path changed. When that does not hold (an anchor shared with other places, a merge key,
// an exotic layout) the edit is refused with an *Error and the document stays as it was.
//
// The package is pure: bytes in, bytes out.
package yamledit
