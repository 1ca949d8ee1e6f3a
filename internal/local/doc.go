// Package local starts and stops Waybill on one machine, without containers:
// the single-machine edition behind `waybill local`.
//
// # Parts
//
// One process, the supervisor, owns a data directory. It runs
//
//   - a Kubernetes control plane (internal/localkube), unless an existing
//     cluster is used;
//   - waybilld, the server, as a child that is started again when it ends;
//   - with the demo, a Git server and an OCI registry, inside itself.
//
// # What holds
//
//   - Everything listens on 127.0.0.1 only, on consecutive ports from one base.
//   - A data directory has one supervisor at a time: a file lock, which the
//     kernel releases whatever happens to the process.
//   - No process outlives the supervisor. When it is killed, Linux ends its
//     children with it; elsewhere Down, or the next Up, ends exactly the
//     processes that were written down, told apart by when they started.
//   - The password is made once, is random, and is readable by its owner only.
//   - The same directory gives the same instance: objects, repositories,
//     images, password and ports.
//
// # Data directory
//
//	lock              held by the supervisor
//	password          of the one account: Waybill, Git and the registry
//	settings.json     ports and choices of the last start
//	run/              who runs now, and what `local up -o json` printed
//	logs/             supervisor, waybilld, its installation, the control plane
//	kube/             the control plane (see internal/localkube)
//	server/           waybilld's own data
//	git/, registry/   repositories and images of the demo
package local
