package outbox_test

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/clock"

	"github.com/waybill-dev/waybill/history"
	"github.com/waybill-dev/waybill/history/historytest"
	"github.com/waybill-dev/waybill/history/outbox"
)

// keys is a store that can be down.
type keys struct {
	mu   sync.Mutex
	down bool
	got  []string
}

func (k *keys) PutEntry(_ context.Context, e history.Entry) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.down {
		return history.ErrUnavailable
	}
	k.got = append(k.got, e.Key)
	return nil
}

func (k *keys) set(down bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.down = down
}

func open(t *testing.T, path string, s outbox.Store) *outbox.Outbox {
	t.Helper()
	o, err := outbox.Open(path, s, clock.RealClock{})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func add(t *testing.T, o *outbox.Outbox, ns ...int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // who asked has gone: what happened has happened all the same
	for _, n := range ns {
		if err := o.Add(ctx, historytest.Entry("p", "s", n)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestNothingIsLost: what the store does not take survives the process, also a
// crash in the middle of a line, and goes to the store once, in order.
func TestNothingIsLost(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "outbox")
	store := &keys{}
	o := open(t, path, store)
	add(t, o, 1)
	store.set(true)
	add(t, o, 2, 3)
	if o.Drain(t.Context()) == nil || o.Waiting() != 2 {
		t.Errorf("%d wait while the store is down, want 2", o.Waiting())
	}
	store.set(false)
	add(t, o, 4) // behind those that wait
	store.set(true)
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("\n{\"key\":\"cut o"); err != nil { // a crash
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}

	o = open(t, path, store)
	add(t, o, 5)
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	o = open(t, path, store)
	store.set(false)
	if err := o.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"p-1/made", "p-2/made", "p-3/made", "p-4/made", "p-5/made"}, store.got); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
	if info, err := os.Stat(path); err != nil || info.Size() != 0 || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v, want an empty file of this user's", info, err)
	}
	add(t, o, 6)
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	if o = open(t, path, store); o.Waiting() != 0 {
		t.Errorf("%d wait, want none", o.Waiting())
	}
	_ = o.Close()
}
