// Package model holds the JSON types of the REST API, generated from
// api/rest/openapi.yaml. The server, the Go client and the command line share
// them; the dashboard generates its own from the same document.
//
// An optional field is absent from the JSON when it has its zero value.
package model
