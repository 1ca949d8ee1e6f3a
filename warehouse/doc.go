// Package warehouse decides what a Warehouse takes from its registries and what
// Freight it makes of it. It is pure: it lists nothing, asks nothing and reads
// no clock.
//
//	spec.subscriptions[i] -- Compile --> Policy
//	tags of the registry  -- Policy.Order --> tags worth resolving, newest first
//	resolved images       -- Policy.Select --> candidates, newest first
//	candidates of all     -- Newest, BuildFreight --> one Freight, or nothing new
//
// Invariants:
//
//   - The name of a Freight is the digest of its content, so the same versions
//     are the same object, however often and by whomever they are found.
//   - Orders are total: the order in which a registry lists tags never matters.
//   - A subscription that cannot be polled keeps its last candidates, and only
//     its own status says so.
package warehouse
