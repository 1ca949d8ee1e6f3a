// Package outbound is the one way out: the guarded HTTP transport under Git,
// OCI, Helm, HTTP steps, webhooks, OIDC and notifications.
//
// What it holds, whatever client is built on it:
//
//   - The address that is really connected to is judged, after name resolution,
//     so a name that changes its answer between check and use gains nothing.
//   - Link-local, metadata, multicast, unspecified and reserved addresses are
//     refused in every spelling (IPv4 inside IPv6, NAT64, 6to4, Teredo), and
//     so are loopback, private ranges and our own API unless the Policy says
//     otherwise.
//   - A redirect stays on its host and never goes from https to http. The rule
//     sits in RoundTrip and reads the request chain, so that it holds even for a
//     library that brings its own http.Client.
//   - Plain http needs an explicit permission, and URLs with user information
//     are refused without repeating them.
//   - Connecting, the TLS handshake and the wait for response headers have
//     limits. The body is limited by the caller with ReadAll or LimitBody, and
//     its time by the request's context.
package outbound
