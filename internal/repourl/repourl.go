// Package repourl compares repository addresses.
//
// Two spellings of one repository (a trailing slash, ".git", an upper-case
// host, a default port) must meet the same credential, the same mirror and the
// same Freight, so every comparison goes through Normalize.
package repourl

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ErrUserInfo is returned for an address that carries a user name or password:
// such an address would be stored and shown with its secret.
var ErrUserInfo = errors.New("user information is not allowed in a repository URL; put it into a credential Secret")

// Normalize returns the canonical form of a Git or chart URL or of an image
// repository name: host in lower case, no default port, no trailing slash, no
// ".git"; user@host:path becomes ssh://user@host/path. It is idempotent. It returns ErrUserInfo for http and https URLs
// with user information and an error for text that is no address at all.
func Normalize(raw string) (string, error) {
	s := strings.TrimSpace(raw)
	if s == "" {
		return "", errors.New("repository URL is empty")
	}
	if !utf8.ValidString(s) {
		return "", errors.New("repository URL is not text in UTF-8")
	}
	if strings.ContainsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
		return "", fmt.Errorf("repository URL %q contains white space or control characters", raw)
	}
	if user, host, path, isSCP := SplitSCP(s); isSCP {
		s = "ssh://" + user + "@" + host + "/" + strings.TrimLeft(path, "/")
	}
	if !strings.Contains(s, "://") {
		bare := normalizeBare(s)
		if strings.Trim(bare, "/") == "" {
			return "", fmt.Errorf("repository URL %q names nothing", raw)
		}
		return bare, nil
	}
	u, err := url.Parse(s)
	if err != nil {
		return "", errors.New("repository URL cannot be parsed")
	}
	if u.Hostname() == "" {
		return "", fmt.Errorf("repository URL %q has no host", u.Redacted())
	}
	if u.User != nil && u.Scheme != "ssh" {
		return "", ErrUserInfo
	}
	if _, hasPassword := u.User.Password(); hasPassword {
		return "", ErrUserInfo
	}
	u.Scheme = strings.ToLower(u.Scheme)
	u.Host = trimDefaultPort(u.Scheme, strings.ToLower(u.Host))
	u.RawQuery, u.Fragment, u.RawFragment = "", "", ""
	u.Path = trimSuffixes(u.Path)
	u.RawPath = ""
	return u.String(), nil
}

// SplitSCP reads an SSH address in the form of scp: user@host:path. Unlike
// Git's, the user is not optional, because host:path is an image repository.
func SplitSCP(s string) (user, host, path string, isSCP bool) {
	if strings.Contains(s, "://") {
		return "", "", "", false
	}
	user, rest, found := strings.Cut(s, "@")
	host, path, hasPath := strings.Cut(rest, ":")
	isSCP = found && hasPath && user != "" && host != "" && strings.Trim(path, "/") != "" &&
		!strings.ContainsAny(user, "/:") && !strings.ContainsAny(host, "/@")
	return user, host, path, isSCP
}

// normalizeBare handles names without a scheme: image repositories
// (host:port/path).
func normalizeBare(s string) string {
	s = trimSuffixes(s)
	host, path, found := strings.Cut(s, "/")
	if !found {
		return trimSuffixes(strings.ToLower(host))
	}
	return trimSuffixes(strings.ToLower(host) + "/" + path)
}

// trimSuffixes removes trailing slashes and ".git", in any order and number,
// so that Normalize is idempotent.
func trimSuffixes(p string) string {
	for {
		t := strings.TrimSuffix(strings.TrimRight(p, "/"), ".git")
		if t == p {
			return p
		}
		p = t
	}
}

func trimDefaultPort(scheme, host string) string {
	port := map[string]string{"http": ":80", "https": ":443", "ssh": ":22", "oci": ":443"}[scheme]
	if port == "" {
		return host
	}
	return strings.TrimSuffix(host, port)
}

// HostPath returns host (with its port) and path of an address with a scheme;
// ok is false for any other text.
func HostPath(address string) (host, path string, ok bool) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return "", "", false
	}
	return u.Host, u.Path, true
}

// Image returns the canonical full name of an image repository: no scheme,
// short names belong to Docker Hub, whose several host names are one.
func Image(raw string) (string, error) {
	raw = strings.TrimSpace(raw)
	for _, scheme := range []string{"https://", "http://", "oci://"} {
		raw = strings.TrimPrefix(raw, scheme)
	}
	if strings.TrimSpace(raw) != raw { // white space between a scheme and a name, which Normalize would trim
		return "", fmt.Errorf("%q is no image repository", raw)
	}
	n, err := Normalize(raw)
	if err != nil {
		return "", err
	}
	if strings.Contains(n, "://") {
		return "", fmt.Errorf("%q is no image repository", n)
	}
	host, path, hasPath := strings.Cut(n, "/")
	switch {
	case !hasPath && isHost(host):
		return hubAlias(host), nil
	case !isHost(host):
		return "docker.io/" + n, nil
	default:
		return hubAlias(host) + "/" + path, nil
	}
}

// OfficialImage returns the full name of a Docker Hub repository without a
// namespace, and any other as it is. name is what Image returns.
func OfficialImage(name string) string {
	if path, isHub := strings.CutPrefix(name, "docker.io/"); isHub && !strings.Contains(path, "/") {
		return "docker.io/library/" + path
	}
	return name
}

// isHost tells a registry host from the first part of a Docker Hub name, by the
// rule that all image references follow.
func isHost(s string) bool { return s == "localhost" || strings.ContainsAny(s, ".:") }

func hubAlias(host string) string {
	switch host = strings.TrimSuffix(host, ":443"); host {
	case "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com":
		return "docker.io"
	}
	return host
}
