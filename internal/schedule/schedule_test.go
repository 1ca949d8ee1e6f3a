package schedule_test

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/waybill-dev/waybill/internal/schedule"
)

func at(text string) time.Time {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return t
}

func TestAt(t *testing.T) {
	for _, c := range []struct {
		why, expression, zone string
		open                  time.Duration
		now                   string
		isOpen                bool
		changes               string // "" for never
	}{
		{"before it opens", "0 9 * * 1-5", "", 8 * time.Hour, "2026-11-20T08:59:59Z", false, "2026-11-20T09:00:00Z"},
		{"the instant it opens", "0 9 * * 1-5", "", 8 * time.Hour, "2026-11-20T09:00:00Z", true, "2026-11-20T17:00:00Z"},
		{"the last second", "0 9 * * 1-5", "", 8 * time.Hour, "2026-11-20T16:59:59Z", true, "2026-11-20T17:00:00Z"},
		{"the instant it closes, and then the weekend", "0 9 * * 1-5", "", 8 * time.Hour, "2026-11-20T17:00:00Z", false, "2026-11-23T09:00:00Z"},
		{"a fraction of a second before", "0 9 * * *", "", time.Hour, "2026-11-20T08:59:59.999Z", false, "2026-11-20T09:00:00Z"},
		{"in Berlin's winter", "0 9 * * *", "Europe/Berlin", time.Hour, "2026-11-20T08:00:00Z", true, "2026-11-20T09:00:00Z"},
		{"and summer", "0 9 * * *", "Europe/Berlin", time.Hour, "2026-07-20T07:00:00Z", true, "2026-07-20T08:00:00Z"},
		{"over midnight", "0 22 * * *", "", 8 * time.Hour, "2026-11-20T03:00:00Z", true, "2026-11-20T06:00:00Z"},
		{"longer than a day, over a weekend", "0 18 * * 5", "", 60 * time.Hour, "2026-11-22T12:00:00Z", true, "2026-11-23T06:00:00Z"},
		{"occurrences that touch are one", "0 * * * *", "", time.Hour, "2026-11-20T12:30:00Z", true, ""},
		{"occurrences that overlap are one", "0 9,10 * * *", "", 90 * time.Minute, "2026-11-20T09:15:00Z", true, "2026-11-20T11:30:00Z"},
		{"the hour that a spring night skips", "30 2 * * *", "Europe/Berlin", 30 * time.Minute, "2026-03-28T12:00:00Z", false, ""},
	} {
		t.Run(c.why, func(t *testing.T) {
			s, err := schedule.Parse(c.expression, c.zone, c.open)
			if err != nil {
				t.Fatal(err)
			}
			isOpen, changes := s.At(at(c.now))
			if strings.Contains(c.why, "skips") {
				if isOpen || changes.IsZero() || changes.After(at("2026-03-30T00:30:00Z")) {
					t.Errorf("open %v, changes %s", isOpen, changes)
				}
				return
			}
			want := time.Time{}
			if c.changes != "" {
				want = at(c.changes)
			}
			if isOpen != c.isOpen || !changes.Equal(want) {
				t.Errorf("open %v until %s, want %v, %s", isOpen, changes.UTC(), c.isOpen, want)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct{ expression, zone, want string }{
		{"0 9 * *", "", "cron expression"},
		{"0 25 * * *", "", "cron expression"},
		{"@daily", "", "five fields"},
		{"TZ=UTC 0 9 * * *", "", "five fields"},
		{"0 9 30 2 *", "", "never comes"},
		{"0 9 * * *", "Mars/Olympus", "IANA name"},
		{"0 9 * * *", "Local", "every machine"},
		{"0 9 * * *", "../../etc/passwd", "IANA name"},
	} {
		if _, err := schedule.Parse(c.expression, c.zone, time.Hour); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q in %q: %v, want %q", c.expression, c.zone, err, c.want)
		}
	}
	if _, err := schedule.Parse("0 9 * * *", "", 0); err == nil {
		t.Error("a window of no length")
	}
}

// TestAtIsTrueUntilItChanges: what is said of now holds until the instant that
// is named, and not at it.
func TestAtIsTrueUntilItChanges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, err := schedule.Parse(
			rapid.SampledFrom([]string{"*/15 * * * *", "0 9-17 * * 1-5", "30 22 * * 0", "0 0 1,15 * *", "7 3 29 2 *"}).Draw(t, "expression"),
			rapid.SampledFrom([]string{"", "Europe/Berlin", "America/New_York", "Asia/Kolkata"}).Draw(t, "zone"),
			time.Duration(rapid.IntRange(1, 4*24*60).Draw(t, "minutes"))*time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		now := at("2026-01-01T00:00:00Z").Add(time.Duration(rapid.IntRange(0, 400*24*3600).Draw(t, "second")) * time.Second)
		isOpen, changes := s.At(now)
		if changes.IsZero() {
			return
		}
		if !changes.After(now) {
			t.Fatalf("at %s it changes at %s", now, changes)
		}
		between := now.Add(time.Duration(rapid.Int64Range(0, int64(changes.Sub(now)-1)).Draw(t, "between")))
		if got, _ := s.At(between); got != isOpen {
			t.Fatalf("at %s open %v until %s, at %s open %v", now, isOpen, changes, between, got)
		}
		if got, _ := s.At(changes); got == isOpen {
			t.Fatalf("open %v at %s, and still when it changes, at %s", isOpen, now, changes)
		}
	})
}
