package rest

import (
	"context"
	"net/http"
	"time"

	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/history"
	"github.com/waybill-dev/waybill/internal/identity"
)

// minTokenLife is the shortest life that a token can be asked for.
const minTokenLife = time.Minute

// maxTokens of one person at a time.
const maxTokens = 100

// ListTokens returns where the person is signed in.
func (s *Server) ListTokens(ctx context.Context, _ ListTokensRequestObject) (ListTokensResponseObject, error) {
	who, err := whoIs(ctx)
	if err != nil {
		return nil, err
	}
	out := model.AccessTokenList{Items: []model.AccessToken{}}
	for _, one := range s.users.List(who.session) {
		out.Items = append(out.Items, tokenModel(one, who.session))
	}
	return ListTokens200JSONResponse(out), nil
}

// CreateToken makes a token that is no stronger and lives no longer than what makes it.
func (s *Server) CreateToken(ctx context.Context, request CreateTokenRequestObject) (CreateTokenResponseObject, error) {
	who, err := whoIs(ctx)
	if err != nil {
		return nil, err
	}
	grant := identity.Grant{Kind: identity.KindToken, Note: request.Body.Name, Issuer: who.session.Issuer, ReadOnly: request.Body.ReadOnly}
	if request.Body.Lifetime != "" {
		life, err := time.ParseDuration(request.Body.Lifetime)
		if err != nil || life < minTokenLife {
			return nil, refuse(model.InvalidRequest, "lifetime %q: want a minute or more, as 24h", request.Body.Lifetime)
		}
		grant.Until = s.opts.Clock.Now().Add(life)
	}
	// Or a token that leaked would live for ever, by its descendants.
	if who.kind == identity.KindToken && (grant.Until.IsZero() || who.session.Expires.Before(grant.Until)) {
		grant.Until = who.session.Expires
	}
	if len(s.users.List(who.session)) >= maxTokens {
		return nil, refuse(model.Conflict, "you have %d sessions and tokens already", maxTokens).withHint("waybill token list shows them, waybill token revoke ends one")
	}
	value, session, err := s.users.Create(ctx, who.person, grant)
	if err != nil {
		return nil, err
	}
	s.noteSignIn(ctx, who.person, session)
	return CreateToken201JSONResponse(model.NewAccessToken{Token: tokenModel(session, who.session), Value: value.Reveal()}), nil
}

// RevokeToken ends one of the person's own.
func (s *Server) RevokeToken(ctx context.Context, request RevokeTokenRequestObject) (RevokeTokenResponseObject, error) {
	who, err := whoIs(ctx)
	if err != nil {
		return nil, err
	}
	for _, one := range s.users.List(who.session) {
		if one.ID() != request.Token {
			continue
		}
		if err := s.users.RevokeOne(ctx, one); err != nil {
			return nil, err
		}
		s.noteAccess(ctx, history.ActionSignOut, who.person, one.Kind, one.Note)
		return RevokeToken204Response{}, nil
	}
	return nil, refuse(model.NotFound, "you have no session or token %q", request.Token).withHint("waybill token list")
}

func tokenModel(one, current identity.Session) model.AccessToken {
	return model.AccessToken{
		ID: one.ID(), Kind: model.AccessTokenKind(one.Kind), Name: one.Note, Created: one.Created, LastUsed: one.LastUsed, Expires: one.Expires,
		ReadOnly: one.ReadOnly, Current: one.ID() == current.ID(),
	}
}

// readsOnly are the operations that look although their method says otherwise, and the
// end of the token itself.
func readsOnly(op *operation, r *http.Request) bool {
	return isSafe(r.Method) || op.id == "previewPromotion" || op.id == "logout"
}
