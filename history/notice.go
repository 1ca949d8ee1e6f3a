package history

import (
	"context"
	"encoding/json"
	"time"
)

// Outcome is what became of a Notice; empty while it waits to be sent.
type Outcome string

// The outcomes.
const (
	// NoticeSent: the other side took it.
	NoticeSent Outcome = "sent"
	// NoticeGivenUp: the other side refused it, or did not take it for too long.
	NoticeGivenUp Outcome = "given-up"
	// NoticeMark: it is not for sending; it says from when on there is something to
	// tell.
	NoticeMark Outcome = "mark"
)

// Notice is one thing that one notification of a Project tells people: a row of
// the outbox. There is one for each ID, so that what is found twice is told once.
type Notice struct {
	// ID is what it is sent with, each time the same.
	ID           string `json:"id"`
	Project      string `json:"project"`
	Notification string `json:"notification"`
	// Channel by which it is sent.
	Channel string `json:"channel,omitempty"`
	// At is when it happened.
	At time.Time `json:"at"`
	// Event in one word.
	Event string `json:"event,omitempty"`
	// Topic is what goes up and down, and State where it was seen: of two rows of
	// one topic, the newer says what people know. Both empty: it happened once.
	Topic string `json:"topic,omitempty"`
	State string `json:"state,omitempty"`
	// Body is what is sent; a store does not look into it.
	Body json.RawMessage `json:"body,omitempty"`
	// Batch is the ID of the one message with which it goes out together with
	// others; empty: alone.
	Batch   string  `json:"batch,omitempty"`
	Outcome Outcome `json:"outcome,omitempty"`
}

// NoticeFilter selects notices; a zero field selects all.
type NoticeFilter struct {
	Project string
	// IsWaiting selects those without an outcome.
	IsWaiting bool
}

// MaxNotices bounds what Notices returns.
const MaxNotices = 50_000

// Notices is the part of a Store that keeps the outbox of notifications.
type Notices interface {
	// AddNotices keeps each whose ID is not known; another with that ID changes
	// nothing.
	AddNotices(ctx context.Context, all []Notice) error
	// Notices returns the first MaxNotices in the order in which things happened.
	Notices(ctx context.Context, f NoticeFilter) ([]Notice, error)
	// SetNotices sets batch and outcome of those with these IDs.
	SetNotices(ctx context.Context, ids []string, batch string, outcome Outcome) error
	// DropNotices forgets those with an outcome of before an instant; of topics,
	// those of before another.
	DropNotices(ctx context.Context, before, topicsBefore time.Time) error
}
