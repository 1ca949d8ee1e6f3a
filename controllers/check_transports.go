package controllers

import (
	"net/http"
	"slices"
	"strings"
	"sync"
)

// CheckTransports returns the way out for checks of a Project that names hosts
// whose addresses may be private.
type CheckTransports func(allowedHosts []string) (http.RoundTripper, error)

// transports keeps one transport for each set of allowed hosts: its connections
// are used again. The zero value is not ready; make is what makes one.
type transports struct {
	mu   sync.Mutex
	made map[string]http.RoundTripper
	make CheckTransports
}

// maxTransports bounds what is kept; beyond it everything is made anew.
const maxTransports = 64

// ShareTransports returns make with what it made kept.
func ShareTransports(makeOne CheckTransports) CheckTransports {
	t := &transports{made: map[string]http.RoundTripper{}, make: makeOne}
	return t.get
}

func (t *transports) get(hosts []string) (http.RoundTripper, error) {
	sorted := slices.Sorted(slices.Values(hosts))
	key := strings.Join(sorted, ",")
	t.mu.Lock()
	defer t.mu.Unlock()
	if known := t.made[key]; known != nil {
		return known, nil
	}
	made, err := t.make(sorted)
	if err != nil {
		return nil, err
	}
	if len(t.made) >= maxTransports {
		clear(t.made)
	}
	t.made[key] = made
	return made, nil
}
