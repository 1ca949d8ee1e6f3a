// Package local tries local mode the way its users do: the built programs, the
// demo, the command line, kubectl and git, and nothing else. It is the script
// of the first promise: a tag travels to production, what hands change is
// healed, what is broken is taken back.
package local
