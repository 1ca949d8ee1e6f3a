package registry

import (
	"bufio"
	"container/list"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

const (
	cacheFile = "registry-cache.jsonl"
	// maxCachedTags and maxCachedImages bound the cache; the least recently used
	// go first.
	maxCachedTags   = 500_000
	maxCachedImages = 100_000
	maxCachedSigned = 100_000
)

// cache remembers tag -> digest and digest -> metadata, in memory and, with a
// directory, in an append-only file. It is only a memory of answers: what is
// damaged in the file is dropped, and a write that fails costs requests later.
type cache struct {
	mu     sync.Mutex                   // guards what follows
	tags   map[string]map[string]string // repository -> tag -> digest
	count  int                          // of tags in all repositories
	recent *list.List                   // repositories, the newest first
	places map[string]*list.Element
	images map[string]metadata
	signed map[signed]struct{}
	file   *os.File
}

// signed is that an image has a signature that meets what a subscription wants.
type signed struct{ digest, want string }

// record is one line: a tag (an empty digest forgets it), an image, or that an
// image is signed.
type record struct {
	Repository string    `json:"r,omitempty"`
	Tag        string    `json:"t,omitempty"`
	Digest     string    `json:"d,omitempty"`
	Image      *metadata `json:"i,omitempty"`
	Signed     string    `json:"s,omitempty"`
}

func openCache(dir string) (*cache, error) {
	c := &cache{tags: map[string]map[string]string{}, images: map[string]metadata{}, signed: map[signed]struct{}{}, recent: list.New(), places: map[string]*list.Element{}}
	if dir == "" {
		return c, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, cacheFile)
	lines, err := c.load(path)
	if err != nil {
		return nil, err
	}
	if lines > 2*(c.count+len(c.images)+len(c.signed))+1000 {
		if err := c.rewrite(dir, path); err != nil {
			return nil, err
		}
	}
	c.file, err = os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	// A line that a crash tore must not swallow the next one.
	if _, err := c.file.WriteString("\n"); err != nil {
		return nil, errors.Join(err, c.file.Close())
	}
	return c, nil
}

// load reads what is there and returns how many lines it had.
func (c *cache) load(path string) (lines int, err error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for r := bufio.NewReader(f); ; lines++ {
		line, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return lines, nil
		}
		if err != nil {
			return lines, fmt.Errorf("read %q: %w", path, err)
		}
		var rec record
		if json.Unmarshal(line, &rec) != nil {
			continue
		}
		switch {
		case rec.Image != nil && digestSyntax.MatchString(rec.Digest):
			c.images[rec.Digest] = *rec.Image
		case rec.Signed != "" && digestSyntax.MatchString(rec.Digest) && len(c.signed) < maxCachedSigned:
			c.signed[signed{rec.Digest, rec.Signed}] = struct{}{}
		case rec.Repository != "" && tagSyntax.MatchString(rec.Tag) && digestSyntax.MatchString(rec.Digest):
			c.put(rec.Repository, rec.Tag, rec.Digest)
		case rec.Repository != "" && rec.Tag != "" && rec.Digest == "":
			c.drop(rec.Repository, rec.Tag)
		}
	}
}

// rewrite replaces the file by one that says the same in as few lines as needed.
func (c *cache) rewrite(dir, path string) (err error) {
	tmp, err := os.CreateTemp(dir, cacheFile+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(tmp.Name()))
		}
	}()
	w := bufio.NewWriter(tmp)
	enc := json.NewEncoder(w)
	for _, digest := range slices.Sorted(maps.Keys(c.images)) {
		md := c.images[digest]
		if err := enc.Encode(record{Digest: digest, Image: &md}); err != nil {
			return errors.Join(err, tmp.Close())
		}
	}
	for s := range c.signed {
		if err := enc.Encode(record{Digest: s.digest, Signed: s.want}); err != nil {
			return errors.Join(err, tmp.Close())
		}
	}
	for e := c.recent.Back(); e != nil; e = e.Prev() {
		repo := e.Value.(string)
		for _, tag := range slices.Sorted(maps.Keys(c.tags[repo])) {
			if err := enc.Encode(record{Repository: repo, Tag: tag, Digest: c.tags[repo][tag]}); err != nil {
				return errors.Join(err, tmp.Close())
			}
		}
	}
	if err := errors.Join(w.Flush(), tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}

func (c *cache) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.file == nil {
		return nil
	}
	err := c.file.Close()
	c.file = nil
	return err
}

// digest returns what tag pointed at when it was resolved.
func (c *cache) digest(repo, tag string) (string, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.places[repo]; ok {
		c.recent.MoveToFront(e)
	}
	d, ok := c.tags[repo][tag]
	return d, ok
}

func (c *cache) setDigest(repo, tag, digest string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tags[repo][tag] == digest {
		return
	}
	c.put(repo, tag, digest)
	c.append(record{Repository: repo, Tag: tag, Digest: digest})
}

// put is called with c.mu held, or before c is shared.
func (c *cache) put(repo, tag, digest string) {
	e, ok := c.places[repo]
	if !ok {
		c.places[repo] = c.recent.PushFront(repo)
		c.tags[repo] = map[string]string{}
	} else {
		c.recent.MoveToFront(e)
	}
	if _, isThere := c.tags[repo][tag]; !isThere {
		c.count++
	}
	c.tags[repo][tag] = digest
	for c.count > maxCachedTags && c.recent.Len() > 1 {
		oldest := c.recent.Remove(c.recent.Back()).(string)
		c.count -= len(c.tags[oldest])
		delete(c.tags, oldest)
		delete(c.places, oldest)
	}
}

func (c *cache) drop(repo, tag string) {
	if _, ok := c.tags[repo][tag]; ok {
		delete(c.tags[repo], tag)
		c.count--
	}
}

// forgetExcept drops the tags of repo that are not in the list: a tag that comes
// back may point elsewhere.
func (c *cache) forgetExcept(repo string, listed []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.tags[repo]) == 0 {
		return
	}
	isListed := make(map[string]bool, len(listed))
	for _, t := range listed {
		isListed[t] = true
	}
	for _, tag := range slices.Sorted(maps.Keys(c.tags[repo])) {
		if !isListed[tag] {
			c.drop(repo, tag)
			c.append(record{Repository: repo, Tag: tag})
		}
	}
}

func (c *cache) metadata(digest string) (metadata, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	md, ok := c.images[digest]
	return md, ok
}

func (c *cache) setMetadata(digest string, md metadata) {
	md.children, md.config = nil, v1.Hash{}
	c.mu.Lock()
	defer c.mu.Unlock()
	old, isThere := c.images[digest]
	if isThere && old.HasCreated == md.HasCreated && old.HasPlatforms == md.HasPlatforms && old.HasUser == md.HasUser && old.IsChart == md.IsChart {
		return
	}
	if !isThere && len(c.images) >= maxCachedImages {
		for d := range c.images { // any: a missed image costs two requests
			delete(c.images, d)
			break
		}
	}
	c.images[digest] = md
	c.append(record{Digest: digest, Image: &md})
}

// isSigned reports whether the image was found to be signed as wanted.
func (c *cache) isSigned(digest, want string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, is := c.signed[signed{digest, want}]
	return is
}

func (c *cache) setSigned(digest, want string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.signed) >= maxCachedSigned {
		for s := range c.signed { // any: it is looked for again when it is needed
			delete(c.signed, s)
			break
		}
	}
	c.signed[signed{digest, want}] = struct{}{}
	c.append(record{Digest: digest, Signed: want})
}

// append writes one line. After a failure the file is left alone: the memory goes
// on, and the next start resolves again what was not written.
func (c *cache) append(r record) {
	if c.file == nil {
		return
	}
	line, err := json.Marshal(r)
	if err == nil {
		_, err = c.file.Write(append(line, '\n'))
	}
	if err != nil {
		_ = c.file.Close() // the write has failed already; there is nothing more to lose
		c.file = nil
	}
}
