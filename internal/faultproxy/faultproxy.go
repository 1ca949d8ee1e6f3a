// Package faultproxy is a TCP proxy on loopback that misbehaves on demand.
//
// It stands between a client and a real server in tests and shows what happens
// when the answer to a request that was carried out never arrives, arrives
// late, or is cut in the middle. It knows no protocol: a Fault may wait for
// some bytes of the request (say "POST /app.git/git-receive-pack") and then
// acts on what the server says after them.
package faultproxy

import (
	"bytes"
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

// Fault says how the proxy treats connections. The zero Fault passes all.
type Fault struct {
	// After arms the fault once these bytes have gone from client to server on
	// a connection; empty: armed from the first byte on.
	After []byte

	// Refuse closes new connections at once, with a reset.
	Refuse bool
	// Blackhole reads what both sides send and passes nothing on.
	Blackhole bool
	// Delay holds back each chunk of the server's answer for this long.
	Delay time.Duration
	// CutAfter closes the client's side, with a reset, when this many bytes of
	// the answer have been passed on. It acts when the answer arrives, so the
	// server has seen the whole request. 0 with Cut set: none of the answer.
	Cut      bool
	CutAfter int

	// Times limits the fault to that many connections on which it acts; 0: all.
	Times int
}

// Proxy passes connections to one target. Its methods may be called from any
// goroutine.
type Proxy struct {
	target   string
	listener net.Listener
	ctx      context.Context //nolint:containedctx // The proxy's own life, ended by Close.
	stop     context.CancelFunc
	done     sync.WaitGroup

	mu       sync.Mutex
	fault    Fault
	version  int // counts Set
	acted    int
	accepted int
	conns    map[net.Conn]struct{}
}

// Start listens on a free port of 127.0.0.1 and passes each connection to
// target ("host:port"). Close ends it.
func Start(target string) (*Proxy, error) {
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	p := &Proxy{target: target, listener: listener, ctx: ctx, stop: stop, conns: map[net.Conn]struct{}{}}
	p.done.Go(p.accept)
	return p, nil
}

// Addr returns the "127.0.0.1:port" clients dial.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Set replaces the fault. It holds for new connections and for what happens on
// open ones from now on, and starts a new count of Times and Acted.
func (p *Proxy) Set(f Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault, p.acted = f, 0
	p.version++
}

// Acted returns on how many connections the present fault has acted.
func (p *Proxy) Acted() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.acted
}

// Accepted returns how many connections clients have opened.
func (p *Proxy) Accepted() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.accepted
}

// Close stops listening, closes every connection and waits for the proxy's
// goroutines.
func (p *Proxy) Close() error {
	p.stop()
	err := p.listener.Close()
	p.mu.Lock()
	for c := range p.conns {
		_ = c.Close()
	}
	p.mu.Unlock()
	p.done.Wait()
	return err
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			continue
		}
		p.mu.Lock()
		p.accepted++
		refuse := p.fault.Refuse && p.takeLocked()
		p.mu.Unlock()
		if refuse {
			reset(client)
			continue
		}
		p.done.Go(func() { p.serve(client) })
	}
}

// takeLocked counts one more connection the fault acts on, unless its number
// is used up. The caller holds mu.
func (p *Proxy) takeLocked() bool {
	if p.fault.Times > 0 && p.acted >= p.fault.Times {
		return false
	}
	p.acted++
	return true
}

func (p *Proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ctx.Err() != nil {
		return false
	}
	p.conns[c] = struct{}{}
	return true
}

func (p *Proxy) drop(c net.Conn) {
	p.mu.Lock()
	delete(p.conns, c)
	p.mu.Unlock()
	_ = c.Close()
}

// link is one client connection and its state towards the fault.
type link struct {
	proxy          *Proxy
	client, server net.Conn

	mu      sync.Mutex
	version int    // of the fault the fields below belong to
	seen    []byte // tail of the request, to find Fault.After across reads
	armed   bool
	taken   bool // counted in Acted
	passed  int  // answer bytes since armed
}

// currentLocked returns the proxy's fault, and forgets what belongs to an
// older one. The caller holds l.mu.
func (l *link) currentLocked() Fault {
	l.proxy.mu.Lock()
	defer l.proxy.mu.Unlock()
	if l.version != l.proxy.version {
		l.version, l.seen, l.armed, l.taken, l.passed = l.proxy.version, nil, false, false, 0
	}
	return l.proxy.fault
}

func (p *Proxy) serve(client net.Conn) {
	if !p.keep(client) {
		_ = client.Close()
		return
	}
	defer p.drop(client)
	server, err := (&net.Dialer{}).DialContext(p.ctx, "tcp", p.target)
	if err != nil {
		reset(client)
		return
	}
	if !p.keep(server) {
		_ = server.Close()
		return
	}
	defer p.drop(server)
	l := &link{proxy: p, client: client, server: server}
	var both sync.WaitGroup
	both.Go(l.requests)
	l.answers()
	both.Wait()
}

// requests copies client to server and arms the fault.
func (l *link) requests() {
	defer halfClose(l.server)
	buf := make([]byte, 32<<10)
	for {
		n, err := l.client.Read(buf)
		if n > 0 {
			fault, acts := l.request(buf[:n])
			if !acts || !fault.Blackhole {
				if _, werr := l.server.Write(buf[:n]); werr != nil {
					return
				}
			}
		}
		if err != nil {
			return
		}
	}
}

// request looks for After in what the client sends and reports the fault and
// whether it acts on this connection now.
func (l *link) request(chunk []byte) (Fault, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fault := l.currentLocked()
	if !l.armed && len(fault.After) > 0 {
		l.seen = append(l.seen, chunk...)
		if bytes.Contains(l.seen, fault.After) {
			l.armed, l.passed = true, 0
		}
		if keep := len(fault.After) - 1; len(l.seen) > keep {
			l.seen = append(l.seen[:0], l.seen[len(l.seen)-keep:]...)
		}
	}
	return fault, l.actsLocked(fault)
}

// answers copies server to client through the fault.
func (l *link) answers() {
	buf := make([]byte, 32<<10)
	for {
		n, err := l.server.Read(buf)
		if n > 0 && !l.answer(buf[:n]) {
			reset(l.client)
			return
		}
		if err != nil {
			halfClose(l.client)
			return
		}
	}
}

// answer passes one chunk on and reports whether the connection goes on.
func (l *link) answer(chunk []byte) bool {
	l.mu.Lock()
	fault := l.currentLocked()
	acts := l.actsLocked(fault)
	passed := l.passed
	l.mu.Unlock()
	if !acts {
		_, err := l.client.Write(chunk)
		return err == nil
	}
	if fault.Blackhole {
		return true
	}
	if fault.Delay > 0 {
		select {
		case <-time.After(fault.Delay):
		case <-l.proxy.ctx.Done():
			return false
		}
	}
	cut := false
	if rest := fault.CutAfter - passed; fault.Cut && len(chunk) >= rest {
		chunk, cut = chunk[:max(rest, 0)], true
	}
	_, err := l.client.Write(chunk)
	l.mu.Lock()
	l.passed += len(chunk)
	l.mu.Unlock()
	return err == nil && !cut
}

// actsLocked reports whether the fault acts on this connection, counting it
// the first time. The caller holds l.mu.
func (l *link) actsLocked(fault Fault) bool {
	if !fault.Blackhole && !fault.Cut && fault.Delay == 0 {
		return false
	}
	if !l.armed && len(fault.After) > 0 {
		return false
	}
	if l.taken {
		return true
	}
	l.proxy.mu.Lock()
	defer l.proxy.mu.Unlock()
	l.taken = l.proxy.takeLocked()
	return l.taken
}

// reset closes with RST, so that the peer sees a broken connection and not a
// short answer.
func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}

func halfClose(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.CloseWrite()
	}
}
