package freeaddr

import (
	"net"
	"testing"
)

func TestLoopback(t *testing.T) {
	seen := map[string]bool{}
	for range 50 {
		address, err := Loopback()
		if err != nil {
			t.Fatal(err)
		}
		if seen[address] {
			t.Fatalf("%s twice", address)
		}
		seen[address] = true
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
	}
}
