// Package enroll makes, in a cluster that Waybill shall deploy to, the account
// with which it does: a Namespace, a ServiceAccount, what that may do, and a
// token. It runs on the computer of the person who adds the cluster, with the
// credentials of their own kubeconfig, which go nowhere else: Waybill is given
// the account's token only.
//
// Everything has a fixed name and is made by server-side apply, so that doing it
// again is harmless; each time makes a new token, and the ones before it are
// deleted once the new one is known to work.
package enroll
