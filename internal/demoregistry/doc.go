// Package demoregistry is an OCI registry on a loopback port: the one of the
// demo, and, through warehouse/registrytest, the one of the tests.
//
// The storage protocol is go-containerregistry's pkg/registry. What that lacks
// is added in front of it: bearer tokens or basic authentication, pages of tags
// with Link headers, ETags, data that survives a restart, counters and faults.
//
// With a directory, blobs are files and manifests are lines of an append-only
// log that is replayed at start; a last line torn by a crash is dropped.
package demoregistry
