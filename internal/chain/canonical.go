package chain

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// Bounds of what is canonical.
const (
	// maxInteger is the largest integer that every JSON library reads alike.
	maxInteger = 1<<53 - 1
	maxDepth   = 64
)

// ErrCanonical is for what has no canonical form here.
var ErrCanonical = errors.New("no canonical JSON")

// Canonical returns a JSON value in the form of RFC 8785. It returns an error
// that wraps ErrCanonical for what is no JSON in UTF-8, has a key twice, nests
// deeper than 64, or has a number that is not an integer within 53 bits: no
// record has any of these, and what two libraries may read differently has no
// place in a hash.
func Canonical(raw []byte) ([]byte, error) {
	if !utf8.Valid(raw) {
		return nil, fmt.Errorf("%w: not UTF-8", ErrCanonical)
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	out, err := appendValue(make([]byte, 0, len(raw)), d, 0)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCanonical, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: more than one value", ErrCanonical)
	}
	return out, nil
}

// appendValue appends the next value of d.
func appendValue(out []byte, d *json.Decoder, depth int) ([]byte, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err //nolint:wrapcheck // Canonical does
	}
	switch v := token.(type) {
	case json.Delim:
		if depth >= maxDepth {
			return nil, fmt.Errorf("nested deeper than %d", maxDepth)
		}
		if v == '{' {
			return appendObject(out, d, depth+1)
		}
		return appendArray(out, d, depth+1)
	case string:
		return appendString(out, v), nil
	case json.Number:
		n, err := strconv.ParseInt(v.String(), 10, 64)
		if err != nil || n > maxInteger || n < -maxInteger {
			return nil, fmt.Errorf("number %s: want an integer within 53 bits", v)
		}
		return strconv.AppendInt(out, n, 10), nil
	case bool:
		return strconv.AppendBool(out, v), nil
	default:
		return append(out, "null"...), nil
	}
}

func appendArray(out []byte, d *json.Decoder, depth int) ([]byte, error) {
	out = append(out, '[')
	var err error
	for first := true; d.More(); first = false {
		if !first {
			out = append(out, ',')
		}
		if out, err = appendValue(out, d, depth); err != nil {
			return nil, err
		}
	}
	_, err = d.Token() // the end of it
	return append(out, ']'), err
}

func appendObject(out []byte, d *json.Decoder, depth int) ([]byte, error) {
	type member struct {
		key   string
		order []uint16
		value []byte
	}
	var members []member
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return nil, err //nolint:wrapcheck // Canonical does
		}
		key, _ := token.(string) // the decoder has refused other keys
		value, err := appendValue(nil, d, depth)
		if err != nil {
			return nil, err
		}
		members = append(members, member{key, utf16.Encode([]rune(key)), value})
	}
	if _, err := d.Token(); err != nil { // the end of it
		return nil, err //nolint:wrapcheck // Canonical does
	}
	slices.SortFunc(members, func(a, b member) int { return slices.Compare(a.order, b.order) })
	out = append(out, '{')
	for i, m := range members {
		if i > 0 {
			if m.key == members[i-1].key {
				return nil, fmt.Errorf("key %q twice", m.key)
			}
			out = append(out, ',')
		}
		out = append(appendString(out, m.key), ':')
		out = append(out, m.value...)
	}
	return append(out, '}'), nil
}

// appendString appends a string with the escapes that have to be, and no others.
func appendString(out []byte, s string) []byte {
	const digits = "0123456789abcdef"
	out = append(out, '"')
	for i := range len(s) {
		switch b := s[i]; {
		case b == '"' || b == '\\':
			out = append(out, '\\', b)
		case b == '\b':
			out = append(out, `\b`...)
		case b == '\f':
			out = append(out, `\f`...)
		case b == '\n':
			out = append(out, `\n`...)
		case b == '\r':
			out = append(out, `\r`...)
		case b == '\t':
			out = append(out, `\t`...)
		case b < 0x20:
			out = append(out, '\\', 'u', '0', '0', digits[b>>4], digits[b&15])
		default:
			out = append(out, b)
		}
	}
	return append(out, '"')
}
