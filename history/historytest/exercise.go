package historytest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/history"
)

// noon is when the made-up records begin.
var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

// Promotion returns a made-up record: the n-th of its Stage.
func Promotion(project, stage string, n int) history.Promotion {
	at := noon.Add(time.Duration(n) * time.Minute)
	image := v1alpha1.Image{RepoURL: "registry.example/guestbook", Tag: fmt.Sprintf("1.0.%d", n), Digest: fmt.Sprintf("sha256:%064d", n)}
	freight := history.Freight{Name: fmt.Sprintf("f%039d", n), Alias: "amber-heron", Origin: "guestbook", Images: []v1alpha1.Image{image}}
	return history.Promotion{
		UID: fmt.Sprintf("%s-%s-%d", project, stage, n), Project: project, Name: fmt.Sprintf("%s.%d.f0000000", stage, n), Stage: stage, Seq: int64(n),
		Kind: "Promote", Freight: freight, Collection: []history.Freight{freight}, RequestedBy: "waybill:ada", Reason: "it's \"time\" – ü",
		Bypassed: []string{"soak"}, Approvals: []history.Approval{{Actor: "waybill:bob", At: at, Reason: "looks good"}},
		Phase: "Succeeded", PhaseReason: "Healthy", Message: "runs", PlanHash: "sha256:00", RetryOf: fmt.Sprintf("%s.%d.f0000000", stage, n-1),
		Commit:    history.Commit{RepoURL: "https://git.example/guestbook.git", Branch: "stage/" + stage, Commit: fmt.Sprintf("%040d", n)},
		CreatedAt: at, StartedAt: at.Add(time.Second + 1500*time.Microsecond), PushedAt: at.Add(2 * time.Second), FinishedAt: at.Add(3 * time.Second),
		Steps: []history.Step{
			{Name: "git-clone-1", Uses: "git-clone", Attempt: 1, State: "Succeeded", StartedAt: at.Add(time.Second), FinishedAt: at.Add(1100 * time.Millisecond)},
			{Name: "git-push-2", Uses: "git-push", Attempt: 2, State: "Succeeded", Message: "pushed", StartedAt: at.Add(time.Second), FinishedAt: at.Add(2 * time.Second)},
			{Name: "never", Uses: "copy", State: "Skipped"},
		},
	}
}

// Entry returns a made-up entry: the n-th.
func Entry(project, stage string, n int) history.Entry {
	return history.Entry{
		Key: fmt.Sprintf("%s-%d/made", project, n), At: noon.Add(time.Duration(n) * time.Minute), Action: history.ActionFreeze, Actor: "waybill:ada",
		Project: project, Stage: stage, Object: history.Object{Kind: "Freeze", Name: fmt.Sprintf("freeze-%d", n), UID: fmt.Sprintf("%s-%d", project, n)},
		Reason: "release day", Until: noon.Add(24 * time.Hour), Via: "kubectl",
	}
}

// Exercise runs what every Store has to do. open returns an empty store, which
// is closed when the test ends.
func Exercise(t *testing.T, open func(t *testing.T) history.Store) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, history.Store){
		"a record comes back as it was":            comesBack,
		"one row per key":                          oneRowPerKey,
		"a record grows, and RolledBack stays":     grows,
		"lists are cut where the cursor says":      pages,
		"filters of records":                       filtersRecords,
		"entries come back, once each":             entriesComeBack,
		"filters of entries":                       filtersEntries,
		"an actor is filled in":                    actorFilledIn,
		"what has not ended":                       unended,
		"notices wait until they are settled":      notices,
		"many write at once":                       manyWrite,
		"a caller that gives up":                   givesUp,
		"cursors of nobody":                        badCursors,
		"what is not there, and what can be asked": empty,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

func put(t *testing.T, s history.Store, ps ...history.Promotion) {
	t.Helper()
	for _, p := range ps {
		if err := s.PutPromotion(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
}

func putEntries(t *testing.T, s history.Store, es ...history.Entry) {
	t.Helper()
	for _, e := range es {
		if err := s.PutEntry(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
}

func comesBack(t *testing.T, s history.Store) {
	want := Promotion("guestbook", "prod", 7)
	put(t, s, want)
	got, err := s.GetPromotion(t.Context(), "guestbook", want.Name)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
	digest, err := want.Digest()
	if err != nil {
		t.Fatal(err)
	}
	recorded, err := s.Recorded(t.Context(), []string{want.UID, "never"})
	if d := cmp.Diff(map[string]string{want.UID: digest}, recorded); d != "" || err != nil {
		t.Errorf("recorded: %v\n%s", err, d)
	}
	listed, next, err := s.ListPromotions(t.Context(), history.Filter{Project: "guestbook"}, history.Page{})
	want.Steps = nil
	if d := cmp.Diff([]history.Promotion{want}, listed); d != "" || err != nil || next != "" {
		t.Errorf("list: %v, next %q\n%s", err, next, d)
	}
	// A Project that was deleted and made again uses names again.
	again := Promotion("guestbook", "prod", 7)
	again.UID, again.CreatedAt = "another", again.CreatedAt.Add(time.Hour)
	put(t, s, again)
	if got, err := s.GetPromotion(t.Context(), "guestbook", again.Name); err != nil || got.UID != "another" {
		t.Errorf("of two with one name: %q, %v; want the newer", got.UID, err)
	}
}

func oneRowPerKey(t *testing.T, s history.Store) {
	p, e := Promotion("guestbook", "prod", 1), Entry("guestbook", "prod", 1)
	for range 3 {
		put(t, s, p)
		putEntries(t, s, e)
	}
	ps, _, err := s.ListPromotions(t.Context(), history.Filter{}, history.Page{})
	if err != nil || len(ps) != 1 {
		t.Errorf("%d records, %v; want 1", len(ps), err)
	}
	es, _, err := s.ListEntries(t.Context(), history.Filter{}, history.Page{})
	if err != nil || len(es) != 2 {
		t.Errorf("%d entries, %v; want 2: it, and that the Promotion ended", len(es), err)
	}
	got, err := s.GetPromotion(t.Context(), p.Project, p.Name)
	if err != nil || len(got.Steps) != len(p.Steps) {
		t.Errorf("%d steps, %v; want %d", len(got.Steps), err, len(p.Steps))
	}
}

func grows(t *testing.T, s history.Store) {
	p := Promotion("guestbook", "prod", 1)
	put(t, s, p)
	back := p
	back.Steps = slices.Clone(p.Steps)
	back.Phase, back.RolledBackBy, back.Message = "RolledBack", "prod.2.f0000000", "taken back"
	put(t, s, back)
	put(t, s, p) // a server that was late
	got, err := s.GetPromotion(t.Context(), p.Project, p.Name)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(back, got); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
	found, _, err := s.ListPromotions(t.Context(), history.Filter{Phase: "RolledBack"}, history.Page{})
	if err != nil || len(found) != 1 {
		t.Errorf("by its new phase: %d found, %v", len(found), err)
	}
}

func pages(t *testing.T, s history.Store) {
	const all = 23
	var want []string
	for n := range all {
		p := Promotion("guestbook", []string{"test", "uat", "prod"}[n%3], n)
		p.CreatedAt = noon.Add(time.Duration(n/5) * time.Second) // several in the same second
		want = append(want, p.UID)
		put(t, s, p)
	}
	slices.Reverse(want)
	for _, size := range []int{1, 4, 22, 23, 24} {
		var got []string
		page := history.Page{Limit: size}
		for range all + 1 {
			ps, next, err := s.ListPromotions(t.Context(), history.Filter{Project: "guestbook"}, page)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range ps {
				got = append(got, p.UID)
			}
			if page.After = next; next == "" {
				break
			}
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("pages of %d: -want +got\n%s", size, d)
		}
	}
	// What is written between two pages, and is older or newer, breaks nothing.
	first, next, err := s.ListPromotions(t.Context(), history.Filter{}, history.Page{Limit: 3})
	if err != nil {
		t.Fatal(err)
	}
	put(t, s, Promotion("guestbook", "prod", 9000))
	second, _, err := s.ListPromotions(t.Context(), history.Filter{}, history.Page{Limit: 3, After: next})
	if err != nil || first[2].UID != want[2] || second[0].UID != want[3] {
		t.Errorf("after a newer one: %v, %v", second, err)
	}
}

func filtersRecords(t *testing.T, s history.Store) {
	roll := Promotion("guestbook", "prod", 3)
	roll.Kind, roll.RequestedBy, roll.Phase = "Rollback", "k8s-user", "Failed"
	put(t, s, Promotion("guestbook", "test", 1), Promotion("guestbook", "prod", 2), roll, Promotion("other", "prod", 4))
	for _, c := range []struct {
		why  string
		f    history.Filter
		want []int64
	}{
		{"all", history.Filter{}, []int64{4, 3, 2, 1}},
		{"project", history.Filter{Project: "guestbook"}, []int64{3, 2, 1}},
		{"stage", history.Filter{Project: "guestbook", Stage: "prod"}, []int64{3, 2}},
		{"freight", history.Filter{Freight: Promotion("x", "y", 2).Freight.Name}, []int64{2}},
		{"kind", history.Filter{Kinds: []string{"Rollback"}}, []int64{3}},
		{"who, as people write it", history.Filter{Who: "ada"}, []int64{4, 2, 1}},
		{"who, as Kubernetes writes it", history.Filter{Who: "waybill:ada"}, []int64{4, 2, 1}},
		{"who, of the cluster's own", history.Filter{Who: "k8s-user"}, []int64{3}},
		{"phase", history.Filter{Phase: "Failed"}, []int64{3}},
		{"from is inclusive", history.Filter{From: noon.Add(3 * time.Minute)}, []int64{4, 3}},
		{"until is exclusive", history.Filter{Until: noon.Add(3 * time.Minute)}, []int64{2, 1}},
		{"all at once", history.Filter{Project: "guestbook", Stage: "prod", Kinds: []string{"Promote", "Rollback"}, Who: "ada", From: noon, Until: noon.Add(time.Hour)}, []int64{2}},
		{"what might be SQL", history.Filter{Project: "guestbook' OR '1'='1"}, nil},
	} {
		ps, _, err := s.ListPromotions(t.Context(), c.f, history.Page{})
		if err != nil {
			t.Fatal(err)
		}
		var got []int64
		for _, p := range ps {
			got = append(got, p.Seq)
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: -want +got\n%s", c.why, d)
		}
	}
}

func entriesComeBack(t *testing.T, s history.Store) {
	const all = 9
	var want []history.Entry
	for n := range all {
		e := Entry("guestbook", "prod", n)
		e.At = noon.Add(time.Duration(n/4) * time.Second)
		e.Freight = []string{"f1", "f2"}
		want = append(want, e)
	}
	putEntries(t, s, want...)
	slices.Reverse(want)
	var got []history.Entry
	page := history.Page{Limit: 2}
	for range all {
		es, next, err := s.ListEntries(t.Context(), history.Filter{Project: "guestbook"}, page)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, es...)
		if page.After = next; next == "" {
			break
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
}

func filtersEntries(t *testing.T, s history.Store) {
	hold := Entry("guestbook", "*", 2)
	hold.Action, hold.Actor, hold.Freight = history.ActionHold, "waybill:bob", []string{"fa", "fb"}
	sign := history.Entry{Key: "s", At: noon.Add(4 * time.Minute), Action: history.ActionSignIn, Actor: "waybill:ada"}
	putEntries(t, s, Entry("guestbook", "test", 1), hold, Entry("other", "prod", 3), sign)
	for _, c := range []struct {
		why  string
		f    history.Filter
		want []string
	}{
		{"all, and what is of no Project", history.Filter{}, []string{"s", "other-3/made", "guestbook-2/made", "guestbook-1/made"}},
		{"project", history.Filter{Project: "guestbook"}, []string{"guestbook-2/made", "guestbook-1/made"}},
		{"a stage, and what is about all", history.Filter{Project: "guestbook", Stage: "test"}, []string{"guestbook-2/made", "guestbook-1/made"}},
		{"freight, one of several", history.Filter{Freight: "fb"}, []string{"guestbook-2/made"}},
		{"the start of a name is not it", history.Filter{Freight: "f"}, nil},
		{"action", history.Filter{Kinds: []string{"hold", "sign-in"}}, []string{"s", "guestbook-2/made"}},
		{"who", history.Filter{Who: "bob"}, []string{"guestbook-2/made"}},
		{"when", history.Filter{From: noon.Add(2 * time.Minute), Until: noon.Add(4 * time.Minute)}, []string{"other-3/made", "guestbook-2/made"}},
	} {
		es, _, err := s.ListEntries(t.Context(), c.f, history.Page{})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range es {
			got = append(got, e.Key)
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: -want +got\n%s", c.why, d)
		}
	}
}

func actorFilledIn(t *testing.T, s history.Store) {
	unknown := Entry("guestbook", "prod", 1).End(noon, "")
	known, forged := unknown, unknown
	known.Actor, known.At, known.Via = "waybill:ada", noon.Add(time.Hour), "api"
	forged.Actor = "waybill:mallory"
	putEntries(t, s, unknown, known, forged, unknown)
	there, err := s.Written(t.Context(), []string{unknown.Key, "never"})
	if d := cmp.Diff(map[string]bool{unknown.Key: true}, there); d != "" || err != nil {
		t.Errorf("written: %v\n%s", err, d)
	}
	if none, err := s.Written(t.Context(), nil); err != nil || len(none) != 0 {
		t.Errorf("written, of nothing: %v, %v", none, err)
	}
	got, _, err := s.ListEntries(t.Context(), history.Filter{Who: "ada"}, history.Page{})
	if err != nil {
		t.Fatal(err)
	}
	want := unknown
	want.Actor = "waybill:ada"
	if d := cmp.Diff([]history.Entry{want}, got); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
}

func unended(t *testing.T, s history.Store) {
	made, gone := Entry("guestbook", "prod", 1), Entry("guestbook", "prod", 2)
	changed := made
	changed.Key, changed.At = made.Object.UID+"/2", made.At.Add(time.Minute)
	none := history.Entry{Key: "x", At: noon, Action: history.ActionSignIn, Project: "guestbook"}
	putEntries(t, s, made, changed, gone, gone.End(noon.Add(time.Hour), "waybill:ada"), Entry("other", "prod", 3), none)
	got, err := s.Unended(t.Context(), "guestbook")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]history.Entry{changed}, got); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
}

func manyWrite(t *testing.T, s history.Store) {
	const writers, each = 8, 12
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for n := range each {
				if err := s.PutPromotion(t.Context(), Promotion("guestbook", "prod", n)); err != nil { // all write the same
					t.Error(err)
				}
				if err := s.PutEntry(t.Context(), Entry("guestbook", "prod", w*each+n)); err != nil { // each its own
					t.Error(err)
				}
				if _, _, err := s.ListPromotions(t.Context(), history.Filter{Project: "guestbook"}, history.Page{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	ps, _, err := s.ListPromotions(t.Context(), history.Filter{}, history.Page{Limit: history.MaxPage})
	if err != nil || len(ps) != each {
		t.Errorf("%d records, %v; want %d", len(ps), err, each)
	}
	es, _, err := s.ListEntries(t.Context(), history.Filter{}, history.Page{Limit: history.MaxPage})
	if err != nil || len(es) != writers*each+each {
		t.Errorf("%d entries, %v; want %d, and %d about records", len(es), err, writers*each, each)
	}
	Whole(t, s, writers*each+each)
}

func givesUp(t *testing.T, s history.Store) {
	put(t, s, Promotion("guestbook", "prod", 1))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.PutPromotion(ctx, Promotion("guestbook", "prod", 2)); !errors.Is(err, context.Canceled) {
		t.Errorf("write: %v", err)
	}
	if _, _, err := s.ListEntries(ctx, history.Filter{}, history.Page{}); !errors.Is(err, context.Canceled) {
		t.Errorf("list: %v", err)
	}
	put(t, s, Promotion("guestbook", "prod", 3)) // the store is none the worse
}

func badCursors(t *testing.T, s history.Store) {
	for _, after := range []string{"x", "e30", "bnVsbA", history.Cursor{}.String()} {
		if _, _, err := s.ListPromotions(t.Context(), history.Filter{}, history.Page{After: after}); !errors.Is(err, history.ErrCursor) {
			t.Errorf("records after %q: %v", after, err)
		}
		if _, _, err := s.ListEntries(t.Context(), history.Filter{}, history.Page{After: after}); !errors.Is(err, history.ErrCursor) {
			t.Errorf("entries after %q: %v", after, err)
		}
	}
}

func empty(t *testing.T, s history.Store) {
	if err := s.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := s.GetPromotion(t.Context(), "guestbook", "prod.1.f"); !errors.Is(err, history.ErrNotFound) {
		t.Errorf("a record that is not there: %v", err)
	}
	ps, next, err := s.ListPromotions(t.Context(), history.Filter{}, history.Page{})
	if len(ps) != 0 || next != "" || err != nil {
		t.Errorf("an empty list: %v %q %v", ps, next, err)
	}
}
