package rest

import (
	"crypto/sha256"

	"github.com/waybill-dev/waybill/internal/hook"
)

// maxSeen is how many deliveries of a receiver are known again.
const maxSeen = 1000

// seen are the last deliveries that woke something, so that the same one sent
// again wakes nothing twice. One that woke nothing, or failed, may be sent again:
// that is what people do when they have mended something. The zero value is empty.
type seen struct {
	known map[[sha256.Size]byte]struct{}
	order [][sha256.Size]byte // oldest first
}

// deliveryKey tells deliveries apart; false for senders that give them no ID. The
// ID alone would not do: some senders give one to all that came of one cause.
func deliveryKey(e hook.Event, body []byte) (key [sha256.Size]byte, ok bool) {
	sum := sha256.Sum256(body)
	return sha256.Sum256(append([]byte(e.ID+"\x00"), sum[:]...)), e.ID != ""
}

func (s *seen) has(key [sha256.Size]byte) bool {
	_, is := s.known[key]
	return is
}

func (s *seen) add(key [sha256.Size]byte) {
	if s.known == nil {
		s.known = map[[sha256.Size]byte]struct{}{}
	}
	if s.has(key) {
		return
	}
	if len(s.order) == maxSeen {
		delete(s.known, s.order[0])
		s.order = append(s.order[:0], s.order[1:]...)
	}
	s.known[key] = struct{}{}
	s.order = append(s.order, key)
}

// isRepeated reports whether r was sent this before, and it woke something.
func (h *hooks) isRepeated(r *receiver, e hook.Event, body []byte) bool {
	key, ok := deliveryKey(e, body)
	h.mu.Lock()
	defer h.mu.Unlock()
	return ok && r.log.seen.has(key)
}

// remember notes a delivery that woke something.
func (h *hooks) remember(r *receiver, e hook.Event, body []byte) {
	key, ok := deliveryKey(e, body)
	h.mu.Lock()
	defer h.mu.Unlock()
	if ok {
		r.log.seen.add(key)
	}
}
