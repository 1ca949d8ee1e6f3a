package git

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/go-git/go-git/v5/plumbing/format/pktline"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"golang.org/x/crypto/ssh"
)

// sshWire returns the wire of an operation over SSH. It connects when first
// used.
func (m *Mirrors) sshWire(e endpoint, op string) (*wire, error) {
	w := &wire{endpoint: e, op: op, limits: m.opts.Limits, metrics: m.metrics}
	if e.SSHPrivateKey.IsEmpty() {
		return nil, w.fail(ErrAuthentication, w.who()+"; SSH needs a credential Secret with sshPrivateKey and known_hosts")
	}
	signer, err := ssh.ParsePrivateKey([]byte(e.SSHPrivateKey.Reveal()))
	var locked *ssh.PassphraseMissingError
	switch {
	case errors.As(err, &locked):
		return nil, w.fail(ErrAuthentication, w.who()+": its sshPrivateKey has a passphrase; store it without one")
	case err != nil:
		return nil, w.fail(ErrAuthentication, w.who()+": its sshPrivateKey is no private key in PEM or OpenSSH format")
	}
	hosts, err := m.knownHosts(e.KnownHosts)
	if err != nil {
		return nil, w.fail(ErrHostKey, fmt.Sprintf("known_hosts of credential %q: %v", e.CredentialName, err))
	}
	w.ssh = &sshLink{w: w, dial: m.opts.Dial, signer: signer, hosts: hosts}
	return w, nil
}

// sshLink is one connection with an SSH server, for one operation.
type sshLink struct {
	w      *wire
	dial   func(ctx context.Context, network, address string) (net.Conn, error)
	signer ssh.Signer
	hosts  *hostKeys
	client *ssh.Client
}

func (l *sshLink) close() {
	if l.client != nil {
		_ = l.client.Close()
	}
}

// connect dials, checks the host key and signs in.
func (l *sshLink) connect(ctx context.Context) error {
	if l.client != nil {
		return nil
	}
	target := l.w.endpoint.ssh
	conn, err := l.dial(ctx, "tcp", target.Address)
	if err != nil {
		return l.w.unreachable(ctx, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	var untrusted error
	asked := false // for our key: the host key is fine then
	config := &ssh.ClientConfig{
		User: target.User,
		Auth: []ssh.AuthMethod{ssh.PublicKeysCallback(func() ([]ssh.Signer, error) {
			asked = true
			return []ssh.Signer{l.signer}, nil
		})},
		HostKeyCallback: func(address string, remote net.Addr, key ssh.PublicKey) error {
			untrusted = l.hosts.check(address, remote, key)
			return untrusted
		},
		HostKeyAlgorithms: l.hosts.algorithms(target.Address, conn.RemoteAddr()),
		ClientVersion:     "SSH-2.0-waybill",
	}
	c, channels, requests, err := ssh.NewClientConn(conn, target.Address, config)
	if err == nil {
		l.client = ssh.NewClient(c, channels, requests)
		return nil
	}
	_ = conn.Close()
	var (
		netErr      net.Error
		negotiation *ssh.AlgorithmNegotiationError
	)
	var e *Error
	switch {
	case untrusted != nil:
		e = l.w.fail(ErrHostKey, "")
		e.Detail = untrusted.Error() // our own words, and longer than a server's may be
	case ctx.Err() != nil:
		e = l.w.unreachable(ctx, err)
	case errors.As(err, &negotiation):
		e = l.w.fail(ErrNotGit, "the SSH server offers no algorithm that is still safe")
	case asked && !errors.As(err, &netErr) && !errors.Is(err, io.EOF):
		e = l.w.fail(ErrAuthentication, fmt.Sprintf("the server does not accept the key %s for user %q, %s", ssh.FingerprintSHA256(l.signer.PublicKey()), target.User, l.w.who()))
	default:
		e = l.w.unreachable(ctx, err)
	}
	e.refused = true // nothing was asked yet
	return e
}

// advertiseSSH starts a service, which begins with a listing.
func (w *wire) advertiseSSH(ctx context.Context, service string) (*listing, error) {
	if err := w.ssh.connect(ctx); err != nil {
		return nil, err
	}
	client := w.ssh.client
	stop := context.AfterFunc(ctx, func() { _ = client.Close() })
	defer stop()
	s, err := newSSHSession(w, service)
	if err != nil {
		return nil, w.unreachable(ctx, err)
	}
	body := &limited{r: s.out, left: w.limits.ListBytes}
	adv := packp.NewAdvRefs()
	err = adv.Decode(body)
	if err == nil || errors.Is(err, packp.ErrEmptyAdvRefs) { // the latter: an empty repository
		return &listing{AdvRefs: adv, session: s}, nil
	}
	defer s.close()
	var said *pktline.ErrorLine
	switch {
	case errors.As(err, &said):
		return nil, w.fail(ErrNotFound, w.who()+"; the server says: "+said.Text)
	case body.exceeded || ctx.Err() != nil:
		return nil, w.broken(ctx, body, err)
	case errors.Is(err, packp.ErrEmptyInput):
		return nil, s.ended(ctx)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, w.broken(ctx, body, err)
	default:
		return nil, w.fail(ErrNotGit, "the server's program prints something else; is this the address of a repository?")
	}
}

// exitNotFound and the one below it are what shells answer for programs that
// are not there or cannot be run (POSIX).
const exitNotFound = 127

// sshSession is one run of a service on the server.
type sshSession struct {
	w       *wire
	session *ssh.Session
	in      io.WriteCloser
	out     *bufio.Reader
	stderr  *tail
}

func newSSHSession(w *wire, service string) (*sshSession, error) {
	session, err := w.ssh.client.NewSession()
	if err != nil {
		return nil, err //nolint:wrapcheck // the caller classifies it
	}
	s := &sshSession{w: w, session: session, stderr: &tail{}}
	session.Stderr = s.stderr
	if s.in, err = session.StdinPipe(); err == nil {
		var out io.Reader
		if out, err = session.StdoutPipe(); err == nil {
			s.out = bufio.NewReader(out)
			// repourl.ParseGit refuses paths with quotes.
			err = session.Start(service + " '" + w.endpoint.ssh.Path + "'")
		}
	}
	if err != nil {
		_ = session.Close()
		return nil, err //nolint:wrapcheck // the caller classifies it
	}
	return s, nil
}

func (s *sshSession) close() { _ = s.session.Close() }

// ended says why a service ended without a listing: it did not find the
// repository, or may not show it.
func (s *sshSession) ended(ctx context.Context) error {
	err := s.session.Wait()
	var exit *ssh.ExitError
	if !errors.As(err, &exit) {
		return s.w.unreachable(ctx, io.ErrUnexpectedEOF)
	}
	if exit.ExitStatus() == exitNotFound || exit.ExitStatus() == exitNotFound-1 {
		return s.w.fail(ErrNotGit, "the server has no Git")
	}
	detail := s.w.who()
	if said := oneLine(s.stderr.String()); said != "" {
		detail += "; the server says: " + said
	}
	return s.w.fail(ErrNotFound, detail)
}

// send writes the request and returns what the service answers.
func (s *sshSession) send(ctx context.Context, request []byte) (io.ReadCloser, error) {
	client := s.w.ssh.client
	stop := context.AfterFunc(ctx, func() { _ = client.Close() })
	_, err := s.in.Write(request)
	if err == nil {
		err = s.in.Close()
	}
	if err != nil && !errors.Is(err, io.EOF) { // EOF: it stopped listening and may have said why
		stop()
		s.close()
		return nil, s.w.unreachable(ctx, err)
	}
	return &sshAnswer{Reader: s.out, close: func() { stop(); s.close() }}, nil
}

// sshAnswer is the rest of what a service prints.
type sshAnswer struct {
	io.Reader
	close func()
}

func (a *sshAnswer) Close() error {
	a.close()
	return nil
}

// tail keeps the last of what a server prints for people.
type tail struct {
	mu   sync.Mutex
	last []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = append(t.last, p...)
	if over := len(t.last) - maxDetailBytes; over > 0 {
		t.last = t.last[over:]
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.ToValidUTF8(t.last, nil))
}
