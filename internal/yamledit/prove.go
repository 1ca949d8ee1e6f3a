package yamledit

import (
	"fmt"
	"math"
	"reflect"
	"slices"

	"go.yaml.in/yaml/v3"
)

// step is a key (any scalar) or an index (int with isIndex) on the way through decoded values.
type step struct {
	key     any
	index   int
	isIndex bool
}

// prove parses after and requires it to decode to the old document with change applied at steps.
func (d *document) prove(after []byte, steps []step, change func(old any) (any, error)) error {
	before, err := decode(d.raw)
	if err != nil {
		return err
	}
	want, err := apply(before, steps, change)
	if err != nil {
		return err
	}
	edited, err := parse(after)
	if err != nil {
		return fmt.Errorf("%w: the edited text does not parse", ErrUnsupported)
	}
	got, err := decode(edited.raw)
	if err != nil {
		return fmt.Errorf("%w: the edited text does not decode", ErrUnsupported)
	}
	if !equal(got, want) {
		return ErrShared
	}
	return nil
}

// decode returns the values of a document: map[string]any, map[any]any, []any and scalars.
// Aliases and merge keys are resolved; duplicate keys are an error.
func decode(raw []byte) (value any, err error) {
	defer func() {
		if r := recover(); r != nil {
			value, err = nil, fmt.Errorf("%w: parser panicked", ErrNotYAML)
		}
	}()
	if err := yaml.Unmarshal(raw, &value); err != nil {
		return nil, fmt.Errorf("%w: %s", ErrNotYAML, err.Error())
	}
	return value, nil
}

// apply returns value with change applied to what is at steps; the last step may be missing.
func apply(value any, steps []step, change func(old any) (any, error)) (any, error) {
	if len(steps) == 0 {
		return change(value)
	}
	next, rest := steps[0], steps[1:]
	switch v := value.(type) {
	case []any:
		if !next.isIndex || next.index > len(v) {
			return nil, ErrUnsupported
		}
		var old any
		if next.index < len(v) {
			old = v[next.index]
		}
		changed, err := apply(old, rest, change)
		if err != nil {
			return nil, err
		}
		copied := slices.Clone(v)
		if next.index == len(v) {
			return append(copied, changed), nil
		}
		copied[next.index] = changed
		return copied, nil
	case map[string]any:
		key, ok := next.key.(string)
		if next.isIndex || !ok {
			return nil, ErrUnsupported
		}
		copied := make(map[string]any, len(v)+1)
		for k, old := range v {
			copied[k] = old
		}
		changed, err := apply(v[key], rest, change)
		if err != nil {
			return nil, err
		}
		if copied[key] = changed; changed == any(removed) {
			delete(copied, key)
		}
		return copied, nil
	case map[any]any:
		if next.isIndex {
			return nil, ErrUnsupported
		}
		copied := make(map[any]any, len(v)+1)
		for k, old := range v {
			copied[k] = old
		}
		changed, err := apply(v[next.key], rest, change)
		if err != nil {
			return nil, err
		}
		if copied[next.key] = changed; changed == any(removed) {
			delete(copied, next.key)
		}
		return copied, nil
	case nil:
		if next.isIndex {
			return apply([]any{}, steps, change)
		}
		return apply(map[string]any{}, steps, change)
	default:
		return nil, ErrUnsupported
	}
}

// removal is the type of removed, which stands for a key that is gone.
type removal int

const removed removal = 0

// equal compares decoded values. Maps whose keys are all text are equal whichever map type the decoder chose;
// not-a-number equals itself.
func equal(a, b any) bool {
	switch x := a.(type) {
	case []any:
		y, ok := b.([]any)
		return ok && slices.EqualFunc(x, y, equal)
	case map[string]any, map[any]any:
		switch b.(type) {
		case map[string]any, map[any]any:
		default:
			return false
		}
		m, n := anyKeys(x), anyKeys(b)
		if len(m) != len(n) {
			return false
		}
		for key, value := range m {
			other, ok := n[key]
			if !ok || !equal(value, other) {
				return false
			}
		}
		return true
	case float64:
		y, ok := b.(float64)
		return ok && (x == y || math.IsNaN(x) && math.IsNaN(y))
	default:
		return reflect.DeepEqual(a, b)
	}
}

func anyKeys(value any) map[any]any {
	if m, ok := value.(map[any]any); ok {
		return m
	}
	m, _ := value.(map[string]any)
	out := make(map[any]any, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}
