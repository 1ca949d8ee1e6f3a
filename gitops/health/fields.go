package health

import (
	"strings"
	"time"
	"unicode"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Readers of unstructured fields. A field that is missing or has another type reads as the zero value: an object of
// any shape must be judged without an error, and a wrong shape is the API server's to refuse.

func text(obj *unstructured.Unstructured, fields ...string) string {
	value, _, _ := unstructured.NestedFieldNoCopy(obj.Object, fields...)
	s, _ := value.(string)
	return s
}

func flag(obj *unstructured.Unstructured, fields ...string) bool {
	value, _, _ := unstructured.NestedFieldNoCopy(obj.Object, fields...)
	b, _ := value.(bool)
	return b
}

// number returns the integer at fields, or missing when there is none.
func number(obj *unstructured.Unstructured, missing int64, fields ...string) int64 {
	value, found, err := unstructured.NestedFieldNoCopy(obj.Object, fields...)
	if !found || err != nil {
		return missing
	}
	switch n := value.(type) {
	case int64:
		return n
	case float64:
		return int64(n)
	case int32:
		return int64(n)
	case int:
		return int64(n)
	default:
		return missing
	}
}

func list(obj *unstructured.Unstructured, fields ...string) []any {
	value, _, _ := unstructured.NestedFieldNoCopy(obj.Object, fields...)
	l, _ := value.([]any)
	return l
}

// instant returns the RFC 3339 time at fields, or the zero time.
func instant(obj *unstructured.Unstructured, fields ...string) time.Time {
	return parseTime(text(obj, fields...))
}

func parseTime(s string) time.Time {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}
	}
	return t
}

// condition is one entry of status.conditions.
type condition struct {
	Type, Status, Reason, Message string
	Severity                      string    // Cluster API's first contract: Error, Warning, Info
	Since                         time.Time // lastTransitionTime
	ObservedGeneration            int64     // 0 when the controller does not say
}

// is says whether the condition exists and has status.
func (c condition) is(status string) bool { return c.Type != "" && c.Status == status }

// conditionsOf returns status.conditions in their order.
func conditionsOf(obj *unstructured.Unstructured) []condition {
	return conditionsIn(list(obj, "status", "conditions"))
}

// conditionsIn returns the conditions of a list in their order.
func conditionsIn(items []any) []condition {
	var out []condition
	for _, item := range items {
		fields, ok := item.(map[string]any)
		if !ok {
			continue
		}
		u := &unstructured.Unstructured{Object: fields}
		out = append(out, condition{
			Type: text(u, "type"), Status: truth(u), Reason: text(u, "reason"), Message: text(u, "message"),
			Severity: text(u, "severity"),
			Since:    instant(u, "lastTransitionTime"), ObservedGeneration: number(u, 0, "observedGeneration"),
		})
	}
	return out
}

// truth returns the status of a condition. Some controllers write it as true and false.
func truth(u *unstructured.Unstructured) string {
	if value, isBool := u.Object["status"].(bool); isBool {
		return map[bool]string{true: "True", false: "False"}[value]
	}
	return text(u, "status")
}

// find returns the condition of a type, or the zero condition.
func find(conditions []condition, kind string) condition {
	for _, c := range conditions {
		if c.Type == kind {
			return c
		}
	}
	return condition{}
}

// isObserved says whether status.observedGeneration has caught up with the spec. Objects without a generation
// have nothing to catch up with.
func isObserved(obj *unstructured.Unstructured) bool {
	return number(obj, 0, "status", "observedGeneration") >= obj.GetGeneration()
}

// maxQuote bounds what is repeated of a text that somebody else wrote.
const maxQuote = 300

// quote makes one short line of a text that somebody else wrote.
func quote(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.IsSpace(r) {
			return ' '
		}
		return r
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	if runes := []rune(s); len(runes) > maxQuote {
		s = string(runes[:maxQuote]) + "…"
	}
	return s
}

// or returns the first text that is not empty.
func or(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}
