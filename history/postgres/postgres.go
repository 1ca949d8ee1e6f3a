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
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"sync"
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
	migrateTime   = 60 * time.Second
	connections   = 8
)

// Store is a history.Store in PostgreSQL.
type Store struct {
	query.Lists

	pool *pgxpool.Pool
	// password is what no error may hold.
	password secret.Text

	mu    sync.Mutex // guards ready
	ready bool
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
	s := &Store{pool: pool, password: secret.New(config.ConnConfig.Password)}
	s.Lists = query.Lists{Dialect: dialect, Select: s.selected}
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
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ready {
		return nil
	}
	limited, cancel := within(ctx, migrateTime)
	defer cancel()
	if err := s.pool.Ping(limited); err != nil { // says soonest, and best, what is wrong
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
		goose.WithTableName("waybill_history_version"))
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
	s.ready = true
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
	SetActor: "jsonb_set(entries.record, '{actor}', to_jsonb(excluded.actor))",
}

// PutPromotion keeps a record (history.Store).
func (s *Store) PutPromotion(ctx context.Context, p history.Promotion) error {
	const doing = "write a record"
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
	limited, cancel, err := s.use(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	err = pgx.BeginFunc(limited, s.pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(limited, dialect.PutPromotion(),
			p.UID, p.Project, p.Stage, p.Name, p.Seq, p.Kind, p.Freight.Name, p.Phase, p.RequestedBy, p.CreatedAt, digest, string(raw))
		if err != nil {
			return err //nolint:wrapcheck // fault does
		}
		batch := &pgx.Batch{}
		for i, step := range steps {
			batch.Queue(dialect.PutStep(),
				p.UID, step.Name, step.Attempt, i, step.Uses, step.State, step.Message, nullable(step.StartedAt), nullable(step.FinishedAt))
		}
		return tx.SendBatch(limited, batch).Close() //nolint:wrapcheck // fault does
	})
	if err != nil {
		return s.fault(ctx, doing, err)
	}
	return nil
}

// nullable is an instant as the tables hold it; NULL for none.
func nullable(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
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

// PutEntry keeps an entry (history.Store).
func (s *Store) PutEntry(ctx context.Context, e history.Entry) error {
	raw, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encode entry %q: %w", e.Key, err)
	}
	limited, cancel, err := s.use(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	_, err = s.pool.Exec(limited, dialect.PutEntry(),
		e.Key, e.At, e.Project, e.Stage, query.FreightWords(e.Freight), string(e.Action), e.Actor, e.Object.UID, e.Ends, string(raw))
	if err != nil {
		return s.fault(ctx, "write an entry", err)
	}
	return nil
}

// selected hands a SELECT's one column to add (query.Lists).
func (s *Store) selected(ctx context.Context, doing, text string, args []any, add func(record []byte) error) error {
	limited, cancel, err := s.use(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	rows, err := s.pool.Query(limited, text, args...)
	if err != nil {
		return s.fault(ctx, doing, err)
	}
	var record []byte
	if _, err := pgx.ForEachRow(rows, []any{&record}, func() error { return add(record) }); err != nil {
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
