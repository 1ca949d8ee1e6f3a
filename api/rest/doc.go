// Package rest is the HTTP API of Waybill: page models for the dashboard,
// actions of people, definitions in their Kubernetes shape, and one event
// stream.
//
// The document openapi.yaml comes first: types (package model), routes and
// parameter binding (server.gen.go) are generated from it, and the permission
// each operation declares there is enforced by one middleware.
//
//	request -> limits -> headers -> who -> permission (document) -> parameters (document) -> handler
//	                                 |          |                                            |
//	                                401        404 hidden / 403                     as the person: impersonation
//
// Invariants:
//   - what is read passes a SubjectAccessReview for the person; what is changed
//     is written with the person's identity, so that RBAC and admission decide
//     (never the server's own rights);
//   - a Project one may not see and one that does not exist answer alike;
//   - verdicts, status words and next actions come from package promotion;
//   - echo's types stay in this package; it imports no controllers.
package rest

//go:generate go tool -modfile=../../tools/oapi/go.mod oapi-codegen -config oapi.yaml openapi.yaml
//go:generate go tool -modfile=../../tools/oapi/go.mod oapi-codegen -config oapi-server.yaml openapi.yaml
