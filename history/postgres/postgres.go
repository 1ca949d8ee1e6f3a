// Package postgres keeps the history in PostgreSQL, for installations with more
// than one replica and for those who back up their databases.
//
// A pool of few connections is opened when it is first needed: a server starts
// without its database, and finds it when it comes back. Every statement has a
// deadline of its own. Several replicas may start at once: an advisory lock
// orders their migrations.
package postgres

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/waybill-dev/waybill/history"
	"github.com/waybill-dev/waybill/history/query"
	"github.com/waybill-dev/waybill/internal/secret"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Times and sizes of the pool.
const (
	connectTime   = 5 * time.Second
	statementTime = 10 * time.Second
	// migrateTime bounds what brings old tables up to date: one that holds a
	// million entries is chained in a minute or two.
	migrateTime = 10 * time.Minute
	connections = 8
)

// Store is a history.Store in PostgreSQL.
type Store struct {
	query.Lists

	pool *pgxpool.Pool
	// password is what no error may hold.
	password secret.Text

	// preparing is held by who prepares; others wait for as long as they may.
	preparing chan struct{}
	ready     atomic.Bool
}

// Open returns the store in the database that dsn names, as
// postgres://user:password@host/database?sslmode=verify-full or as words like
// host=... user=... . Nothing is connected yet. An error does not repeat dsn.
func Open(dsn secret.Text) (*Store, error) {
	config, err := pgxpool.ParseConfig(dsn.Reveal())
	if err != nil {
		// pgx repeats what it could not read, in part.
		return nil, errors.New("the history's connection string cannot be read: expected postgres://USER:PASSWORD@HOST/DATABASE")
	}
	config.MaxConns = connections
	config.ConnConfig.ConnectTimeout = connectTime
	// Extended protocol only: values never become part of the SQL text.
	config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	if config.ConnConfig.RuntimeParams["application_name"] == "" {
		config.ConnConfig.RuntimeParams["application_name"] = "waybill"
	}
	pool, err := pgxpool.NewWithConfig(context.Background(), config) // connects in the background, when asked
	if err != nil {
		return nil, errors.New("the history's connection pool cannot be made")
	}
	s := &Store{pool: pool, password: secret.New(config.ConnConfig.Password), preparing: make(chan struct{}, 1)}
	s.Lists = query.Lists{Dialect: dialect, Select: s.selected, Write: s.written}
	return s, nil
}

// within bounds one use of the database.
func within(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, limit)
}

// prepare brings the tables up to date, once. Replicas that start together wait
// for each other.
func (s *Store) prepare(ctx context.Context) error {
	const doing = "prepare the history"
	if s.ready.Load() {
		return nil
	}
	select {
	case s.preparing <- struct{}{}:
		defer func() { <-s.preparing }()
	case <-ctx.Done():
		return s.fault(ctx, doing, ctx.Err())
	}
	if s.ready.Load() {
		return nil
	}
	limited, cancel := within(ctx, migrateTime)
	defer cancel()
	pinging, pinged := within(ctx, statementTime)
	err := s.pool.Ping(pinging) // says soonest, and best, what is wrong
	pinged()
	if err != nil {
		return s.fault(ctx, "connect to the history store", err)
	}
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, uint64(migrateTime/time.Second)))
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	db := stdlib.OpenDBFromPool(s.pool)
	defer db.Close() // gives connections back; the pool stays
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files, goose.WithDisableGlobalRegistry(true), goose.WithSessionLocker(locker),
		goose.WithTableName("waybill_history_version"), goose.WithGoMigrations(goose.NewGoMigration(2, &goose.GoFunc{RunTx: makeChain}, nil)))
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	if _, err := provider.Up(limited); err != nil {
		return s.fault(ctx, doing, err)
	}
	have, want, err := provider.GetVersions(limited)
	if err != nil {
		return s.fault(ctx, doing, err)
	}
	if have > want {
		return fmt.Errorf("%w: its tables are of a newer Waybill (version %d, this one knows %d)", history.ErrUnavailable, have, want)
	}
	s.ready.Store(true)
	return nil
}

// fault classifies an error of the driver: the caller's own end, or the store's.
// Its text is passed on without the password.
func (s *Store) fault(ctx context.Context, doing string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", doing, ctx.Err())
	}
	why := err.Error()
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		why = refused.Severity + ": " + refused.Message + " (SQLSTATE " + refused.Code + ")"
	}
	return fmt.Errorf("%s: %w: %s", doing, history.ErrUnavailable, secret.Redact(why, s.password))
}

// use prepares the store and bounds the use of it that follows.
func (s *Store) use(ctx context.Context) (context.Context, context.CancelFunc, error) {
	if err := s.prepare(ctx); err != nil {
		return nil, nil, err
	}
	limited, cancel := within(ctx, statementTime)
	return limited, cancel, nil
}

var dialect = query.Dialect{
	Mark: "$", Instant: func(t time.Time) any { return t },
	Micros: func(column string) string { return "(extract(epoch FROM " + column + ") * 1000000)::bigint" },
	SetNotice: func(batch, outcome string) string {
		return "record || jsonb_build_object('batch', " + batch + "::text, 'outcome', " + outcome + "::text)"
	},
	// Its number is that of the table, so that each schema has its own. Who holds
	// it and falls silent, as on a machine that vanished, does not hold it for long.
	Lock: "SELECT set_config('idle_in_transaction_session_timeout', '10s', true), pg_advisory_xact_lock(1466001236, 'entries'::regclass::oid::int)",
}

// PutPromotion keeps a record (history.Store).
func (s *Store) PutPromotion(ctx context.Context, p history.Promotion) error {
	return s.written(ctx, "write a record", func(ctx context.Context, t query.Tx) error { return dialect.Put(ctx, t, p) })
}

// PutEntry appends an entry (history.Store).
func (s *Store) PutEntry(ctx context.Context, e history.Entry) error {
	return s.written(ctx, "write an entry", func(ctx context.Context, t query.Tx) error { return dialect.Append(ctx, t, e) })
}

// written runs write in a transaction. Each of its statements sees what others
// have committed before it: that of the row before comes behind the lock.
func (s *Store) written(ctx context.Context, doing string, write func(context.Context, query.Tx) error) error {
	limited, cancel, err := s.use(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	err = pgx.BeginTxFunc(limited, s.pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(t pgx.Tx) error { return write(limited, tx{t}) })
	if err != nil {
		return s.fault(ctx, doing, err)
	}
	return nil
}

// tx is a transaction as package query needs it.
type tx struct{ pgx.Tx }

// Exec runs a statement (query.Tx).
func (t tx) Exec(ctx context.Context, text string, args ...any) (int64, error) {
	tag, err := t.Tx.Exec(ctx, text, args...)
	return tag.RowsAffected(), err //nolint:wrapcheck // fault does
}

// Row reads one row (query.Tx); pgx.ErrNoRows is sql.ErrNoRows as well.
func (t tx) Row(ctx context.Context, text string, args []any, into ...any) error {
	return t.QueryRow(ctx, text, args...).Scan(into...) //nolint:wrapcheck // fault does
}

// GetPromotion returns the newest record of that name (history.Store).
func (s *Store) GetPromotion(ctx context.Context, project, name string) (history.Promotion, error) {
	const doing = "read a record"
	var p history.Promotion
	limited, cancel, err := s.use(ctx)
	if err != nil {
		return p, err
	}
	defer cancel()
	err = s.pool.QueryRow(limited, "SELECT record FROM promotions WHERE project = $1 AND name = $2 ORDER BY created_at DESC, uid DESC LIMIT 1", project, name).Scan(&p)
	if errors.Is(err, pgx.ErrNoRows) {
		return p, history.ErrNotFound
	}
	if err != nil {
		return p, s.fault(ctx, doing, err)
	}
	rows, err := s.pool.Query(limited, "SELECT step, attempt, uses, state, message, started_at, finished_at FROM steps WHERE uid = $1 ORDER BY position, attempt", p.UID)
	if err != nil {
		return p, s.fault(ctx, doing, err)
	}
	p.Steps, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (history.Step, error) {
		var step history.Step
		var started, finished sql.NullTime
		err := row.Scan(&step.Name, &step.Attempt, &step.Uses, &step.State, &step.Message, &started, &finished)
		step.StartedAt, step.FinishedAt = inUTC(started), inUTC(finished)
		return step, err //nolint:wrapcheck // fault does
	})
	if err != nil {
		return p, s.fault(ctx, doing, err)
	}
	return p, nil
}

func inUTC(t sql.NullTime) time.Time {
	if !t.Valid {
		return time.Time{}
	}
	return t.Time.UTC()
}

// Recorded returns the digests of records by UID (history.Store).
func (s *Store) Recorded(ctx context.Context, uids []string) (map[string]string, error) {
	const doing = "look up what is recorded"
	limited, cancel, err := s.use(ctx)
	if err != nil {
		return nil, err
	}
	defer cancel()
	rows, err := s.pool.Query(limited, "SELECT uid, digest FROM promotions WHERE uid = ANY($1)", uids)
	if err != nil {
		return nil, s.fault(ctx, doing, err)
	}
	out := map[string]string{}
	var uid, digest string
	if _, err := pgx.ForEachRow(rows, []any{&uid, &digest}, func() error { out[uid] = digest; return nil }); err != nil {
		return nil, s.fault(ctx, doing, err)
	}
	return out, nil
}

// selected hands the rows of a SELECT to row (query.Lists).
func (s *Store) selected(ctx context.Context, doing, text string, args []any, row func(query.Scan) error) error {
	limited, cancel, err := s.use(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	rows, err := s.pool.Query(limited, text, args...)
	if err != nil {
		return s.fault(ctx, doing, err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows.Scan); err != nil {
			return s.fault(ctx, doing, err)
		}
	}
	if err := rows.Err(); err != nil {
		return s.fault(ctx, doing, err)
	}
	return nil
}

// Ping returns nil when the database can be written (history.Store).
func (s *Store) Ping(ctx context.Context) error {
	const doing = "ask the history store"
	limited, cancel, err := s.use(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	var readOnly string
	if err := s.pool.QueryRow(limited, "SELECT current_setting('transaction_read_only')").Scan(&readOnly); err != nil {
		return s.fault(ctx, doing, err)
	}
	if readOnly == "on" {
		return fmt.Errorf("%s: %w: the database is read-only", doing, history.ErrUnavailable)
	}
	return nil
}

// Close closes the pool (history.Store).
func (s *Store) Close() error {
	s.pool.Close()
	return nil
}
