package local

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"
)

// DefaultPort is the first port when none is asked for.
const DefaultPort = 7460

// PortCount is how many consecutive ports an instance uses.
const PortCount = 5

// ports of an instance, in their order from the base.
type ports struct {
	server, registry, git, kube, etcd int
}

func portsFrom(base int) ports {
	return ports{server: base, registry: base + 1, git: base + 2, kube: base + 3, etcd: base + 4}
}

// address returns host:port on loopback.
func address(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

// PortTakenError says which ports another program listens on.
type PortTakenError struct {
	// Base is the first port that was asked for.
	Base int
	// Taken ports, in order, with what they are for: "7461 (registry)".
	Taken []string
}

// Error names the ports.
func (e *PortTakenError) Error() string {
	noun := "port"
	if len(e.Taken) > 1 {
		noun = "ports"
	}
	return fmt.Sprintf("%s %s on 127.0.0.1: taken by another program", noun, strings.Join(e.Taken, ", "))
}

// checkFree returns a PortTakenError when a port is in use. Between the check
// and the start another program may still take one; then the start fails.
func checkFree(ctx context.Context, base int, needed map[string]int) error {
	if base < 1024 || base > 65535-PortCount+1 {
		return fmt.Errorf("port %d: want 1024 to %d (%d consecutive ports are used)", base, 65535-PortCount+1, PortCount)
	}
	taken := &PortTakenError{Base: base}
	for _, name := range []string{"server", "registry", "git", "kubernetes", "etcd"} {
		port, ok := needed[name]
		if !ok {
			continue
		}
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address(port))
		if errors.Is(err, syscall.EADDRINUSE) {
			taken.Taken = append(taken.Taken, fmt.Sprintf("%d (%s)", port, name))
			continue
		}
		if err != nil {
			return fmt.Errorf("port %d: %w", port, err)
		}
		if err := l.Close(); err != nil {
			return fmt.Errorf("port %d: %w", port, err)
		}
	}
	if len(taken.Taken) > 0 {
		return taken
	}
	return nil
}

// portPatience is how long ports of killed processes may stay taken: the kernel
// closes them only with the last thread.
const portPatience = 5 * time.Second

// awaitFree is checkFree that asks again until patience is over.
func awaitFree(ctx context.Context, base int, needed map[string]int, patience time.Duration) error {
	over := time.NewTimer(patience)
	defer over.Stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := checkFree(ctx, base, needed)
		var taken *PortTakenError
		if !errors.As(err, &taken) {
			return err
		}
		select {
		case <-tick.C:
		case <-over.C:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
