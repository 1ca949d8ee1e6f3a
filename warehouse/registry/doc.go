// Package registry asks OCI registries which tags there are and what they point
// at, as cheaply as the protocol allows.
//
//	Client --one per process
//	  session --one per (registry, credential): authentication, back-off
//	    repository --one per repository: the last listing and its validators
//	  cache --tag -> digest and digest -> metadata, kept on disk for good
//
// What a poll costs: nothing when another with the same credential asked within
// the interval; one request when the listing did not change and the registry serves
// it in one page; one for each page otherwise; then one to three for each tag never
// seen before. A tag is resolved once, for good, over restarts. Tags that move are
// asked for at every poll if the subscription calls them mutable; of all others, 25
// of a repository are asked for again every hour.
//
// Who asks too much is told by the registry: 429, 5xx, Retry-After and the
// RateLimit headers lower how many requests run at a time and spread the polls,
// until it answers again.
//
// What a registry cannot make us do: send a credential to another host, follow a
// Link or redirect elsewhere, list without end, hold more than the limits in
// memory, or believe a digest that does not match the bytes.
//
// Every error is an *Error of one of the kinds below, says which credential was
// used by the name of its Secret, and never contains it.
package registry
