// Package credentials finds the Secret that belongs to a repository.
//
// It is pure: callers hand in Secrets they have read. A Secret serves the
// Project in whose namespace it lives; one in Waybill's own namespace serves
// the Projects its waybill.dev/shared-with annotation names. No other Secret is
// ever considered, whatever its URL says.
//
// Among those, the more specific URL wins: the same repository, then the
// longest prefix ending at a slash, then an anchored regular expression, then
// the order of names; and a Project's own Secret wins over a shared one.
package credentials
