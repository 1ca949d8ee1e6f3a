package promotion_test

import (
	"fmt"
	"testing"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/promotion"
)

func TestNextSeq(t *testing.T) {
	f := freight(1, "1.26.0")
	for _, c := range []struct {
		why     string
		lastSeq int64
		seqs    []int64
		want    int64
	}{
		{"the first", 0, nil, 1},
		{"one more than the highest object", 3, []int64{2, 7, 5}, 8},
		{"never lowered when objects are gone", 9, []int64{2}, 10},
		{"a number by hand may skip some", 3, []int64{900}, 901},
		{"whoever may promote cannot use up the numbers", 3, []int64{5, 999_999_999_999}, 6},
		{"not in two steps either", 3, []int64{5, 999_999_999, 999_999_999_999}, 1_000_000_000},
		{"nor when it is the first of the Stage", 0, []int64{999_999_999_999}, 1},
		{"far up it goes on step by step", 5_000_000_000, []int64{5_000_000_007}, 5_000_000_008},
	} {
		s := stage("prod")
		s.Status.LastSeq = c.lastSeq
		var all []v1alpha1.Promotion
		for _, n := range c.seqs {
			all = append(all, *promo("prod", n, f, v1alpha1.PhasePending))
		}
		if got := promotion.NextSeq(&s.Stage, all); got != c.want {
			t.Errorf("%s: NextSeq = %d, want %d", c.why, got, c.want)
		}
	}
}

// TestNumberMayStart: what runs in a Stage is what the Promotion with the
// highest number wrote, so nothing may start below a number that has started.
func TestNumberMayStart(t *testing.T) {
	f := freight(1, "1.26.0")
	started := func(seq int64) v1alpha1.Promotion {
		p := promo("prod", seq, f, v1alpha1.PhaseSucceeded)
		p.Status.StartedAt = micro(0)
		return *p
	}
	for _, c := range []struct {
		why    string
		asks   int64
		others []v1alpha1.Promotion
		now    string // promotion in Stage.status.current
		want   string // reason
		by     string
	}{
		{"the next number", 5, []v1alpha1.Promotion{started(4)}, "", "", ""},
		{"one that waits does not count", 5, []v1alpha1.Promotion{*promo("prod", 8, f, v1alpha1.PhasePending)}, "", "", ""},
		{"below one that ran", 3, []v1alpha1.Promotion{started(4), started(2)}, "", "NumberTaken", promotion.Name("prod", 4, f.Name)},
		{"below one that ran and is gone", 3, nil, "prod.7.abc", "NumberTaken", "prod.7.abc"},
		{"two of one number, by two people at once", 4, []v1alpha1.Promotion{started(4)}, "", "", ""},
		{"beyond what can be followed", 999_999_999_999, []v1alpha1.Promotion{started(4)}, "", "NumberTooHigh", ""},
	} {
		s := stage("prod")
		if c.now != "" {
			s.running(f, c.now)
		}
		o := observe(s, f)
		p := promo("prod", c.asks, freight(2, "1.27.0"), v1alpha1.PhasePending)
		o.Promotions = append(append([]v1alpha1.Promotion(nil), c.others...), *p)
		got := promotion.CheckNumber(o, p)
		if got.Reason != c.want || got.By != c.by {
			t.Errorf("%s: %+v, want %q by %q", c.why, got, c.want, c.by)
		}
		if (got.Message == "") != (c.want == "") {
			t.Errorf("%s: message %q", c.why, got.Message)
		}
	}
}

func TestNewerThan(t *testing.T) {
	f, g := freight(1, "1.26.0"), freight(2, "1.27.0")
	a, b := promo("prod", 4, f, v1alpha1.PhaseSucceeded), promo("prod", 4, g, v1alpha1.PhaseSucceeded)
	a.Status.StartedAt, b.Status.StartedAt = micro(2), micro(1)
	if !promotion.IsNewer(a, b) || promotion.IsNewer(b, a) {
		t.Error("of two with one number the one that started later is newer, whatever its name")
	}
	b.Name = promotion.Name("prod", 5, g.Name)
	if promotion.IsNewer(a, b) {
		t.Error("the number decides before the clock")
	}
}

func TestSeqOfHostileNames(t *testing.T) {
	for _, name := range []string{"", "prod", "prod.1", "prod.x.y", "prod.-5.y", "prod.99999999999999999999.y", "..", "prod..y"} {
		if n := promotion.Seq(name); n != 0 {
			t.Errorf("Seq(%q) = %d", name, n)
		}
	}
	if n := promotion.Seq(fmt.Sprintf("prod.%d.y", int64(999_999_999_999))); n != 999_999_999_999 {
		t.Errorf("twelve digits: %d", n)
	}
}
