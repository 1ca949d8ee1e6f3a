// Package client is the Go client of the REST API. It is small: HTTP and the
// generated types, no Kubernetes libraries.
//
// Failures are typed. *Problem is the server's refusal with its stable code,
// *UnreachableError means that no answer came; ExitCode turns either into the
// exit code of the command line.
package client
