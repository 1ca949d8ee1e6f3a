package client

import (
	"context"
	"net/http"

	"github.com/waybill-dev/waybill/api/rest/model"
)

// This file is about who one is: signing in, tokens, and what one may do.

// Login signs a local user in and returns a bearer token for name (what the
// token is for). Give it to WithToken.
func (c *Client) Login(ctx context.Context, username, password, name string) (*model.LoginResult, error) {
	var out model.LoginResult
	body := model.Login{Username: username, Password: password, Kind: model.Token, Name: name}
	return &out, c.do(ctx, call{method: http.MethodPost, path: []string{"api", "v1", "login"}, body: body}, &out)
}

// SignInMethods returns how people can sign in at the server. It needs no token.
func (c *Client) SignInMethods(ctx context.Context) (*model.SignInMethods, error) {
	return get[model.SignInMethods](ctx, c, nil, "login")
}

// RedeemSSO exchanges the code that the server led a browser to this program with for
// a bearer token. verifier is what the challenge of that sign-in is the SHA-256 of;
// name says what the token is for.
func (c *Client) RedeemSSO(ctx context.Context, code, verifier, name string) (*model.LoginResult, error) {
	var out model.LoginResult
	body := model.SSOCode{Code: code, Verifier: verifier, Name: name}
	return &out, c.do(ctx, call{method: http.MethodPost, path: []string{"api", "v1", "login", "sso", "token"}, body: body}, &out)
}

// Logout revokes the client's token.
func (c *Client) Logout(ctx context.Context) error {
	return c.do(ctx, call{method: http.MethodPost, path: []string{"api", "v1", "logout"}}, nil)
}

// Me returns the person the token belongs to.
func (c *Client) Me(ctx context.Context) (*model.Me, error) {
	return get[model.Me](ctx, c, nil, "me")
}

// Permissions returns what the person may do in project, or, with an empty
// project, what is not tied to one.
func (c *Client) Permissions(ctx context.Context, project string) (*model.Permissions, error) {
	return get[model.Permissions](ctx, c, values("project", project), "me", "permissions")
}

// Tokens returns where the person is signed in, newest first.
func (c *Client) Tokens(ctx context.Context) (*model.AccessTokenList, error) {
	return get[model.AccessTokenList](ctx, c, nil, "me", "tokens")
}

// CreateToken makes a token for a program.
func (c *Client) CreateToken(ctx context.Context, r model.AccessTokenRequest) (*model.NewAccessToken, error) {
	var out model.NewAccessToken
	return &out, c.do(ctx, call{method: http.MethodPost, path: []string{"api", "v1", "me", "tokens"}, body: r}, &out)
}

// RevokeToken ends one of the person's sessions and tokens, by its id.
func (c *Client) RevokeToken(ctx context.Context, id string) error {
	return c.do(ctx, call{method: http.MethodDelete, path: []string{"api", "v1", "me", "tokens", id}}, nil)
}
