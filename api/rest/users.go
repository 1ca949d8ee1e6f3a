package rest

import (
	"context"
	"errors"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/history"
	"github.com/waybill-dev/waybill/internal/identity"
	"github.com/waybill-dev/waybill/internal/secret"
)

// ListUsers returns the local users.
func (s *Server) ListUsers(ctx context.Context, _ ListUsersRequestObject) (ListUsersResponseObject, error) {
	who, err := whoIs(ctx)
	if err != nil {
		return nil, err
	}
	out := ListUsers200JSONResponse{Items: []model.User{}}
	for _, u := range s.users.Users() {
		out.Items = append(out.Items, userModel(u, who.session))
	}
	return out, nil
}

func userModel(u identity.LocalUser, current identity.Session) model.User {
	return model.User{
		Name: u.Name, Groups: append([]string{}, u.Groups...), Disabled: u.Disabled, Problem: u.Problem, Etag: userTag(u),
		Current: current.Issuer == "" && current.User == u.Name,
	}
}

func userTag(u identity.LocalUser) string { return `"` + u.Tag() + `"` }

// AddUser makes a local user, as the person.
func (s *Server) AddUser(ctx context.Context, request AddUserRequestObject) (AddUserResponseObject, error) {
	by, err := s.editor(ctx, false)
	if err != nil {
		return nil, err
	}
	b := request.Body
	made, err := s.users.AddUser(ctx, by, b.Name, secret.New(b.Password), b.Groups)
	if err != nil {
		return nil, refuseUser(b.Name, err)
	}
	s.noteUser(ctx, history.ActionApply, made.Name, "made, "+groupsText(made.Groups))
	return AddUser201JSONResponse(userModel(made, by.Session)), nil
}

// EditUser changes a local user, as the person.
func (s *Server) EditUser(ctx context.Context, request EditUserRequestObject) (EditUserResponseObject, error) {
	b, match := request.Body, strings.TrimSpace(request.Params.IfMatch)
	if b.Groups != nil && match == "" {
		return nil, refuse(model.PreconditionRequired, "the header If-Match is missing: it says which groups of %q are replaced", request.User).
			withHint("send the etag that GET /api/v1/users answered with, or If-Match: * for whatever they are by now")
	}
	change := identity.UserChange{Groups: b.Groups, Disabled: b.Disabled, Password: secret.New(b.Password)}
	if match != "" {
		change.Expected = func(u identity.LocalUser) bool { return namesTag(match, userTag(u)) }
	}
	by, err := s.editor(ctx, request.Params.Force)
	if err != nil {
		return nil, err
	}
	changed, err := s.users.EditUser(ctx, by, request.User, change)
	if err != nil {
		return nil, refuseUser(request.User, err)
	}
	var what []string
	if b.Groups != nil {
		what = append(what, groupsText(changed.Groups))
	}
	if b.Disabled != nil {
		what = append(what, map[bool]string{true: "disabled", false: "enabled"}[*b.Disabled])
	}
	if b.Password != "" {
		what = append(what, "another password")
	}
	s.noteUser(ctx, history.ActionApply, changed.Name, strings.Join(what, ", "))
	return EditUser200JSONResponse(userModel(changed, by.Session)), nil
}

// RemoveUser removes a local user, as the person.
func (s *Server) RemoveUser(ctx context.Context, request RemoveUserRequestObject) (RemoveUserResponseObject, error) {
	by, err := s.editor(ctx, request.Params.Force)
	if err != nil {
		return nil, err
	}
	if err := s.users.RemoveUser(ctx, by, request.User); err != nil {
		return nil, refuseUser(request.User, err)
	}
	s.noteUser(ctx, history.ActionDelete, request.User, "")
	return RemoveUser204Response{}, nil
}

// ChangePassword gives the person another password; the old one is what allows it.
func (s *Server) ChangePassword(ctx context.Context, request ChangePasswordRequestObject) (ChangePasswordResponseObject, error) {
	if s.opts.NoPasswords {
		return nil, refuse(model.Forbidden, "nobody signs in with a password here")
	}
	who, err := whoIs(ctx)
	if err != nil {
		return nil, err
	}
	b := request.Body
	err = s.users.ChangePassword(ctx, who.session, secret.New(b.Old), secret.New(b.New), requestOf(ctx).RemoteAddr)
	var invalid *identity.InvalidUserError
	switch {
	case errors.Is(err, identity.ErrNotLocal):
		return nil, refuse(model.InvalidRequest, "your password is kept by the identity provider %s", who.session.Issuer).withHint("change it there")
	case errors.Is(err, identity.ErrWrongPassword): // not WrongCredentials: the session goes on
		return nil, refuse(model.Forbidden, "the old password is wrong")
	case errors.As(err, &invalid):
		return nil, invalidUser("new", invalid)
	case errors.Is(err, identity.ErrUserChanged):
		return nil, refuse(model.Conflict, "somebody else changed your user meanwhile").withHint("try again")
	case err != nil:
		return nil, refuseUser(who.person.Name(), err)
	}
	s.noteUser(ctx, history.ActionApply, who.person.Name(), "another password")
	return ChangePassword204Response{}, nil
}

// editor is the person of the request, who changes local users.
func (s *Server) editor(ctx context.Context, isForced bool) (identity.Editor, error) {
	if !s.users.IsReady() {
		return identity.Editor{}, refuse(model.Unavailable, "the server is starting").withHint("try again in a moment")
	}
	who, err := whoIs(ctx)
	if err != nil {
		return identity.Editor{}, err
	}
	kube, err := s.people.kube(who.person)
	return identity.Editor{Kube: kube, Session: who.session, Forced: isForced, Manages: s.managesUsers}, err
}

// managesUsers reports whether a person may manage users: by the verb, and by what it
// takes to write them.
func (s *Server) managesUsers(ctx context.Context, p identity.Person) (bool, error) {
	for _, a := range []identity.Action{
		{Verb: "patch", Group: v1alpha1.Group, Resource: "users"},
		{Verb: "update", Resource: "secrets", Namespace: s.opts.SystemNamespace, Name: identity.UsersSecret},
	} {
		if may, err := s.reviewer.May(ctx, p, a); err != nil || !may {
			return false, err
		}
	}
	return true, nil
}

// noteUser remembers what was done to a local user.
func (s *Server) noteUser(ctx context.Context, action history.Action, name, what string) {
	who, err := whoIs(ctx)
	if err != nil {
		return
	}
	s.note(ctx, history.Entry{
		Key: "user/" + requestID(ctx), At: s.opts.Clock.Now().UTC().Truncate(time.Microsecond), Action: action, Actor: who.person.User, Reason: what,
		Object: history.Object{Kind: "User", Name: name},
	})
}

func groupsText(groups []string) string {
	if len(groups) == 0 {
		return "no groups"
	}
	return "groups: " + strings.Join(groups, ", ")
}

// refuseUser turns what the store of users refuses into what people see.
func refuseUser(name string, err error) error {
	var there *identity.UserExistsError
	var invalid *identity.InvalidUserError
	var status apierrors.APIStatus
	switch {
	case errors.As(err, &there):
		hint := "waybill user set " + there.Name
		if there.Name != name {
			hint = "names that differ in case only are refused"
		}
		return refuse(model.Conflict, "%s", there.Error()).withHint("%s", hint)
	case errors.As(err, &invalid):
		return invalidUser(invalid.Field, invalid)
	case errors.Is(err, identity.ErrNoUser):
		return refuse(model.NotFound, "there is no local user %q", name).withHint("waybill user list")
	case errors.Is(err, identity.ErrOneself):
		return refuse(model.Conflict, "%q is you: you can neither remove nor disable yourself, nor set your password without the old one", name).
			withHint("another administrator can; your own password: waybill user password")
	case errors.Is(err, identity.ErrLastManager):
		return refuse(model.Conflict, "%q is the last local user who may manage users", name).
			withHint("give another user the groups of %q first, or use --force when somebody who comes by an identity provider manages users", name)
	case errors.Is(err, identity.ErrUserChanged):
		return refuse(model.PreconditionFailed, "%q was changed meanwhile", name).withHint("waybill user list")
	case errors.As(err, &status):
		return refuseSecret("write the local users", err)
	default:
		return err
	}
}

// invalidUser says which field of the request is wrong.
func invalidUser(field string, err *identity.InvalidUserError) *refusal {
	r := refuse(model.InvalidRequest, "%s", err.Error())
	r.errors = []model.FieldError{{Pointer: "/" + field, Field: field, Detail: err.Error()}}
	return r
}
