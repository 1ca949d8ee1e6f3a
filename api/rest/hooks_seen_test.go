package rest

import (
	"fmt"
	"testing"

	"github.com/waybill-dev/waybill/internal/hook"
)

// TestSeenIsBounded: the last deliveries are known again, and no more are kept.
func TestSeenIsBounded(t *testing.T) {
	var s seen
	key := func(id string) [32]byte {
		k, ok := deliveryKey(hook.Event{ID: id}, []byte("body"))
		if !ok {
			t.Fatalf("%q is no ID", id)
		}
		return k
	}
	for i := range maxSeen + 10 {
		for range 2 {
			s.add(key(fmt.Sprint(i + 1)))
		}
	}
	if len(s.known) != maxSeen || len(s.order) != maxSeen || s.has(key("10")) || !s.has(key("11")) || !s.has(key(fmt.Sprint(maxSeen+10))) {
		t.Errorf("%d are known, in an order of %d", len(s.known), len(s.order))
	}
	if _, ok := deliveryKey(hook.Event{}, nil); ok {
		t.Error("a delivery without an ID is known again")
	}
	other, _ := deliveryKey(hook.Event{ID: "11"}, []byte("another body"))
	if s.has(other) {
		t.Error("another message under the same ID is taken for a repetition")
	}
}
