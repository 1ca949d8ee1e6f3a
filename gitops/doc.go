// Package gitops holds every rule of the embedded reconciler and does nothing.
//
// Input is what was observed: the rendered objects of a revision (Desired), the
// compact record of what lives in the cluster (Live) and the inventory that the
// Application's status remembers. Output is what to do about it (Plan), what a
// change in the cluster means (Judge), what an Application may touch
// (CheckLimits), how well it is (RollUp) and whether it runs a commit (Reached).
// The package reads no clock, calls nothing and logs nothing; the packages
// below it (render, cluster, apply, watch, health) and the Application
// controller do.
//
//	branch head ──► render ──► Desired ┐
//	inventory (status) ────────────────┼─► Plan ──► grow inventory ──► apply ──► prune ──► shrink inventory
//	watch ──► Live ────────────────────┘              (status)         by rank   only after every apply
//	watch ──► Live ──► Judge ──► heal one object
//
// Invariants:
//
//   - An object at rest costs no request, a changed one costs one PATCH.
//   - What is compared with the cluster is the server's answer to our own
//     PATCH, never the text in Git: defaulting and webhooks cannot loop.
//   - The inventory names an object before it is created and until its deletion
//     is confirmed, so that a crash leaves no orphan.
//   - An object that belongs to another Application is an error, not a fight.
//   - Nothing is deleted while an object of the revision could not be applied.
package gitops
