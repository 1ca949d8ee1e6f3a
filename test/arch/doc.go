// Package arch holds the rules of the repository as tests: which package may
// import which, where the clock and the environment are read, what no file
// may contain, and that pages agree with the code.
//
// It reads `go list -json ./...`, the files that Git knows, and nothing else. A
// broken rule is one sentence that says what to do. The layers are data
// (layers.go); ARCHITECTURE.md shows them in a table that
//
//	go test ./test/arch -update
//
// writes anew.
package arch
