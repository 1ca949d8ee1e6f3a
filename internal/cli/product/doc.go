// Package product keeps what the command line says on the real product: the
// built programs, a control plane, a Git server and a registry. What commands
// print for given answers is tested in package cli.
package product
