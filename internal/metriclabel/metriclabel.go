// Package metriclabel bounds how many values a label of a metric takes.
package metriclabel

import "sync"

// Other is the value of everything beyond the bound.
const Other = "other"

// Bounded is a label whose values others name: the first ones get a value of
// their own, the rest is counted together. It is safe for concurrent use.
type Bounded struct {
	max int

	mu    sync.Mutex // guards known
	known map[string]struct{}
}

// NewBounded returns a label of at most limit values, beside Other.
func NewBounded(limit int) *Bounded { return &Bounded{max: limit, known: map[string]struct{}{}} }

// Value returns the value for name.
func (b *Bounded) Value(name string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.known[name]; !ok {
		if len(b.known) >= b.max {
			return Other
		}
		b.known[name] = struct{}{}
	}
	return name
}
