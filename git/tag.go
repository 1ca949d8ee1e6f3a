package git

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
)

// tagsPrefix begins the names of tags among references, and in what is
// remembered of where things were.
const tagsPrefix = "refs/tags/"

// TagRef is where a tag points.
type TagRef struct {
	// Object is what the reference names: a tag object, for an annotated tag, or
	// the commit itself.
	Object Hash
	// Commit it leads to.
	Commit Hash
}

// Tag is a tag as read.
type Tag struct {
	TagRef
	// IsAnnotated says that there is a tag object, and so a Tagger and an
	// Annotation.
	IsAnnotated bool
	Tagger      Identity
	Annotation  string
	// When is the tagger's date, or the commit's.
	When time.Time
}

// TagSpec is an annotated tag to write.
type TagSpec struct {
	Name   string
	Commit Hash
	Tagger Identity
	// When is the tagger's date; only whole seconds count.
	When time.Time
	// Message is a person's or a template's: control characters are taken out.
	Message string
}

// WriteTag stores a tag object and returns its hash. The same spec gives the same
// hash. The commit must be in the mirror.
func (m *Mirror) WriteTag(t TagSpec) (Hash, error) {
	if err := ValidateBranch(t.Name); err != nil {
		return Hash{}, fmt.Errorf("tag: %w", err)
	}
	message, err := CommitSpec{Message: t.Message}.text()
	if err != nil {
		return Hash{}, err
	}
	tagger, err := t.Tagger.signature(t.When)
	if err != nil {
		return Hash{}, err
	}
	tag := &object.Tag{Name: t.Name, Tagger: tagger, Message: message, TargetType: plumbing.CommitObject, Target: t.Commit.plumbing()}
	encoded := &plumbing.MemoryObject{}
	if err := tag.Encode(encoded); err != nil {
		return Hash{}, fmt.Errorf("encode tag: %w", err)
	}
	err = m.store.read(func(r *reader) error {
		if stored, err := r.has(t.Commit); err != nil || !stored {
			return orUnknown(err, "write tag", t.Commit)
		}
		return r.write(encoded)
	})
	return Hash(encoded.Hash()), err
}

// FetchObjects brings the given commits and tag objects with all they need into
// the mirror: no request when they are there. The server must have told their
// hashes: as the head of a branch or as a tag; many give out any commit of their
// history too. It returns how many requests it made.
func (m *Mirror) FetchObjects(ctx context.Context, hashes ...Hash) (requests int, err error) {
	if m.hasAll(hashes) {
		return 0, nil
	}
	select {
	case m.store.writer <- struct{}{}:
		defer func() { <-m.store.writer }()
	case <-ctx.Done():
		return 0, m.canceled(ctx)
	}
	if err := m.store.prepare(); err != nil {
		return 0, err
	}
	w, err := m.mirrors.wire(m.remote, "fetch "+m.URL())
	if err != nil {
		return 0, err
	}
	defer w.close()
	_, l, err := w.list(ctx)
	if err != nil {
		return 1, err
	}
	tips := m.store.tipHashes()
	var wants, haves []Hash
	err = m.store.read(func(r *reader) error {
		for _, h := range hashes {
			stored, err := r.has(h)
			if err != nil {
				return err
			}
			if !stored {
				wants = append(wants, h)
			}
		}
		haves = r.haves(tips, nil)
		return nil
	})
	if err != nil || len(wants) == 0 {
		return 1, err
	}
	if err := m.fetchWants(ctx, w, l, wants, haves); err != nil {
		return 2, err
	}
	// The next fetch says that it has these.
	m.store.setTips(map[string]Hash{tagsPrefix + "last": m.anyCommit(wants)})
	return 2, nil
}

func (m *Mirror) hasAll(hashes []Hash) bool {
	err := m.store.read(func(r *reader) error {
		for _, h := range hashes {
			if stored, err := r.has(h); err != nil || !stored {
				return orUnknown(err, "object", h)
			}
		}
		return nil
	})
	return err == nil
}

// anyCommit returns the commit that the last of the objects is or leads to.
func (m *Mirror) anyCommit(objects []Hash) Hash {
	h := objects[len(objects)-1]
	if t, err := m.Tag(TagRef{Object: h}); err == nil {
		return t.Commit
	}
	return h
}

// Tag reads a tag of the mirror, or returns ErrUnknownObject.
func (m *Mirror) Tag(ref TagRef) (Tag, error) {
	t := Tag{TagRef: ref}
	err := m.store.read(func(r *reader) error {
		at := ref.Object
		for range maxTagDepth {
			if stored, err := r.has(at); err != nil || !stored {
				return orUnknown(err, "tag", at)
			}
			o, err := r.object(plumbing.AnyObject, at)
			if err != nil {
				return err
			}
			if o.Type() == plumbing.CommitObject {
				c, err := r.commit(at)
				t.Commit = at
				if !t.IsAnnotated {
					t.When = c.When
				}
				return err
			}
			if o.Type() != plumbing.TagObject {
				return fmt.Errorf("%w: %s leads to a %s, not to a commit", ErrUnknownObject, ref.Object.Short(), o.Type())
			}
			decoded := &object.Tag{}
			if err := decoded.Decode(o); err != nil {
				return damage("tag "+at.Short(), err)
			}
			if !t.IsAnnotated {
				t.IsAnnotated, t.Annotation = true, decoded.Message
				t.Tagger = Identity{decoded.Tagger.Name, decoded.Tagger.Email}
				t.When = decoded.Tagger.When.UTC()
			}
			at = Hash(decoded.Target)
		}
		return errors.New("a tag of a tag of a tag leads nowhere")
	})
	return t, err
}

// maxTagDepth bounds tags of tags.
const maxTagDepth = 5
