package rest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"reflect"
	"runtime/debug"
	"strings"
	"time"

	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/labstack/echo/v4"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/hook"
	"github.com/waybill-dev/waybill/internal/identity"
	"github.com/waybill-dev/waybill/internal/manifest"
)

// Limits of one request.
const (
	maxBodyBytes = 1 << 20
	// maxApplyBytes leaves room for JSON's escapes around the manifests.
	maxApplyBytes = manifest.MaxBytes + manifest.MaxBytes/2
	maxURLBytes   = 16 << 10
	// requestTime of everything but streams.
	requestTime = 60 * time.Second
)

// csrfHeader must be on unsafe requests that authenticate by cookie: a form of
// another site cannot set it.
const csrfHeader = "X-Waybill-CSRF"

type requestIDKey struct{}

// requestID returns the id of the request, for answers and the log.
func requestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

// outer is what every request passes, API and dashboard alike: an id, headers,
// limits, protection from other origins, and recovery.
func (s *Server) outer(api, dashboard http.Handler) (http.Handler, error) {
	origins := http.NewCrossOriginProtection()
	for _, o := range s.opts.AllowedOrigins {
		if err := origins.AddTrustedOrigin(o); err != nil {
			return nil, fmt.Errorf("allowed origin %q: %w", o, err)
		}
	}
	origins.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, ref := problemOf(refuse(model.Forbidden, "the request comes from another origin"), requestID(r.Context()))
		writeProblem(w, p, ref)
	}))
	inner := origins.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isAPI(r.URL.Path) {
			w.Header().Set("Cache-Control", "no-store")
			api.ServeHTTP(w, r)
			return
		}
		dashboard.ServeHTTP(w, r)
	}))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var random [8]byte
		_, _ = rand.Read(random[:]) // never fails (crypto/rand)
		id := hex.EncodeToString(random[:])
		r = r.WithContext(context.WithValue(r.Context(), requestIDKey{}, id))
		s.setHeaders(w, r, id)
		defer s.recover(w, r)
		if len(r.RequestURI) > maxURLBytes {
			p, ref := problemOf(refuse(model.InvalidRequest, "the address is longer than %d bytes", maxURLBytes), id)
			writeProblem(w, p, ref)
			return
		}
		limit := int64(maxBodyBytes)
		if r.URL.Path == "/api/v1/apply" {
			limit = maxApplyBytes
		}
		r.Body = http.MaxBytesReader(w, r.Body, limit)
		inner.ServeHTTP(w, r)
	}), nil
}

// isAPI tells the API from the dashboard. Only whole path segments count.
func isAPI(path string) bool {
	switch path {
	case "/healthz", "/readyz", "/version", "/api":
		return true
	}
	return strings.HasPrefix(path, "/api/") || strings.HasPrefix(path, hook.PathPrefix)
}

// setHeaders sets what holds for every answer (safety rule 7: strict
// CSP, no sniffing, no referrer, no framing).
func (s *Server) setHeaders(w http.ResponseWriter, r *http.Request, id string) {
	h := w.Header()
	h.Set("X-Request-Id", id)
	h.Set("Content-Security-Policy", "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; "+
		"object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
	if s.opts.Version != "" {
		h.Set("X-Waybill-Version", s.opts.Version)
	}
	if s.isSecure(r) {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
}

// isSecure reports whether the person's browser speaks https.
func (s *Server) isSecure(r *http.Request) bool { return s.isHTTPS || r.TLS != nil }

// recover turns a panic into "internal error": one bad request stops nobody
// else.
func (s *Server) recover(w http.ResponseWriter, r *http.Request) {
	what := recover()
	if what == nil {
		return
	}
	if what == http.ErrAbortHandler { //nolint:errorlint // the value itself is the convention
		panic(what)
	}
	id := requestID(r.Context())
	s.log.Error("panic in a request", "requestId", id, "method", r.Method, "path", r.URL.Path, "panic", fmt.Sprint(what), "stack", string(debug.Stack()))
	p, ref := problemOf(fmt.Errorf("panic: %v", what), id)
	writeProblem(w, p, ref)
}

// onError is echo's error handler.
func (s *Server) onError(err error, c echo.Context) {
	r := c.Request()
	id := requestID(r.Context())
	p, ref := problemOf(err, id)
	attrs := []any{"requestId", id, "method", r.Method, "route", c.Path(), "status", p.Status, "error", err}
	if who, e := whoIs(r.Context()); e == nil {
		attrs = append(attrs, "user", who.person.User)
	}
	if p.Status >= 500 && p.Code != model.Unavailable && !errors.Is(err, context.Canceled) {
		s.log.Error("request failed", attrs...)
	} else {
		s.log.Debug("request refused", attrs...)
	}
	if c.Response().Committed {
		return
	}
	writeProblem(c.Response(), p, ref)
}

type operationKey struct{}

func operationOf(ctx context.Context) *operation {
	op, _ := ctx.Value(operationKey{}).(*operation)
	return op
}

// findOperation finds the operation of the document a request asks for, and
// bounds its time. A request without one goes no further.
func (s *Server) findOperation(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		op := s.doc.operations[r.Method+" "+c.Path()]
		if op == nil {
			for _, other := range s.doc.operations {
				if echoPath(other.route.Path) == c.Path() {
					return echo.ErrMethodNotAllowed
				}
			}
			return echo.ErrNotFound
		}
		ctx := withRequest(context.WithValue(r.Context(), operationKey{}, op), r)
		if op.id != "events" {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, requestTime)
			defer cancel()
			_ = http.NewResponseController(c.Response()).SetWriteDeadline(time.Now().Add(requestTime)) //nolint:forbidigo // a deadline of the operating system
		}
		if op.id == "receiveHook" {
			_ = http.NewResponseController(c.Response()).SetReadDeadline(time.Now().Add(hookReadTime)) //nolint:forbidigo // see above
		}
		c.SetRequest(r.WithContext(ctx))
		start := s.opts.Clock.Now()
		err := next(c)
		if s.log.Enabled(ctx, slog.LevelDebug) {
			s.log.Debug("request", "requestId", requestID(ctx), "operation", op.id, "status", c.Response().Status, "took", s.opts.Clock.Since(start))
		}
		return err
	}
}

// authenticate finds out who asks. It fails closed: what is not a known session
// or token is nobody, and nobody may do nothing but public operations.
func (s *Server) authenticate(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		if operationOf(r.Context()).permission.isPublic {
			return next(c)
		}
		who, err := s.identify(r)
		if err != nil {
			return err
		}
		if who.kind == identity.KindSession && !isSafe(r.Method) && r.Header.Get(csrfHeader) == "" {
			return refuse(model.Forbidden, "the header %s is missing", csrfHeader).withHint("it proves that the request is not a form of another site; send %s: 1", csrfHeader)
		}
		if who.session.ReadOnly && !readsOnly(operationOf(r.Context()), r) {
			return refuse(model.Forbidden, "this token may only look").withHint("waybill token create NAME makes one that may what you may")
		}
		c.SetRequest(r.WithContext(withSignedIn(r.Context(), who)))
		return next(c)
	}
}

func isSafe(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}

// identify returns who sends r. An Authorization header decides alone: a bad
// one is not excused by a good cookie.
func (s *Server) identify(r *http.Request) (signedIn, error) {
	who := signedIn{kind: identity.KindSession}
	switch headers := r.Header.Values("Authorization"); {
	case len(headers) > 1:
		return signedIn{}, notSignedIn()
	case len(headers) == 1:
		scheme, value, ok := strings.Cut(headers[0], " ")
		if !ok || !strings.EqualFold(scheme, "bearer") {
			return signedIn{}, notSignedIn()
		}
		who.kind, who.value = identity.KindToken, strings.TrimSpace(value)
	default:
		cookie, err := r.Cookie(s.cookieName(r))
		if err != nil {
			return signedIn{}, notSignedIn()
		}
		who.value = cookie.Value
	}
	var err error
	who.person, who.session, err = s.users.Authenticate(r.Context(), who.kind, who.value)
	if err != nil {
		return signedIn{}, notSignedIn()
	}
	return who, nil
}

func notSignedIn() *refusal {
	return refuse(model.NotSignedIn, "you are not signed in, or your session has ended").withHint("waybill login")
}

// validate checks parameters and body against the document.
func (s *Server) validate(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		op := operationOf(r.Context())
		params := map[string]string{}
		for _, name := range c.ParamNames() {
			params[name] = c.Param(name)
		}
		input := &openapi3filter.RequestValidationInput{
			Request: r, PathParams: params, QueryParams: c.QueryParams(), Route: op.route,
			Options: &openapi3filter.Options{
				AuthenticationFunc:  openapi3filter.NoopAuthenticationFunc, // authenticate did it
				MultiError:          true,
				SkipSettingDefaults: true,
				ExcludeRequestBody:  isYAML(r),
			},
		}
		if err := openapi3filter.ValidateRequest(r.Context(), input); err != nil {
			return invalidRequest(err)
		}
		return next(c)
	}
}

func isYAML(r *http.Request) bool {
	return strings.HasPrefix(r.Header.Get("Content-Type"), "application/yaml")
}

// authorize enforces x-permission for the parameters the handler is going to
// use, and refuses Projects that are not there.
func (s *Server) authorize(next StrictHandlerFunc, operationID string) StrictHandlerFunc {
	return func(c echo.Context, request any) (any, error) {
		ctx := c.Request().Context()
		op := operationOf(ctx)
		if op == nil || !strings.EqualFold(op.id, operationID) {
			return nil, fmt.Errorf("operation %q of the router is not %q of the document", operationID, op.id)
		}
		if op.permission.isPublic || op.permission.signedInOnly {
			return next(c, request)
		}
		param := func(name string) string { return requestField(request, name) }
		action := op.permission.action(param)
		var err error
		if op.permission.isOfProject() {
			err = s.permit(ctx, action, param("project"))
		} else {
			err = s.permitEverywhere(ctx, action)
		}
		if err != nil {
			return nil, err
		}
		return next(c, request)
	}
}

// permit asks RBAC for the action and looks whether the Project is there. A
// person who may not see the Project learns nothing about it.
func (s *Server) permit(ctx context.Context, action identity.Action, project string) error {
	allowed, err := s.may(ctx, action)
	if err != nil {
		return err
	}
	exists, err := s.projectExists(ctx, project)
	if err != nil {
		return err
	}
	if allowed {
		if !exists {
			return noProject(project)
		}
		return nil
	}
	visible, err := s.maySee(ctx, project)
	if err != nil {
		return err
	}
	if !visible || !exists {
		return noProject(project)
	}
	return forbidden(action)
}

// permitEverywhere asks RBAC for an action that belongs to no Project. The answer
// does not depend on whether the object is there.
func (s *Server) permitEverywhere(ctx context.Context, action identity.Action) error {
	allowed, err := s.may(ctx, action)
	if err != nil || allowed {
		return err
	}
	return forbidden(action).withHint("an administrator of this installation can")
}

// forbidden says which right is missing.
func forbidden(a identity.Action) *refusal {
	where := ""
	if a.Namespace != "" {
		where = fmt.Sprintf(" in Project %q", a.Namespace)
	}
	what := a.Resource
	if a.Name != "" {
		what = fmt.Sprintf("%s %q", a.Resource, a.Name)
	}
	return refuse(model.Forbidden, "you may not %s %s%s", a.Verb, what, where).
		withHint("somebody who may change spec.access of the Project can give you the right")
}

// maySee reports whether the person may see the Project: list its Stages.
func (s *Server) maySee(ctx context.Context, project string) (bool, error) {
	return s.may(ctx, identity.Action{Verb: "list", Group: v1alpha1.Group, Resource: "stages", Namespace: project})
}

func (s *Server) projectExists(ctx context.Context, name string) (bool, error) {
	var p v1alpha1.Project
	err := s.opts.Cache.Get(ctx, client.ObjectKey{Name: name}, &p)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read Project %q: %w", name, err)
	}
	return true, nil
}

// requestField returns the path parameter of that name from a generated request
// object: the very value the handler uses.
func requestField(request any, name string) string {
	v := reflect.ValueOf(request)
	if v.Kind() != reflect.Struct || name == "" {
		return ""
	}
	f := v.FieldByName(strings.ToUpper(name[:1]) + name[1:])
	if !f.IsValid() || f.Kind() != reflect.String {
		return ""
	}
	return f.String()
}
