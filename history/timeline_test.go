package history_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/history"
)

func hour(n int) time.Time { return noon.Add(time.Duration(n) * time.Hour) }

// ran is a Promotion into prod, pushed at that hour, with what it changed to and
// what ran before, as ORIGIN=FREIGHT.
func ran(seq, pushed int, what, before string, edit ...func(*history.Promotion)) history.Promotion {
	p := history.Promotion{
		Name: fmt.Sprintf("prod.%d", seq), UID: fmt.Sprintf("u%d", seq), Stage: "prod", Seq: int64(seq), Kind: "Promote", Phase: "Succeeded",
		CreatedAt: hour(pushed), PushedAt: hour(pushed), FinishedAt: hour(pushed).Add(time.Minute),
		Collection: collection(what), From: collection(before),
	}
	for _, f := range p.Collection {
		if len(p.From) == 0 || !strings.Contains(before, f.Origin+"="+f.Name) {
			p.Freight = f
		}
	}
	if p.Freight.Name == "" && len(p.Collection) > 0 {
		p.Freight = p.Collection[0]
	}
	for _, e := range edit {
		e(&p)
	}
	return p
}

func rollback(p *history.Promotion) {
	p.Kind, p.To = "Rollback", p.Freight
	p.Freight = p.From[0]
}

func phase(word string) func(*history.Promotion) {
	return func(p *history.Promotion) { p.Phase = word }
}

func collection(text string) []history.Freight {
	var out []history.Freight
	for _, pair := range strings.Fields(text) {
		origin, name, _ := strings.Cut(pair, "=")
		out = append(out, history.Freight{Name: name, Origin: origin})
	}
	return out
}

// place is prod as it runs what is named, each since an hour.
func place(current ...string) history.Place {
	p := history.Place{Stage: "prod", Origins: []string{"app"}}
	for _, c := range current {
		var origin, freight, by string
		var since int
		if _, err := fmt.Sscanf(c, "%s %s %s %d", &origin, &freight, &by, &since); err != nil {
			panic(err)
		}
		at := metav1.NewTime(hour(since))
		p.Current = append(p.Current, v1alpha1.StageFreight{Origin: origin, Freight: freight, Promotion: strings.TrimPrefix(by, "-"), Since: &at})
	}
	return p
}

// drawn writes spans as FREIGHT FROM-UNTIL by BY, with who ended them.
func drawn(l history.Lane) []string {
	at := func(t time.Time) string {
		if t.IsZero() {
			return "?"
		}
		return fmt.Sprint(int(t.Sub(noon).Hours()))
	}
	var out []string
	for _, s := range l.Spans {
		line := fmt.Sprintf("%s %s..%s", s.Freight.Name, at(s.From), at(s.Until))
		if s.By != nil {
			line += " by " + strings.TrimSpace(s.By.Name+" "+s.By.Phase)
		}
		if s.IsRolledBack() {
			line += ", taken back by " + s.EndedBy.Name
		} else if s.EndedBy != nil {
			line += ", replaced by " + s.EndedBy.Name
		}
		out = append(out, line)
	}
	return out
}

func TestLanes(t *testing.T) {
	for _, test := range []struct {
		name, why string
		place     history.Place
		records   []history.Promotion
		most      int
		want      []string
		older     int
	}{
		{name: "nothing", why: "a Stage that never ran anything has an empty lane", place: place()},
		{
			name: "one after the other", why: "each ends when the next is pushed, in any order of the records",
			place:   place("app b prod.2 30"),
			records: []history.Promotion{ran(2, 30, "app=b", "app=a"), ran(1, 10, "app=a", "")},
			want:    []string{"a 10..30 by prod.1 Succeeded, replaced by prod.2", "b 30..? by prod.2 Succeeded"},
		},
		{
			name: "never pushed", why: "what failed, was refused or superseded before it wrote anything ran nowhere", place: place("app a prod.1 10"),
			records: []history.Promotion{ran(1, 10, "app=a", ""), ran(2, 20, "app=b", "app=a", phase("Failed"), func(p *history.Promotion) { p.PushedAt = time.Time{} })},
			want:    []string{"a 10..? by prod.1 Succeeded"},
		},
		{
			name: "pushed and failed", why: "what was written runs, however it is; the span says that it failed", place: place("app b prod.2 20"),
			records: []history.Promotion{ran(1, 10, "app=a", ""), ran(2, 20, "app=b", "app=a", phase("Failed"))},
			want:    []string{"a 10..20 by prod.1 Succeeded, replaced by prod.2", "b 20..? by prod.2 Failed"},
		},
		{
			name: "taken back", why: "a rollback ends a span and begins one", place: place("app a prod.3 21"),
			records: []history.Promotion{
				ran(1, 10, "app=a", ""), ran(2, 20, "app=b", "app=a", phase("RolledBack")), ran(3, 21, "app=a", "app=b", rollback),
			},
			want: []string{"a 10..20 by prod.1 Succeeded, replaced by prod.2", "b 20..21 by prod.2 RolledBack, taken back by prod.3", "a 21..? by prod.3 Succeeded"},
		},
		{
			name: "the same again", why: "a retry of what runs already is the same span, with its verdict", place: place("app b prod.3 21"),
			records: []history.Promotion{ran(1, 10, "app=a", ""), ran(2, 20, "app=b", "app=a", phase("Failed")), ran(3, 21, "app=b", "app=b")},
			want:    []string{"a 10..20 by prod.1 Succeeded, replaced by prod.2", "b 20..? by prod.3 Succeeded"},
		},
		{
			name: "before the first record", why: "the first Promotion says what ran before; since when, nobody knows", place: place("app b prod.2 20"),
			records: []history.Promotion{ran(2, 20, "app=b", "app=a")},
			want:    []string{"a ?..20, replaced by prod.2", "b 20..? by prod.2 Succeeded"},
		},
		{
			name: "no record at all", why: "the Stage itself knows: it was adopted from its branch, or its Promotions are gone", place: place("app a prod.7 -100"),
			want: []string{"a -100..? by prod.7"},
		},
		{
			name: "adopted", why: "what nobody promoted has no Promotion", place: place("app a - 5"),
			want: []string{"a 5..?"},
		},
		{
			name: "the Stage knows better", why: "a Promotion whose record is lost has brought something else meanwhile", place: place("app c prod.9 40"),
			records: []history.Promotion{ran(1, 10, "app=a", "")},
			want:    []string{"a 10..40 by prod.1 Succeeded, replaced by prod.9", "c 40..? by prod.9"},
		},
		{
			name: "the Stage is behind", why: "a push that the Stage has not seen yet counts", place: place("app a prod.1 10"),
			records: []history.Promotion{ran(1, 10, "app=a", ""), ran(2, 20, "app=b", "app=a", phase("Syncing"))},
			want:    []string{"a 10..20 by prod.1 Succeeded, replaced by prod.2", "b 20..? by prod.2 Syncing"},
		},
		{
			name: "before and after the range", why: "what ended before it is not shown, nor what came after", place: place("app d prod.4 120"),
			records: []history.Promotion{ran(1, -50, "app=a", ""), ran(2, -10, "app=b", "app=a"), ran(3, 10, "app=c", "app=b"), ran(4, 120, "app=d", "app=c")},
			want:    []string{"b -10..10 by prod.2 Succeeded, replaced by prod.3", "c 10..? by prod.3 Succeeded"},
		},
		{
			name: "too many", why: "the oldest are left out, and counted", place: place("app c prod.3 30"), most: 2,
			records: []history.Promotion{ran(1, 10, "app=a", ""), ran(2, 20, "app=b", "app=a"), ran(3, 30, "app=c", "app=b")},
			want:    []string{"b 20..30 by prod.2 Succeeded, replaced by prod.3", "c 30..? by prod.3 Succeeded"}, older: 1,
		},
		{
			name: "carried along", why: "Freight of another origin that stays keeps the Promotion that brought it", place: place("app a prod.1 10"),
			records: []history.Promotion{ran(1, 10, "app=a", ""), ran(2, 20, "base=x app=a", "app=a")},
			want:    []string{"a 10..? by prod.1 Succeeded"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			most := test.most
			if most == 0 {
				most = 100
			}
			lanes := history.Lanes([]history.Place{test.place}, test.records, hour(0), hour(100), most)
			if len(lanes) != 1 {
				t.Fatalf("%d lanes", len(lanes))
			}
			if d := cmp.Diff(test.want, drawn(lanes[0])); d != "" || lanes[0].Older != test.older {
				t.Errorf("%s: %d older, want %d; -want +got\n%s", test.why, lanes[0].Older, test.older, d)
			}
		})
	}
}

// TestLanesOfTwoOrigins: each origin has a lane of its own, and one Promotion may
// end spans in both.
func TestLanesOfTwoOrigins(t *testing.T) {
	prod := place("app b prod.3 30", "base y prod.4 40")
	prod.Origins = []string{"base", "app"}
	records := []history.Promotion{
		ran(1, 10, "app=a", ""), ran(2, 20, "app=a base=x", "app=a"), ran(3, 30, "app=b base=x", "app=a base=x"), ran(4, 40, "app=b base=y", "app=b base=x"),
	}
	lanes := history.Lanes([]history.Place{prod, {Stage: "none", Origins: []string{"app"}}}, records, hour(0), hour(100), 100)
	got := map[string][]string{}
	for _, l := range lanes {
		got[l.Stage+" "+l.Origin] = drawn(l)
	}
	want := map[string][]string{
		"prod base": {"x 20..40 by prod.2 Succeeded, replaced by prod.4", "y 40..? by prod.4 Succeeded"},
		"prod app":  {"a 10..30 by prod.1 Succeeded, replaced by prod.3", "b 30..? by prod.3 Succeeded"},
		"none app":  nil,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
}

// TestLanesHoldWhateverIsRecorded: whatever the records say, spans are in order,
// within the range, do not overlap, and only the last runs on.
func TestLanesHoldWhateverIsRecorded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SampledFrom([]string{"app=a", "app=b", "app=c", "base=x app=a", "base=y", ""})
		var records []history.Promotion
		for n := range rapid.IntRange(0, 12).Draw(t, "records") {
			p := ran(n, rapid.IntRange(-60, 160).Draw(t, "pushed"), names.Draw(t, "what"), names.Draw(t, "before"))
			p.Kind = rapid.SampledFrom([]string{"Promote", "Rollback"}).Draw(t, "kind")
			if rapid.Bool().Draw(t, "was not pushed") {
				p.PushedAt = time.Time{}
			}
			records = append(records, p)
		}
		prod := place()
		prod.Origins = []string{"app", "base"}
		if rapid.Bool().Draw(t, "runs something") {
			prod.Current = place(fmt.Sprintf("app %s prod.1 %d", rapid.SampledFrom([]string{"a", "b", "z"}).Draw(t, "current"), rapid.IntRange(-60, 160).Draw(t, "since"))).Current
		}
		most := rapid.IntRange(1, 5).Draw(t, "most")
		for _, l := range history.Lanes([]history.Place{prod}, records, hour(0), hour(100), most) {
			if len(l.Spans) > most || l.Older > 0 && len(l.Spans) < most {
				t.Fatalf("%d spans and %d older, at most %d", len(l.Spans), l.Older, most)
			}
			for i, s := range l.Spans {
				switch {
				case !s.From.Before(hour(100)), !s.Until.IsZero() && (!s.Until.After(hour(0)) || !s.From.Before(s.Until)):
					t.Fatalf("span %d is not in the range: %v", i, drawn(l))
				case s.Until.IsZero() != (i == len(l.Spans)-1) && i < len(l.Spans)-1:
					t.Fatalf("span %d runs on before another: %v", i, drawn(l))
				case i > 0 && s.From.Before(l.Spans[i-1].Until):
					t.Fatalf("span %d overlaps the one before: %v", i, drawn(l))
				case s.Freight.Name == "" || s.Freight.Origin != l.Origin:
					t.Fatalf("span %d is of %+v", i, s.Freight)
				}
			}
		}
	})
}
