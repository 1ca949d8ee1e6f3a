// Package sqlite keeps the history in one file: the store of local mode and of
// an installation with one replica.
//
// The file is in WAL mode with synchronous=FULL: what Put has returned for
// survives a crash of process and machine. One connection writes, several read.
// A second process may open the same file; SQLite's own locks order them.
package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver registers itself: database/sql knows no other way

	"github.com/waybill-dev/waybill/history"
	"github.com/waybill-dev/waybill/history/query"
)

//go:embed migrations/*.sql
var migrations embed.FS

// busyTime is how long a statement waits for another's lock.
const busyTime = 5 * time.Second

const (
	// aloneTime is how long another process may take to bring the tables up to date.
	aloneTime = time.Minute
	// lockPause is how often it is looked whether it has.
	lockPause = 20 * time.Millisecond
)

// readers is how many connections read at a time.
const readers = 4

// Store is a history.Store in a file.
type Store struct {
	query.Lists

	path        string
	write, read *sql.DB

	mu    sync.Mutex // guards ready
	ready bool
}

// Open returns the store in the file at path. Nothing is opened before it is
// first used, so that a disk that is full or a file that is broken does not
// keep a server from starting; Ping says so then.
func Open(path string) (*Store, error) {
	write, err := open(path, "rwc", "immediate")
	if err != nil {
		return nil, err
	}
	write.SetMaxOpenConns(1)
	read, err := open(path, "ro", "deferred")
	if err != nil {
		return nil, errors.Join(err, write.Close())
	}
	read.SetMaxOpenConns(readers)
	s := &Store{path: path, write: write, read: read}
	s.Lists = query.Lists{Dialect: dialect, Select: s.selected, Write: func(ctx context.Context, doing string, write func(context.Context, query.Tx) error) error {
		return s.written(ctx, doing, func(t query.Tx) error { return write(ctx, t) })
	}}
	return s, nil
}

func open(path, mode, lock string) (*sql.DB, error) {
	q := url.Values{"mode": {mode}, "_txlock": {lock}}
	for _, pragma := range []string{
		fmt.Sprintf("busy_timeout(%d)", busyTime.Milliseconds()), "foreign_keys(1)", "synchronous(FULL)", "trusted_schema(0)",
	} {
		q.Add("_pragma", pragma)
	}
	if mode == "rwc" {
		q.Add("_pragma", "journal_mode(WAL)")
	}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: q.Encode()}).String())
	if err != nil {
		return nil, fmt.Errorf("open history in %q: %w", path, err)
	}
	return db, nil
}

// prepare brings the tables up to date, once.
func (s *Store) prepare(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ready {
		return nil
	}
	if err := makeFile(s.path); err != nil {
		return fmt.Errorf("%w: %w", history.ErrUnavailable, err)
	}
	unlock, err := alone(ctx, s.path+".lock")
	if err != nil {
		return fault(ctx, "prepare the history", err)
	}
	defer unlock()
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, s.write, files, goose.WithDisableGlobalRegistry(true),
		goose.WithGoMigrations(goose.NewGoMigration(2, &goose.GoFunc{RunTx: makeChain}, nil)))
	if err != nil {
		return fmt.Errorf("prepare the history: %w", err)
	}
	have, want, err := provider.GetVersions(ctx)
	if err != nil {
		return fault(ctx, "prepare the history", err)
	}
	if have > want {
		return fmt.Errorf("%w: its tables are of a newer Waybill (version %d, this one knows %d)", history.ErrUnavailable, have, want)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fault(ctx, "prepare the history", err)
	}
	s.ready = true
	return nil
}

// makeFile makes the file, with its folder, for this user alone. One that is there is
// not opened: closing it would give back every lock that SQLite has on it in this
// process (POSIX).
func makeFile(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err //nolint:wrapcheck // names the path
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err //nolint:wrapcheck // names the path
	}
	return f.Close() //nolint:wrapcheck // names the path
}

// alone waits until no other process brings the tables up to date: each step of that
// is a transaction of its own, and which are to be taken is decided before.
func alone(ctx context.Context, path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err //nolint:wrapcheck // names the path
	}
	ctx, cancel := context.WithTimeout(ctx, aloneTime)
	defer cancel()
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil // which gives the lock back
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
		}
		select {
		case <-time.After(lockPause):
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("lock %s: another process has it", path), f.Close())
		}
	}
}

// fault classifies an error of the driver: the caller's own end, or the store's.
func fault(ctx context.Context, doing string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", doing, ctx.Err())
	}
	return fmt.Errorf("%s: %w: %w", doing, history.ErrUnavailable, err)
}

var dialect = query.Dialect{
	Mark: "?", Instant: func(t time.Time) any { return t.UnixMicro() },
	Micros: func(column string) string { return column },
	SetNotice: func(batch, outcome string) string {
		return "json_set(record, '$.batch', " + batch + ", '$.outcome', " + outcome + ")"
	},
}

// PutPromotion keeps a record (history.Store).
func (s *Store) PutPromotion(ctx context.Context, p history.Promotion) error {
	return s.written(ctx, "write a record", func(t query.Tx) error { return dialect.Put(ctx, t, p) })
}

// PutEntry appends an entry (history.Store).
func (s *Store) PutEntry(ctx context.Context, e history.Entry) error {
	return s.written(ctx, "write an entry", func(t query.Tx) error { return dialect.Append(ctx, t, e) })
}

// written runs write in a transaction, which has the lock to write from its start.
func (s *Store) written(ctx context.Context, doing string, write func(query.Tx) error) error {
	if err := s.prepare(ctx); err != nil {
		return err
	}
	tx, err := s.write.BeginTx(ctx, nil)
	if err != nil {
		return fault(ctx, doing, err)
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it does nothing
	if err := write(query.SQL{Tx: tx}); err != nil {
		return fault(ctx, doing, err)
	}
	if err := tx.Commit(); err != nil {
		return fault(ctx, doing, err)
	}
	return nil
}

func ofMicro(n sql.NullInt64) time.Time {
	if !n.Valid {
		return time.Time{}
	}
	return time.UnixMicro(n.Int64).UTC()
}

// GetPromotion returns the newest record of that name (history.Store).
func (s *Store) GetPromotion(ctx context.Context, project, name string) (history.Promotion, error) {
	const doing = "read a record"
	var p history.Promotion
	if err := s.prepare(ctx); err != nil {
		return p, err
	}
	var raw string
	err := s.read.QueryRowContext(ctx, "SELECT record FROM promotions WHERE project = ? AND name = ? ORDER BY created_at DESC, uid DESC LIMIT 1", project, name).Scan(&raw)
	if errors.Is(err, sql.ErrNoRows) {
		return p, history.ErrNotFound
	}
	if err != nil {
		return p, fault(ctx, doing, err)
	}
	if err := json.Unmarshal([]byte(raw), &p); err != nil {
		return p, fault(ctx, doing, err)
	}
	rows, err := s.read.QueryContext(ctx, "SELECT step, attempt, uses, state, message, started_at, finished_at FROM steps WHERE uid = ? ORDER BY position, attempt", p.UID)
	if err != nil {
		return p, fault(ctx, doing, err)
	}
	defer rows.Close()
	for rows.Next() {
		var step history.Step
		var started, finished sql.NullInt64
		if err := rows.Scan(&step.Name, &step.Attempt, &step.Uses, &step.State, &step.Message, &started, &finished); err != nil {
			return p, fault(ctx, doing, err)
		}
		step.StartedAt, step.FinishedAt = ofMicro(started), ofMicro(finished)
		p.Steps = append(p.Steps, step)
	}
	if err := rows.Err(); err != nil {
		return p, fault(ctx, doing, err)
	}
	return p, nil
}

// Recorded returns the digests of records by UID (history.Store).
func (s *Store) Recorded(ctx context.Context, uids []string) (map[string]string, error) {
	const doing = "look up what is recorded"
	wanted, err := json.Marshal(uids)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	if err := s.prepare(ctx); err != nil {
		return nil, err
	}
	rows, err := s.read.QueryContext(ctx, "SELECT uid, digest FROM promotions WHERE uid IN (SELECT value FROM json_each(?))", string(wanted))
	if err != nil {
		return nil, fault(ctx, doing, err)
	}
	defer rows.Close()
	out := map[string]string{}
	for rows.Next() {
		var uid, digest string
		if err := rows.Scan(&uid, &digest); err != nil {
			return nil, fault(ctx, doing, err)
		}
		out[uid] = digest
	}
	if err := rows.Err(); err != nil {
		return nil, fault(ctx, doing, err)
	}
	return out, nil
}

// selected hands the rows of a SELECT to row (query.Lists).
func (s *Store) selected(ctx context.Context, doing, text string, args []any, row func(query.Scan) error) error {
	if err := s.prepare(ctx); err != nil {
		return err
	}
	rows, err := s.read.QueryContext(ctx, text, args...)
	if err != nil {
		return fault(ctx, doing, err)
	}
	if err := query.Each(rows, row); err != nil {
		return fault(ctx, doing, err)
	}
	return nil
}

// Ping returns nil when the file can be written (history.Store).
func (s *Store) Ping(ctx context.Context) error {
	if err := s.prepare(ctx); err != nil {
		return err
	}
	tx, err := s.write.BeginTx(ctx, nil) // takes the lock to write
	if err != nil {
		return fault(ctx, "ask the history store", err)
	}
	return tx.Rollback() //nolint:wrapcheck // nothing was begun that could fail
}

// Close closes the file (history.Store).
func (s *Store) Close() error {
	if err := errors.Join(s.read.Close(), s.write.Close()); err != nil {
		return fmt.Errorf("close the history: %w", err)
	}
	return nil
}
