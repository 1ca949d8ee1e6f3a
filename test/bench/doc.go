// Command bench measures Waybill on a real control plane and prints a table:
// each number with how often it was measured, its minimum, median and 99th
// percentile, beside the target of the design and what others need for the
// same work. It also writes test/artifacts/bench.json.
//
//	make bench
//	make bench-big                                       # -big: 1,600 Applications, storms, 50 Stages at once
//	go run ./test/bench -chains 3 -drifts 40 -rest 10s   # a quick look
//	go run ./test/bench -profile /tmp/profiles -timeline # where the time goes
//
// What runs: etcd, kube-apiserver, controller manager, scheduler and kwok (one
// machine, no containers), a Git server over smart HTTP, a registry with bearer
// tokens, and the waybilld that `make build` made (or WAYBILLD names) as a
// child process with its default settings. This process is the second client:
// it pushes, writes and deletes as a person would, and sees results only by
// watch events and by requests that reach the servers. All clocks are that of
// this machine, and every address is on loopback.
//
// A target that is missed is shown as a miss and is no error: the exit status
// says whether the measuring went well. Numbers depend on what else the machine
// does, so the load average is part of the report.
package main
