// Package history is the memory of before: what is kept of a Promotion when its
// object is gone, and who decided what.
//
// Kubernetes objects are the truth about now. A store of this package never
// decides anything: losing it changes nothing that is deployed, and while it
// does not answer, Promotions go on.
//
//	Promotion object --ends--> record --confirmed--> object may be pruned
//	Freeze, Approval, definition: made, changed, gone --> entry
//	what a Project's notifications tell --> notice --sent, or given up--> forgotten
//
// Invariants:
//   - a record is keyed by the Promotion's UID, its steps by (UID, step,
//     attempt), an entry by what happened to which object: writing twice is
//     harmless, and there is exactly one row per key;
//   - what can be read from objects is made from objects again after a crash;
//     nothing is remembered only in memory;
//   - entries are appended, never changed, and chained by hash (package chain);
//     a record may grow, and each of its states has an entry with its hash;
//   - a record holds no configuration of steps and nothing of a Secret.
//
// The package is pure: OfPromotion and the Of functions beside it turn objects
// into records. Its children keep them: sqlite in a file, postgres in
// PostgreSQL; historytest says what both must do.
package history
