package controllers

import (
	"container/list"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"sync"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/gitops/render"
)

// rendered is what a revision says.
type rendered struct {
	objects []*unstructured.Unstructured // shared: never changed
	// tree identifies the content: the hash of the path's tree, or of the
	// root's when files outside the path were read.
	tree string
	err  error
}

// renderCache renders each content once. Its key is the tree of the path as
// long as nothing outside it is read, so that a commit elsewhere in the
// repository, or a return to an earlier content, costs nothing.
type renderCache struct {
	limits render.Limits
	slots  chan struct{}

	mu      sync.Mutex
	entries map[string]*list.Element
	order   *list.List // front: used last
}

type renderEntry struct {
	key    string
	result rendered
}

const (
	renderSlots   = 2   // rendering is work for the processor
	renderEntries = 256 // contents kept
)

func newRenderCache(limits render.Limits) *renderCache {
	return &renderCache{limits: limits, slots: make(chan struct{}, renderSlots), entries: map[string]*list.Element{}, order: list.New()}
}

// get returns the objects of source in a repository with these tree hashes.
// Errors are kept as well, as long as they depend on the content alone.
func (c *renderCache) get(ctx context.Context, repository fs.FS, source v1alpha1.ApplicationSource, pathTree, rootTree string) rendered {
	params := renderParams(source)
	pathKey, rootKey := "path "+pathTree+params, "root "+rootTree+params
	for _, key := range []string{pathKey, rootKey} {
		if r, ok := c.find(key); ok {
			return r
		}
	}
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return rendered{err: ctx.Err()}
	}
	in := render.Source{FS: repository, Path: source.Path}
	if d := source.Directory; d != nil {
		in.Directory = render.Directory{Recurse: d.Recurse, Include: d.Include, Exclude: d.Exclude}
	}
	out, err := render.Run(ctx, in, c.limits)
	r := rendered{objects: out.Objects, tree: pathTree, err: err}
	switch {
	case ctx.Err() != nil:
		return rendered{err: ctx.Err()}
	case errors.Is(err, render.ErrTimeout):
		return r // the next try may be faster
	case err != nil, out.Outside:
		// What an error depends on is not known: the whole repository, then.
		r.tree = rootTree
		c.put(rootKey, r)
	default:
		c.put(pathKey, r)
	}
	return r
}

// renderParams is everything of source but the content that a render depends on.
func renderParams(source v1alpha1.ApplicationSource) string {
	source.RepoURL, source.TargetRevision = "", ""
	text, err := json.Marshal(source)
	if err != nil {
		return " " + source.Path
	}
	return " " + string(text)
}

func (c *renderCache) find(key string) (rendered, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at, ok := c.entries[key]
	if !ok {
		return rendered{}, false
	}
	c.order.MoveToFront(at)
	e, isEntry := at.Value.(renderEntry)
	return e.result, isEntry
}

func (c *renderCache) put(key string, r rendered) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at, ok := c.entries[key]; ok {
		at.Value = renderEntry{key, r}
		c.order.MoveToFront(at)
		return
	}
	c.entries[key] = c.order.PushFront(renderEntry{key, r})
	for c.order.Len() > renderEntries {
		last := c.order.Back()
		if old, isEntry := last.Value.(renderEntry); isEntry {
			delete(c.entries, old.key)
		}
		c.order.Remove(last)
	}
}
