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

// ChangePassword gives the person, a local user, another password.
func (c *Client) ChangePassword(ctx context.Context, body model.PasswordChange) error {
	return c.do(ctx, call{method: http.MethodPost, path: v1("me", "password"), body: body}, nil)
}

// Users returns the local users, by name.
func (c *Client) Users(ctx context.Context) (*model.UserList, error) {
	return get[model.UserList](ctx, c, nil, "users")
}

// AddUser makes a local user.
func (c *Client) AddUser(ctx context.Context, body model.AddUserRequest) (*model.User, error) {
	return post[model.User](ctx, c, body, "users")
}

// EditUser changes a local user who is as etag says; an empty etag is for changes that
// replace no groups. With force also so that no local user is left who may manage users.
func (c *Client) EditUser(ctx context.Context, name, etag string, body model.EditUserRequest, force bool) (*model.User, error) {
	k := call{method: http.MethodPatch, path: v1("users", name), query: forced(force), body: body}
	if etag != "" {
		k.header = http.Header{"If-Match": {etag}}
	}
	var out model.User
	return &out, c.do(ctx, k, &out)
}

// RemoveUser removes a local user; with force also the last one who may manage users.
func (c *Client) RemoveUser(ctx context.Context, name string, force bool) error {
	return c.do(ctx, call{method: http.MethodDelete, path: v1("users", name), query: forced(force)}, nil)
}
