package memory

import (
	"runtime"
	"testing"
	"time"

	testclock "k8s.io/utils/clock/testing"
)

func TestKeeper(t *testing.T) {
	const mib = 1 << 20
	type look struct {
		why        string
		allocated  uint64 // since the look before
		held       uint64
		heldAfter  uint64 // when something is given back
		wantReturn bool
	}
	k := &Keeper{Clock: testclock.NewFakeClock(time.Unix(0, 0))}
	var now Usage
	var after uint64
	returned := false
	k.Read = func() Usage { return now }
	k.Return = func() { returned, now.Held = true, after }
	for _, l := range []look{
		{why: "the start leaves garbage; it is at rest now", allocated: mib, held: 60 * mib, heldAfter: 30 * mib, wantReturn: true},
		{why: "nothing happened since", held: 30 * mib},
		{why: "work is going on", allocated: 300 * mib, held: 150 * mib},
		{why: "and goes on", allocated: 40 * mib, held: 200 * mib},
		{why: "it has ended", allocated: mib, held: 200 * mib, heldAfter: 70 * mib, wantReturn: true},
		{why: "what is held lives: collecting again brings nothing", allocated: mib, held: 70 * mib},
		{why: "little work is not worth a collection", allocated: 3 * mib, held: 74 * mib},
		{why: "until it adds up", allocated: 3 * mib, held: 79 * mib, heldAfter: 70 * mib, wantReturn: true},
	} {
		now.Allocated += l.allocated
		now.Held, after, returned = l.held, l.heldAfter, false
		k.look()
		if returned != l.wantReturn {
			t.Errorf("%s: returned %v, want %v", l.why, returned, l.wantReturn)
		}
	}
}

func TestReadKnowsTheRuntimesNames(t *testing.T) {
	before := read()
	block := make([]byte, 32<<20)
	after := read()
	if before.Held == 0 || after.Allocated-before.Allocated < uint64(len(block)) {
		t.Errorf("before %+v, after %+v", before, after)
	}
	runtime.KeepAlive(block)
}
