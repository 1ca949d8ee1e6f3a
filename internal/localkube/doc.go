// Package localkube starts and stops a real Kubernetes control plane on this machine, without containers:
// etcd and kube-apiserver, and on request kube-controller-manager, kube-scheduler and kwok, which plays the
// Nodes and their Pods. All of them are one binary, waybill-kube, built from test/kube.
//
// It is what `waybill local` runs on and what test/env gives to tests.
//
// # What holds
//
//   - Everything listens on 127.0.0.1 only. etcd asks for a client certificate of its own authority, the API server
//     for one of the cluster's; anonymous requests are refused, RBAC and the default admission plugins are on.
//   - A data directory has one owner at a time (a file lock, which the kernel releases whatever happens to the owner).
//   - The same data directory gives the same cluster: objects, authority, identities, and ports while they are free.
//   - No process outlives its owner. Stop ends them in order and waits. When the owner is killed, Linux kills them
//     with it; what may still be left (other systems) is written down with its start time, so that CleanUp, or the
//     next Start, ends exactly those processes and never a stranger that got the same id.
//   - A process that ends by itself is started again, with a growing delay.
//
// # Data directory
//
//	lock              held by the owner; contains its process id
//	ports.json        the ports of the last start
//	kubeconfig        the administrator (group system:masters)
//	clients/          kubeconfigs of other identities
//	bin/kubectl       a symlink to the binary, which acts by its name
//	pki/              authorities, certificates, service-account keys
//	run/              one record per running process
//	logs/             one log per process, at most two files of 8 MiB
//	etcd/             etcd's data
//
// Only the standard library is used: the small command line client imports this package.
package localkube
