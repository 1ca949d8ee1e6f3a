package chart

import (
	"bytes"
	"strings"
)

// scalars follows the texts of a YAML document that go on for several lines, so
// that no line inside one is taken for a key. YAML wants such lines deeper than
// the key they belong to; its readers are less strict than that inside quotes.
type scalars struct {
	// quote is open, or a block (| or >) is, that began at column at.
	quote   byte
	isBlock bool
	at      int
}

// misread reports whether the line, which begins with text at a column, cannot
// be told by its indentation.
func (s *scalars) misread(text []byte, at int) bool {
	if s.isBlock && at > s.at {
		return false
	}
	s.isBlock = false
	if s.quote != 0 {
		if at <= s.at {
			return true
		}
		if _, isClosed := closing(text, s.quote); isClosed {
			s.quote = 0
		}
		return false
	}
	s.at = at
	value := bytes.TrimLeft(valueOf(text), " ")
	if len(value) == 0 {
		return false
	}
	switch value[0] {
	case '|', '>':
		s.isBlock = true
	case '"', '\'':
		if _, isClosed := closing(value[1:], value[0]); !isClosed {
			s.quote = value[0]
		}
	case '{', '[':
		end := bytes.TrimRight(value, " ")
		return end[len(end)-1] != '}' && end[len(end)-1] != ']'
	}
	return false
}

// valueOf returns what is behind the marks of a list, a key, a tag and an anchor.
func valueOf(text []byte) []byte {
	for len(text) > 1 && strings.IndexByte("-?:", text[0]) >= 0 && text[1] == ' ' {
		text = bytes.TrimLeft(text[1:], " ")
	}
	if len(text) > 0 && (text[0] == '"' || text[0] == '\'') {
		rest, isClosed := closing(text[1:], text[0])
		if rest = bytes.TrimLeft(rest, " "); !isClosed || len(rest) == 0 || rest[0] != ':' {
			return text
		}
		text = rest[1:]
	} else if strings.IndexByte("{[|>", first(text)) < 0 {
		if _, value, isKey := bytes.Cut(text, []byte(": ")); isKey {
			text = value
		}
	}
	for text = bytes.TrimLeft(text, " "); strings.IndexByte("!&", first(text)) >= 0; text = bytes.TrimLeft(text, " ") {
		_, text, _ = bytes.Cut(text, []byte(" "))
	}
	return text
}

// first returns the first byte of text, or a space.
func first(text []byte) byte {
	if len(text) == 0 {
		return ' '
	}
	return text[0]
}

// closing returns what is behind the closing quote.
func closing(text []byte, quote byte) (rest []byte, isClosed bool) {
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '\\' && quote == '"':
			i++
		case text[i] != quote:
		case quote == '\'' && i+1 < len(text) && text[i+1] == quote:
			i++
		default:
			return text[i+1:], true
		}
	}
	return nil, false
}
