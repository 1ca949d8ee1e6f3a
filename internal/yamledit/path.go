package yamledit

import (
	"fmt"
	"strconv"
	"strings"
)

// Path leads from the root of a document to a value. A segment is a key of a mapping; in a list it is a decimal
// index counted from 0. An index equal to the length of the list appends to it. Where a parent is missing, "0"
// makes a list of one item and every other segment makes a mapping.
type Path []string

// ParsePath reads the dotted form, "images.0.newTag". A backslash takes a dot or a backslash literally
// ("metadata.annotations.example\.com/owner"). Empty segments are refused.
func ParsePath(text string) (Path, error) {
	var path Path
	var segment strings.Builder
	flush := func() error {
		if segment.Len() == 0 {
			return fmt.Errorf("%w: path %q has an empty segment", ErrInvalidValue, text)
		}
		path = append(path, segment.String())
		segment.Reset()
		return nil
	}
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && i+1 < len(text) && (text[i+1] == '.' || text[i+1] == '\\'):
			i++
			segment.WriteByte(text[i])
		case c == '.':
			if err := flush(); err != nil {
				return nil, err
			}
		default:
			segment.WriteByte(c)
		}
	}
	if err := flush(); err != nil {
		return nil, err
	}
	return path, nil
}

// String returns the dotted form that ParsePath reads.
func (p Path) String() string {
	escape := strings.NewReplacer(`\`, `\\`, `.`, `\.`)
	parts := make([]string, len(p))
	for i, segment := range p {
		parts[i] = escape.Replace(segment)
	}
	return strings.Join(parts, ".")
}

// listIndex reads a segment as a list index, or returns -1.
func listIndex(segment string) int {
	if len(segment) > 1 && segment[0] == '0' {
		return -1
	}
	for _, c := range []byte(segment) {
		if c < '0' || c > '9' {
			return -1
		}
	}
	n, err := strconv.Atoi(segment)
	if err != nil {
		return -1
	}
	return n
}
