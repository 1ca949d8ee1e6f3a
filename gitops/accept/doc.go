// Package accept writes what somebody changed in a cluster into the branch that
// an Application follows, so that Git says what runs (waybill drift --accept).
//
// It changes as little as can be: one value in the file that declares the object,
// or a patch beside the kustomization when the file is not the Application's own.
// Every edit is proven before it is committed: the edited tree is rendered, and
// must give the objects as they were with the accepted fields as they live, and
// nothing else; and no other Application of the branch may render otherwise. What
// cannot be proven is refused with the reason.
//
// The push names the commit it expects the branch at, and is never forced. What is
// accepted is decided by content: done twice, or after a crash behind the push, it
// finds the branch as it should be and commits nothing.
package accept
