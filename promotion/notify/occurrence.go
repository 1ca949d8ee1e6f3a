package notify

import (
	"path"
	"slices"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// Occurrence is something that happened in a Project.
type Occurrence struct {
	// Key names it, the same each time it is found.
	Key string
	// Events are the words for it, the most exact first.
	Events []v1alpha1.NotificationEvent
	// Project and Stages it concerns; no Stage: the Project as a whole; * is every
	// Stage.
	Project string
	Stages  []string
	// At is when it happened. IsCut: to the second.
	At    time.Time
	IsCut bool

	// Topic is what goes up and down; empty for what happens once.
	Topic string
	State State
	// Patience is how long a bad state has to last before people are told.
	Patience time.Duration
	// End is what a bad state turns into by itself, at that occurrence's instant;
	// nil: nothing.
	End *Occurrence

	// Title in a few words, Text in sentences: what, where, why, what to do.
	Title, Text string
	// Page of the dashboard that shows it.
	Page string
	// Promotion, Freight, Alias, Version, Object and By as far as it has them.
	Promotion, Freight, Alias, Version, Object, By string
	// Reason is a word for programs, Cause a sentence: why it happened.
	Reason, Cause string
}

// State is how a topic stands.
type State string

// The states. Unsettled ones are told to nobody: they pass.
const (
	StateWell      State = "well"
	StateBad       State = "bad"
	StateUnsettled State = "unsettled"
)

// maxAge is how old something may be to be told: what cannot be sent for so long is
// given up.
const maxAge = 24 * time.Hour

// IsTooOld reports whether nobody is told any more of what happened at an instant.
func IsTooOld(at, now time.Time) bool { return now.Sub(at) > maxAge }

// IsSince reports whether it happened at or after since. What the API server has
// cut to the second may have happened later in that second.
func (o *Occurrence) IsSince(since time.Time) bool {
	at := o.At
	if o.IsCut {
		at = at.Add(time.Second - time.Nanosecond)
	}
	return !at.Before(since)
}

// Default returns the events of a notification that names none.
func Default() []v1alpha1.NotificationEvent {
	return []v1alpha1.NotificationEvent{
		v1alpha1.EventApprovalRequested, v1alpha1.EventPromotionFailed, v1alpha1.EventVerificationFailed, v1alpha1.EventRolledBack,
		v1alpha1.EventStageDegraded, v1alpha1.EventStageHealthy, v1alpha1.EventDriftContested,
		v1alpha1.EventWarehouseFailing, v1alpha1.EventWarehouseRecovered, v1alpha1.EventClusterUnreachable, v1alpha1.EventClusterReachable,
	}
}

// Events returns every event, in the order people read them.
func Events() []v1alpha1.NotificationEvent {
	return []v1alpha1.NotificationEvent{
		v1alpha1.EventApprovalRequested, v1alpha1.EventPromotionStarted, v1alpha1.EventPromotionSucceeded, v1alpha1.EventPromotionFailed,
		v1alpha1.EventPromotionAborted, v1alpha1.EventVerificationFailed, v1alpha1.EventRolledBack, v1alpha1.EventFreightCreated,
		v1alpha1.EventFreezeCreated, v1alpha1.EventFreezeEnded, v1alpha1.EventStageDegraded, v1alpha1.EventStageHealthy,
		v1alpha1.EventDriftFound, v1alpha1.EventDriftContested, v1alpha1.EventDriftHealed, v1alpha1.EventWarehouseFailing,
		v1alpha1.EventWarehouseRecovered, v1alpha1.EventClusterUnreachable, v1alpha1.EventClusterReachable,
	}
}

// EventList names every event, for messages.
func EventList() string {
	var out []string
	for _, e := range Events() {
		out = append(out, string(e))
	}
	return strings.Join(out, ", ")
}

// Wants returns the word by which n tells of o; none when it does not.
func Wants(n *v1alpha1.Notification, o *Occurrence) (v1alpha1.NotificationEvent, bool) {
	if !concerns(n.Stages, o.Stages) {
		return "", false
	}
	events := n.Events
	if len(events) == 0 {
		events = Default()
	}
	for _, e := range o.Events {
		if slices.Contains(events, e) {
			return e, true
		}
	}
	return "", false
}

// Follows reports whether n tells of o, or of what a topic in its state turns into.
func Follows(n *v1alpha1.Notification, o *Occurrence) bool {
	if _, isWanted := Wants(n, o); isWanted || o.Topic == "" {
		return isWanted
	}
	other := *o
	other.Events = turns(o.Events)
	_, isWanted := Wants(n, &other)
	return isWanted
}

// turns returns the events of the other state of a topic.
func turns(events []v1alpha1.NotificationEvent) []v1alpha1.NotificationEvent {
	pairs := [][2]v1alpha1.NotificationEvent{
		{v1alpha1.EventStageDegraded, v1alpha1.EventStageHealthy}, {v1alpha1.EventFreezeCreated, v1alpha1.EventFreezeEnded},
		{v1alpha1.EventWarehouseFailing, v1alpha1.EventWarehouseRecovered}, {v1alpha1.EventClusterUnreachable, v1alpha1.EventClusterReachable},
	}
	var out []v1alpha1.NotificationEvent
	for _, p := range pairs {
		if slices.Contains(events, p[0]) {
			out = append(out, p[1])
		}
		if slices.Contains(events, p[1]) {
			out = append(out, p[0])
		}
	}
	return out
}

// concerns reports whether one of the Stages is among those that patterns name.
func concerns(patterns, stages []string) bool {
	if len(patterns) == 0 {
		return true
	}
	return slices.ContainsFunc(stages, func(stage string) bool {
		return stage == "*" || slices.ContainsFunc(patterns, func(p string) bool {
			fits, err := path.Match(p, stage)
			return err == nil && fits
		})
	})
}
