// Package chart renders charts/waybill with Helm's own engine, applies the
// result to a real API server, and shows that what it installs holds: the
// admission policies refuse what they should, by name of who asks and with a
// reason; the roles grant what they name and nothing by wildcard; the Pod is
// accepted where Pod Security is restricted.
package chart
