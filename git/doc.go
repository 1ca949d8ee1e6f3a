// Package git reads and writes remote Git repositories without a working tree.
//
// A Mirrors keeps one bare mirror on disk per repository address and credential.
// A Mirror fetches the branches it is asked for, shows a commit as an fs.FS,
// edits trees, writes commits and pushes them. go-git supplies the object
// formats; the exchange over HTTP and SSH is ours, because its rules are ours
// too.
//
//	LsRemote            1 request: which branch is where
//	Mirror.Fetch        1 request, and 1 more when something is new
//	Mirror.WriteTree    no request: a tree from a tree and some edits
//	Mirror.WriteCommit  no request: same spec, same hash
//	Mirror.Push         2 requests: compare and swap of one branch
//
// # Invariants
//
//   - A branch only moves from the hash the caller names to a descendant of it.
//     The server compares that hash under its lock; nothing is ever forced.
//   - A commit that is in a mirror has all its trees, files and ancestors there:
//     packs are checked before they are used, and objects are written in the
//     order files, trees, commits.
//   - What a repository contains is hostile. Symlinks and submodules are listed
//     but cannot be opened, unsafe names are errors, and every size has a limit.
//   - Credentials go to the host of the URL only, and appear in no error and no
//     file. Only https and ssh are spoken, and http when a flag allows it;
//     redirects to another host are refused, and so is an SSH server whose host
//     key the credential does not name.
//
// # What happens on failure
//
// Errors are classified here once; callers use errors.Is with the kinds in
// errors.go. A push whose answer was lost gives ErrUnknownOutcome: the caller
// fetches and looks for its commit with Mirror.FindTrailer. A push the server
// refused gives ErrMoved when the branch is no longer where the caller said,
// which Push finds out by looking at the branch, never by reading the refusal.
//
// A mirror is a cache. When it is deleted, truncated or otherwise unreadable,
// the operation that notices gives ErrDamaged, and the next Fetch builds the
// mirror anew. Work that was not pushed is lost then; as commits are
// deterministic, doing it again gives the same commit.
//
// # Processes
//
// Two processes must not share a directory: NewMirrors takes a lock on it, which
// the kernel drops when the process ends, however it ends. Within a process
// everything here may be used from any goroutine.
package git
