// Package freeaddr finds addresses for programs that are started by local mode, tests and benchmarks, and that are told
// where to listen.
//
// Asking the kernel for a free port and closing it again is a race: the kernel gives the port to the next that asks, and
// a test that starts a dozen servers asks often. These ports are below those that it gives away by itself.
package freeaddr

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync/atomic"
)

const (
	// lowest and count are ports that neither Linux (from 32768) nor macOS (from 49152) gives to who asks for any, and
	// that local mode does not use.
	lowest, count = 10_000, 10_000
)

var (
	// begin differs between processes that run side by side; looked counts the ports that this one has looked at.
	begin  = rand.Int64N(count)
	looked atomic.Int64
)

// Loopback returns an address of loopback on which nobody listens, and that it has not returned lately. The error says
// that there is none.
func Loopback() (string, error) {
	var last error
	for range count {
		address := fmt.Sprintf("127.0.0.1:%d", lowest+(begin+looked.Add(1))%count)
		l, err := net.Listen("tcp", address)
		if err != nil {
			last = err
			continue
		}
		return address, l.Close()
	}
	return "", fmt.Errorf("no port of loopback is free: %w", last)
}

// For is Loopback for a test or benchmark t, which ends when there is none.
func For(t interface {
	Helper()
	Fatal(args ...any)
}) string {
	t.Helper()
	address, err := Loopback()
	if err != nil {
		t.Fatal(err)
	}
	return address
}
