package gitops

import (
	"fmt"
	"strconv"
	"strings"

	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

// Path is a place in an object, or several: a field, an item of a list by its
// keys or its number, or every item.
type Path []PathStep

// PathStep is one step of a Path. Exactly one of its forms is used.
type PathStep struct {
	// Field of a map.
	Field string
	// Keys and values of the items of a list that are meant, in pairs.
	Keys [][2]string
	// Index of the item of a list; -1 is every item.
	Index int
	// isIndex and isEither tell the forms apart: a step of a JSON pointer that is a
	// number may be a field or an index.
	isIndex, isEither bool
}

// maxPathSteps bounds a path.
const maxPathSteps = 64

// ParsePath reads the form that PathString writes:
// spec.template.spec.containers[name=web].image, metadata.labels["a/b"],
// webhooks[*].clientConfig.caBundle, items[0].
func ParsePath(text string) (Path, error) {
	var p Path
	rest := text
	for rest != "" {
		if len(p) == maxPathSteps {
			return nil, fmt.Errorf("path %q has more than %d steps", text, maxPathSteps)
		}
		switch {
		case strings.HasPrefix(rest, `["`):
			quoted, err := strconv.QuotedPrefix(rest[1:])
			if err != nil || !strings.HasPrefix(rest[1+len(quoted):], "]") {
				return nil, fmt.Errorf("path %q: a quoted field is not closed", text)
			}
			name, err := strconv.Unquote(quoted)
			if err != nil {
				return nil, fmt.Errorf("path %q: %s cannot be read", text, quoted)
			}
			p = append(p, PathStep{Field: name})
			rest = rest[len(quoted)+2:]
		case rest[0] == '[':
			inside, after, closed := strings.Cut(rest[1:], "]")
			if !closed {
				return nil, fmt.Errorf("path %q: a bracket is not closed", text)
			}
			step, err := parseBracket(inside)
			if err != nil {
				return nil, fmt.Errorf("path %q: %w", text, err)
			}
			p = append(p, step)
			rest = after
		default:
			end := strings.IndexAny(rest, ".[")
			if end < 0 {
				end = len(rest)
			}
			if end == 0 {
				return nil, fmt.Errorf("path %q has an empty step", text)
			}
			p = append(p, PathStep{Field: rest[:end]})
			rest = rest[end:]
		}
		if after, dotted := strings.CutPrefix(rest, "."); dotted {
			if after == "" || after[0] == '[' && !strings.HasPrefix(after, `["`) {
				return nil, fmt.Errorf("path %q has an empty step", text)
			}
			rest = after
		}
	}
	if len(p) == 0 {
		return nil, fmt.Errorf("a path is empty")
	}
	return p, nil
}

func parseBracket(inside string) (PathStep, error) {
	if inside == "*" {
		return PathStep{Index: -1, isIndex: true}, nil
	}
	if n, err := strconv.Atoi(inside); err == nil && n >= 0 {
		return PathStep{Index: n, isIndex: true}, nil
	}
	var step PathStep
	for _, pair := range strings.Split(inside, ",") {
		key, value, ok := strings.Cut(pair, "=")
		if !ok || key == "" {
			return PathStep{}, fmt.Errorf("[%s] is neither a number, *, nor key=value", inside)
		}
		step.Keys = append(step.Keys, [2]string{key, strings.Trim(value, `"`)})
	}
	return step, nil
}

// ParsePointer reads a JSON pointer (RFC 6901). A step that is a number is an
// index where it meets a list and a field where it meets a map; * is every item.
func ParsePointer(text string) (Path, error) {
	if !strings.HasPrefix(text, "/") {
		return nil, fmt.Errorf("JSON pointer %q does not begin with a slash", text)
	}
	steps := strings.Split(text[1:], "/")
	if len(steps) > maxPathSteps {
		return nil, fmt.Errorf("JSON pointer %q has more than %d steps", text, maxPathSteps)
	}
	p := make(Path, 0, len(steps))
	for _, s := range steps {
		s = strings.NewReplacer("~1", "/", "~0", "~").Replace(s)
		step := PathStep{Field: s}
		if n, err := strconv.Atoi(s); err == nil && n >= 0 {
			step.Index, step.isEither = n, true
		} else if s == "*" {
			step.Index, step.isEither = -1, true
		}
		p = append(p, step)
	}
	return p, nil
}

// item says whether the step means item i of a list.
func (s PathStep) item(i int, item any) bool {
	switch {
	case s.isIndex, s.isEither:
		return s.Index < 0 || s.Index == i
	case s.Keys != nil:
		m, isMap := item.(map[string]any)
		if !isMap {
			return false
		}
		for _, kv := range s.Keys {
			if fmt.Sprint(m[kv[0]]) != kv[1] {
				return false
			}
		}
		return true
	default:
		return false
	}
}

// covers says whether p means the field that full leads to in root, or a field
// above it. root is needed to tell which item of a list a step means.
func (p Path) covers(root any, full fieldpath.Path) bool {
	if len(p) > len(full) {
		return false
	}
	at := root
	for i, step := range p {
		e := full[i]
		if e.FieldName != nil {
			if step.isIndex || step.Keys != nil || step.Field != *e.FieldName {
				return false
			}
			m, _ := at.(map[string]any)
			at = m[*e.FieldName]
			continue
		}
		next, found := lookup(at, fieldpath.Path{e})
		if !found {
			next = itemOf(e)
		}
		list, _ := at.([]any)
		index := -2
		for n := range list {
			if sameJSON(list[n], next) {
				index = n
				break
			}
		}
		if e.Index != nil {
			index = *e.Index
		}
		if !step.item(index, next) {
			return false
		}
		at = next
	}
	return true
}

// itemOf makes the item that an element names from its keys alone, for one that
// is not there.
func itemOf(e fieldpath.PathElement) any {
	if e.Key == nil {
		if e.Value != nil {
			return (*e.Value).Unstructured()
		}
		return nil
	}
	m := map[string]any{}
	for _, f := range *e.Key {
		m[f.Name] = f.Value.Unstructured()
	}
	return m
}

// in says whether there is a place in root that p means.
func (p Path) in(root any) bool {
	if len(p) == 0 {
		return true
	}
	switch at := root.(type) {
	case map[string]any:
		value, there := at[p[0].Field]
		return there && !p[0].isIndex && p[0].Keys == nil && p[1:].in(value)
	case []any:
		for i, item := range at {
			if p[0].item(i, item) && p[1:].in(item) {
				return true
			}
		}
	}
	return false
}

// places calls visit for every place in root that p means and that exists. visit
// returns what is to stand there and whether anything is; a list is not shortened
// while its items are visited.
func (p Path) places(root any, visit func(value any) (any, bool)) any {
	if len(p) == 0 {
		return root
	}
	step, last := p[0], len(p) == 1
	switch at := root.(type) {
	case map[string]any:
		if step.isIndex || step.Keys != nil {
			return root
		}
		value, there := at[step.Field]
		if !there {
			return root
		}
		if !last {
			at[step.Field] = p[1:].places(value, visit)
			return at
		}
		if value, keep := visit(value); keep {
			at[step.Field] = value
		} else {
			delete(at, step.Field)
		}
		return at
	case []any:
		out := at[:0:0]
		for i, item := range at {
			if !step.item(i, item) {
				out = append(out, item)
				continue
			}
			if !last {
				out = append(out, p[1:].places(item, visit))
				continue
			}
			if item, keep := visit(item); keep {
				out = append(out, item)
			}
		}
		return out
	default:
		return root
	}
}

// String returns the path as ParsePath reads it.
func (p Path) String() string {
	var b strings.Builder
	for _, s := range p {
		switch {
		case s.Keys != nil:
			b.WriteByte('[')
			for i, kv := range s.Keys {
				if i > 0 {
					b.WriteByte(',')
				}
				b.WriteString(kv[0] + "=" + kv[1])
			}
			b.WriteByte(']')
		case s.isIndex && s.Index < 0:
			b.WriteString("[*]")
		case s.isIndex:
			fmt.Fprintf(&b, "[%d]", s.Index)
		case isPlainField(s.Field):
			if b.Len() > 0 {
				b.WriteByte('.')
			}
			b.WriteString(s.Field)
		default:
			fmt.Fprintf(&b, "[%q]", s.Field)
		}
	}
	return b.String()
}
