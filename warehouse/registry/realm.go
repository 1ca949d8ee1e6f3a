package registry

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// checkRealm decides whether a credential for registry ("host" or "host:port",
// spoken to by scheme) may be sent to the token service at realm, which the
// registry itself named. Allowed: the same host and port; by https the same host
// name, a host of the same registrable domain (index.docker.io and
// auth.docker.io), or one that trusted lists for this registry.
func checkRealm(registry, scheme, realm string, trusted map[string][]string) error {
	u, err := url.Parse(realm)
	if err != nil || u.Host == "" || u.User != nil {
		return fmt.Errorf("the token service it names has no valid address")
	}
	if u.Scheme != "https" && (u.Scheme != "http" || scheme != "http") {
		return fmt.Errorf("the token service %q is not reached by https", u.Host)
	}
	if strings.EqualFold(u.Host, registry) {
		return nil
	}
	at := &url.URL{Host: registry}
	if u.Scheme == "https" {
		switch {
		case strings.EqualFold(u.Hostname(), at.Hostname()),
			isSameDomain(u.Hostname(), at.Hostname()),
			slices.Contains(trusted[strings.ToLower(registry)], strings.ToLower(u.Host)):
			return nil
		}
	}
	return fmt.Errorf("the token service %q is not in the registry's domain, so no credential was sent", u.Host)
}

// isSameDomain reports whether a and b lie below one public suffix that is
// really in the list: internal names such as a.svc and b.svc share nothing.
func isSameDomain(a, b string) bool {
	a, b = strings.ToLower(strings.TrimSuffix(a, ".")), strings.ToLower(strings.TrimSuffix(b, "."))
	suffix, isICANN := publicsuffix.PublicSuffix(a)
	if !isICANN && !strings.Contains(suffix, ".") {
		return false
	}
	x, errX := publicsuffix.EffectiveTLDPlusOne(a)
	y, errY := publicsuffix.EffectiveTLDPlusOne(b)
	return errX == nil && errY == nil && x == y
}
