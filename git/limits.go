package git

import "time"

// Limits bound what a remote can make us spend. The zero value of a field means
// its default.
type Limits struct {
	// ListBytes bounds a reference listing. Default 32 MiB (400,000 branches).
	ListBytes int64
	// PackBytes bounds one pack as sent. Default 2 GiB.
	PackBytes int64
	// PackObjects bounds the number of objects of one pack. Default 5,000,000.
	PackObjects int
	// ObjectBytes bounds one object, unpacked. Default 256 MiB.
	ObjectBytes int64
	// FileBytes bounds a file that is read or written. Default 16 MiB.
	FileBytes int64
	// Depth bounds how deep directories nest. Default 64.
	Depth int
	// Changes bounds the result of ChangedPaths. Default 100,000.
	Changes int
	// PushBytes bounds the pack of one push. Default 256 MiB.
	PushBytes int64

	// CallTimeout bounds one request and its answer; FetchTimeout bounds one
	// that carries a pack. Defaults 30 s and 10 min. The caller's context can
	// make both shorter.
	CallTimeout, FetchTimeout time.Duration

	// Readers is how many goroutines read one mirror at a time, and CacheBytes
	// what each keeps of it in memory. Defaults 8 and 8 MiB.
	Readers    int
	CacheBytes int64
}

func (l Limits) withDefaults() Limits {
	orBytes := func(v *int64, def int64) {
		if *v <= 0 {
			*v = def
		}
	}
	orInt := func(v *int, def int) {
		if *v <= 0 {
			*v = def
		}
	}
	orTime := func(v *time.Duration, def time.Duration) {
		if *v <= 0 {
			*v = def
		}
	}
	orBytes(&l.ListBytes, 32<<20)
	orBytes(&l.PackBytes, 2<<30)
	orInt(&l.PackObjects, 5_000_000)
	orBytes(&l.ObjectBytes, 256<<20)
	orBytes(&l.FileBytes, 16<<20)
	orInt(&l.Depth, 64)
	orInt(&l.Changes, 100_000)
	orBytes(&l.PushBytes, 256<<20)
	orTime(&l.CallTimeout, 30*time.Second)
	orTime(&l.FetchTimeout, 10*time.Minute)
	orInt(&l.Readers, 8)
	orBytes(&l.CacheBytes, 8<<20)
	return l
}
