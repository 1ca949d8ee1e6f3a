package render

import (
	"container/list"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utiljson "k8s.io/apimachinery/pkg/util/json"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/sops"
)

// Key identifies a rendering: equal keys render to equal objects.
type Key struct {
	// Tree is the hash of the Git tree that Source.FS shows: of the whole repository, or of the path when it is
	// known that nothing outside it is read (Result.Outside).
	Tree string
	// Params is Source.Params.
	Params string
	// isPath tells the hash of a path's tree from that of a repository's.
	isPath bool
}

// Params returns a digest of everything in source but its tree.
func (s Source) Params() string {
	s.FS, s.Charts = nil, nil
	s.Path = clean(s.Path)
	text, err := json.Marshal(s)
	if err != nil { // texts, numbers and raw JSON that the API server has parsed
		return s.Path
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16])
}

// Cache keeps the most recently used results as JSON, within a bound on its size, and renders a few at a time: rendering
// is work for the processor. Decoding what is kept takes microseconds for an object, and a tenth of the memory. It is safe for concurrent use; several callers that ask for the same at once share one
// rendering. There is one for all who render, so that what a plan showed need not be rendered again to be applied.
type Cache struct {
	maxBytes int
	charts   Charts
	keys     KeySource
	slots    chan struct{}

	mu      sync.Mutex
	bytes   int
	recent  *list.List // of *entry, the most recently used first
	entries map[Key]*list.Element
	running map[Key]*flight
}

type entry struct {
	key   Key
	kept  kept // without its objects
	texts [][]byte
	bytes int
}

// kept is a result, or an error that depends on the content alone.
type kept struct {
	result Result
	tree   string
	err    error
}

// whole returns what was kept, with its objects.
func (e *entry) whole() (kept, error) {
	k := e.kept
	if k.err != nil {
		return k, nil //nolint:nilerr // that it cannot be rendered is what was kept
	}
	k.result.Objects = make([]*unstructured.Unstructured, len(e.texts))
	for i, text := range e.texts {
		obj := &unstructured.Unstructured{}
		if err := utiljson.Unmarshal(text, &obj.Object); err != nil {
			return k, fmt.Errorf("decode what was rendered: %w", err)
		}
		k.result.Objects[i] = obj
	}
	return k, nil
}

// flight is a rendering that somebody waits for.
type flight struct {
	done chan struct{} // closed when kept is set
	kept
}

// slots is how many renderings run at a time.
const slots = 2

// NewCache returns a cache of about maxBytes. A result larger than that is not kept.
// charts renders Helm charts; nil: they are refused.
func NewCache(maxBytes int, charts Charts) *Cache {
	return &Cache{
		maxBytes: maxBytes, charts: charts, slots: make(chan struct{}, slots),
		recent: list.New(), entries: map[Key]*list.Element{}, running: map[Key]*flight{},
	}
}

// KeySource returns the keys that a Project has for encrypted files.
type KeySource func(ctx context.Context, project string, d *v1alpha1.Decryption) (*sops.Keys, error)

// DecryptWith says where keys come from; without it encrypted files are refused. It is called before the first Render.
func (c *Cache) DecryptWith(keys KeySource) { c.keys = keys }

// unlock puts the keys into source, whatever they are today.
func (c *Cache) unlock(ctx context.Context, source Source) (Source, error) {
	if source.Decryption == nil || c.keys == nil {
		return source, nil
	}
	keys, err := c.keys(ctx, source.Project, source.Decryption)
	if err != nil {
		return source, &Error{File: source.Path, Field: "decryption", Err: fmt.Errorf("%w: %w", ErrDecryption, err)}
	}
	source.Keys, source.KeysID = keys, keys.ID()
	return source, nil
}

// Render returns what source renders to. rootTree is the hash of the tree that source.FS shows, pathTree that of
// source.Path in it ("" when it does not exist).
//
// tree identifies the content: pathTree as long as nothing outside the path was read, so that a commit elsewhere in
// the repository, or a return to an earlier content, costs little; else rootTree. The objects may be shared: they must
// not be changed. Errors are kept as well, unless the next try may do better.
func (c *Cache) Render(ctx context.Context, source Source, pathTree, rootTree string, limits Limits) (result Result, tree string, err error) {
	if source.Charts == nil {
		source.Charts = c.charts
	}
	if source, err = c.unlock(ctx, source); err != nil {
		return Result{}, "", err
	}
	params := source.Params()
	pathKey, rootKey := Key{Tree: pathTree, Params: params, isPath: true}, Key{Tree: rootTree, Params: params}
	for {
		c.mu.Lock()
		for _, key := range []Key{pathKey, rootKey} {
			if element, ok := c.entries[key]; ok && key.Tree != "" {
				c.recent.MoveToFront(element)
				e := element.Value.(*entry) //nolint:forcetypeassert // the list holds nothing else
				c.mu.Unlock()
				k, err := e.whole()
				if err != nil {
					return Result{}, "", err
				}
				return k.result, k.tree, k.err
			}
		}
		if other, ok := c.running[rootKey]; ok {
			c.mu.Unlock()
			select {
			case <-ctx.Done():
				return Result{}, "", ctx.Err()
			case <-other.done:
			}
			if isContext(other.err) {
				continue // the other one gave up, for reasons of its own
			}
			return other.result, other.tree, other.err
		}
		own := &flight{done: make(chan struct{})}
		c.running[rootKey] = own
		c.mu.Unlock()

		key, keep := c.run(ctx, own, source, limits, pathKey, rootKey)

		c.mu.Lock()
		delete(c.running, rootKey)
		if keep {
			c.keep(key, own.kept)
		}
		c.mu.Unlock()
		close(own.done)
		return own.result, own.tree, own.err
	}
}

// run renders, and says under which key the result may be kept.
func (c *Cache) run(ctx context.Context, f *flight, source Source, limits Limits, pathKey, rootKey Key) (key Key, keep bool) {
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		f.err = ctx.Err()
		return Key{}, false
	}
	f.result, f.err = Run(ctx, source, limits)
	var named *Error
	switch {
	case f.err == nil && !f.result.Outside && pathKey.Tree != "":
		f.tree = pathKey.Tree
		return pathKey, true
	case f.err == nil:
		f.tree = rootKey.Tree
		return rootKey, true
	case ctx.Err() != nil, errors.Is(f.err, ErrTimeout), !errors.As(f.err, &named):
		return Key{}, false
	default:
		// What an error depends on is not known: the whole repository, then.
		f.tree = rootKey.Tree
		return rootKey, true
	}
}

// isContext says whether err is that of a caller's context.
func isContext(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// keep adds a result and drops the least recently used ones beyond the bound. c.mu is held.
func (c *Cache) keep(key Key, k kept) {
	e := &entry{key: key, kept: k, bytes: entrySize}
	e.kept.result.Objects = nil
	for _, o := range k.result.Objects {
		text, err := json.Marshal(o.Object)
		if err != nil {
			return // nobody could apply it either
		}
		e.texts = append(e.texts, text)
		e.bytes += sliceSize + len(text)
	}
	for _, f := range slices.Concat(k.result.Files, k.result.Templates) {
		e.bytes += sliceSize + len(f)
	}
	if e.bytes > c.maxBytes {
		return
	}
	c.entries[key] = c.recent.PushFront(e)
	c.bytes += e.bytes
	for c.bytes > c.maxBytes {
		last := c.recent.Back()
		old := c.recent.Remove(last).(*entry) //nolint:forcetypeassert // the list holds nothing else
		delete(c.entries, old.key)
		c.bytes -= old.bytes
	}
}

const (
	// entrySize is about what an entry needs beside its objects.
	entrySize = 512
	// sliceSize is what a slice or string needs beside its bytes.
	sliceSize = 24
)
