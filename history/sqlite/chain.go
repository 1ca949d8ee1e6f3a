package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/waybill-dev/waybill/history/query"
)

// chained are the statements that make the chain: the table, and behind what
// fills it what refuses to change it.
var chained = struct{ before, after []string }{
	before: []string{
		"ALTER TABLE entries RENAME TO entries_before",
		`CREATE TABLE entries (
  seq     INTEGER PRIMARY KEY,
  prev    TEXT    NOT NULL,
  hash    TEXT    NOT NULL,
  key     TEXT    NOT NULL,
  at      INTEGER NOT NULL, -- microseconds since 1970
  project TEXT    NOT NULL,
  stage   TEXT    NOT NULL,
  freight TEXT    NOT NULL, -- names with a space on both sides
  action  TEXT    NOT NULL,
  actor   TEXT    NOT NULL,
  object  TEXT    NOT NULL, -- UID
  ends    INTEGER NOT NULL,
  record  TEXT    NOT NULL  -- JSON
)`,
	},
	after: []string{
		"DROP TABLE entries_before",
		// One row per key, and one more that knows who it was.
		"CREATE UNIQUE INDEX entries_once ON entries (key, (actor <> ''))",
		"CREATE INDEX entries_by_time    ON entries (at, key)",
		"CREATE INDEX entries_by_project ON entries (project, at, key)",
		"CREATE INDEX entries_by_object  ON entries (object, ends)",
		"CREATE TRIGGER entries_stay      BEFORE UPDATE ON entries BEGIN SELECT RAISE(ABORT, 'entries of the history are never changed'); END",
		"CREATE TRIGGER entries_stay_here BEFORE DELETE ON entries BEGIN SELECT RAISE(ABORT, 'entries of the history are never deleted'); END",
		// INSERT OR REPLACE deletes without the trigger above.
		`CREATE TRIGGER entries_stay_first BEFORE INSERT ON entries WHEN EXISTS (SELECT 1 FROM entries WHERE seq = NEW.seq)
BEGIN SELECT RAISE(ABORT, 'entries of the history are never replaced'); END`,
	},
}

// makeChain is the second migration.
func makeChain(ctx context.Context, t *sql.Tx) error {
	var isMade bool
	err := t.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM pragma_table_info('entries') WHERE name = 'seq')").Scan(&isMade)
	if err == nil && isMade {
		err = errors.New("another process has made it at this moment")
	}
	if err != nil {
		return fmt.Errorf("make the chain: %w", err)
	}
	for _, statement := range chained.before {
		if _, err := t.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("make the chain: %w", err)
		}
	}
	var now float64 // Julian days, to the millisecond
	if err := t.QueryRowContext(ctx, "SELECT (julianday('now') - 2440587.5) * 86400000").Scan(&now); err != nil {
		return fmt.Errorf("ask for the time: %w", err)
	}
	if err := dialect.Chain(ctx, query.SQL{Tx: t}, time.UnixMilli(int64(now))); err != nil {
		return err //nolint:wrapcheck // says what
	}
	for _, statement := range chained.after {
		if _, err := t.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("make the chain: %w", err)
		}
	}
	return nil
}
