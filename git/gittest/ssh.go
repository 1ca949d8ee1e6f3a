package gittest

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// SSH is an SSH server in front of a Server's repositories: real
// git-upload-pack and git-receive-pack, for one user key.
type SSH struct {
	// PrivateKey is the key the server accepts, in OpenSSH format.
	PrivateKey string
	// KnownHosts is the line that makes a client trust the server.
	KnownHosts string

	server   *Server
	listener net.Listener

	mu       sync.Mutex
	signers  []ssh.Signer
	conns    map[net.Conn]struct{}
	sessions int
	hook     func(command string, channel ssh.Channel) bool
	wg       sync.WaitGroup
}

// NewSSH starts an SSH server on loopback that lives as long as the test.
func NewSSH(t testing.TB, server *Server) *SSH {
	t.Helper()
	private, signer := NewSSHKey(t)
	_, host := NewSSHKey(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &SSH{PrivateKey: private, server: server, listener: listener, conns: map[net.Conn]struct{}{}}
	s.SetHostKey(host)
	accepted := string(signer.PublicKey().Marshal())
	config := func() *ssh.ServerConfig {
		c := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if string(key.Marshal()) != accepted {
				return nil, errors.New("unknown key")
			}
			return &ssh.Permissions{}, nil
		}}
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, signer := range s.signers {
			c.AddHostKey(signer)
		}
		return c
	}
	s.wg.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns[conn] = struct{}{}
			s.mu.Unlock()
			s.wg.Go(func() { s.serve(conn, config()) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		s.mu.Lock()
		for conn := range s.conns {
			_ = conn.Close()
		}
		s.mu.Unlock()
		s.wg.Wait()
	})
	return s
}

// NewSSHKey returns a new Ed25519 key, in OpenSSH format and to use.
func NewSSHKey(t testing.TB) (string, ssh.Signer) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(block)), signer
}

// SetHostKey changes the keys the server shows from the next connection on;
// KnownHosts names the first.
func (s *SSH) SetHostKey(signers ...ssh.Signer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.signers = signers
	s.KnownHosts = knownhosts.Line([]string{s.Addr()}, signers[0].PublicKey()) + "\n"
}

// OnCommand is asked before a command runs; true means that it dealt with the
// channel itself.
func (s *SSH) OnCommand(hook func(command string, channel ssh.Channel) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hook = hook
}

// Addr returns the "host:port" the server listens on.
func (s *SSH) Addr() string { return s.listener.Addr().String() }

// URL returns the SSH address of the named repository.
func (s *SSH) URL(repo string) string { return "ssh://git@" + s.Addr() + "/" + repo + ".git" }

// Commands returns how many commands clients ran.
func (s *SSH) Commands() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions
}

func (s *SSH) serve(conn net.Conn, config *ssh.ServerConfig) {
	defer func() {
		_ = conn.Close()
		s.mu.Lock()
		delete(s.conns, conn)
		s.mu.Unlock()
	}()
	_, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for c := range channels {
		if c.ChannelType() != "session" {
			_ = c.Reject(ssh.UnknownChannelType, "sessions only")
			continue
		}
		channel, requests, err := c.Accept()
		if err != nil {
			return
		}
		s.wg.Go(func() { s.session(channel, requests) })
	}
}

func (s *SSH) session(channel ssh.Channel, requests <-chan *ssh.Request) {
	defer func() { _ = channel.Close() }()
	for r := range requests {
		var exec struct{ Command string }
		if r.Type != "exec" || ssh.Unmarshal(r.Payload, &exec) != nil {
			_ = r.Reply(false, nil)
			continue
		}
		_ = r.Reply(true, nil)
		s.mu.Lock()
		s.sessions++
		hook := s.hook
		s.mu.Unlock()
		go ssh.DiscardRequests(requests)
		if hook != nil && hook(exec.Command, channel) {
			return
		}
		status := s.run(exec.Command, channel, channel)
		_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{status}))
		return
	}
}

// RunSilently runs a command, passes its listing on, and keeps what comes after
// it to itself: the answer to a push is lost.
func (s *SSH) RunSilently(command string, channel ssh.Channel) {
	s.run(command, channel, &untilFlush{w: channel})
}

// untilFlush passes on what ends with a flush packet, once.
type untilFlush struct {
	w    io.Writer
	done bool
}

func (u *untilFlush) Write(p []byte) (int, error) {
	if u.done {
		return len(p), nil
	}
	u.done = strings.HasSuffix(string(p), "0000")
	return u.w.Write(p)
}

// run does what a Git server's shell does: two programs, nothing else.
func (s *SSH) run(command string, channel ssh.Channel, out io.Writer) uint32 {
	service, path, _ := strings.Cut(command, " ")
	name := strings.TrimSuffix(strings.Trim(strings.Trim(path, "'"), "/"), ".git")
	if service != "git-upload-pack" && service != "git-receive-pack" {
		return 127
	}
	if name != filepath.Base(name) {
		_, _ = io.WriteString(channel.Stderr(), "not a repository\n")
		return 128
	}
	cmd := exec.Command("git", strings.TrimPrefix(service, "git-"), filepath.Join(s.server.Dir(), name+".git"))
	cmd.Env = []string{"PATH=/usr/bin:/bin:/usr/local/bin", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "LC_ALL=C"}
	cmd.Stdout, cmd.Stderr = out, channel.Stderr()
	in, err := cmd.StdinPipe() // not cmd.Stdin: Wait would wait for the client to hang up
	if err != nil || cmd.Start() != nil {
		return 126
	}
	go func() {
		_, _ = io.Copy(in, channel)
		_ = in.Close()
	}()
	if err := cmd.Wait(); err != nil {
		return 128
	}
	return 0
}
