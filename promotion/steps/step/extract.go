package step

import (
	"fmt"

	"github.com/waybill-dev/waybill/internal/expression"
)

// Extract is one value to take out of a document.
type Extract struct {
	// Name of the output.
	Name string `json:"name"`
	// FromExpression says where it is, with the fields of the document as
	// variables: image.tag. Without brackets.
	FromExpression string `json:"fromExpression"`
}

// ExtractFrom evaluates expressions on a document.
func ExtractFrom(in Input, document map[string]any, wanted []Extract) (map[string]any, error) {
	out := map[string]any{}
	s := expression.Scope{Variables: document, Functions: expression.Standard(), Now: in.Date}
	for _, w := range wanted {
		v, err := expression.Evaluate(w.FromExpression, s)
		if err != nil {
			return nil, Terminal("InvalidExpression", fmt.Errorf("output %q: %w", w.Name, err))
		}
		out[w.Name] = v
	}
	return out, nil
}
