package query

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"time"

	"github.com/waybill-dev/waybill/history"
	"github.com/waybill-dev/waybill/internal/chain"
)

// SQL is a transaction of package database/sql.
type SQL struct{ *sql.Tx }

// Exec runs a statement (Tx).
func (t SQL) Exec(ctx context.Context, text string, args ...any) (int64, error) {
	result, err := t.ExecContext(ctx, text, args...)
	if err != nil {
		return 0, err //nolint:wrapcheck // the store does
	}
	return result.RowsAffected() //nolint:wrapcheck // the store does
}

// Row reads one row (Tx).
func (t SQL) Row(ctx context.Context, text string, args []any, into ...any) error {
	return t.QueryRowContext(ctx, text, args...).Scan(into...) //nolint:wrapcheck // the store does
}

// read hands what text selects to row (Lists.Select).
func (t SQL) read(ctx context.Context, _, text string, args []any, row func(Scan) error) error {
	rows, err := t.QueryContext(ctx, text, args...)
	if err != nil {
		return err //nolint:wrapcheck // the store does
	}
	return Each(rows, row)
}

// Each hands the rows of package database/sql to row, and closes them.
func Each(rows *sql.Rows, row func(Scan) error) error {
	defer rows.Close() //nolint:errcheck // what it could say, Err has said
	for rows.Next() {
		if err := row(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err() //nolint:wrapcheck // the store does
}

// migratedAtOnce is how many rows a migration holds in memory.
const migratedAtOnce = 500

// Chain moves the entries of a table without a chain, entries_before, into the
// new table entries, in the order of their time, and appends an entry for each
// record of a Promotion. now stands in the entry that says so.
func (d Dialect) Chain(ctx context.Context, tx SQL, now time.Time) error {
	last, err := d.end(ctx, tx)
	if err != nil {
		return err
	}
	if last, err = d.chainEntries(ctx, tx, last); err != nil {
		return err
	}
	if last, err = d.chainRecords(ctx, tx, last); err != nil {
		return err
	}
	if last.Seq > 0 {
		_, err = d.insert(ctx, tx, last, history.ChainBegan(last.Seq, now))
	}
	return err
}

func (d Dialect) chainEntries(ctx context.Context, tx SQL, last chain.Head) (chain.Head, error) {
	lists := Lists{Dialect: d, Select: tx.read}
	for after := (history.Cursor{}); ; {
		es, err := list[history.Entry](ctx, lists, "", "SELECT record FROM entries_before WHERE (at, key) > ("+d.marks(2)+") ORDER BY at, key LIMIT "+strconv.Itoa(migratedAtOnce),
			[]any{d.Instant(after.At), after.ID})
		if err != nil {
			return last, fmt.Errorf("read entries: %w", err)
		}
		if len(es) == 0 {
			return last, nil
		}
		if last, err = d.insert(ctx, tx, last, es...); err != nil {
			return last, fmt.Errorf("chain entries from %q on: %w", es[0].Key, err)
		}
		after = es[len(es)-1].Cursor()
	}
}

// chainRecords appends an entry for each record.
func (d Dialect) chainRecords(ctx context.Context, tx SQL, last chain.Head) (chain.Head, error) {
	lists := Lists{Dialect: d, Select: tx.read}
	for uid := ""; ; {
		ps, err := list[history.Promotion](ctx, lists, "", "SELECT record FROM promotions WHERE uid > "+d.marks(1)+" ORDER BY uid LIMIT "+strconv.Itoa(migratedAtOnce), []any{uid})
		if err != nil {
			return last, fmt.Errorf("read records: %w", err)
		}
		if len(ps) == 0 {
			return last, nil
		}
		uids := make([]string, len(ps))
		for i := range ps {
			uids[i] = ps[i].UID
		}
		hashes, err := lists.recordHashes(ctx, uids)
		if err != nil {
			return last, fmt.Errorf("read records: %w", err)
		}
		es := make([]history.Entry, len(ps))
		for i := range ps {
			es[i] = history.OfRecord(&ps[i], hashes[ps[i].UID])
		}
		if last, err = d.insert(ctx, tx, last, es...); err != nil {
			return last, fmt.Errorf("chain the records from Promotion %q on: %w", ps[0].Name, err)
		}
		uid = uids[len(uids)-1]
	}
}
