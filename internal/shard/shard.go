// Package shard shares work out among members without anybody assigning it.
package shard

import (
	"crypto/sha256"
	"encoding/binary"
)

// Owner returns the member that has key, by rendezvous hashing: of the members the one
// whose hash together with key is the highest. Whoever knows the same members comes to
// the same answer, whatever their order; a member that comes takes keys from all others
// alike, one that goes leaves its own to all others, and no other key moves. Without
// members it is "".
func Owner(key string, members []string) string {
	var owner string
	var highest uint64
	for _, m := range members {
		w := weight(m, key)
		if owner == "" || w > highest || w == highest && m > owner {
			owner, highest = m, w
		}
	}
	return owner
}

// weight is the same on every machine and in every version.
func weight(member, key string) uint64 {
	sum := sha256.Sum256([]byte(member + "\x00" + key))
	return binary.BigEndian.Uint64(sum[:8])
}
