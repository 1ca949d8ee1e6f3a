package identity

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"

	"k8s.io/client-go/transport"
)

// accountPart is a name of a Namespace or of a ServiceAccount.
var accountPart = regexp.MustCompile(`^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$`)

// AsServiceAccount returns base with requests that act as a ServiceAccount. The API
// server asks for the right to impersonate that very account, and adds its groups
// itself, so that no header can name another.
func AsServiceAccount(base http.RoundTripper, namespace, name string) (http.RoundTripper, error) {
	if base == nil {
		return nil, errors.New("impersonate: no connection")
	}
	if len(namespace) > 63 || !accountPart.MatchString(namespace) || !accountPart.MatchString(name) {
		return nil, fmt.Errorf("impersonate: %q in %q is no ServiceAccount", name, namespace)
	}
	return transport.NewImpersonatingRoundTripper(transport.ImpersonationConfig{UserName: "system:serviceaccount:" + namespace + ":" + name}, base), nil
}
