// Package jsonedit sets values in JSON files without touching any other byte.
package jsonedit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"
)

// Errors of Set.
var (
	// ErrInvalid: the file is no JSON.
	ErrInvalid = errors.New("not valid JSON")
	// ErrNotFound: the path leads through a value that is neither object nor list,
	// or to an index that is not there.
	ErrNotFound = errors.New("the path leads nowhere")
)

// maxDepth bounds how deep values are nested.
const maxDepth = 500

// Set returns doc with value, which is JSON, at path. A key that is missing is
// added at the end of its object, and missing parents with it as objects; an
// index equal to the length of a list appends to it. When the value is there
// already, doc itself is returned.
func Set(doc []byte, path []string, value []byte) ([]byte, error) {
	if !json.Valid(doc) || !json.Valid(value) {
		return nil, ErrInvalid
	}
	for _, segment := range path {
		if !utf8.ValidString(segment) {
			return nil, fmt.Errorf("%w: the path is not UTF-8", ErrNotFound) // as a key it would become another one
		}
	}
	begin := skipSpace(doc, 0)
	end, err := valueEnd(doc, begin, 0)
	if err != nil {
		return nil, err
	}
	for i, segment := range path {
		switch doc[begin] {
		case '{':
			member, err := findMember(doc, begin, segment)
			if err != nil {
				return nil, err
			}
			if member.begin < 0 {
				name, err := json.Marshal(segment)
				if err != nil {
					return nil, ErrInvalid
				}
				return insert(doc, begin, end, member.last, append(append(name, ": "...), nested(path[i+1:], value)...)), nil
			}
			begin, end = member.begin, member.end
		case '[':
			n, err := strconv.Atoi(segment)
			if err != nil || n < 0 {
				return nil, fmt.Errorf("%w: %q is no index of a list", ErrNotFound, segment)
			}
			item, err := findItem(doc, begin, n)
			if err != nil {
				return nil, err
			}
			if item.begin < 0 {
				return insert(doc, begin, end, item.last, nested(path[i+1:], value)), nil
			}
			begin, end = item.begin, item.end
		default:
			return nil, fmt.Errorf("%w: there is nothing below the value at %q", ErrNotFound, segment)
		}
	}
	if bytes.Equal(doc[begin:end], value) {
		return doc, nil
	}
	return splice(doc, begin, end, value), nil
}

// nested wraps value in an object for each segment.
func nested(path []string, value []byte) []byte {
	for i := len(path) - 1; i >= 0; i-- {
		name, _ := json.Marshal(path[i]) // text always has a form
		value = append(append(append([]byte("{"), name...), ": "...), append(append([]byte{}, value...), '}')...)
	}
	return value
}

// found is where a value is; begin is -1 when there is none, and last is then the
// end of the last value before it, -1 in an empty container.
type found struct{ begin, end, last int }

func findMember(doc []byte, open int, key string) (found, error) {
	f := found{begin: -1, last: -1}
	for at := skipSpace(doc, open+1); doc[at] != '}'; {
		nameEnd, err := valueEnd(doc, at, 0)
		if err != nil {
			return f, err
		}
		var name string
		if err := json.Unmarshal(doc[at:nameEnd], &name); err != nil {
			return f, ErrInvalid
		}
		begin := skipSpace(doc, skipSpace(doc, nameEnd)+1)
		end, err := valueEnd(doc, begin, 0)
		if err != nil {
			return f, err
		}
		if name == key { // of a key that is there twice, the last counts
			f.begin, f.end = begin, end
		}
		f.last = end
		if at = skipSpace(doc, end); doc[at] == ',' {
			at = skipSpace(doc, at+1)
		}
	}
	return f, nil
}

func findItem(doc []byte, open, n int) (found, error) {
	f := found{begin: -1, last: -1}
	i := 0
	for at := skipSpace(doc, open+1); doc[at] != ']'; i++ {
		end, err := valueEnd(doc, at, 0)
		if err != nil {
			return f, err
		}
		if i == n {
			return found{begin: at, end: end}, nil
		}
		f.last = end
		if at = skipSpace(doc, end); doc[at] == ',' {
			at = skipSpace(doc, at+1)
		}
	}
	if n != i {
		return f, fmt.Errorf("%w: the list has %d items", ErrNotFound, i)
	}
	return f, nil
}

// insert adds text to the container between open and end, after the value that
// ends at last, in the layout of what is there.
func insert(doc []byte, open, end, last int, text []byte) []byte {
	if last < 0 {
		return splice(doc, open+1, end-1, text)
	}
	first := skipSpace(doc, open+1)
	lead := doc[open+1 : first] // white space before the first value
	if len(lead) == 0 && bytes.ContainsRune(doc[open:end], ' ') {
		lead = []byte(" ")
	}
	return splice(doc, last, last, append(append([]byte(","), lead...), text...))
}

func splice(doc []byte, begin, end int, text []byte) []byte {
	out := make([]byte, 0, len(doc)-(end-begin)+len(text))
	return append(append(append(out, doc[:begin]...), text...), doc[end:]...)
}

func skipSpace(doc []byte, at int) int {
	for at < len(doc) && (doc[at] == ' ' || doc[at] == '\t' || doc[at] == '\n' || doc[at] == '\r') {
		at++
	}
	return at
}

// valueEnd returns the offset after the value that begins at at. doc is valid.
func valueEnd(doc []byte, at, depth int) (int, error) {
	if depth > maxDepth {
		return 0, fmt.Errorf("%w: nested deeper than %d", ErrInvalid, maxDepth)
	}
	switch doc[at] {
	case '"':
		for at++; doc[at] != '"'; at++ {
			if doc[at] == '\\' {
				at++
			}
		}
		return at + 1, nil
	case '{', '[':
		open := 0
		for ; at < len(doc); at++ {
			switch doc[at] {
			case '"':
				end, err := valueEnd(doc, at, depth+1)
				if err != nil {
					return 0, err
				}
				at = end - 1
			case '{', '[':
				if open++; open > maxDepth {
					return 0, fmt.Errorf("%w: nested deeper than %d", ErrInvalid, maxDepth)
				}
			case '}', ']':
				if open--; open == 0 {
					return at + 1, nil
				}
			}
		}
		return 0, ErrInvalid
	default:
		for at < len(doc) && !bytes.ContainsRune([]byte(" \t\r\n,]}"), rune(doc[at])) {
			at++
		}
		return at, nil
	}
}
