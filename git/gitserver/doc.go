// Package gitserver serves Git repositories over smart HTTP on loopback, for
// local mode and for tests.
//
// The protocol is spoken by git's own http-backend, run as CGI: it checks the
// expected old hash of every push under a lock, which go-git's server code does
// not. This package adds what http-backend leaves to a web server: one user
// with basic authentication, reading without credentials when that is wanted,
// pushing never without, and a count of what was asked.
package gitserver
