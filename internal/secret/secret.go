// Package secret holds values that must never be shown.
//
// A Text prints, logs, formats and marshals as "***". Only Reveal returns the
// value, so that a search for ".Reveal(" finds every place a secret is used
// (safety rule 3: secrets have a type whose text form is ***).
package secret

import "log/slog"

// mask is what every text form of a secret shows.
const mask = "***"

// Text is a secret string. The zero value is the empty secret.
type Text struct{ value string }

// New wraps value.
func New(value string) Text { return Text{value: value} }

// Reveal returns the value itself. Callers hand it to the one place that needs
// it (a request header, a key parser) and store it nowhere else.
func (t Text) Reveal() string { return t.value }

// IsEmpty reports whether there is no secret.
func (t Text) IsEmpty() bool { return t.value == "" }

// String returns the mask, or "" for the empty secret.
func (t Text) String() string {
	if t.value == "" {
		return ""
	}
	return mask
}

// GoString returns the mask, so that %#v cannot reveal the value.
func (t Text) GoString() string { return t.String() }

// MarshalText returns the mask; JSON and YAML encoders use it.
func (t Text) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// LogValue returns the mask for log/slog.
func (t Text) LogValue() slog.Value { return slog.StringValue(t.String()) }
