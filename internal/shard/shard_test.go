package shard_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/waybill-dev/waybill/internal/shard"
)

// drawn are some members and keys.
func drawn(t *rapid.T) (members, keys []string) {
	id := rapid.StringMatching(`[a-z0-9-]{1,20}`)
	members = rapid.SliceOfNDistinct(id, 1, 12, rapid.ID).Draw(t, "members")
	keys = rapid.SliceOfN(rapid.StringMatching(`[a-z]{1,8}/[a-z]{1,8}/[a-z]{1,8}`), 0, 50).Draw(t, "keys")
	return members, keys
}

// Everybody comes to the same answer, which is a member: shares are disjoint and
// complete.
func TestOwnerIsOneMember(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members, keys := drawn(t)
		shuffled := slices.Clone(members)
		rand.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		for _, key := range keys {
			owner := shard.Owner(key, members)
			if !slices.Contains(members, owner) {
				t.Fatalf("%q belongs to %q, which is none of %q", key, owner, members)
			}
			if other := shard.Owner(key, shuffled); other != owner {
				t.Fatalf("%q belongs to %q, and in another order to %q", key, owner, other)
			}
		}
	})
}

// A member that comes takes keys and moves no others; read backwards, one that goes
// leaves its own and moves no others.
func TestOwnerMovesOnlyWhatItMust(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members, keys := drawn(t)
		comes := rapid.StringMatching(`[A-Z]{1,20}`).Draw(t, "comes")
		for _, key := range keys {
			before, after := shard.Owner(key, members), shard.Owner(key, append(slices.Clone(members), comes))
			if after != before && after != comes {
				t.Fatalf("%q went from %q to %q when %q came", key, before, after, comes)
			}
		}
	})
}

func TestOwnerIsFair(t *testing.T) {
	members := []string{"waybill-6d5f-a", "waybill-6d5f-b", "waybill-6d5f-c", "waybill-6d5f-d"}
	count := map[string]int{}
	const keys = 4000
	for i := range keys {
		count[shard.Owner(fmt.Sprintf("in-cluster/team-%d/app-%d", i%40, i), members)]++
	}
	for _, m := range members {
		if n := count[m]; n < keys/5 || n > keys*3/10 {
			t.Errorf("%s has %d of %d", m, n, keys)
		}
	}
}

func TestOwnerWithoutMembers(t *testing.T) {
	if owner := shard.Owner("a", nil); owner != "" {
		t.Errorf("%q", owner)
	}
}
