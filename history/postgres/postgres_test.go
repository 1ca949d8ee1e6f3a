package postgres_test

import (
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/waybill-dev/waybill/history"
	"github.com/waybill-dev/waybill/history/historytest"
	"github.com/waybill-dev/waybill/history/postgres"
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
