package identity

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// Rules of the limiter of login attempts. A key is an account at an address, an
// account anywhere, or an address.
const (
	// freePerPair failures of one account from one address cost nothing.
	freePerPair = 5
	// freePerAccount is far above it: guessing from many addresses slows the
	// account down, but nobody can lock somebody else out for long.
	freePerAccount = 50
	// freePerAddress failures, whatever the account.
	freePerAddress = 30
	// firstDelay doubles with each further failure.
	firstDelay = time.Second
	maxDelay   = 15 * time.Minute
	// maxAccountDelay bounds what others can do to an account.
	maxAccountDelay = 30 * time.Second
	// forgetAfter without a failure a key is forgotten.
	forgetAfter = 30 * time.Minute
	// maxKeys are remembered; a full table refuses rather than forgets.
	maxKeys = 30_000
)

// TooManyError refuses a login because too many failed before.
type TooManyError struct {
	// RetryAfter is how long to wait.
	RetryAfter time.Duration
}

// Error says how long to wait.
func (e *TooManyError) Error() string {
	return fmt.Sprintf("too many failed logins; try again in %s", e.RetryAfter.Round(time.Second))
}

// attempts counts failed logins. It lives in memory: a restart forgives, which
// costs an attacker more time than it gives.
type attempts struct {
	mu   sync.Mutex
	keys map[string]*failures
}

type failures struct {
	count int
	last  time.Time
	until time.Time
}

func newAttempts() *attempts { return &attempts{keys: map[string]*failures{}} }

// rule says how failures of a key turn into delay.
type rule struct {
	key  string
	free int
	max  time.Duration
}

func rulesOf(account, address string) []rule {
	address = network(address)
	account = strings.ToLower(account)
	return []rule{
		{"pair\x00" + account + "\x00" + address, freePerPair, maxDelay},
		{"account\x00" + account, freePerAccount, maxAccountDelay},
		{"address\x00" + address, freePerAddress, maxDelay},
	}
}

// network returns what counts as one place: the IPv4 address, or the /64 of an
// IPv6 address.
func network(address string) string {
	if ap, err := netip.ParseAddrPort(address); err == nil {
		address = ap.Addr().String()
	}
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	ip = ip.Unmap().WithZone("")
	if ip.Is6() {
		if p, err := ip.Prefix(64); err == nil {
			return p.String()
		}
	}
	return ip.String()
}

// begin reports whether an attempt may be made now, and counts it as failed
// until succeed says otherwise, so that parallel attempts cannot slip through.
func (a *attempts) begin(account, address string, now time.Time) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	rules := rulesOf(account, address)
	var wait time.Duration
	for _, r := range rules {
		if f := a.keys[r.key]; f != nil {
			wait = max(wait, f.until.Sub(now))
		}
	}
	if wait > 0 {
		return &TooManyError{RetryAfter: wait}
	}
	if len(a.keys)+len(rules) > maxKeys {
		a.forget(now)
		if len(a.keys)+len(rules) > maxKeys {
			return &TooManyError{RetryAfter: time.Minute}
		}
	}
	for _, r := range rules {
		f := a.keys[r.key]
		if f == nil || now.Sub(f.last) > forgetAfter {
			f = &failures{}
			a.keys[r.key] = f
		}
		f.count++
		f.last = now
		if over := f.count - r.free; over >= 0 {
			delay := r.max
			if over < 20 {
				delay = min(r.max, firstDelay<<over)
			}
			f.until = now.Add(delay)
		}
	}
	return nil
}

// succeed forgives the account at this address and takes the attempt back
// everywhere else.
func (a *attempts) succeed(account, address string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, r := range rulesOf(account, address) {
		f := a.keys[r.key]
		if f == nil {
			continue
		}
		f.count--
		f.until = time.Time{}
		if i == 0 || f.count <= 0 {
			delete(a.keys, r.key)
		}
	}
}

// forget drops keys without a recent failure.
func (a *attempts) forget(now time.Time) {
	for k, f := range a.keys {
		if now.Sub(f.last) > forgetAfter {
			delete(a.keys, k)
		}
	}
}
