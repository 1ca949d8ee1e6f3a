package main

import (
	"net/http"
	"net/netip"

	"github.com/waybill-dev/waybill/controllers"
	"github.com/waybill-dev/waybill/internal/outbound"
)

// withCA returns the guarded transport for servers with their own certificates.
func withCA(t *outbound.Transport) func(pem []byte) (http.RoundTripper, error) {
	return func(pem []byte) (http.RoundTripper, error) {
		return t.Trusting(outbound.Trust{CABundle: pem}) //nolint:wrapcheck // says what is wrong already
	}
}

// checkTransports returns the guarded transport for checks: public addresses by
// https, and the hosts that the Project names. In local mode this machine too.
func checkTransports(o serveOptions, own []netip.AddrPort) controllers.CheckTransports {
	return controllers.ShareTransports(func(hosts []string) (http.RoundTripper, error) {
		return outbound.New(outbound.Policy{ //nolint:wrapcheck // says what is wrong with the policy
			AllowLoopback: o.allowLoopback, RefusePrivate: true, AllowHosts: hosts, PlainHTTPHosts: hosts, DenyAddrs: own,
		})
	})
}
