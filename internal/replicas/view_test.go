package replicas

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// TestView feeds a replica's lists, one a second, and asks what it makes of them. A
// Lease is written id:version, with ! when it is released and +epoch when that is not 1.
func TestView(t *testing.T) {
	a := v1alpha1.Holder{Replica: "a", Epoch: 1}
	every := func(n int, leases string) []string {
		out := make([]string, n)
		for i := range out {
			out[i] = leases
		}
		return out
	}
	renewed := make([]string, 30)
	for i := range renewed {
		renewed[i] = "a:" + string(rune('a'+i))
	}
	for _, c := range []struct {
		why    string
		lists  []string
		holder v1alpha1.Holder
		live   string
		isGone bool
	}{
		{"it renews its Lease", renewed, a, "a", false},
		{"its Lease is not over yet", every(15, "a:1"), a, "a", false},
		{"its Lease is over", every(16, "a:1"), a, "", true},
		{"one that died is back in the same epoch", append(every(20, "a:1"), "a:2"), a, "a", false},
		{"one that died is back in a new epoch", append(every(20, "a:1"), "a:2+2"), a, "a", true},
		{"what it holds in the new epoch is its own", append(every(20, "a:1"), "a:2+2"), v1alpha1.Holder{Replica: "a", Epoch: 2}, "a", false},
		{"it has left", []string{"a:1", "a:2!"}, a, "", true},
		{"it has left, and its Lease is gone", []string{"a:1", "a:2!", ""}, a, "", true},
		{"somebody deleted its Lease: it makes another", append([]string{"a:1"}, every(10, "")...), a, "", false},
		{"somebody deleted its Lease, and it does not make another", append([]string{"a:1"}, every(16, "")...), a, "", true},
		{"it made another", append(append([]string{"a:1"}, every(10, "")...), "a:2"), a, "a", false},
		{"nobody knows it, and we came a moment ago", every(15, "b:1"), a, "b", false},
		{"nobody knows it, and it had its time", every(16, "b:1"), a, "", true},
		{"nothing was read yet", nil, a, "", false},
		{"dead for very long, and its Lease deleted", append(every(160, "a:1"), every(400, "")...), a, "", true},
	} {
		v := view{duration: 15 * time.Second, seen: map[string]*sighting{}}
		now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		for _, list := range c.lists {
			v.listed(now, parse(list))
			now = now.Add(time.Second)
		}
		if diff := cmp.Diff(c.live, strings.Join(v.live(), " ")); diff != "" {
			t.Errorf("%s: live (-want +got):\n%s", c.why, diff)
		}
		if got := v.isGone(c.holder); got != c.isGone {
			t.Errorf("%s: gone is %v", c.why, got)
		}
	}
}

func parse(list string) []record {
	var out []record
	for text := range strings.FieldsSeq(list) {
		var r record
		r.id, r.version, _ = strings.Cut(text, ":")
		r.version, r.isReleased = strings.CutSuffix(r.version, "!")
		r.version, r.epoch = strings.TrimSuffix(r.version, "+2"), 1
		if strings.HasSuffix(text, "+2") {
			r.epoch = 2
		}
		out = append(out, r)
	}
	return out
}

// What is left over goes, long after anybody could hold something by it.
func TestLeftOver(t *testing.T) {
	v := view{duration: time.Second, seen: map[string]*sighting{}}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for i := range 12 {
		v.listed(now, parse("a:1 b:2! c:"+string(rune('a'+i))))
		if n := len(v.leftOver()); i <= 10 && n != 0 || i > 10 && n != 2 {
			t.Errorf("after %d s %d Leases are left over", i, n)
		}
		now = now.Add(time.Second)
	}
}

func TestNewID(t *testing.T) {
	for host, want := range map[string]string{
		"waybill-6d5f-x": "waybill-6d5f-x-", "Ada's Laptop.local": "ada-s-laptop-local-", "": "waybilld-", "...": "waybilld-",
		strings.Repeat("h", 300): strings.Repeat("h", maxHost) + "-",
	} {
		id := NewID(host)
		if !strings.HasPrefix(id, want) || len(id) != len(want)+10 || id == NewID(host) {
			t.Errorf("%q: %q", host, id)
		}
	}
}
