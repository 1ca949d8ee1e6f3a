package controllers

import (
	"context"
	"slices"
	"sync"
	"time"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/promotion"
)

// lazyWrites keeps words from costing requests. While a rollout runs, its
// progress changes the messages of everything above it many times a second; a
// change of words alone waits until lazyInterval has passed since the last
// write, or goes along with the next change that somebody waits for.
//
// The zero value is ready for use, by any number of goroutines.
type lazyWrites struct {
	mu   sync.Mutex
	last map[types.NamespacedName]time.Time
}

// patch is patchStatus. onlyWords says that before and after differ in words
// alone; such a change may be held back, then due says when to write it (zero:
// nothing is held back).
func (l *lazyWrites) patch(ctx context.Context, c client.Client, before, after client.Object, onlyWords bool, now time.Time) (due time.Time, err error) {
	if apiequality.Semantic.DeepEqual(before, after) {
		return time.Time{}, nil
	}
	key := client.ObjectKeyFromObject(after)
	if due := l.since(key).Add(lazyInterval); onlyWords && now.Before(due) {
		return due, nil
	}
	if err := patchStatus(ctx, c, before, after); err != nil {
		return time.Time{}, err
	}
	l.wrote(key, now)
	return time.Time{}, nil
}

func (l *lazyWrites) since(key types.NamespacedName) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last[key]
}

// wrote notes a write that was not made through patch.
func (l *lazyWrites) wrote(key types.NamespacedName, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last == nil {
		l.last = map[types.NamespacedName]time.Time{}
	}
	l.last[key] = now
}

// forget drops what is known of an object that is gone or has ended.
func (l *lazyWrites) forget(key types.NamespacedName) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.last, key)
}

// heldEntries are records, by Stage and Freight, that say no more than that Freight
// has entered, and are held back for a moment. Freight that leaves within it was there
// all the same: its record begins with what was held.
//
// The zero value is ready for use, by any number of goroutines.
type heldEntries struct {
	mu      sync.Mutex
	entries map[types.NamespacedName]map[string]v1alpha1.FreightInStage
}

// of returns the records of a Stage. They are not changed any more.
func (h *heldEntries) of(stage types.NamespacedName) map[string]v1alpha1.FreightInStage {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.entries[stage]
}

// keep replaces the records of a Stage; none are forgotten.
func (h *heldEntries) keep(stage types.NamespacedName, entries map[string]v1alpha1.FreightInStage) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case len(entries) == 0:
		delete(h.entries, stage)
	case h.entries == nil:
		h.entries = map[types.NamespacedName]map[string]v1alpha1.FreightInStage{stage: entries}
	default:
		h.entries[stage] = entries
	}
}

// usedNumbers remembers, for each Stage, the last Promotion that this process
// created: until cache and status know it, nothing else does, no number may be
// used twice, and no Freight may be promoted twice.
type usedNumbers struct {
	mu   sync.Mutex
	last map[types.NamespacedName]promotion.Candidate
}

// get returns the number of the last one; 0 when there is none.
func (u *usedNumbers) get(stage types.NamespacedName) int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.last[stage].Seq
}

// known returns what c, decided on an observation with these Promotions, is
// called: the same decision as the last, made because the cache does not show
// its Promotion yet, has the same name, and creating it again does nothing.
func (u *usedNumbers) known(stage types.NamespacedName, c promotion.Candidate, seen []v1alpha1.Promotion) promotion.Candidate {
	u.mu.Lock()
	defer u.mu.Unlock()
	last := u.last[stage]
	isSeen := slices.ContainsFunc(seen, func(p v1alpha1.Promotion) bool { return promotion.Seq(p.Name) >= last.Seq })
	if last.Freight != c.Freight || isSeen {
		return c
	}
	return last
}

func (u *usedNumbers) put(stage types.NamespacedName, c promotion.Candidate) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.last == nil {
		u.last = map[types.NamespacedName]promotion.Candidate{}
	}
	u.last[stage] = c
}

func (u *usedNumbers) forget(stage types.NamespacedName) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.last, stage)
}
