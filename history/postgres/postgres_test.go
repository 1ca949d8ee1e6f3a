package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/waybill-dev/waybill/history"
	"github.com/waybill-dev/waybill/history/historytest"
	"github.com/waybill-dev/waybill/history/postgres"
	"github.com/waybill-dev/waybill/internal/chain"
	"github.com/waybill-dev/waybill/internal/secret"
)

func open(t *testing.T, dsn secret.Text) *postgres.Store {
	t.Helper()
	s, err := postgres.Open(dsn)
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

// sql runs statements as the server's administrator.
func sql(t *testing.T, server *historytest.Postgres, statements ...string) {
	t.Helper()
	c, err := pgx.Connect(t.Context(), server.DSN("default_transaction_read_only=off").Reveal())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(t.Context()) //nolint:errcheck // nothing depends on it
	for _, s := range statements {
		if _, err := c.Exec(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
}

func TestStore(t *testing.T) {
	server := historytest.StartPostgres(t)
	n := 0
	historytest.Exercise(t, func(t *testing.T) history.Store {
		n++
		schema := fmt.Sprintf("test%d", n)
		sql(t, server, "CREATE SCHEMA "+schema)
		return open(t, server.DSN("search_path="+schema))
	})
}

// database is a schema of its own that is looked at past the store as well.
func database(t *testing.T, server *historytest.Postgres, schema string) *historytest.Database {
	t.Helper()
	sql(t, server, "CREATE SCHEMA "+schema)
	dsn := server.DSN("search_path=" + schema)
	c, err := pgx.Connect(t.Context(), dsn.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return &historytest.Database{
		Open: func(t *testing.T) history.Store { t.Helper(); return open(t, dsn) },
		Exec: func(t *testing.T, statement string) error {
			t.Helper()
			_, err := c.Exec(t.Context(), statement)
			return err //nolint:wrapcheck // the test says which
		},
		Unguard: []string{"ALTER TABLE entries DISABLE TRIGGER USER"},
		Instant: func(at time.Time) string { return "'" + at.Format(time.RFC3339Nano) + "'" },
	}
}

func TestChain(t *testing.T) {
	server := historytest.StartPostgres(t)
	n := 0
	historytest.ExerciseChain(t, func(t *testing.T) *historytest.Database {
		n++
		return database(t, server, fmt.Sprintf("chain%d", n))
	})
	d := database(t, server, "truncated")
	if err := d.Open(t).PutEntry(t.Context(), historytest.Entry("p", "s", 1)); err != nil {
		t.Fatal(err)
	}
	if err := d.Exec(t, "TRUNCATE entries"); err == nil {
		t.Error("the entries can be truncated")
	}
	leastPrivilege(t, server)
}

// leastPrivilege: once the tables are there, an account may do without owning
// them, as the guide says.
func leastPrivilege(t *testing.T, server *historytest.Postgres) {
	t.Helper()
	d := database(t, server, "owned")
	if err := d.Open(t).Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	sql(t, server, "CREATE ROLE weak LOGIN PASSWORD '"+historytest.Password+"'", "GRANT USAGE ON SCHEMA owned TO weak",
		"GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA owned TO weak", "GRANT UPDATE ON owned.promotions, owned.steps TO weak")
	s := open(t, secret.New(strings.Replace(server.DSN("search_path=owned").Reveal(), "//"+historytest.Username, "//weak", 1)))
	for range 2 {
		if err := errors.Join(s.PutEntry(t.Context(), historytest.Entry("p", "s", 1)), s.PutPromotion(t.Context(), historytest.Promotion("p", "s", 2))); err != nil {
			t.Error(err)
		}
	}
	if v, err := s.Verify(t.Context(), history.Part{After: chain.Start()}); err != nil || v.Rows != 2 || len(v.Breaks) != 0 {
		t.Errorf("%+v, %v", v, err)
	}
}

// TestOldTables: what tables of before the chain hold is chained, once, even
// when several replicas start at the same time.
func TestOldTables(t *testing.T) {
	server := historytest.StartPostgres(t)
	d := database(t, server, "old")
	config, err := pgx.ParseConfig(server.DSN("search_path=old").Reveal())
	if err != nil {
		t.Fatal(err)
	}
	db := stdlib.OpenDB(*config)
	defer db.Close() //nolint:errcheck // the test ends
	old, err := goose.NewProvider(goose.DialectPostgres, db, os.DirFS("migrations"), goose.WithDisableGlobalRegistry(true), goose.WithTableName("waybill_history_version"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := old.UpTo(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	one := d.Open
	d.Open = func(t *testing.T) history.Store {
		t.Helper()
		var wg sync.WaitGroup
		for range 3 {
			s := one(t)
			wg.Go(func() {
				if err := s.Ping(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		return one(t)
	}
	historytest.Old(t, d)
}

// BenchmarkPutEntry appends entries, one after the other.
func BenchmarkPutEntry(b *testing.B) {
	server := historytest.StartPostgres(b)
	s, err := postgres.Open(server.DSN())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	historytest.BenchmarkPutEntry(b, s)
}
