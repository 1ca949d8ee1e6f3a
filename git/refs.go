package git

import (
	"fmt"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
)

// Refs is where a repository's branches and tags were at one moment.
type Refs struct {
	// URL is the repository's, normalised, for errors.
	URL string
	// DefaultBranch is the branch HEAD names; empty when the server does not
	// say or that branch does not exist yet.
	DefaultBranch string
	// Branches maps names to commits; empty for an empty repository.
	Branches map[string]Hash
	// Tags maps names to what they point at, as far as that is a commit.
	Tags map[string]TagRef
}

// Head returns the commit of a branch; an empty name means the default branch.
// It returns ErrBranchNotFound when there is none.
func (r Refs) Head(branch string) (Hash, error) {
	if branch == "" {
		if r.DefaultBranch == "" {
			return Hash{}, fmt.Errorf("%w: %s has no default branch", ErrBranchNotFound, r.URL)
		}
		branch = r.DefaultBranch
	}
	h, found := r.Branches[branch]
	if !found {
		return Hash{}, fmt.Errorf("%w: %s has no branch %q", ErrBranchNotFound, r.URL, branch)
	}
	return h, nil
}

const headsPrefix = "refs/heads/"

// newRefs reads an advertisement. Names that are not valid branches are left
// out: nobody could promote to or from them.
func newRefs(url string, adv *packp.AdvRefs) Refs {
	r := Refs{URL: url, Branches: make(map[string]Hash, len(adv.References))}
	r.Tags = map[string]TagRef{}
	for name, h := range adv.References {
		if tag, isTag := strings.CutPrefix(name, tagsPrefix); isTag && ValidateBranch(tag) == nil && !h.IsZero() {
			ref := TagRef{Object: Hash(h), Commit: Hash(h)}
			if peeled, isAnnotated := adv.Peeled[name]; isAnnotated {
				ref.Commit = Hash(peeled)
			}
			r.Tags[tag] = ref
			continue
		}
		branch, isBranch := strings.CutPrefix(name, headsPrefix)
		if isBranch && ValidateBranch(branch) == nil && !h.IsZero() {
			r.Branches[branch] = Hash(h)
		}
	}
	for _, symref := range adv.Capabilities.Get(capability.SymRef) {
		if target, isHead := strings.CutPrefix(symref, "HEAD:"+headsPrefix); isHead {
			r.DefaultBranch = target
		}
	}
	if r.DefaultBranch == "" && adv.Head != nil {
		r.DefaultBranch = guessDefault(r.Branches, Hash(*adv.Head))
	}
	if _, exists := r.Branches[r.DefaultBranch]; !exists {
		r.DefaultBranch = ""
	}
	return r
}

// guessDefault serves servers that do not tell what HEAD names: main, master,
// or the only branch with that commit.
func guessDefault(branches map[string]Hash, head Hash) string {
	for _, name := range []string{"main", "master"} {
		if branches[name] == head {
			return name
		}
	}
	only := ""
	for name, h := range branches {
		if h == head {
			if only != "" {
				return ""
			}
			only = name
		}
	}
	return only
}
