// Package oidc signs people in at an OpenID Connect provider: the authorization
// code flow with PKCE (RFC 7636, S256), state and nonce.
//
// The provider says who somebody is; what they may do is decided by Kubernetes, by
// the user and the groups that their claims name. An identity without a name is
// refused, never guessed.
package oidc
