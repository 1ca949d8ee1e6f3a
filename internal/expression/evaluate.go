package expression

import "fmt"

// Evaluate evaluates one expression, written without brackets, and returns its
// value as it is.
func Evaluate(source string, s Scope) (any, error) {
	if len(source) > maxSource {
		return nil, fmt.Errorf("%w: %q has %d bytes, more than %d", ErrInvalid, shortened(source), len(source), maxSource)
	}
	return evaluate(source, s)
}
