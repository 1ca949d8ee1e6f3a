package render

import (
	"container/list"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"sync"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Key identifies a rendering: equal keys render to equal objects.
type Key struct {
	// Tree is the hash of the Git tree that Source.FS shows: of the whole repository, or of the path when it is
	// known that nothing outside it is read (Result.Outside).
	Tree string
	// Params is Source.Params.
	Params string
}

// Params returns a digest of everything in source but its tree.
func (s Source) Params() string {
	text, err := json.Marshal(struct {
		Path      string
		Directory Directory
	}{clean(s.Path), s.Directory})
	if err != nil { // three texts and a boolean
		return ""
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16])
}

// Cache keeps the most recently used results, within a bound on their size. It is safe for concurrent use; several
// callers that ask for one key at once share one rendering.
type Cache struct {
	maxBytes int

	mu      sync.Mutex
	bytes   int
	recent  *list.List // of *entry, the most recently used first
	entries map[Key]*list.Element
	running map[Key]*flight
}

type entry struct {
	key    Key
	result Result
	bytes  int
}

// flight is a rendering that somebody waits for.
type flight struct {
	done   chan struct{} // closed when result and err are set
	result Result
	err    error
}

// NewCache returns a cache of about maxBytes of objects, measured as text. A result larger than that is not kept.
func NewCache(maxBytes int) *Cache {
	return &Cache{maxBytes: maxBytes, recent: list.New(), entries: map[Key]*list.Element{}, running: map[Key]*flight{}}
}

// Render returns the result kept under key, or that of source, which it then keeps. key must identify source: its
// tree and its parameters. Errors are not kept. The objects are the caller's own.
func (c *Cache) Render(ctx context.Context, key Key, source Source, limits Limits) (Result, error) {
	for {
		c.mu.Lock()
		if element, ok := c.entries[key]; ok {
			c.recent.MoveToFront(element)
			result := element.Value.(*entry).result //nolint:forcetypeassert // the list holds nothing else
			c.mu.Unlock()
			return result.copied(), nil
		}
		if other, ok := c.running[key]; ok {
			c.mu.Unlock()
			select {
			case <-ctx.Done():
				return Result{}, ctx.Err()
			case <-other.done:
			}
			if isContext(other.err) {
				continue // the other one gave up, for reasons of its own
			}
			return other.result.copied(), other.err
		}
		own := &flight{done: make(chan struct{})}
		c.running[key] = own
		c.mu.Unlock()

		own.result, own.err = Run(ctx, source, limits)

		c.mu.Lock()
		delete(c.running, key)
		if own.err == nil {
			c.keep(key, own.result)
		}
		c.mu.Unlock()
		close(own.done)
		return own.result.copied(), own.err
	}
}

// isContext says whether err is that of a caller's context.
func isContext(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// keep adds a result and drops the least recently used ones beyond the bound. c.mu is held.
func (c *Cache) keep(key Key, result Result) {
	size := 0
	for _, o := range result.Objects {
		size += sizeOf(o.Object)
	}
	for _, f := range result.Files {
		size += len(f)
	}
	if size > c.maxBytes {
		return
	}
	c.entries[key] = c.recent.PushFront(&entry{key: key, result: result, bytes: size})
	c.bytes += size
	for c.bytes > c.maxBytes {
		last := c.recent.Back()
		old := c.recent.Remove(last).(*entry) //nolint:forcetypeassert // the list holds nothing else
		delete(c.entries, old.key)
		c.bytes -= old.bytes
	}
}

// copied returns r with objects that share nothing with r's.
func (r Result) copied() Result {
	objects := make([]*unstructured.Unstructured, len(r.Objects))
	for i, o := range r.Objects {
		objects[i] = o.DeepCopy()
	}
	r.Objects = objects
	if len(objects) == 0 {
		r.Objects = nil
	}
	return r
}

// sizeOf estimates the memory of a decoded value.
func sizeOf(value any) int {
	const word = 16 // of an interface value
	switch v := value.(type) {
	case map[string]any:
		size := word
		for key, child := range v {
			size += 2*word + len(key) + sizeOf(child)
		}
		return size
	case []any:
		size := word
		for _, child := range v {
			size += sizeOf(child)
		}
		return size
	case string:
		return word + len(v)
	default:
		return word
	}
}
