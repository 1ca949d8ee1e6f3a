// Package e2e runs the whole product: the real waybilld binary as a child
// process, on a real control plane, with a real Git server over smart HTTP and
// a real registry with bearer tokens. Nothing in it is simulated but the nodes
// (kwok).
package e2e
