package git

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/waybill-dev/waybill/internal/repourl"
	"github.com/waybill-dev/waybill/internal/secret"
)

// Remote is a repository and how to sign in to it.
type Remote struct {
	// URL is https (or http where Options allow it), without user info; or SSH,
	// as ssh://[user@]host[:port]/path or as user@host:path, without password.
	URL string
	// Username and Password are sent to the URL's host; both empty: anonymous.
	// A token goes into Password; an empty Username becomes "git" then. They
	// are for http and https only.
	Username string
	Password secret.Text
	// CABundle holds PEM certificates to trust in addition to the system's.
	CABundle []byte
	// SSHPrivateKey (PEM or OpenSSH format, no passphrase) signs in to an SSH
	// server whose host key is in KnownHosts (OpenSSH format). No other host
	// key is ever accepted.
	SSHPrivateKey secret.Text
	KnownHosts    []byte
	// CredentialName is the "namespace/name" of the Secret the credentials are
	// from, for errors; it also keeps mirrors of different owners apart. Empty
	// for anonymous.
	CredentialName string
}

// endpoint is a checked Remote.
type endpoint struct {
	Remote
	base       string // to append /info/refs to
	normalized string // to compare and to show
	ssh        *repourl.SSHAddress
}

// check returns the endpoint, or an ErrInvalidRemote. No error repeats a URL
// that could hold a password.
func (r Remote) check(allowHTTP bool) (endpoint, error) {
	e := endpoint{Remote: r}
	invalid := func(why string) (endpoint, error) { return e, fmt.Errorf("%w: %s", ErrInvalidRemote, why) }
	address, err := repourl.ParseGit(r.URL)
	switch {
	case err != nil:
		return invalid(err.Error())
	case address.URL != nil && address.URL.Scheme == "http" && !allowHTTP:
		return invalid(fmt.Sprintf("%q is not encrypted; plain HTTP is off", address.Normalized))
	case strings.ContainsAny(r.Username, ":\r\n"):
		return invalid("the user name contains a colon or a line break")
	}
	e.normalized, e.ssh = address.Normalized, address.SSH
	if address.URL != nil {
		e.base = address.URL.String()
	}
	return e, nil
}

// host is the server, for metrics.
func (e endpoint) host() string {
	host, _, _ := repourl.HostPath(e.normalized)
	return host
}

// anonymous reports whether no credentials are sent.
func (e endpoint) anonymous() bool {
	if e.ssh != nil {
		return e.SSHPrivateKey.IsEmpty()
	}
	return e.Username == "" && e.Password.IsEmpty()
}

// key names the mirror of this endpoint on disk. The password is not part of
// it: a rotated one keeps the mirror, and nothing about it reaches the disk.
func (e endpoint) key() string {
	parts := []string{"1", e.normalized, e.CredentialName, e.Username}
	if e.ssh != nil {
		// user@host:path is below the user's home there, ssh://user@host/path is
		// not, although both have one normal form.
		parts = append(parts, e.ssh.Path)
	}
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:16])
}

// who names the credentials for an error.
func (e endpoint) who() string {
	switch {
	case e.anonymous() && e.CredentialName != "":
		return fmt.Sprintf("without credentials (credential %q has none of this kind)", e.CredentialName)
	case e.anonymous():
		return "without credentials (no credential matches this URL)"
	case e.CredentialName != "":
		return fmt.Sprintf("with credential %q", e.CredentialName)
	default:
		return fmt.Sprintf("as user %q", e.Username)
	}
}
