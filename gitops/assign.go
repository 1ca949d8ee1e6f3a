package gitops

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// Assignment is one scalar that is to stand at one place of an object, or one
// field that is to go.
type Assignment struct {
	// At are the steps from the root: names of fields, and numbers of list
	// items. A number equal to the length of its list appends.
	At []string
	// Value is a string, bool, number or nil; without meaning with Remove.
	Value any
	// Remove takes the field away.
	Remove bool
}

// ErrNotAssignable says that a difference cannot be told field by field.
var ErrNotAssignable = errors.New("it cannot be written field by field")

// Assignments returns what makes base equal to live at the one place that p
// means, in order: none when it is equal already. A list item that base has not
// comes with the keys that p names it by, so p may lead into it.
//
// The error is ErrNotAssignable where scalars do not do: a list became shorter,
// a map became a list, or p leads to several places.
func Assignments(p Path, base, live any) ([]Assignment, error) {
	w := walker{base: base, live: live, inBase: base != nil, inLive: live != nil}
	for _, step := range p {
		if err := w.step(step); err != nil {
			return nil, fmt.Errorf("%s: %w", p, err)
		}
	}
	if err := w.settle(); err != nil {
		return nil, fmt.Errorf("%s: %w", p, err)
	}
	return w.out, nil
}

// walker goes down base and live at the same time.
type walker struct {
	at             []string
	base, live     any
	inBase, inLive bool
	out            []Assignment
}

func (w *walker) step(s PathStep) error {
	if s.Keys == nil && !s.isIndex {
		return w.field(s.Field)
	}
	baseList, ok := w.base.([]any)
	if w.inBase && !ok {
		return fmt.Errorf("%w: Git has no list there", ErrNotAssignable)
	}
	liveList, ok := w.live.([]any)
	if w.inLive && !ok {
		return fmt.Errorf("%w: the cluster has no list there", ErrNotAssignable)
	}
	inBase, err := onlyItem(s, baseList)
	if err != nil {
		return err
	}
	inLive, err := onlyItem(s, liveList)
	if err != nil {
		return err
	}
	w.inBase, w.inLive = inBase >= 0, inLive >= 0
	w.live, w.base = nil, nil
	if w.inLive {
		w.live = liveList[inLive]
	}
	if w.inBase {
		w.base, w.at = baseList[inBase], append(w.at, strconv.Itoa(inBase))
		return nil
	}
	w.at = append(w.at, strconv.Itoa(len(baseList)))
	return w.begin(s)
}

// begin writes the keys of a list item that base has not.
func (w *walker) begin(s PathStep) error {
	item, isMap := w.live.(map[string]any)
	if !w.inLive || !isMap {
		return nil
	}
	made := map[string]any{}
	for _, kv := range s.Keys {
		w.set(append(slices.Clone(w.at), kv[0]), item[kv[0]])
		made[kv[0]] = item[kv[0]]
	}
	w.base, w.inBase = made, true
	return nil
}

func (w *walker) field(name string) error {
	base, ok := w.base.(map[string]any)
	if w.inBase && w.base != nil && !ok {
		return fmt.Errorf("%w: Git has no field %q there", ErrNotAssignable, name)
	}
	live, _ := w.live.(map[string]any)
	w.at = append(w.at, name)
	w.base, w.inBase = base[name], hasKey(base, name)
	w.live, w.inLive = live[name], hasKey(live, name)
	return nil
}

func hasKey(m map[string]any, name string) bool {
	_, there := m[name]
	return there
}

// onlyItem returns the number of the one item that s means, -1 for none.
func onlyItem(s PathStep, list []any) (int, error) {
	found := -1
	for i, item := range list {
		if !s.item(i, item) {
			continue
		}
		if found >= 0 {
			return -1, fmt.Errorf("%w: it means several items of a list", ErrNotAssignable)
		}
		found = i
	}
	return found, nil
}

func (w *walker) set(at []string, value any) {
	w.out = append(w.out, Assignment{At: slices.Clone(at), Value: value})
}

// settle makes what is here equal.
func (w *walker) settle() error {
	switch {
	case !w.inLive && !w.inBase:
		return nil
	case !w.inLive:
		w.out = append(w.out, Assignment{At: slices.Clone(w.at), Remove: true})
		return nil
	default:
		return w.equalize(w.at, w.base, w.live, w.inBase)
	}
}

func (w *walker) equalize(at []string, base, live any, inBase bool) error {
	if inBase && sameJSON(base, live) {
		return nil
	}
	below := func(step string) []string { return append(slices.Clone(at), step) }
	switch l := live.(type) {
	case map[string]any:
		b, isMap := base.(map[string]any)
		if inBase && base != nil && !isMap || len(l) == 0 {
			return fmt.Errorf("%w: it became a map", ErrNotAssignable)
		}
		for _, k := range slices.Sorted(maps.Keys(l)) {
			if err := w.equalize(below(k), b[k], l[k], hasKey(b, k)); err != nil {
				return err
			}
		}
		for _, k := range slices.Sorted(maps.Keys(b)) {
			if !hasKey(l, k) {
				w.out = append(w.out, Assignment{At: below(k), Remove: true})
			}
		}
		return nil
	case []any:
		b, isList := base.([]any)
		if inBase && base != nil && !isList || len(l) == 0 || len(l) < len(b) {
			return fmt.Errorf("%w: a list became shorter", ErrNotAssignable)
		}
		for i := range l {
			var item any
			if i < len(b) {
				item = b[i]
			}
			if err := w.equalize(below(strconv.Itoa(i)), item, l[i], i < len(b)); err != nil {
				return err
			}
		}
		return nil
	default:
		if _, isMap := base.(map[string]any); isMap {
			return fmt.Errorf("%w: a map became a value", ErrNotAssignable)
		}
		if _, isList := base.([]any); isList {
			return fmt.Errorf("%w: a list became a value", ErrNotAssignable)
		}
		w.set(at, live)
		return nil
	}
}

// Assign changes root as list says. root is a decoded object; maps and lists on
// the way are made.
func Assign(root map[string]any, list []Assignment) error {
	for _, a := range list {
		if len(a.At) == 0 {
			return fmt.Errorf("%w: no place is named", ErrNotAssignable)
		}
		if _, err := assign(root, a.At, a); err != nil {
			return err
		}
	}
	return nil
}

// assign returns node with a made below it.
func assign(node any, at []string, a Assignment) (any, error) {
	if len(at) == 0 {
		return a.Value, nil
	}
	if node == nil {
		node = map[string]any{}
		if at[0] == "0" {
			node = []any{}
		}
	}
	switch n := node.(type) {
	case map[string]any:
		if a.Remove && len(at) == 1 {
			delete(n, at[0])
			return n, nil
		}
		child, err := assign(n[at[0]], at[1:], a)
		n[at[0]] = child
		return n, err
	case []any:
		i, err := strconv.Atoi(at[0])
		if err != nil || i < 0 || i > len(n) || a.Remove && len(at) == 1 {
			return n, fmt.Errorf("%w: no item %q of a list", ErrNotAssignable, at[0])
		}
		if i == len(n) {
			n = append(n, nil)
		}
		n[i], err = assign(n[i], at[1:], a)
		return n, err
	default:
		return node, fmt.Errorf("%w: %q is below a value", ErrNotAssignable, at[0])
	}
}
