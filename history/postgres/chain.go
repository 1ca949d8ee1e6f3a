package postgres

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/waybill-dev/waybill/history/query"
)

// chained are the statements that make the chain: the table, and behind what
// fills it what refuses to change it.
var chained = struct{ before, after []string }{
	before: []string{
		"LOCK TABLE entries IN ACCESS EXCLUSIVE MODE", // an older server may run still
		"ALTER TABLE entries RENAME TO entries_before",
		`CREATE TABLE entries (
  seq     bigint           NOT NULL CONSTRAINT entries_chain PRIMARY KEY,
  prev    text COLLATE "C" NOT NULL,
  hash    text COLLATE "C" NOT NULL,
  key     text COLLATE "C" NOT NULL,
  at      timestamptz      NOT NULL,
  project text COLLATE "C" NOT NULL,
  stage   text             NOT NULL,
  freight text             NOT NULL, -- names with a space on both sides
  action  text             NOT NULL,
  actor   text             NOT NULL,
  object  text COLLATE "C" NOT NULL, -- UID
  ends    boolean          NOT NULL,
  record  jsonb            NOT NULL
)`,
	},
	after: []string{
		"DROP TABLE entries_before",
		// One row per key, and one more that knows who it was.
		"CREATE UNIQUE INDEX entries_once ON entries (key, (actor <> ''))",
		"CREATE INDEX entries_by_time    ON entries (at, key)",
		"CREATE INDEX entries_by_project ON entries (project, at, key)",
		"CREATE INDEX entries_by_object  ON entries (object, ends)",
		`CREATE OR REPLACE FUNCTION waybill_entries_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'entries of the history are never changed or deleted' USING ERRCODE = 'restrict_violation';
END $$`,
		"CREATE TRIGGER entries_stay     BEFORE UPDATE OR DELETE ON entries FOR EACH ROW       EXECUTE PROCEDURE waybill_entries_stay()",
		"CREATE TRIGGER entries_stay_all BEFORE TRUNCATE         ON entries FOR EACH STATEMENT EXECUTE PROCEDURE waybill_entries_stay()",
	},
}

// makeChain is the second migration.
func makeChain(ctx context.Context, t *sql.Tx) error {
	for _, statement := range chained.before {
		if _, err := t.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("make the chain: %w", err)
		}
	}
	var now time.Time
	if err := t.QueryRowContext(ctx, "SELECT now()").Scan(&now); err != nil {
		return fmt.Errorf("ask for the time: %w", err)
	}
	if err := dialect.Chain(ctx, query.SQL{Tx: t}, now); err != nil {
		return err //nolint:wrapcheck // says what
	}
	for _, statement := range chained.after {
		if _, err := t.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("make the chain: %w", err)
		}
	}
	return nil
}
