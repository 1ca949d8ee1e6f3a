package sqlite_test

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/waybill-dev/waybill/history"
	"github.com/waybill-dev/waybill/history/historytest"
	"github.com/waybill-dev/waybill/history/sqlite"
)

func open(t *testing.T, path string) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestStore(t *testing.T) {
	historytest.Exercise(t, func(t *testing.T) history.Store {
		return open(t, filepath.Join(t.TempDir(), "a folder?with#signs", "history.db"))
	})
}

// database is a file that is looked at past the store as well.
func database(t *testing.T) *historytest.Database {
	t.Helper()
	path := filepath.Join(t.TempDir(), "history.db")
	raw, err := sql.Open("sqlite", path+"?_pragma=busy_timeout(60000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = raw.Close() })
	return &historytest.Database{
		Open: func(t *testing.T) history.Store { t.Helper(); return open(t, path) },
		Exec: func(t *testing.T, statement string) error {
			t.Helper()
			_, err := raw.ExecContext(t.Context(), statement)
			return err //nolint:wrapcheck // the test says which
		},
		Unguard: []string{"DROP TRIGGER entries_stay", "DROP TRIGGER entries_stay_here", "DROP TRIGGER entries_stay_first"},
		Instant: func(at time.Time) string { return strconv.FormatInt(at.UnixMicro(), 10) },
	}
}

func TestChain(t *testing.T) { historytest.ExerciseChain(t, database) }

// TestOldTables: what a file of before the chain holds is chained, once.
func TestOldTables(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.db")
	raw, err := sql.Open("sqlite", path+"?_pragma=busy_timeout(60000)")
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close() //nolint:errcheck // the test ends
	old, err := goose.NewProvider(goose.DialectSQLite3, raw, os.DirFS("migrations"), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := old.UpTo(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	d := database(t)
	d.Open = func(t *testing.T) history.Store { t.Helper(); return open(t, path) }
	d.Exec = func(t *testing.T, statement string) error {
		t.Helper()
		_, err := raw.ExecContext(t.Context(), statement)
		return err //nolint:wrapcheck // the test says which
	}
	historytest.Old(t, d)
	if _, err := raw.ExecContext(t.Context(), "INSERT OR REPLACE INTO entries SELECT * FROM entries WHERE seq = 1"); err == nil {
		t.Error("a row can be replaced")
	}
}

// TestFaults: a file that is full or of a newer version says so; two processes
// may share it; what was written is there when it is opened again.
func TestFaults(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.db")
	a, b := open(t, path), open(t, path)
	var wg sync.WaitGroup
	for i, s := range []*sqlite.Store{a, b} {
		wg.Go(func() {
			for n := range 20 {
				if err := s.PutPromotion(t.Context(), historytest.Promotion("p", "s", n+i*10)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	ps, _, err := open(t, path).ListPromotions(t.Context(), history.Filter{}, history.Page{Limit: history.MaxPage})
	if err != nil || len(ps) != 30 {
		t.Errorf("%d rows, %v; want 30: each exactly once", len(ps), err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v: want a file of this user's", info, err)
	}

	raw, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close() //nolint:errcheck // the test ends
	if _, err := raw.ExecContext(t.Context(), "INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, 1)"); err != nil {
		t.Fatal(err)
	}
	if err := open(t, path).Ping(t.Context()); !errors.Is(err, history.ErrUnavailable) || !strings.Contains(err.Error(), "newer Waybill") {
		t.Errorf("tables of a newer version: %v", err)
	}

	broken := filepath.Join(t.TempDir(), "history.db")
	if err := os.WriteFile(broken, []byte(strings.Repeat("not a database", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := open(t, broken).Ping(t.Context()); !errors.Is(err, history.ErrUnavailable) {
		t.Errorf("a broken file: %v", err)
	}
	if err := open(t, filepath.Join(broken, "below", "h.db")).Ping(t.Context()); !errors.Is(err, history.ErrUnavailable) {
		t.Errorf("a folder that cannot be made: %v", err)
	}
}

// BenchmarkPage lists a page of 50 in the middle of 10,000 records.
func BenchmarkPage(b *testing.B) {
	s, err := sqlite.Open(filepath.Join(b.TempDir(), "history.db"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	historytest.BenchmarkPage(b, s)
}

// BenchmarkPutEntry appends entries, one after the other.
func BenchmarkPutEntry(b *testing.B) {
	s, err := sqlite.Open(filepath.Join(b.TempDir(), "history.db"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	historytest.BenchmarkPutEntry(b, s)
}
