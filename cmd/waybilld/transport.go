package main

import (
	"net/http"

	"github.com/waybill-dev/waybill/internal/outbound"
)

// withCA returns the guarded transport for servers with their own certificates.
func withCA(t *outbound.Transport) func(pem []byte) (http.RoundTripper, error) {
	return func(pem []byte) (http.RoundTripper, error) {
		return t.Trusting(outbound.Trust{CABundle: pem}) //nolint:wrapcheck // says what is wrong already
	}
}
