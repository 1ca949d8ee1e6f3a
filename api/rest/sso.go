package rest

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/history"
	"github.com/waybill-dev/waybill/internal/identity"
	"github.com/waybill-dev/waybill/internal/identity/oidc"
)

// SSO is the identity provider that people may sign in at.
type SSO struct {
	// Provider does the protocol. Its redirect URL ends with SSOCallback.
	Provider *oidc.Provider
	// Name is what people call it.
	Name string
}

// SSOCallback is the path to which the identity provider sends people back.
const SSOCallback = "/api/v1/login/sso/callback"

// attemptLife is how long somebody may take at the provider.
const attemptLife = 10 * time.Minute

// Why a sign-in at the provider did not work; the sign-in page has a sentence for each.
const (
	ssoUnavailable = "unavailable"
	ssoDenied      = "denied"
	ssoExpired     = "expired"
	ssoRefused     = "refused"
	ssoFailed      = "failed"
)

// newSSOLimit bounds the answers that are taken to the provider: each costs requests
// to it, and anybody can send one.
func newSSOLimit() *rate.Limiter { return rate.NewLimiter(10, 30) }

// attempt is a sign-in that a browser began. It is kept by that browser, in a cookie.
type attempt struct {
	oidc.Attempt
	// Next is where the browser goes afterwards.
	Next string `json:"next,omitempty"`
	// Port, Challenge and State are those of a program that waits on 127.0.0.1.
	Port      int    `json:"port,omitempty"`
	Challenge string `json:"challenge,omitempty"`
	ForState  string `json:"forState,omitempty"`
}

// SignInMethods returns how people can sign in.
func (s *Server) SignInMethods(context.Context, SignInMethodsRequestObject) (SignInMethodsResponseObject, error) {
	out := model.SignInMethods{Password: !s.opts.NoPasswords}
	if s.opts.SSO != nil {
		out.Sso = s.opts.SSO.Name
	}
	return SignInMethods200JSONResponse(out), nil
}

// BeginSSO leads to the identity provider.
func (s *Server) BeginSSO(ctx context.Context, request BeginSSORequestObject) (BeginSSOResponseObject, error) {
	if s.opts.SSO == nil {
		return nil, noSSO()
	}
	q := request.Params
	a := attempt{Next: localPath(q.Next), Port: q.Port, Challenge: q.Challenge, ForState: q.State}
	if isProgram := q.Port != 0; isProgram != (q.Challenge != "") || isProgram != (q.State != "") {
		return nil, refuse(model.InvalidRequest, "a program has to give port, challenge and state, all three")
	}
	r := requestOf(ctx)
	begun, address, err := s.opts.SSO.Provider.Begin(ctx)
	if err != nil {
		return s.ssoFailure(ctx, r, a, err), nil
	}
	a.Attempt = begun
	cookie, err := s.attemptCookie(r, a)
	if err != nil {
		return nil, err
	}
	return redirection{address, []*http.Cookie{cookie}}, nil
}

// FinishSSO takes the provider's answer, which a browser brings.
func (s *Server) FinishSSO(ctx context.Context, _ FinishSSORequestObject) (FinishSSOResponseObject, error) {
	if s.opts.SSO == nil {
		return nil, noSSO()
	}
	if !s.ssoLimit.AllowN(s.opts.Clock.Now(), 1) {
		return nil, refuse(model.TooManyRequests, "too many people sign in at this moment").withHint("try again in a moment")
	}
	r := requestOf(ctx)
	a := s.attemptOf(r)
	person, skipped, err := s.opts.SSO.Provider.Finish(ctx, a.Attempt, r.URL.Query())
	if err == nil && !s.users.IsReady() {
		err = fmt.Errorf("%w: this server is starting", oidc.ErrUnavailable)
	}
	if err == nil {
		err = s.users.CheckOutsider(person)
	}
	if err != nil {
		return s.ssoFailure(ctx, r, a, err), nil
	}
	if len(skipped) > 0 {
		s.log.Warn("groups of the identity provider that cannot be groups of Waybill are left out", "requestId", requestID(ctx), "user", person.User, "groups", skipped)
	}
	grant := identity.Grant{Kind: identity.KindSession, Issuer: s.opts.SSO.Provider.Issuer()}
	if a.Port != 0 {
		grant.Kind, grant.Challenge = identity.KindCode, a.Challenge
	}
	value, session, err := s.users.Create(ctx, person, grant)
	if err != nil {
		return nil, err
	}
	if a.Port != 0 {
		return redirection{a.program(url.Values{"code": {value.Reveal()}}), []*http.Cookie{s.noAttempt(r)}}, nil
	}
	s.noteSignIn(ctx, person, session)
	cookie := s.sessionCookie(r, value.Reveal(), int(session.Expires.Sub(session.Created).Seconds()))
	return redirection{localPath(a.Next), []*http.Cookie{cookie, s.noAttempt(r)}}, nil
}

// RedeemSSO gives a program the token of whom it sent to the provider.
func (s *Server) RedeemSSO(ctx context.Context, request RedeemSSORequestObject) (RedeemSSOResponseObject, error) {
	if s.opts.SSO == nil {
		return nil, noSSO()
	}
	if !s.users.IsReady() {
		return nil, refuse(model.Unavailable, "the server is starting").withHint("try again in a moment")
	}
	person, code, err := s.users.Redeem(ctx, request.Body.Code, request.Body.Verifier)
	if errors.Is(err, identity.ErrUnknownSession) {
		return nil, refuse(model.WrongCredentials, "the code is not known, was used, or is older than a minute").withHint("sign in again")
	}
	if err != nil {
		return nil, err
	}
	value, session, err := s.users.Create(ctx, person, identity.Grant{Kind: identity.KindToken, Note: request.Body.Name, Issuer: code.Issuer})
	if err != nil {
		return nil, err
	}
	s.noteSignIn(ctx, person, session)
	return RedeemSSO200JSONResponse(model.LoginResult{Me: s.meModel(person, session), Token: value.Reveal()}), nil
}

func noSSO() error {
	return refuse(model.NotFound, "this server has no identity provider").withHint("sign in with a user name and a password")
}

// ssoFailure leads to where somebody reads why nobody is signed in. The details are in
// the log: they are the business of whoever runs Waybill and the provider.
func (s *Server) ssoFailure(ctx context.Context, r *http.Request, a attempt, err error) redirection {
	why, refusal := ssoFailed, (*oidc.RefusedError)(nil)
	switch {
	case errors.Is(err, oidc.ErrState):
		why = ssoExpired
	case errors.Is(err, oidc.ErrDenied):
		why = ssoDenied
	case errors.Is(err, oidc.ErrUnavailable):
		why = ssoUnavailable
	case errors.As(err, &refusal), errors.Is(err, identity.ErrNameTaken):
		why = ssoRefused
	}
	s.log.Warn("a sign-in at the identity provider did not work", "requestId", requestID(ctx), "issuer", s.opts.SSO.Provider.Issuer(), "why", why, "error", err)
	to := "/login?" + url.Values{"sso": {why}, "request": {requestID(ctx)}}.Encode()
	if a.Port != 0 {
		to = a.program(url.Values{"error": {why}, "request": {requestID(ctx)}})
	}
	return redirection{to, []*http.Cookie{s.noAttempt(r)}}
}

// program is the address at which the program waits, with what it gets.
func (a attempt) program(q url.Values) string {
	q.Set("state", a.ForState)
	return "http://127.0.0.1:" + strconv.Itoa(a.Port) + "/?" + q.Encode()
}

// attemptName is the cookie of a sign-in that was begun.
func (s *Server) attemptName(r *http.Request) string {
	return strings.Replace(s.cookieName(r), "_session", "_sign_in", 1)
}

func (s *Server) attemptCookie(r *http.Request, a attempt) (*http.Cookie, error) {
	data, err := json.Marshal(a)
	if err != nil {
		return nil, fmt.Errorf("keep the sign-in: %w", err)
	}
	c := s.sessionCookie(r, base64.RawURLEncoding.EncodeToString(data), int(attemptLife.Seconds()))
	c.Name = s.attemptName(r)
	return c, nil
}

func (s *Server) noAttempt(r *http.Request) *http.Cookie {
	c := s.sessionCookie(r, "", -1)
	c.Name = s.attemptName(r)
	return c
}

// attemptOf returns the sign-in that the browser began; a zero one, which fits no
// answer, when there is none.
func (s *Server) attemptOf(r *http.Request) attempt {
	c, err := r.Cookie(s.attemptName(r))
	if err != nil {
		return attempt{}
	}
	data, err := base64.RawURLEncoding.DecodeString(c.Value)
	if err != nil {
		return attempt{}
	}
	var a attempt
	if err := json.Unmarshal(data, &a); err != nil || a.Port != 0 && (a.Port < 1024 || a.Port > 65535 || a.Challenge == "") {
		return attempt{}
	}
	return a
}

// localPath returns next if it is a path of the dashboard, else the start page: a
// sign-in must not lead elsewhere.
func localPath(next string) string {
	u, err := url.Parse(next)
	if err != nil || !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") || strings.Contains(next, `\`) || u.Host != "" || u.Scheme != "" || isAPI(u.Path) {
		return "/projects"
	}
	return u.String()
}

// noteSignIn remembers that somebody came in.
func (s *Server) noteSignIn(ctx context.Context, p identity.Person, session identity.Session) {
	reason := session.Note
	if session.Issuer != "" {
		reason = strings.TrimSpace("at " + session.Issuer + " " + session.Note)
	}
	s.noteAccess(ctx, history.ActionSignIn, p, session.Kind, reason)
}

// noteAccess remembers that somebody came in or went, with what kind of session.
func (s *Server) noteAccess(ctx context.Context, action history.Action, p identity.Person, kind identity.Kind, reason string) {
	s.note(ctx, history.Entry{
		Key: string(action) + "/" + requestID(ctx), At: s.opts.Clock.Now().UTC().Truncate(time.Microsecond), Action: action, Actor: p.User, Reason: reason,
		Object: history.Object{Kind: string(kind), Name: p.Name()},
	})
}

// redirection leads a browser on.
type redirection struct {
	to      string
	cookies []*http.Cookie
}

func (a redirection) visit(w http.ResponseWriter) error {
	for _, c := range a.cookies {
		http.SetCookie(w, c)
	}
	w.Header().Set("Location", a.to)
	w.WriteHeader(http.StatusSeeOther)
	return nil
}

// VisitBeginSSOResponse writes the answer.
func (a redirection) VisitBeginSSOResponse(w http.ResponseWriter) error { return a.visit(w) }

// VisitFinishSSOResponse writes the answer.
func (a redirection) VisitFinishSSOResponse(w http.ResponseWriter) error { return a.visit(w) }
