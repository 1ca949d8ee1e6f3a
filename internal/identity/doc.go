// Package identity says who a person is and acts for them.
//
// Local users live in the Secret waybill-users of Waybill's Namespace (argon2id
// hashes and groups). Sessions and API tokens are opaque random values of 256
// bits; only their SHA-256 is kept, as Secrets labelled waybill.dev/session, so
// that they survive a restart, can be revoked, and end.
//
// What Waybill writes for a person it writes as that person: Impersonate is the
// only place that makes such a client. The right to impersonate is as strong as
// cluster-admin, so it refuses every user and group outside the prefix waybill:
// and adds system:authenticated, nothing else. Reviewer asks the cluster what a
// person may do.
package identity
