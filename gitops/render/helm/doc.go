// Package helm renders Helm charts in processes of their own.
//
//	Pool.Render ──► pipe ──► worker (waybilld render-worker) ──► engine ──► manifests
//
// A template of 40 bytes can ask for all the memory there is, and one that loops
// never ends; neither can be stopped inside a process. So templates run in a kept
// worker, which is the same program started again. Before it reads anything a
// worker takes from itself: more than 512 MiB of memory (RLIMIT_DATA), more than
// ten minutes of processor time, new files, its environment, and by a seccomp
// filter every socket and every other program. What takes too long is killed;
// after a crash, a limit or 1,000 renders the next request gets a new one.
//
// lookup finds nothing, DNS names are not resolved, and dependencies that are not
// in the chart's charts folder are an error.
package helm
