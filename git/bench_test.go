package git_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/git/gittest"
)

// benchFiles is the size of repository the target is given for.
const benchFiles = 10_000

// promote does what an image update does: one fetch, one edit of the base tree,
// one commit, one push.
func promote(t testing.TB, m *git.Mirror, branch, uid string) {
	t.Helper()
	refs, err := m.Fetch(t.Context(), "main", branch)
	if err != nil {
		t.Error(err)
		return
	}
	main, head := refs.Branches["main"], refs.Branches[branch]
	tree, err := m.WriteTree(main, []git.Edit{git.SetFile("apps/team-042/app-042.yaml", []byte("image: "+uid+"\n"))})
	if err != nil {
		t.Error(err)
		return
	}
	s := spec(tree, uid, main)
	if !head.IsZero() {
		s.Parents = []git.Hash{head}
	}
	commit, err := m.WriteCommit(s)
	if err != nil {
		t.Error(err)
		return
	}
	if err := m.Push(t.Context(), git.Update{Branch: branch, Old: head, New: commit, Bases: []git.Hash{main}}); err != nil {
		t.Error(err)
	}
}

// BenchmarkPromoteCommit measures one image update of a repository of 10,000
// files over HTTP on this machine. Each time somebody else has committed to
// main before, so that there is something to fetch. Target: 150 ms.
func BenchmarkPromoteCommit(b *testing.B) {
	r := newRig(b)
	url := r.server.CreateRepo("app", gittest.ManyFiles(benchFiles))
	m, _ := r.fetched(url, "main")
	promote(b, m, "stage/test", "first")
	var took []time.Duration
	before := r.server.Requests()
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		r.server.Commit("app", "main", "next", map[string]string{"apps/team-001/app-001.yaml": fmt.Sprint(i)})
		b.StartTimer()
		start := time.Now()
		promote(b, m, "stage/test", fmt.Sprint(i))
		took = append(took, time.Since(start))
	}
	report(b, took)
	b.ReportMetric(float64(r.server.Requests().Total()-before.Total())/float64(len(took)), "requests/op")
}

// BenchmarkPromote50Branches promotes 50 Stages of one repository at once. No
// promotion may fail.
func BenchmarkPromote50Branches(b *testing.B) {
	r := newRig(b)
	url := r.server.CreateRepo("app", gittest.ManyFiles(benchFiles))
	r.fetched(url, "main")
	const stages = 50
	var all []time.Duration
	for i := 0; b.Loop(); i++ {
		took := make([]time.Duration, stages)
		var wg sync.WaitGroup
		for stage := range stages {
			wg.Go(func() {
				start := time.Now()
				promote(b, r.open(url), fmt.Sprintf("stage/%d", stage), fmt.Sprint(i, stage))
				took[stage] = time.Since(start)
			})
		}
		wg.Wait()
		all = append(all, took...)
	}
	report(b, all)
}

// BenchmarkFirstFetch fetches the whole repository into an empty mirror.
func BenchmarkFirstFetch(b *testing.B) {
	r := newRig(b)
	url := r.server.CreateRepo("app", gittest.ManyFiles(benchFiles))
	for i := 0; b.Loop(); i++ {
		to := remote(url)
		to.CredentialName = fmt.Sprint("owner-", i)
		m, err := r.mirrors.Open(to)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := m.Fetch(b.Context(), "main"); err != nil {
			b.Fatal(err)
		}
	}
}

func report(b *testing.B, took []time.Duration) {
	b.Helper()
	slices.Sort(took)
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	b.ReportMetric(ms(took[len(took)/2]), "ms-median")
	b.ReportMetric(ms(took[len(took)*99/100]), "ms-p99")
}
