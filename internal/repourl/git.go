package repourl

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
)

// GitAddress is the address of a Git repository that Waybill speaks to.
type GitAddress struct {
	// Normalized is what Normalize returns: to compare and to show.
	Normalized string
	// URL is an http or https address without a trailing slash; nil for SSH.
	URL *url.URL
	// SSH is where an SSH address leads; nil for http and https.
	SSH *SSHAddress
}

// SSHAddress is where an SSH address leads.
type SSHAddress struct {
	User string
	// Address is host:port.
	Address string
	// Path is as the server reads it: relative ones are below the user's home.
	Path string
}

// ParseGit reads http://, https:// and ssh:// addresses and user@host:path. It
// is the one place that says which address of a Git repository is right. No
// error repeats what could hold a password.
func ParseGit(raw string) (GitAddress, error) {
	raw = strings.TrimSpace(raw)
	if isSSH(raw) {
		ssh, err := parseSSH(raw)
		if err != nil {
			return GitAddress{}, err
		}
		n, err := Normalize(raw)
		if err != nil {
			return GitAddress{}, errors.New("it cannot be parsed")
		}
		return GitAddress{Normalized: n, SSH: ssh}, nil
	}
	if !strings.Contains(raw, "://") {
		return GitAddress{}, errors.New("it has no scheme; write https://HOST/PATH, or USER@HOST:PATH for SSH")
	}
	normalized, err := Normalize(raw)
	u, parseErr := url.Parse(raw)
	switch {
	case errors.Is(err, ErrUserInfo):
		return GitAddress{}, ErrUserInfo
	case err != nil || parseErr != nil:
		return GitAddress{}, errors.New("it cannot be parsed")
	case u.User != nil:
		return GitAddress{}, ErrUserInfo
	case u.Scheme != "https" && u.Scheme != "http":
		return GitAddress{}, fmt.Errorf("scheme %q is not supported; use https or ssh", u.Scheme)
	case u.Hostname() == "" || strings.Trim(u.Path, "/") == "":
		return GitAddress{}, fmt.Errorf("%q has no host or no path", normalized)
	case u.RawQuery != "" || u.Fragment != "" || u.ForceQuery:
		return GitAddress{}, fmt.Errorf("%q must have neither query nor fragment", normalized)
	}
	u.Path = strings.TrimRight(u.Path, "/")
	u.RawPath = strings.TrimRight(u.RawPath, "/")
	return GitAddress{Normalized: normalized, URL: u}, nil
}

func isSSH(raw string) bool {
	_, _, _, isSCP := SplitSCP(raw)
	return isSCP || len(raw) >= 6 && strings.EqualFold(raw[:6], "ssh://")
}

// parseSSH reads ssh://[user@]host[:port]/path and user@host:path. What a shell
// or an option parser on the other side could misread is refused.
func parseSSH(raw string) (*SSHAddress, error) {
	t := &SSHAddress{}
	var host, port string
	if user, h, path, isSCP := SplitSCP(raw); isSCP {
		t.User, host, t.Path = user, strings.ToLower(h), path
	} else {
		u, err := url.Parse(raw)
		if err != nil {
			return nil, errors.New("it cannot be parsed")
		}
		if _, hasPassword := u.User.Password(); hasPassword {
			return nil, ErrUserInfo
		}
		if u.RawQuery != "" || u.Fragment != "" || u.ForceQuery {
			return nil, errors.New("it must have neither query nor fragment")
		}
		t.User, host, port, t.Path = u.User.Username(), strings.ToLower(u.Hostname()), u.Port(), u.Path
	}
	if t.User == "" {
		t.User = "git"
	}
	if port == "" {
		port = "22"
	}
	t.Address = net.JoinHostPort(host, port)
	switch {
	case host == "" || strings.Trim(t.Path, "/") == "":
		return nil, errors.New("it has no host or no path")
	case strings.HasPrefix(host, "-") || strings.HasPrefix(t.Path, "-") || strings.HasPrefix(t.User, "-"):
		return nil, errors.New("host, user and path must not begin with a dash")
	case strings.ContainsFunc(t.User+host+t.Path, func(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune("'\"\\!`$", r) }):
		return nil, errors.New("it contains a quote, a dollar sign, white space or a control character")
	}
	return t, nil
}
