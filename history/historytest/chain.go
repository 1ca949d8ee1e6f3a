package historytest

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/history"
	"github.com/waybill-dev/waybill/internal/chain"
)

// Database is an empty database of one kind, as its owner has it at hand.
type Database struct {
	// Open returns a store in it; several may be open.
	Open func(t *testing.T) history.Store
	// Exec runs a statement past the store, and returns what the database says.
	Exec func(t *testing.T, statement string) error
	// Unguard is what takes the triggers away.
	Unguard []string
	// Instant writes a time as a literal.
	Instant func(time.Time) string
}

// exec runs statements that have to work.
func (d *Database) exec(t *testing.T, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if err := d.Exec(t, s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// ExerciseChain runs what the chain of every Store has to do.
func ExerciseChain(t *testing.T, make func(t *testing.T) *Database) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, *Database){
		"nothing is changed or deleted":        refusesChanges,
		"a record has an entry for each state": recordsAreVouchedFor,
		"tampering is found":                   tamperingIsFound,
		"two stores append at once":            twoAppend,
		"pages, and what is newer":             chainInPages,
	} {
		t.Run(name, func(t *testing.T) { test(t, make(t)) })
	}
}

// verify goes along the whole chain, part by part.
func verify(t *testing.T, s history.Store, noted chain.Head, limit int) history.Verdict {
	t.Helper()
	all := history.Verdict{Last: chain.Start()}
	for range 1000 {
		v, err := s.Verify(t.Context(), history.Part{After: all.Last, Noted: noted, Limit: limit})
		if err != nil {
			t.Fatal(err)
		}
		all.Rows += v.Rows
		all.Last, all.Head, all.Done, all.Breaks = v.Last, v.Head, v.Done, append(all.Breaks, v.Breaks...)
		if v.Done {
			return all
		}
	}
	t.Fatal("the chain does not end")
	return all
}

// Whole fails unless the chain has so many rows and no break, as the store sees
// it and as somebody who has the rows alone.
func Whole(t *testing.T, s history.Store, rows int) chain.Head {
	t.Helper()
	v := verify(t, s, chain.Head{}, 7)
	if v.Rows != int64(rows) || len(v.Breaks) > 0 || v.Head != v.Last || v.Last.Seq != int64(rows) {
		t.Errorf("%d rows to %v of %v, %v; want %d and no break", v.Rows, v.Last, v.Head, v.Breaks, rows)
	}
	walk := chain.From(chain.Start())
	for {
		links, err := s.Links(t.Context(), walk.Last.Seq, 5)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range links {
			if breaks := walk.Step(l); breaks != nil {
				t.Errorf("by its rows alone: %v", breaks)
			}
		}
		if len(links) < 5 {
			break
		}
	}
	head, err := s.Head(t.Context())
	if err != nil || head != walk.Last || walk.Rows != int64(rows) {
		t.Errorf("%d rows to %v, %v; the head is %v", walk.Rows, walk.Last, err, head)
	}
	return head
}

func refusesChanges(t *testing.T, d *Database) {
	s := d.Open(t)
	putEntries(t, s, Entry("guestbook", "prod", 1), Entry("guestbook", "prod", 2))
	before := Whole(t, s, 2)
	for _, statement := range []string{
		"UPDATE entries SET actor = 'waybill:mallory'", "UPDATE entries SET hash = hash", "DELETE FROM entries WHERE seq = 2",
		"INSERT INTO entries SELECT * FROM entries WHERE seq = 1",
	} {
		if err := d.Exec(t, statement); err == nil {
			t.Errorf("%s: nothing refuses it", statement)
		}
	}
	if after := Whole(t, s, 2); after != before {
		t.Errorf("the head was %v and is %v", before, after)
	}
}

func recordsAreVouchedFor(t *testing.T, d *Database) {
	s := d.Open(t)
	p := Promotion("guestbook", "prod", 1)
	put(t, s, p, p)
	back := p
	back.Phase, back.RolledBackBy = "RolledBack", "prod.2.f0000000"
	put(t, s, back, back, p) // and one that comes late
	roll := Promotion("guestbook", "prod", 2)
	roll.Kind = "Rollback"
	put(t, s, roll)
	es, _, err := s.ListEntries(t.Context(), history.Filter{Kinds: []string{"promote", "rollback"}}, history.Page{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range es {
		got = append(got, fmt.Sprint(e.Action, " ", e.Object.Name, " ", e.Phase, " ", e.Actor))
	}
	want := []string{"rollback prod.2.f0000000 Succeeded waybill:ada", "promote prod.1.f0000000 RolledBack waybill:ada", "promote prod.1.f0000000 Succeeded waybill:ada"}
	slicesSortedAlike(t, want, got)
	Whole(t, s, 3)
	if open, err := s.Unended(t.Context(), "guestbook"); err != nil || len(open) != 0 {
		t.Errorf("what has not ended: %v, %v; want nothing of Promotions", open, err)
	}
}

// slicesSortedAlike compares two lists as sets: entries of one instant stand in
// the order of their keys, which are hashes.
func slicesSortedAlike(t *testing.T, want, got []string) {
	t.Helper()
	count := map[string]int{}
	for _, w := range want {
		count[w]++
	}
	for _, g := range got {
		count[g]--
	}
	for text, n := range count {
		if n != 0 {
			t.Errorf("%q: %d more than there should be", text, -n)
		}
	}
}

// tamperingIsFound does to a chain of its own each time what who has the
// database can do.
func tamperingIsFound(t *testing.T, d *Database) {
	s := d.Open(t)
	putEntries(t, s, Entry("guestbook", "prod", 1), Entry("guestbook", "prod", 2), Entry("guestbook", "prod", 3), Entry("guestbook", "prod", 4))
	put(t, s, Promotion("guestbook", "prod", 5), Promotion("guestbook", "prod", 6))
	noted := Whole(t, s, 6)
	d.exec(t, d.Unguard...)
	d.exec(t, "CREATE TABLE kept AS SELECT * FROM entries", "CREATE TABLE kept_promotions AS SELECT * FROM promotions", "CREATE TABLE kept_steps AS SELECT * FROM steps")
	for _, c := range []struct {
		tamper []string
		want   []string
	}{
		{nil, nil},
		{[]string{"UPDATE entries SET record = (SELECT record FROM kept WHERE seq = 1) WHERE seq = 2"}, []string{"changed 2"}},
		{[]string{"UPDATE entries SET actor = 'waybill:mallory' WHERE seq = 2"}, []string{"changed 2"}},
		{[]string{"UPDATE entries SET project = 'other' WHERE seq = 4"}, []string{"changed 4"}},
		{[]string{"UPDATE entries SET hash = prev WHERE seq = 2"}, []string{"changed 2", "unlinked 3"}},
		{[]string{"DELETE FROM entries WHERE seq = 3"}, []string{"missing 3"}},
		{[]string{"DELETE FROM entries WHERE seq = 3", "UPDATE entries SET seq = 3 WHERE seq = 4"}, []string{"moved 3", "missing 4"}},
		{[]string{"UPDATE entries SET seq = 99 WHERE seq = 2", "UPDATE entries SET seq = 2 WHERE seq = 3", "UPDATE entries SET seq = 3 WHERE seq = 99"}, []string{"moved 2", "moved 3", "unlinked 4"}},
		{[]string{"DELETE FROM entries WHERE seq > 5"}, []string{"cut 6", "record 5"}},
		{[]string{"DELETE FROM entries"}, []string{"cut 6", "record 0", "record 0"}},
		{[]string{"UPDATE promotions SET phase = 'Failed' WHERE seq = 5"}, []string{"record 5"}},
		{[]string{"UPDATE promotions SET record = (SELECT record FROM kept_promotions WHERE seq = 6) WHERE seq = 5"}, []string{"record 5"}},
		{[]string{"UPDATE steps SET message = 'nothing' WHERE step = 'git-push-2' AND uid = 'guestbook-prod-6'"}, []string{"record 6"}},
		{[]string{"DELETE FROM promotions WHERE seq = 5"}, []string{"record 5"}},
		{[]string{"INSERT INTO promotions SELECT 'forged', project, stage, name, seq, kind, freight, phase, requested_by, created_at, digest, record FROM promotions WHERE seq = 6"}, []string{"record 6"}},
	} {
		t.Run(strings.Join(c.tamper, ";"), func(t *testing.T) {
			d.exec(t, c.tamper...)
			for _, limit := range []int{1, 4, 500} {
				var got []string
				for _, b := range verify(t, s, noted, limit).Breaks {
					got = append(got, fmt.Sprintf("%s %d", b.Kind, b.Seq))
				}
				slicesSortedAlike(t, c.want, got)
			}
			d.exec(t, "DELETE FROM entries", "INSERT INTO entries SELECT * FROM kept", "DELETE FROM steps", "DELETE FROM promotions",
				"INSERT INTO promotions SELECT * FROM kept_promotions", "INSERT INTO steps SELECT * FROM kept_steps")
		})
	}
	Whole(t, s, 6)
}

func twoAppend(t *testing.T, d *Database) {
	const each = 30
	a, b := d.Open(t), d.Open(t)
	for _, s := range []history.Store{a, b} { // who makes a file has it alone for a moment
		if err := s.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	for i, s := range []history.Store{a, b} {
		for half := range 2 {
			wg.Go(func() {
				for n := range each {
					e := Entry("guestbook", "prod", n*2+half) // both stores write the same
					if i == 1 {
						e.Actor = "" // and one of them does not know who it was
					}
					if err := s.PutEntry(t.Context(), e); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	wg.Wait()
	es, _, err := a.ListEntries(t.Context(), history.Filter{Who: "ada"}, history.Page{Limit: history.MaxPage})
	if err != nil || len(es) != 2*each {
		t.Errorf("%d entries, %v; want %d, all with an actor", len(es), err, 2*each)
	}
	head, err := b.Head(t.Context())
	if err != nil || head.Seq < 2*each || head.Seq > 4*each {
		t.Errorf("head %v, %v; want one row for each, and at most one more that knows who it was", head, err)
	}
	Whole(t, b, int(head.Seq))
}

func chainInPages(t *testing.T, d *Database) {
	s := d.Open(t)
	if head := Whole(t, s, 0); head != chain.Start() {
		t.Errorf("an empty chain ends at %v", head)
	}
	for n := range 9 {
		putEntries(t, s, Entry("guestbook", "prod", n))
	}
	for at, want := range map[time.Duration]int64{-time.Hour: 1, 0: 1, 4 * time.Minute: 5, 4*time.Minute + 1000: 6, time.Hour: 10} {
		if got, err := s.FirstSince(t.Context(), noon.Add(at)); err != nil || got != want {
			t.Errorf("first since noon and %v: %d, %v; want %d", at, got, err, want)
		}
	}
	// From the middle on, with and without what was before.
	links, err := s.Links(t.Context(), 3, 1)
	if err != nil || len(links) != 1 || links[0].Seq != 4 {
		t.Fatalf("row 4: %v, %v", links, err)
	}
	for _, c := range []struct {
		after chain.Head
		want  int
	}{{chain.Head{Seq: 4, Hash: links[0].Hash}, 0}, {chain.Head{Seq: 4}, 0}, {chain.Head{Seq: 4, Hash: links[0].Prev}, 1}} {
		v, err := s.Verify(t.Context(), history.Part{After: c.after})
		if err != nil || v.Rows != 5 || !v.Done || len(v.Breaks) != c.want {
			t.Errorf("after %v: %+v, %v; want %d breaks in 5 rows", c.after, v, err, c.want)
		}
	}
}

// Old fills the tables of before the chain, which are there and empty, and looks
// at what a Store makes of them.
func Old(t *testing.T, d *Database) {
	t.Helper()
	p := Promotion("guestbook", "prod", 1)
	quoted := func(v any) string { return "'" + strings.ReplaceAll(encode(t, v), "'", "''") + "'" }
	steps := p.Steps
	bare := p
	bare.Steps = nil
	digest, err := p.Digest()
	if err != nil {
		t.Fatal(err)
	}
	d.exec(t, fmt.Sprintf("INSERT INTO promotions VALUES ('%s', '%s', '%s', '%s', %d, '%s', '%s', '%s', '%s', %s, '%s', %s)",
		p.UID, p.Project, p.Stage, p.Name, p.Seq, p.Kind, p.Freight.Name, p.Phase, p.RequestedBy, d.Instant(p.CreatedAt), digest, quoted(bare)))
	for i, s := range steps {
		at := func(v time.Time) string {
			if v.IsZero() {
				return "NULL"
			}
			return d.Instant(v)
		}
		d.exec(t, fmt.Sprintf("INSERT INTO steps VALUES ('%s', '%s', %d, %d, '%s', '%s', '%s', %s, %s)",
			p.UID, s.Name, s.Attempt, i, s.Uses, s.State, s.Message, at(s.StartedAt), at(s.FinishedAt)))
	}
	const old = 1203 // more than a migration holds at once
	var want, values []string
	for n := range old {
		e := Entry("guestbook", "prod", n/2*2+1-n%2) // not in the order of their time
		values = append(values, fmt.Sprintf("('%s', %s, '%s', '%s', '', '%s', '%s', '%s', %t, %s)",
			e.Key, d.Instant(e.At), e.Project, e.Stage, e.Action, e.Actor, e.Object.UID, e.Ends, quoted(e)))
		if n < 3 {
			want = append(want, Entry("guestbook", "prod", n).Key)
		}
	}
	d.exec(t, "INSERT INTO entries VALUES "+strings.Join(values, ", "))
	s := d.Open(t)
	noted := Whole(t, s, old+2)
	links, err := s.Links(t.Context(), 0, 3)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, l := range links {
		got = append(got, keyOf(t, l))
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("the first rows: -want +got\n%s", d)
	}
	began, _, err := s.ListEntries(t.Context(), history.Filter{Kinds: []string{"chain"}}, history.Page{})
	if err != nil || len(began) != 1 || !strings.Contains(began[0].Reason, fmt.Sprint(old+1)) || began[0].At.Year() < 2024 {
		t.Errorf("the row that says so: %v, %v", began, err)
	}
	// What is written again is one row as before; and a Promotion's record is the same.
	put(t, s, p)
	putEntries(t, s, Entry("guestbook", "prod", 7))
	if after := Whole(t, s, old+2); after != noted {
		t.Errorf("the head was %v and is %v", noted, after)
	}
	again := d.Open(t)
	if after := Whole(t, again, old+2); after != noted {
		t.Errorf("opened again, the head was %v and is %v", noted, after)
	}
}

func encode(t *testing.T, v any) string {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func keyOf(t *testing.T, l chain.Link) string {
	t.Helper()
	var e history.Entry
	if err := json.Unmarshal(l.Entry, &e); err != nil {
		t.Fatal(err)
	}
	return e.Key
}
