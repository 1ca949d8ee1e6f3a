package query

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/waybill-dev/waybill/history"
	"github.com/waybill-dev/waybill/internal/chain"
)

// Tx is a transaction of a store. Row returns sql.ErrNoRows where there is none.
type Tx interface {
	Exec(ctx context.Context, text string, args ...any) (changed int64, err error)
	Row(ctx context.Context, text string, args []any, into ...any) error
}

// entryColumns are the columns of a row of the chain.
const entryColumns = 13

// putEntries returns the statement that appends n rows.
func (d Dialect) putEntries(n int) string {
	rows := make([]string, n)
	for i := range rows {
		marks := make([]string, entryColumns)
		for j := range marks {
			marks[j] = d.Mark + strconv.Itoa(i*entryColumns+j+1)
		}
		rows[i] = "(" + strings.Join(marks, ", ") + ")"
	}
	return "INSERT INTO entries (seq, prev, hash, key, at, project, stage, freight, action, actor, object, ends, record) VALUES " + strings.Join(rows, ", ")
}

// Append appends an entry to the chain within tx, unless it is there. Whoever
// appends waits until nobody else does: the row before is the last there is.
func (d Dialect) Append(ctx context.Context, tx Tx, e history.Entry) error {
	if d.Lock != "" {
		if _, err := tx.Exec(ctx, d.Lock); err != nil {
			return err //nolint:wrapcheck // the store does
		}
	}
	var there []byte
	err := tx.Row(ctx, "SELECT record FROM entries WHERE key = "+d.Mark+"1 ORDER BY actor DESC LIMIT 1", []any{e.Key}, &there)
	switch {
	case errors.Is(err, sql.ErrNoRows):
	case err != nil:
		return err //nolint:wrapcheck // the store does
	default:
		var first history.Entry
		if err := json.Unmarshal(there, &first); err != nil {
			return fmt.Errorf("read entry %q: %w", e.Key, err)
		}
		known, isMore := first.Known(e.Actor)
		if !isMore {
			return nil
		}
		e = known
	}
	last, err := d.end(ctx, tx)
	if err != nil {
		return err
	}
	_, err = d.insert(ctx, tx, last, e)
	return err
}

// end returns the last row of the chain.
func (d Dialect) end(ctx context.Context, tx Tx) (chain.Head, error) {
	last := chain.Start()
	err := tx.Row(ctx, "SELECT seq, hash FROM entries ORDER BY seq DESC LIMIT 1", nil, &last.Seq, &last.Hash)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return last, err //nolint:wrapcheck // the store does
	}
	return last, nil
}

// insert writes the rows that follow last, in one statement.
func (d Dialect) insert(ctx context.Context, tx Tx, last chain.Head, entries ...history.Entry) (chain.Head, error) {
	args := make([]any, 0, len(entries)*entryColumns)
	for _, e := range entries {
		l, err := e.Chained(last)
		if err != nil {
			return last, err //nolint:wrapcheck // names the entry
		}
		args = append(args, l.Seq, l.Prev, l.Hash,
			e.Key, d.Instant(e.At), e.Project, e.Stage, FreightWords(e.Freight), string(e.Action), e.Actor, e.Object.UID, e.Ends, string(l.Entry))
		last = chain.Head{Seq: l.Seq, Hash: l.Hash}
	}
	_, err := tx.Exec(ctx, d.putEntries(len(entries)), args...)
	return last, err //nolint:wrapcheck // the store does
}

// Put keeps a record, its steps and the entry with its hash within tx. A record
// that does not say more than the one that is there changes nothing.
func (d Dialect) Put(ctx context.Context, tx Tx, p history.Promotion) error {
	digest, err := p.Digest()
	if err != nil {
		return err //nolint:wrapcheck // names the record
	}
	steps := p.Steps
	p.Steps = nil
	raw, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("encode record of Promotion %q: %w", p.Name, err)
	}
	hash, err := history.RecordHash(raw, steps)
	if err != nil {
		return fmt.Errorf("record of Promotion %q: %w", p.Name, err)
	}
	changed, err := tx.Exec(ctx, d.putPromotion(),
		p.UID, p.Project, p.Stage, p.Name, p.Seq, p.Kind, p.Freight.Name, p.Phase, p.RequestedBy, d.Instant(p.CreatedAt), digest, string(raw))
	if err != nil || changed == 0 {
		return err //nolint:wrapcheck // the store does
	}
	for i, step := range steps {
		_, err := tx.Exec(ctx, d.putStep(),
			p.UID, step.Name, step.Attempt, i, step.Uses, step.State, step.Message, d.instantOrNull(step.StartedAt), d.instantOrNull(step.FinishedAt))
		if err != nil {
			return err //nolint:wrapcheck // the store does
		}
	}
	return d.Append(ctx, tx, history.OfRecord(&p, hash))
}
