package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/controllers"
	"github.com/waybill-dev/waybill/internal/outbound"
	"github.com/waybill-dev/waybill/promotion/message"
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

// messagesOut returns the way out for the messages of a Project: that of its
// checks.
func (p *parts) messagesOut(reader client.Reader) func(context.Context, string) (message.Outbound, error) {
	return func(ctx context.Context, project string) (message.Outbound, error) {
		var found v1alpha1.Project
		if err := reader.Get(ctx, client.ObjectKey{Name: project}, &found); err != nil {
			return nil, fmt.Errorf("read Project %q: %w", project, err)
		}
		transport, err := p.checkTransports(found.Spec.AllowedHosts)
		if err != nil {
			return nil, err
		}
		out, ok := transport.(message.Outbound)
		if !ok {
			return nil, errors.New("the transport of checks cannot send e-mail")
		}
		return out, nil
	}
}
