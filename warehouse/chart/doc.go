// Package chart finds out which versions of a Helm chart a Warehouse may take:
// from the index.yaml of an HTTP repository, or from the tags of an OCI registry.
//
// An index lists every version of every chart and can be tens of megabytes; it is
// fetched with a condition, once for all subscriptions of one credential, and only
// the entries of the charts that are watched are parsed.
//
// A version that somebody needs is downloaded, checked against its digest, unpacked
// in memory within limits, and kept (Fetcher).
package chart
