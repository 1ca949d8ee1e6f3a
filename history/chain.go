package history

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/waybill-dev/waybill/internal/chain"
)

// Chained returns the entry as the row that follows after: package chain has the
// rule by which anybody can compute it again.
func (e Entry) Chained(after chain.Head) (chain.Link, error) {
	raw, err := json.Marshal(e)
	if err != nil {
		return chain.Link{}, fmt.Errorf("encode entry %q: %w", e.Key, err)
	}
	l, err := after.Next(raw)
	if err != nil {
		return chain.Link{}, fmt.Errorf("chain entry %q: %w", e.Key, err)
	}
	return l, nil
}

// Known returns e with who did it: what is appended once an actor is known where
// nobody was. Else it returns false: what was written is not written again.
func (e Entry) Known(actor string) (Entry, bool) {
	if e.Actor != "" || actor == "" {
		return e, false
	}
	e.Actor = clean(actor)
	return e, true
}

// OfRecord returns the entry about the record of a Promotion that ended. It
// holds the record's hash, so that a record that is changed later shows; a
// record that grows has another entry.
func OfRecord(p *Promotion, hash string) Entry {
	e := Entry{
		Key: p.UID + "/" + hash[:min(len(hash), 16)], At: p.FinishedAt, Action: ActionPromote, Actor: p.RequestedBy,
		Project: p.Project, Stage: p.Stage, Object: Object{Kind: "Promotion", Name: p.Name, UID: p.UID},
		Reason: p.Reason, PlanHash: p.PlanHash, Phase: p.Phase, Record: hash,
	}
	if p.Freight.Name != "" {
		e.Freight = []string{p.Freight.Name}
	}
	if p.Kind == "Rollback" {
		e.Action = ActionRollback
	}
	if e.At.IsZero() {
		e.At = p.CreatedAt
	}
	return e
}

// RecordHash returns the hash of the record of a Promotion as a store keeps it:
// that of the canonical JSON (package chain) of {"record":R,"steps":[S,...]}.
// record is without its steps; each step is there with its last attempt.
func RecordHash(record json.RawMessage, steps []Step) (string, error) {
	if steps == nil {
		steps = []Step{}
	}
	raw, err := json.Marshal(struct {
		Record json.RawMessage `json:"record"`
		Steps  []Step          `json:"steps"`
	}{record, steps})
	if err != nil {
		return "", fmt.Errorf("encode a record: %w", err)
	}
	hash, err := chain.Sum(raw)
	if err != nil {
		return "", fmt.Errorf("hash a record: %w", err)
	}
	return hash, nil
}

// ChainBegan returns the entry that a store writes when it begins to chain and
// has rows already: what they say is vouched for only from then on.
func ChainBegan(rows int64, now time.Time) Entry {
	return Entry{
		Key: "chain/began", At: now.UTC().Truncate(time.Microsecond), Action: ActionChain,
		Reason: fmt.Sprintf("the %d rows before this one are older than the chain: it vouches for them only from here on", rows),
	}
}

// Verdict is what a store says about a part of its chain.
type Verdict struct {
	// Rows that were looked at, the last of them, and the last there is.
	Rows       int64
	Last, Head chain.Head
	// Done is true when Last is the end.
	Done bool
	// Breaks in the order of the rows.
	Breaks []chain.Break
}

// Part names a part of a chain.
type Part struct {
	// After is the row before: its hash is empty where it is not known.
	After chain.Head
	// Noted is a head that was noted before; zero when none was.
	Noted chain.Head
	// Limit of rows: 1 to MaxPage; 0 means MaxPage.
	Limit int
}

// Size returns the limit within its bounds.
func (p Part) Size() int {
	if p.Limit <= 0 {
		return MaxPage
	}
	return min(p.Limit, MaxPage)
}
