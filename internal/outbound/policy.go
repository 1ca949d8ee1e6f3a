package outbound

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Policy says where connections may go. The zero Policy is for Git and OCI in a
// cluster: public and private addresses by https.
type Policy struct {
	// AllowLoopback permits loopback addresses, also by plain http (local mode).
	AllowLoopback bool
	// RefusePrivate refuses private ranges, for addresses that people type into
	// steps and webhooks. AllowHosts are exempt.
	RefusePrivate bool
	// AllowHosts are host names without a port whose private addresses may be
	// connected to although RefusePrivate is set, or although a redirect leads
	// there: the hosts named by credentials, Projects and Clusters.
	AllowHosts []string
	// DenyAddrs are our own API and the cluster's. Port 0 means every port; a
	// loopback address means that port on every loopback address.
	DenyAddrs []netip.AddrPort
	// AllowPlainHTTP permits http to any host that may be connected to.
	AllowPlainHTTP bool
	// PlainHTTPHosts permits http to these hosts only: "host" or "host:port".
	PlainHTTPHosts []string
	// MaxRedirects is 5 when 0.
	MaxRedirects int
	// ConnectTimeout covers one connection attempt and is 10 s when 0;
	// HeaderTimeout is the wait for response headers and is 30 s when 0.
	ConnectTimeout, HeaderTimeout time.Duration
}

func (p *Policy) normalize() error {
	if p.MaxRedirects < 0 || p.ConnectTimeout < 0 || p.HeaderTimeout < 0 {
		return errors.New("outbound policy: limits must not be negative")
	}
	if p.MaxRedirects == 0 {
		p.MaxRedirects = 5
	}
	if p.ConnectTimeout == 0 {
		p.ConnectTimeout = 10 * time.Second
	}
	if p.HeaderTimeout == 0 {
		p.HeaderTimeout = 30 * time.Second
	}
	for _, d := range p.DenyAddrs {
		if !d.Addr().IsValid() {
			return fmt.Errorf("outbound policy: %q is not an address to deny", d)
		}
	}
	p.AllowHosts, p.PlainHTTPHosts = lowerAll(p.AllowHosts), lowerAll(p.PlainHTTPHosts)
	return nil
}

func lowerAll(in []string) []string {
	out := make([]string, len(in))
	for i, s := range in {
		out[i] = strings.ToLower(s)
	}
	return out
}

// check returns an *AddressError when to, which host resolved to, must not be
// connected to. isForeign marks a host that only a redirect named.
func (p *Policy) check(host string, to netip.AddrPort, isForeign bool) error {
	refuse := func(why string) error { return &AddressError{Host: host, Addr: to, Why: why} }
	addr := to.Addr().WithZone("").Unmap()
	if p.isDenied(addr, to.Port()) {
		return refuse("our own API")
	}
	switch class := Classify(addr); class {
	case Public:
		return nil
	case Loopback:
		if p.AllowLoopback {
			return nil
		}
		return refuse(string(class))
	case Private:
		if !p.RefusePrivate && !isForeign || slices.Contains(p.AllowHosts, strings.ToLower(host)) {
			return nil
		}
		return refuse(string(class))
	default:
		return refuse(string(class))
	}
}

func (p *Policy) isDenied(addr netip.Addr, port uint16) bool {
	for _, d := range p.DenyAddrs {
		if d.Port() != 0 && d.Port() != port {
			continue
		}
		denied := d.Addr().WithZone("").Unmap()
		if denied == addr || Classify(denied) == Loopback && Classify(addr) == Loopback {
			return true
		}
	}
	return false
}

// plainHTTPAllowed reports whether host ("name" or "name:port") may be spoken to
// by http. Loopback names count when the Policy allows loopback.
func (p *Policy) plainHTTPAllowed(host string) bool {
	host = strings.ToLower(host)
	name := hostname(host)
	return p.AllowPlainHTTP || slices.Contains(p.PlainHTTPHosts, host) || slices.Contains(p.PlainHTTPHosts, name) ||
		p.AllowLoopback && IsLoopbackName(name)
}

// IsLoopbackName reports whether name, without a port, can only mean this
// machine: localhost, a name below it (RFC 6761), or a loopback address.
func IsLoopbackName(name string) bool {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return true
	}
	addr, err := netip.ParseAddr(strings.Trim(name, "[]"))
	return err == nil && Classify(addr) == Loopback
}

// hostname removes the port from host, and the brackets of an IPv6 address.
func hostname(host string) string {
	return (&url.URL{Host: host}).Hostname()
}
