// Package render turns one path of a repository into Kubernetes objects.
//
//	fs.FS ──► tree (limits, no symlinks) ──┬─ no kustomization ──► files ──► documents ──► objects
//	                                       ├─ kustomization ──► (inline options on top) ──► preflight ──► krusty ──► objects
//	                                       └─ Chart.yaml ──► worker process (package helm) ──► documents ──► objects
//
// What is in the repository is hostile. So:
//
//   - Nothing is read but the given fs.FS, and nothing is written or executed. kustomize runs in this process over
//     a read-only file system made of that fs.FS, with plugins, functions and Helm off. Charts are rendered in a process of
//     their own that has no network, no files and little memory.
//   - kustomize fetches URLs and clones repositories by itself when a reference looks like one. Every file it would
//     follow is therefore read first (preflight), and a reference that leaves the repository is refused before
//     kustomize runs.
//   - Files, bytes, documents, nesting, aliases, objects and time are limited; a limit is an error that names it.
//
// A folder without a kustomization never goes through kustomize, which takes ten times as long for the same objects.
//
// Rendering is all or nothing: an error names the file, the document and the field, and no objects come with it.
// Namespaces that manifests leave out stay out; only the cluster knows which kinds have one.
package render
