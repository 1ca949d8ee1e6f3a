// Package manifest reads Waybill's YAML strictly: it says in which file,
// document, line and field something is wrong, and how a field of Kargo or
// Argo CD that has another name here is called now.
//
// It is pure and imports no client-go, so that the command line checks files
// before it sends them and the server checks them again in the same words.
package manifest
