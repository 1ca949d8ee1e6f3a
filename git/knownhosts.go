package git

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// hostKeys are the host keys one credential trusts.
type hostKeys struct {
	callback ssh.HostKeyCallback
	hasCA    bool
}

// knownHosts reads a Secret's known_hosts. Nil is no host at all.
func (m *Mirrors) knownHosts(text []byte) (*hostKeys, error) {
	// The library reads files only.
	f, err := os.CreateTemp(m.opts.Dir, "known-hosts-")
	if err != nil {
		return nil, errors.New("no room on disk to read it")
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.Write(text)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, errors.New("no room on disk to read it")
	}
	callback, err := knownhosts.New(f.Name())
	if err != nil {
		return nil, errors.New("a line is not in OpenSSH's format")
	}
	return &hostKeys{callback: callback, hasCA: bytes.Contains(text, []byte("@cert-authority"))}, nil
}

// check returns nil for a key that is trusted for the address. The error is for
// the person who has to decide: it shows the key that the server has, and the
// line that would make it trusted.
func (h *hostKeys) check(address string, remote net.Addr, key ssh.PublicKey) error {
	err := h.callback(address, remote, key)
	if err == nil {
		return nil
	}
	host := knownhosts.Normalize(address)
	var revoked *knownhosts.RevokedError
	if errors.As(err, &revoked) {
		return fmt.Errorf("the key of %q is marked @revoked in known_hosts", host)
	}
	what := "is not in known_hosts"
	var unknown *knownhosts.KeyError
	if errors.As(err, &unknown) && slices.ContainsFunc(unknown.Want, func(k knownhosts.KnownKey) bool { return k.Key.Type() == key.Type() }) {
		what = "is another than the one in known_hosts"
	}
	return fmt.Errorf("the key of %q %s: it is %s; if that is right, put this line into known_hosts of the credential Secret: %s",
		host, what, ssh.FingerprintSHA256(key), knownhosts.Line([]string{host}, key))
}

// algorithms returns the host key algorithms to offer: those of keys that are
// known for the address first, so that a server with several keys shows one we
// can check.
func (h *hostKeys) algorithms(address string, remote net.Addr) []string {
	supported := ssh.SupportedAlgorithms().HostKeys
	known := map[string]bool{}
	var answer *knownhosts.KeyError
	if errors.As(h.callback(address, remote, noKey{}), &answer) {
		for _, k := range answer.Want {
			known[k.Key.Type()] = true
		}
	}
	rank := func(algorithm string) int {
		isCert := strings.Contains(algorithm, "-cert-")
		switch {
		case isCert && h.hasCA:
			return 0
		case isCert:
			return 4
		case known[keyType(algorithm)]:
			return 1
		case algorithm == ssh.KeyAlgoED25519: // the shortest to show and to copy
			return 2
		default:
			return 3
		}
	}
	out := slices.Clone(supported)
	slices.SortStableFunc(out, func(a, b string) int { return rank(a) - rank(b) })
	return out
}

// keyType returns the type of the keys an algorithm is for.
func keyType(algorithm string) string {
	if algorithm == ssh.KeyAlgoRSASHA256 || algorithm == ssh.KeyAlgoRSASHA512 {
		return ssh.KeyAlgoRSA
	}
	return algorithm
}

// noKey is a key nobody has; asking for it lists those that are known.
type noKey struct{}

func (noKey) Type() string                        { return "none" }
func (noKey) Marshal() []byte                     { return []byte("none") }
func (noKey) Verify([]byte, *ssh.Signature) error { return errors.New("no key") }
