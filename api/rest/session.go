package rest

import (
	"context"
	"errors"
	"net/http"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/history"
	"github.com/waybill-dev/waybill/internal/identity"
	"github.com/waybill-dev/waybill/internal/secret"
)

// cookieName returns the name of the session cookie. __Host- makes browsers
// refuse one that another host or an insecure page has set; it needs https.
func (s *Server) cookieName(r *http.Request) string {
	if s.isSecure(r) {
		return "__Host-waybill_session"
	}
	return "waybill_session"
}

// sessionCookie returns the cookie that sets or (with an empty value) clears
// the session.
func (s *Server) sessionCookie(r *http.Request, value string, maxAge int) *http.Cookie {
	return &http.Cookie{
		Name: s.cookieName(r), Value: value, Path: "/", MaxAge: maxAge,
		HttpOnly: true, Secure: s.isSecure(r), SameSite: http.SameSiteLaxMode,
	}
}

// Login signs a local user in.
func (s *Server) Login(ctx context.Context, request LoginRequestObject) (LoginResponseObject, error) {
	if s.opts.NoPasswords {
		return nil, refuse(model.Forbidden, "nobody signs in with a password here").withHint("waybill login URL --sso")
	}
	body := *request.Body
	r := requestOf(ctx)
	kind := identity.Kind(body.Kind)
	if kind == "" {
		kind = identity.KindSession
	}
	if kind == identity.KindSession && r.Header.Get(csrfHeader) == "" {
		return nil, refuse(model.Forbidden, "the header %s is missing", csrfHeader).withHint("programs sign in with kind token")
	}
	if !s.users.IsReady() {
		return nil, refuse(model.Unavailable, "the server is starting").withHint("try again in a moment")
	}
	person, err := s.users.Login(ctx, body.Username, secret.New(body.Password), r.RemoteAddr)
	if errors.Is(err, identity.ErrWrongCredentials) {
		return nil, refuse(model.WrongCredentials, "wrong user name or password")
	}
	if err != nil {
		return nil, err
	}
	value, session, err := s.users.Create(ctx, person, identity.Grant{Kind: kind, Note: body.Name})
	if err != nil {
		return nil, err
	}
	s.noteSignIn(ctx, person, session)
	out := loginAnswer{body: model.LoginResult{Me: s.meModel(person, session)}}
	if kind == identity.KindToken {
		out.body.Token = value.Reveal()
		return out, nil
	}
	out.cookie = s.sessionCookie(r, value.Reveal(), int(session.Expires.Sub(session.Created).Seconds()))
	return out, nil
}

// loginAnswer sets the cookie itself: the generated answer would always have
// the header.
type loginAnswer struct {
	body   model.LoginResult
	cookie *http.Cookie
}

// VisitLoginResponse writes the answer.
func (a loginAnswer) VisitLoginResponse(w http.ResponseWriter) error {
	if a.cookie != nil {
		http.SetCookie(w, a.cookie)
	}
	return writeJSON(w, http.StatusOK, a.body)
}

// Logout ends the session or revokes the token of the request.
func (s *Server) Logout(ctx context.Context, _ LogoutRequestObject) (LogoutResponseObject, error) {
	who, err := whoIs(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.users.Revoke(ctx, who.kind, who.value); err != nil {
		return nil, err
	}
	s.noteAccess(ctx, history.ActionSignOut, who.person, who.kind, "")
	return Logout204Response{Headers: Logout204ResponseHeaders{SetCookie: s.sessionCookie(requestOf(ctx), "", -1).String()}}, nil
}

// Me returns who is signed in.
func (s *Server) Me(ctx context.Context, _ MeRequestObject) (MeResponseObject, error) {
	who, err := whoIs(ctx)
	if err != nil {
		return nil, err
	}
	return Me200JSONResponse(s.meModel(who.person, who.session)), nil
}

func (s *Server) meModel(p identity.Person, session identity.Session) model.Me {
	groups := p.Groups
	if groups == nil {
		groups = []string{}
	}
	return model.Me{
		User: p.User, Name: p.Name(), Groups: groups, ExpiresAt: session.Expires, HasPassword: session.Issuer == "" && !s.opts.NoPasswords,
	}
}

// Most questions asked of RBAC at a time and for one page.
const (
	reviewsAtOnce  = 8
	maxStagesAsked = 100
)

// Permissions returns what the person may do.
func (s *Server) Permissions(ctx context.Context, request PermissionsRequestObject) (PermissionsResponseObject, error) {
	project := request.Params.Project
	var out model.Permissions
	q := s.newQuestions(ctx)
	q.ask(identity.Action{Verb: "create", Resource: "projects"}, &out.CreateProjects)
	if project == "" {
		q.ask(identity.Action{Verb: "list", Resource: "clusters"}, &out.ListClusters)
		q.ask(identity.Action{Verb: "patch", Resource: "clusters"}, &out.EditClusters)
		q.ask(identity.Action{Verb: "delete", Resource: "clusters"}, &out.DeleteClusters)
		err := q.wait()
		return Permissions200JSONResponse(out), err
	}
	visible, err := s.maySee(ctx, project)
	if err != nil {
		return nil, err
	}
	view, err := s.loadProject(ctx, project)
	if err != nil {
		return nil, err
	}
	if !visible {
		return nil, noProject(project)
	}
	out.Project = project
	q.ask(identity.Action{Verb: "delete", Resource: "projects", Name: project}, &out.DeleteProject)
	q.ask(identity.Action{Verb: "patch", Resource: "stages", Namespace: project}, &out.Edit)
	q.ask(identity.Action{Verb: "refresh", Resource: "warehouses", Namespace: project}, &out.Refresh)
	q.ask(identity.Action{Verb: "patch", Resource: "promotions", Namespace: project}, &out.Abort)
	q.ask(identity.Action{Verb: "freeze", Resource: "stages", Namespace: project}, &out.FreezeAll)
	q.ask(identity.Action{Verb: "sync", Resource: "applications", Namespace: project}, &out.Sync)
	q.ask(identity.Action{Verb: "accept", Resource: "applications", Namespace: project}, &out.Accept)
	// What holds for every Stage of the Project needs one question per verb; a
	// role for single Stages is asked about Stage by Stage.
	var all model.StagePermissions
	q.askStage(project, "", &all)
	if err := q.wait(); err != nil {
		return nil, err
	}
	out.Stages = make([]model.StagePermissions, len(view.stages))
	q = s.newQuestions(ctx)
	for i, st := range view.stages {
		out.Stages[i] = all
		out.Stages[i].Stage = st.Name
		if i < maxStagesAsked {
			q.askStage(project, st.Name, &out.Stages[i])
		}
	}
	err = q.wait()
	for i := range out.Stages {
		out.Stages[i].Hold = out.Stages[i].Promote // admission asks for promote
	}
	return Permissions200JSONResponse(out), err
}

// questions asks RBAC several things at a time.
type questions struct {
	s     *Server
	ctx   context.Context //nolint:containedctx // lives as long as one handler
	group *errgroup.Group
	mu    sync.Mutex
}

func (s *Server) newQuestions(ctx context.Context) *questions {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(reviewsAtOnce)
	return &questions{s: s, ctx: ctx, group: g}
}

// ask sets into when the answer is yes; what is yes already is not asked.
func (q *questions) ask(a identity.Action, into *bool) {
	a.Group = v1alpha1.Group
	q.mu.Lock()
	known := *into
	q.mu.Unlock()
	if known {
		return
	}
	q.group.Go(func() error {
		yes, err := q.s.may(q.ctx, a)
		if err != nil {
			return err
		}
		q.mu.Lock()
		defer q.mu.Unlock()
		*into = yes
		return nil
	})
}

func (q *questions) askStage(project, stage string, into *model.StagePermissions) {
	for verb, field := range map[string]*bool{
		"promote": &into.Promote, "approve": &into.Approve, "rollback": &into.Rollback, "freeze": &into.Freeze, "bypass": &into.Bypass,
	} {
		q.ask(identity.Action{Verb: verb, Resource: "stages", Namespace: project, Name: stage}, field)
	}
}

func (q *questions) wait() error { return q.group.Wait() }
