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

// published are the times of Flux 2.9's Kustomizations in its own benchmark, on 16
// cores, for the same application.
var published = map[int]string{100: "26 (16 cores)", 500: "120 (16 cores)", 1000: "253 (16 cores)"}

// publishedMemory is what its controller needed then.
var publishedMemory = map[int]string{100: "134", 500: "183", 1000: "223"}

// bigMetrics are the lines of -big.
func bigMetrics() []metric {
	m := []metric{{Key: bigBaseline, Name: "resident memory at the start", Unit: "MiB"}}
	for _, n := range scales() {
		for _, what := range []string{"install", "upgrade"} {
			key := scaleKey(what, n)
			first := metric{Key: key, Name: fmt.Sprintf("%d Applications x 4 objects: %s", n, what), Unit: "s"}
			memory := metric{Key: key + costPeak, Name: "  peak resident memory", Unit: "MiB"}
			if what == "install" {
				first.Flux, memory.Flux = published[n], publishedMemory[n]
				if n == 1000 {
					first.Judge, first.HasTarget, first.Below = "max", true, 60
				}
			}
			m = append(m, first, metric{Key: key + costCPU, Name: "  CPU time", Unit: "s"},
				metric{Key: key + costAPI, Name: "  Kubernetes requests, no watches"}, memory)
		}
	}
	return append(m,
		metric{Key: stormHealed, Name: fmt.Sprintf("%d objects drift at once -> all healed", stormSize), Unit: "s"},
		metric{Key: stormHealed + costCPU, Name: "  CPU time", Unit: "s"},
		metric{Key: stormHealed + costAPI, Name: "  Kubernetes requests, no watches"},
		metric{Key: manyRSS, Name: fmt.Sprintf("resident memory at %d objects", manyObjects), Unit: "MiB"},
		metric{Key: manyAbove, Name: "  above the start", Unit: "MiB", Judge: "max", HasTarget: true, Below: 60},
		metric{Key: manyOwn, Name: "  of all of it: no pages of the program's file", Unit: "MiB"},
		metric{Key: bigRequests, Name: bigRestShort + ": requests, no watches", Unit: "/min", Judge: "max", HasTarget: true, Below: 0, Inclusive: true},
		metric{Key: bigCPU, Name: "  CPU", Unit: "% of a core"},
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
