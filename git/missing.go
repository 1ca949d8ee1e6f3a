package git

import (
	"container/heap"
	"errors"
	"fmt"
)

const (
	// nearCommits is how many new commits are looked at before the walk that
	// compares whole histories: a promotion has one.
	nearCommits = 32
	// maxPushCommits bounds that walk.
	maxPushCommits = 1_000_000
)

// missing returns the objects the remote lacks for u.New: new commits, and of
// their trees what is in none of the trees the remote is known to have at the
// same path. It may name some the remote has; it leaves out none it lacks, as
// long as u.Bases are true.
//
// remote holds what the server listed. It returns ErrNotDescendant unless u.New
// descends from u.Old.
func (r *reader) missing(u Update, remote map[Hash]struct{}) ([]Hash, error) {
	fresh, edges, err := r.newCommits(u, remote)
	if err != nil {
		return nil, err
	}
	p := &packList{r: r, seen: map[Hash]struct{}{}}
	var known []Hash
	for _, h := range append(edges, u.Bases...) {
		root, err := r.root(h)
		if errors.Is(err, ErrUnknownObject) {
			continue
		}
		if err != nil {
			return nil, err
		}
		known = append(known, root)
	}
	for _, c := range fresh {
		p.add(c.Hash)
		if err := p.tree(c.Tree, known, 0); err != nil {
			return nil, err
		}
	}
	return p.objects, nil
}

// newCommits returns the commits from u.New that the remote lacks, and the
// commits it has where they branch off.
func (r *reader) newCommits(u Update, remote map[Hash]struct{}) (fresh []Commit, edges []Hash, _ error) {
	has := make(map[Hash]struct{}, len(remote)+len(u.Bases)+1)
	for h := range remote {
		has[h] = struct{}{}
	}
	for _, h := range u.Bases {
		has[h] = struct{}{}
	}
	fresh, edges, complete, err := r.walkNear(u.New, has)
	if err == nil && !complete {
		fresh, edges, err = r.walkFar(u.New, has)
	}
	if err != nil {
		return nil, nil, err
	}
	if err := r.checkDescent(u, fresh, edges); err != nil {
		return nil, nil, err
	}
	return fresh, edges, nil
}

// walkNear follows parents from head until commits in has. It gives up after
// nearCommits, and where a history begins: it may have missed the place where
// it joins one the remote has.
func (r *reader) walkNear(head Hash, has map[Hash]struct{}) (fresh []Commit, edges []Hash, complete bool, _ error) {
	seen := map[Hash]struct{}{}
	queue := []Hash{head}
	for len(queue) > 0 {
		h := queue[0]
		queue = queue[1:]
		if _, again := seen[h]; again {
			continue
		}
		seen[h] = struct{}{}
		if _, known := has[h]; known {
			edges = append(edges, h)
			continue
		}
		if len(fresh) == nearCommits {
			return nil, nil, false, nil
		}
		c, err := r.commit(h)
		if err != nil {
			return nil, nil, false, err
		}
		if len(c.Parents) == 0 && len(has) > 0 {
			return nil, nil, false, nil
		}
		fresh = append(fresh, c)
		queue = append(queue, c.Parents...)
	}
	return fresh, edges, true, nil
}

// walkFar compares whole histories, newest commits first, as git rev-list
// does: what is reachable from has is not new, wherever it branches off. It
// ends when nothing but known commits remain. Clocks that went backwards can
// make it name commits the remote has; that is harmless.
func (r *reader) walkFar(head Hash, has map[Hash]struct{}) (fresh []Commit, edges []Hash, _ error) {
	w := &walk{r: r, known: map[Hash]bool{}}
	if err := w.push(head, false); err != nil {
		return nil, nil, err
	}
	for h := range has {
		if err := w.push(h, true); err != nil && !errors.Is(err, ErrUnknownObject) {
			return nil, nil, err
		}
	}
	var candidates []Commit
	for steps := 0; w.unknown > 0; steps++ {
		if steps > maxPushCommits {
			return nil, nil, fmt.Errorf("%w: more than %d commits to compare", ErrTooLarge, maxPushCommits)
		}
		c := w.pop()
		if !w.known[c.Hash] {
			candidates = append(candidates, c)
		}
		for _, p := range c.Parents {
			if err := w.push(p, w.known[c.Hash]); err != nil {
				return nil, nil, err
			}
		}
	}
	edge := map[Hash]struct{}{}
	for _, c := range candidates {
		if w.known[c.Hash] { // found out later
			continue
		}
		fresh = append(fresh, c)
		for _, p := range c.Parents {
			if _, listed := edge[p]; w.known[p] && !listed {
				edge[p] = struct{}{}
				edges = append(edges, p)
			}
		}
	}
	return fresh, edges, nil
}

// walk is a queue of commits, newest first. known maps each commit seen to
// whether the remote has it; unknown counts the queued ones it has not.
type walk struct {
	r       *reader
	queue   commitHeap
	known   map[Hash]bool
	unknown int
}

func (w *walk) push(h Hash, known bool) error {
	was, seen := w.known[h]
	if seen && (was || !known) {
		return nil
	}
	c, err := w.r.commit(h)
	if err != nil {
		return err
	}
	if seen {
		// It was taken for new. Queue it again so that its ancestors learn.
		for i := range w.queue {
			if w.queue[i].Hash == h {
				w.unknown--
				w.known[h] = true
				return nil
			}
		}
	}
	w.known[h] = known
	if !known {
		w.unknown++
	}
	heap.Push(&w.queue, c)
	return nil
}

func (w *walk) pop() Commit {
	c := heap.Pop(&w.queue).(Commit) //nolint:forcetypeassert // commitHeap holds nothing else.
	if !w.known[c.Hash] {
		w.unknown--
	}
	return c
}

// commitHeap implements heap.Interface: the newest commit comes first.
type commitHeap []Commit

func (h commitHeap) Len() int           { return len(h) }
func (h commitHeap) Less(i, j int) bool { return h[i].When.After(h[j].When) }
func (h commitHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *commitHeap) Push(x any)        { *h = append(*h, x.(Commit)) } //nolint:forcetypeassert // See walk.push.

func (h *commitHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}

// checkDescent returns ErrNotDescendant unless u.Old is u.New, one of the edges
// of what is new, or an ancestor of one.
func (r *reader) checkDescent(u Update, fresh []Commit, edges []Hash) error {
	if u.Old.IsZero() {
		return nil
	}
	for _, c := range fresh {
		if c.Hash == u.Old {
			return nil
		}
	}
	for _, h := range edges {
		if h == u.Old {
			return nil
		}
	}
	// The branch catches up with commits others pushed elsewhere.
	queue, seen := edges, map[Hash]struct{}{}
	for len(queue) > 0 && len(seen) < maxPushCommits {
		h := queue[0]
		queue = queue[1:]
		if _, again := seen[h]; again {
			continue
		}
		seen[h] = struct{}{}
		if h == u.Old {
			return nil
		}
		c, err := r.commit(h)
		if err != nil {
			return err
		}
		queue = append(queue, c.Parents...)
	}
	return fmt.Errorf("%w: %s is not an ancestor of %s", ErrNotDescendant, u.Old.Short(), u.New.Short())
}

// packList collects what goes into a pack, each object once.
type packList struct {
	r       *reader
	objects []Hash
	seen    map[Hash]struct{}
}

func (p *packList) add(h Hash) bool {
	if _, listed := p.seen[h]; listed {
		return false
	}
	p.seen[h] = struct{}{}
	p.objects = append(p.objects, h)
	return true
}

// tree adds a tree and what is below it, save what one of the known trees has
// under the same name.
func (p *packList) tree(h Hash, known []Hash, depth int) error {
	for _, k := range known {
		if k == h {
			return nil
		}
	}
	if depth >= p.r.limits.Depth {
		return fmt.Errorf("%w: directories nest deeper than %d", ErrTooLarge, p.r.limits.Depth)
	}
	if !p.add(h) {
		return nil
	}
	entries, err := p.r.tree(h)
	if err != nil {
		return err
	}
	knownEntries := make([]map[string]entry, 0, len(known))
	for _, k := range known {
		has, err := p.r.tree(k)
		if err != nil {
			return err
		}
		knownEntries = append(knownEntries, byName(has))
	}
	for _, e := range entries {
		if err := p.entry(e, knownEntries, depth); err != nil {
			return err
		}
	}
	return nil
}

func (p *packList) entry(e entry, known []map[string]entry, depth int) error {
	if e.refuse() == ErrSubmodule { //nolint:errorlint // It is returned as it is.
		return nil // lives in another repository
	}
	var dirs []Hash
	for _, k := range known {
		same, exists := k[e.name]
		switch {
		case !exists:
		case same.hash == e.hash:
			return nil
		case same.isDir():
			dirs = append(dirs, same.hash)
		}
	}
	if e.isDir() {
		return p.tree(e.hash, dirs, depth+1)
	}
	p.add(e.hash)
	return nil
}
