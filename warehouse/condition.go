package warehouse

import (
	"errors"
	"fmt"

	"github.com/waybill-dev/waybill/internal/expression"
)

// maxCondition bounds a condition, in bytes.
const maxCondition = 1024

// condition is an expression that is true or false.
type condition string

// compileCondition checks source against example, whose values have the types of
// the real ones.
func compileCondition(source string, example expression.Scope) (condition, error) {
	if len(source) > maxCondition {
		return "", fmt.Errorf("it is longer than %d bytes", maxCondition)
	}
	v, err := expression.Evaluate(source, example)
	if errors.Is(err, expression.ErrInvalid) {
		return "", err //nolint:wrapcheck // says what is wrong already
	}
	// What fails for the example only may hold for real values.
	if _, isBool := v.(bool); err == nil && !isBool {
		return "", fmt.Errorf("%q is neither true nor false", source)
	}
	return condition(source), nil
}

func (c condition) isTrue(s expression.Scope) (bool, error) {
	v, err := expression.Evaluate(string(c), s)
	if err != nil {
		return false, err //nolint:wrapcheck // quotes the expression already
	}
	is, ok := v.(bool)
	if !ok {
		return false, fmt.Errorf("%q is neither true nor false", string(c))
	}
	return is, nil
}
