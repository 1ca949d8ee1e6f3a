package main

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/waybill-dev/waybill/api/rest"
	"github.com/waybill-dev/waybill/internal/identity/oidc"
	"github.com/waybill-dev/waybill/internal/outbound"
	"github.com/waybill-dev/waybill/internal/secret"
)

// maxSecretFile bounds what is read of a file with a secret or a certificate.
const maxSecretFile = 1 << 20

// ssoOptions are the flags about the identity provider.
type ssoOptions struct {
	issuer, clientID, clientSecretFile, caFile string
	name, userClaim, groupsClaim               string
	scopes, groups                             []string
	noPasswords                                bool
}

func (o *ssoOptions) bind(f *pflag.FlagSet) {
	f.StringVar(&o.issuer, "oidc-issuer-url", "", "OpenID Connect provider that people may sign in at, as its tokens name it; needs --oidc-client-id and --public-url (default: none)")
	f.StringVar(&o.clientID, "oidc-client-id", "", "what the provider calls Waybill")
	f.StringVar(&o.clientSecretFile, "oidc-client-secret-file", "", "file with the client's secret, read for each sign-in (default: a public client)")
	f.StringVar(&o.caFile, "oidc-ca-file", "", "certificates to trust for the provider besides the system's")
	f.StringVar(&o.name, "oidc-name", "", "what people call the provider (default: its host)")
	f.StringSliceVar(&o.scopes, "oidc-scopes", []string{"profile", "email"}, "scopes to ask for besides openid")
	f.StringVar(&o.userClaim, "oidc-username-claim", "email", "claim that is the user's name; the address of an email claim must be verified")
	f.StringVar(&o.groupsClaim, "oidc-groups-claim", "groups", "claim that is the list of the user's groups; a path such as realm_access.roles is possible")
	f.StringSliceVar(&o.groups, "oidc-allowed-groups", nil, "groups of which people have to be in one to sign in (default: whoever the provider lets in)")
	f.BoolVar(&o.noPasswords, "no-passwords", false, "local users cannot sign in; needs an OpenID Connect provider")
}

// identityProvider is where people may sign in besides here.
type identityProvider = rest.SSO

// newSSO returns the identity provider of the API, nil when there is none.
func newSSO(o serveOptions, transport *outbound.Transport) (*identityProvider, error) {
	s := o.sso
	switch {
	case s.issuer == "" && (s.clientID != "" || s.clientSecretFile != "" || s.noPasswords):
		return nil, errors.New("--oidc-issuer-url is missing: the other flags of the provider, and --no-passwords, need it")
	case s.issuer == "":
		return nil, nil
	case s.clientID == "":
		return nil, errors.New("--oidc-issuer-url needs --oidc-client-id")
	case o.publicURL == "":
		return nil, errors.New("--oidc-issuer-url needs --public-url: the provider sends people back there")
	}
	trusted := transport
	if s.caFile != "" {
		ca, err := readSmall(s.caFile)
		if err != nil {
			return nil, fmt.Errorf("--oidc-ca-file: %w", err)
		}
		if trusted, err = transport.Trusting(outbound.Trust{CABundle: []byte(ca)}); err != nil {
			return nil, fmt.Errorf("--oidc-ca-file: %w", err)
		}
	}
	options := oidc.Options{
		Issuer: s.issuer, ClientID: s.clientID, RedirectURL: strings.TrimSuffix(o.publicURL, "/") + rest.SSOCallback,
		Scopes: s.scopes, UserClaim: s.userClaim, GroupsClaim: s.groupsClaim, Groups: s.groups,
		Transport: trusted, Now: time.Now,
	}
	if s.clientSecretFile != "" {
		if _, err := readSmall(s.clientSecretFile); err != nil {
			return nil, fmt.Errorf("--oidc-client-secret-file: %w", err)
		}
		options.ClientSecret = func() (secret.Text, error) {
			text, err := readSmall(s.clientSecretFile)
			return secret.New(strings.TrimSpace(text)), err
		}
	}
	provider, err := oidc.New(options)
	if err != nil {
		return nil, fmt.Errorf("OpenID Connect: %w", err)
	}
	name := s.name
	if name == "" {
		u, err := url.Parse(s.issuer)
		if err != nil {
			return nil, fmt.Errorf("--oidc-issuer-url: %w", err)
		}
		name = u.Hostname()
	}
	return &identityProvider{Provider: provider, Name: name}, nil
}

// readSmall reads a file that people wrote.
func readSmall(name string) (string, error) {
	f, err := os.Open(name) //nolint:gosec // whoever starts the server names it
	if err != nil {
		return "", err //nolint:wrapcheck // names the file
	}
	defer f.Close() //nolint:errcheck // only read
	data, err := outbound.ReadAll(f, maxSecretFile)
	if err == nil && strings.TrimSpace(string(data)) == "" {
		err = fmt.Errorf("%s is empty", name)
	}
	return string(data), err //nolint:wrapcheck // names the limit
}
