// Package importer translates what people wrote for Argo CD and Kargo into
// Waybill's objects, and says of every field what became of it: mapped,
// approximated or dropped.
//
// No field is passed over in silence. Reading a field marks it; what nobody
// marked when an object is done is a dropped field in the report. So a field that
// a new version of Argo CD or Kargo adds is named, not lost.
//
// Two rules keep an import from doing harm. Destinations, kinds and roles never
// become wider than they were: what cannot be said as narrowly is left out (what a
// Project does not limit at all is dropped). And what would run something
// else than before (a plugin that renders, a value from a second repository) comes
// suspended, with the reason beside it.
//
// It is pure: `waybill import` feeds it with files, `waybilld observe` with what it
// reads in a cluster.
package importer
