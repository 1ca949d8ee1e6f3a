package git_test

import (
	"testing"

	"github.com/waybill-dev/waybill/git"
)

// TestOneLook: a repository is asked once where its branches are, unless the
// mirror lacks what one of them leads to; and a context of its own asks anew.
func TestOneLook(t *testing.T) {
	r := newRig(t)
	url := r.server.CreateRepo("app", map[string]string{"a.yaml": "a: 1\n"})
	first := r.server.Branch("app", "main")
	r.server.SetBranch("app", "other", r.server.Commit("app", "scratch", "aside", map[string]string{"b.yaml": "b: 1\n"}))
	m := r.open(url)
	ctx := git.OneLook(t.Context())
	asked := func() int { return r.server.Requests().ListForFetch }
	fetch := func(branches ...string) git.Refs {
		t.Helper()
		refs, err := m.Fetch(ctx, branches...)
		if err != nil {
			t.Fatal(err)
		}
		return refs
	}
	fetch("main")
	before := asked()
	r.server.Commit("app", "main", "two", map[string]string{"a.yaml": "a: 2\n"})
	if refs := fetch("main", "gone"); refs.Branches["main"].String() != first || asked() != before {
		t.Errorf("main is %s after %d requests more", refs.Branches["main"], asked()-before)
	}
	if refs := fetch("other"); asked() == before || !m.Has(refs.Branches["other"]) {
		t.Error("a branch that was not brought in before is not here")
	}
	before, ctx = asked(), t.Context()
	if refs := fetch("main"); asked() == before || refs.Branches["main"].String() == first {
		t.Error("another context got the old answer")
	}
}
