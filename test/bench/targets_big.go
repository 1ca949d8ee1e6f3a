package main

import "fmt"

// Keys of the big runs. What each costs is measured under the key and these endings.
const (
	costCPU  = "-cpu"
	costAPI  = "-api-requests"
	costGit  = "-git-requests"
	costPeak = "-peak-rss"

	stormHealed  = "storm-healed"
	manyRSS      = "objects-10000-rss"
	manyAbove    = "objects-10000-above-start"
	manyOwn      = "objects-10000-rss-own"
	crowdDone    = "crowd"
	crowdPushes  = "crowd-outsider-pushes"
	crowdWrong   = "crowd-not-one-commit"
	bigRequests  = "big-rest-requests"
	bigCPU       = "big-rest-cpu"
	bigBaseline  = "big-start-rss"
	bigRestShort = "idle with them"

	restartWrites = "big-restart-writes"
	restartOwn    = "big-restart-own-writes"
	restartHealed = "big-restart-healed"
)

func scaleKey(what string, n int) string { return fmt.Sprintf("scale-%d-%s", n, what) }

// What others publish or were measured at, where it is not the same work. The
// letters are explained by bigSources.
var (
	publishedFlux       = map[int]string{100: "26 (a)", 500: "120 (a)", 1000: "253 (a)"}
	publishedFluxMemory = map[int]string{100: "134 (a)", 500: "183 (a)", 1000: "223 (a)"}
	publishedArgo       = map[int]string{100: "25 (b)", 500: "123 (b)", 1000: "246 (b)"}
	publishedArgoMemory = map[int]string{1000: "225-452 (c)"}
)

// bigSources says where the numbers of others in the big runs come from. It is
// printed below the table.
var bigSources = []string{
	"(a) Flux's own benchmark of Flux 2.9, Kustomizations of the same four objects, on 16 cores; the memory is kustomize-controller's alone.",
	"(b) Argo CD 2.8 at its default QPS, by the scalability tests of CNOE: 15,000 Applications of one ConfigMap each in 61.5 minutes on three clusters, at the same rate.",
	"(c) The same tests: one shard of Argo CD's application controller with 1,000 Applications of one ConfigMap each; repo-server, API server and Redis come on top.",
	"(d) Measured earlier on the same kind of machine and control plane, with 200 Applications of ten objects at rest.",
	"(e) Measured earlier, one drift at a time: Argo CD 0.41 s, the sixth on one revision 161 s (back-off); Flux waits for its interval, here 30 s. Neither publishes a storm.",
}

// bigMetrics are the lines of -big.
func bigMetrics() []metric {
	m := []metric{{Key: bigBaseline, Name: "resident memory at the start", Unit: "MiB"}}
	for _, n := range scales() {
		for _, what := range []string{"install", "upgrade"} {
			key := scaleKey(what, n)
			first := metric{Key: key, Name: fmt.Sprintf("%d Applications x 4 objects: %s", n, what), Unit: "s"}
			memory := metric{Key: key + costPeak, Name: "  peak resident memory", Unit: "MiB"}
			if what == "install" {
				first.Flux, memory.Flux = publishedFlux[n], publishedFluxMemory[n]
				first.Kargo, memory.Kargo = publishedArgo[n], publishedArgoMemory[n]
				if n == 1000 {
					first.Judge, first.HasTarget, first.Below = "max", true, 60
				}
			}
			m = append(m, first, metric{Key: key + costCPU, Name: "  CPU time", Unit: "s"},
				metric{Key: key + costAPI, Name: "  Kubernetes requests, no watches"}, memory)
		}
	}
	return append(m,
		metric{Key: stormHealed, Name: fmt.Sprintf("%d objects drift at once -> all healed", stormSize), Unit: "s", Kargo: "0.41-161 (e)", Flux: "24.7 (e)"},
		metric{Key: stormHealed + costCPU, Name: "  CPU time", Unit: "s"},
		metric{Key: stormHealed + costAPI, Name: "  Kubernetes requests, no watches"},
		metric{Key: manyRSS, Name: fmt.Sprintf("resident memory at %d objects", manyObjects), Unit: "MiB", Kargo: "879 (d)", Flux: "227 (d)"},
		metric{Key: manyAbove, Name: "  above the start", Unit: "MiB", Judge: "max", HasTarget: true, Below: 60},
		metric{Key: manyOwn, Name: "  of all of it: no pages of the program's file", Unit: "MiB"},
		metric{Key: bigRequests, Name: bigRestShort + ": requests, no watches", Unit: "/min", Judge: "max", HasTarget: true, Below: 0, Inclusive: true, Kargo: "61 (d)", Flux: "5 (d)"},
		metric{Key: bigCPU, Name: "  CPU", Unit: "% of a core", Kargo: "3.3 (d)", Flux: "0.1 (d)"},
		metric{Key: restartWrites, Name: "restarted with them: writes to managed objects", Judge: "max", HasTarget: true, Below: 0, Inclusive: true},
		metric{Key: restartOwn, Name: "  writes to Waybill's own objects"},
		metric{Key: restartHealed, Name: "  start -> what changed meanwhile healed", Unit: "s", Judge: "max", HasTarget: true, Below: 10},
		metric{Key: crowdDone, Name: fmt.Sprintf("%d Stages of one repository at once, an outsider pushing", crowdStages), Unit: "s"},
		metric{Key: crowdDone + costCPU, Name: "  CPU time", Unit: "s"},
		metric{Key: crowdDone + costGit, Name: "  Git requests"},
		metric{Key: crowdDone + costAPI, Name: "  Kubernetes requests, no watches"},
		metric{Key: crowdPushes, Name: "  pushes of the outsider meanwhile"},
		metric{Key: crowdWrong, Name: "  Promotions without exactly one commit", Judge: "max", HasTarget: true, Below: 0, Inclusive: true},
	)
}
