package history

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"time"

	"github.com/waybill-dev/waybill/internal/chain"
)

// Errors of a Store, for errors.Is.
var (
	// ErrNotFound: there is no such record.
	ErrNotFound = errors.New("not in the history")
	// ErrUnavailable: the store does not answer, is full, or refuses to write;
	// trying again later helps.
	ErrUnavailable = errors.New("the history store is not available")
	// ErrCursor: a cursor that no list gave.
	ErrCursor = errors.New("not a cursor of this list")
)

// MaxPage is the most rows a list returns.
const MaxPage = 500

// Store keeps records. It is safe for use by several goroutines and by several
// processes.
//
// Every error is ErrNotFound, ErrCursor, an error of the caller's context, or
// wraps ErrUnavailable; none holds a password of the connection.
type Store interface {
	// PutPromotion keeps a record. Writing it again changes nothing; a record
	// that says more than the one before replaces it, and none replaces one that
	// says RolledBack but another such.
	PutPromotion(ctx context.Context, p Promotion) error
	// GetPromotion returns the newest record with that name, with its steps.
	GetPromotion(ctx context.Context, project, name string) (Promotion, error)
	// ListPromotions returns records without their steps, newest first, and the
	// cursor of the next page: empty on the last.
	ListPromotions(ctx context.Context, f Filter, page Page) ([]Promotion, string, error)
	// Recorded returns the digest of the record of each of these UIDs; those
	// without a record are left out.
	Recorded(ctx context.Context, uids []string) (map[string]string, error)

	// PutEntry appends an entry to the chain. Writing it again changes nothing,
	// save that it is appended once more with an actor where nobody was known:
	// lists show that row then, and not the one before.
	PutEntry(ctx context.Context, e Entry) error
	// ListEntries returns entries, newest first, and the cursor of the next page.
	ListEntries(ctx context.Context, f Filter, page Page) ([]Entry, string, error)
	// Written returns which of these keys of entries are there.
	Written(ctx context.Context, keys []string) (map[string]bool, error)
	// Unended returns the newest entry of each object of a Project that no entry
	// says is gone.
	Unended(ctx context.Context, project string) ([]Entry, error)

	// Head returns the end of the chain of entries.
	Head(ctx context.Context) (chain.Head, error)
	// Links returns the rows of the chain behind a number, at most MaxPage.
	Links(ctx context.Context, after int64, limit int) ([]chain.Link, error)
	// FirstSince returns the number of the first row that tells of something at
	// that time or later; that of the row behind the end when none does.
	FirstSince(ctx context.Context, at time.Time) (int64, error)
	// Verify looks at a part of the chain, and at the records that it vouches
	// for. At the end it says too which records no row vouches for.
	Verify(ctx context.Context, part Part) (Verdict, error)

	Notices

	// Ping returns nil when the store can be written.
	Ping(ctx context.Context) error
	// Close ends what the store holds open.
	Close() error
}

// Filter selects rows; a zero field selects all.
type Filter struct {
	// Project by name. Of entries, the zero value means those of every Project
	// and of none.
	Project string
	// Stage by name; entries about all Stages are about each.
	Stage string
	// Freight by name.
	Freight string
	// Kinds are kinds of Promotions, or actions of entries; any of them.
	Kinds []string
	// Who asked, or acted; with or without prefix.
	Who string
	// Phase a Promotion ended in.
	Phase string
	// From (inclusive) and Until (exclusive) bound when it was asked for, or
	// happened.
	From, Until time.Time
}

// Page is a part of a list.
type Page struct {
	// After is a cursor that a list gave; empty for the first page.
	After string
	// Limit of rows: 1 to MaxPage; 0 means 50.
	Limit int
}

// Size returns the limit within its bounds.
func (p Page) Size() int {
	if p.Limit <= 0 {
		return 50
	}
	return min(p.Limit, MaxPage)
}

// Cursor is a place in a list that is ordered by time, then number, then name,
// then id; newest first.
type Cursor struct {
	At   time.Time
	Seq  int64
	Name string
	ID   string
}

// wireCursor is what a cursor is written as: opaque to who carries it.
type wireCursor struct {
	At   int64  `json:"t"` // microseconds since 1970
	Seq  int64  `json:"s,omitempty"`
	Name string `json:"n,omitempty"`
	ID   string `json:"i"`
}

// String returns the cursor for an address or a header.
func (c Cursor) String() string {
	raw, _ := json.Marshal(wireCursor{At: c.At.UnixMicro(), Seq: c.Seq, Name: c.Name, ID: c.ID}) // plain values always encode
	return base64.RawURLEncoding.EncodeToString(raw)
}

// maxCursor bounds the text of a cursor: two names and two numbers.
const maxCursor = 2048

// ParseCursor reads what String wrote. It returns ErrCursor for anything else.
func ParseCursor(text string) (Cursor, error) {
	if len(text) > maxCursor {
		return Cursor{}, ErrCursor
	}
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return Cursor{}, ErrCursor
	}
	var w wireCursor
	if err := json.Unmarshal(raw, &w); err != nil || w.ID == "" || clean(w.Name+w.ID) != w.Name+w.ID {
		return Cursor{}, ErrCursor
	}
	if w.At < minMicro || w.At > maxMicro {
		return Cursor{}, ErrCursor
	}
	return Cursor{At: time.UnixMicro(w.At).UTC(), Seq: w.Seq, Name: w.Name, ID: w.ID}, nil
}

// A cursor's time is one that every database can hold: years 1 to 9999.
const (
	minMicro = -62135596800_000000
	maxMicro = 253402300799_000000
)

// Compare returns whether c stands before (-1), at (0) or after (1) d in order
// of time: of two, the one that compares higher is listed first.
func (c Cursor) Compare(d Cursor) int {
	if x := c.At.Compare(d.At); x != 0 {
		return x
	}
	switch {
	case c.Seq != d.Seq:
		return order(c.Seq < d.Seq)
	case c.Name != d.Name:
		return order(c.Name < d.Name)
	case c.ID != d.ID:
		return order(c.ID < d.ID)
	}
	return 0
}

func order(less bool) int {
	if less {
		return -1
	}
	return 1
}
