package install

import "testing"

func TestWhatASchemaLacks(t *testing.T) {
	type m = map[string]any
	properties := func(of m) m { return m{"properties": of} }
	whole := properties(m{"spec": properties(m{"name": m{"type": "string"}, "steps": m{"items": properties(m{"uses": m{}})}, "labels": m{"additionalProperties": properties(m{"a": m{}})}})})
	for name, tt := range map[string]struct {
		have m
		want string
	}{
		"the same":             {whole, ""},
		"more than asked":      {properties(m{"spec": whole["properties"].(m)["spec"], "status": m{}}), ""},
		"nothing":              {nil, ".spec"},
		"a field":              {properties(m{"spec": properties(m{"steps": m{}, "labels": m{}})}), ".spec.labels[].a"},
		"a field of a list":    {properties(m{"spec": properties(m{"name": m{}, "labels": m{"additionalProperties": properties(m{"a": m{}})}, "steps": m{"items": properties(m{})}})}), ".spec.steps[].uses"},
		"a field of a mapping": {properties(m{"spec": properties(m{"name": m{}, "labels": m{"additionalProperties": true}, "steps": m{}})}), ".spec.labels[].a"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := lacks(whole, tt.have, ""); got != tt.want {
				t.Errorf("lacks %q, want %q", got, tt.want)
			}
		})
	}
}
