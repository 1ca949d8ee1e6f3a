package outbound

import (
	"errors"
	"fmt"
	"net/netip"
)

// What the transport refuses. Each is found with errors.Is under the *url.Error
// that http.Client wraps around it.
var (
	// ErrForbiddenAddress: the name leads to an address nobody may connect to.
	ErrForbiddenAddress = errors.New("forbidden address")
	// ErrForbiddenRedirect: a redirect to another host, a downgrade, or too many.
	ErrForbiddenRedirect = errors.New("forbidden redirect")
	// ErrPlainHTTP: http without a permission for that host.
	ErrPlainHTTP = errors.New("plain http is not allowed")
	// ErrForbiddenURL: a scheme other than http and https, or user information.
	ErrForbiddenURL = errors.New("forbidden URL")
	// ErrTooLarge: the body is longer than the caller accepts.
	ErrTooLarge = errors.New("response is too large")
)

// AddressError says which address was refused, and why.
type AddressError struct {
	Host string         // as in the URL, without a port
	Addr netip.AddrPort // what it resolved to
	Why  string         // a class, or "our own API"
}

// Error returns one sentence without a secret.
func (e *AddressError) Error() string {
	return fmt.Sprintf("connecting to %q is not allowed: %s is %s", e.Host, e.Addr, e.Why)
}

// Is makes errors.Is(err, ErrForbiddenAddress) true.
func (e *AddressError) Is(target error) bool { return target == ErrForbiddenAddress }
