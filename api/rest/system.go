package rest

import (
	"context"

	"github.com/waybill-dev/waybill/api/rest/model"
)

// Healthz answers while the process is alive; it depends on nothing.
func (s *Server) Healthz(context.Context, HealthzRequestObject) (HealthzResponseObject, error) {
	return Healthz200TextResponse("ok\n"), nil
}

// Readyz answers when the caches are filled, and says what is missing until
// then.
func (s *Server) Readyz(context.Context, ReadyzRequestObject) (ReadyzResponseObject, error) {
	switch {
	case !s.users.IsReady():
		return nil, refuse(model.Unavailable, "users and sessions have not been read yet")
	case !s.hub.isReady():
		return nil, refuse(model.Unavailable, "the cache of Waybill's objects is not filled yet")
	}
	return Readyz200TextResponse("ok\n"), nil
}

// Version says which server this is.
func (s *Server) Version(context.Context, VersionRequestObject) (VersionResponseObject, error) {
	return Version200JSONResponse{Version: s.opts.Version, Commit: s.opts.Commit, API: "v1"}, nil
}

// Openapi returns the document the server was built from.
func (s *Server) Openapi(context.Context, OpenapiRequestObject) (OpenapiResponseObject, error) {
	return rawPage(s.doc.json), nil
}
