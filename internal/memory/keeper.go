package memory

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"k8s.io/utils/clock"
)

const (
	// lookEvery is how often Keeper looks.
	lookEvery = 5 * time.Second
	// restBytes is what a program at rest allocates at most between two looks.
	restBytes = 4 << 20
	// worthwhileBytes is what has to have been taken since the last time for
	// another collection to be worth its CPU time, about 100 ms for 50 MiB that live.
	worthwhileBytes = 8 << 20
)

// Usage is what the Go runtime says of its memory, in bytes.
type Usage struct {
	// Allocated is all that was ever allocated on the heap.
	Allocated uint64
	// Held is what the runtime has from the operating system and has not given back.
	Held uint64
}

// Keeper returns memory when the program has come to rest. Use it once, by Run.
type Keeper struct {
	// Clock tells when to look; never nil.
	Clock clock.WithTicker
	// Read returns the usage; nil: that of this process.
	Read func() Usage
	// Return collects and gives back; nil: the heap's free memory and the program's own pages.
	Return func()

	last  Usage
	floor uint64
}

// Run looks until ctx ends. It returns nil.
func (k *Keeper) Run(ctx context.Context) error {
	if k.Read == nil {
		k.Read = read
	}
	if k.Return == nil {
		k.Return = giveBack
	}
	ticker := k.Clock.NewTicker(lookEvery)
	defer ticker.Stop()
	k.last = k.Read()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C():
			k.look()
		}
	}
}

// look returns memory when that is due.
func (k *Keeper) look() {
	now := k.Read()
	rests := now.Allocated-k.last.Allocated < restBytes
	k.last = now
	if !rests || now.Held < k.floor+worthwhileBytes {
		return
	}
	k.Return()
	k.last = k.Read()
	k.floor = k.last.Held
}

// giveBack returns the heap's free memory, and lets go of the pages of the program itself.
func giveBack() {
	debug.FreeOSMemory()
	_, _ = unmapProgram() // without it more stays resident, and nothing else is different
}

// read asks the runtime, without stopping anything.
func read() Usage {
	samples := []metrics.Sample{
		{Name: "/gc/heap/allocs:bytes"},
		{Name: "/memory/classes/total:bytes"},
		{Name: "/memory/classes/heap/released:bytes"},
	}
	metrics.Read(samples)
	return Usage{Allocated: samples[0].Value.Uint64(), Held: samples[1].Value.Uint64() - samples[2].Value.Uint64()}
}
