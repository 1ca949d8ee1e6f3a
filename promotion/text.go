package promotion

import (
	"fmt"
	"sort"
	"strings"
	"time"
	"unicode"
)

// stamp writes an instant the way every message does: UTC, to the second, and
// without the date's noise of a zone name.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }

// short returns the first characters of a commit id.
func short(commit string) string {
	if len(commit) > 8 {
		return commit[:8]
	}
	return commit
}

// shortDuration writes 1h0m0s as 1h.
func shortDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func quoteList(names []string) string { return quoteJoin(names, ", ") }

func quoteJoin(names []string, joint string) string {
	q := make([]string, len(names))
	for i, n := range names {
		q[i] = fmt.Sprintf("%q", n)
	}
	return strings.Join(q, joint)
}

// plural writes 1 approval and 2 approvals.
func plural(n int32, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

// andMore writes " and 2 more", or nothing for none.
func andMore(n int) string {
	if n <= 0 {
		return ""
	}
	return fmt.Sprintf(" and %d more", n)
}

func sorted(names []string) []string {
	out := append([]string(nil), names...)
	sort.Strings(out)
	return out
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// OneLine makes text that others wrote fit for a status and a terminal: one
// line of printable characters, at most maxBytes long.
func OneLine(text string, maxBytes int) string {
	// Far more than is kept is not looked at.
	text = strings.ToValidUTF8(text[:min(len(text), 4*maxBytes)], "")
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }), " ")
	return Shorten(text, maxBytes)
}

// Shorten cuts text to at most maxBytes, of which the last three are dots when
// something is cut off.
func Shorten(text string, maxBytes int) string {
	if len(text) <= maxBytes {
		return text
	}
	return strings.ToValidUTF8(text[:maxBytes-3], "") + "..."
}
