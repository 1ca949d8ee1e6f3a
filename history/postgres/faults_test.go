package postgres_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/history"
	"github.com/waybill-dev/waybill/history/historytest"
	"github.com/waybill-dev/waybill/history/postgres"
	"github.com/waybill-dev/waybill/internal/secret"
)

// unavailable fails unless err says so, without the password.
func unavailable(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, history.ErrUnavailable) {
		t.Errorf("%s: %v, want ErrUnavailable", what, err)
	}
	if err != nil && strings.Contains(err.Error(), historytest.Password) {
		t.Errorf("%s: the error shows the password: %v", what, err)
	}
}

// count returns how many records there are.
func count(t *testing.T, s history.Store) int {
	t.Helper()
	ps, _, err := s.ListPromotions(t.Context(), history.Filter{}, history.Page{Limit: history.MaxPage})
	if err != nil {
		t.Fatal(err)
	}
	return len(ps)
}

// TestFaults: whatever happens to the database, the store says so, and works
// again when the database does, without a restart.
func TestFaults(t *testing.T) {
	server := historytest.StartPostgres(t)
	server.Stop()
	s := open(t, server.DSN())
	unavailable(t, "down at the start", s.Ping(t.Context()))
	unavailable(t, "down at the start", s.PutPromotion(t.Context(), historytest.Promotion("p", "s", 1)))

	server.Start()
	put := func(n int) error { return s.PutPromotion(t.Context(), historytest.Promotion("p", "s", n)) }
	if err := put(1); err != nil {
		t.Fatal(err)
	}
	sql(t, server, "ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")
	server.Stop()
	server.Start()
	unavailable(t, "read-only, as when it is full or a standby", eventually(t, func() error { return put(2) }, isRefusal))
	unavailable(t, "read-only", s.Ping(t.Context()))
	if n := count(t, s); n != 1 {
		t.Errorf("%d rows can be read while it is read-only, want 1", n)
	}
	sql(t, server, "ALTER SYSTEM RESET default_transaction_read_only")
	server.Stop()
	server.Start()
	if err := eventually(t, func() error { return put(2) }, func(err error) bool { return err == nil }); err != nil {
		t.Fatal(err)
	}

	// Killed in the middle of many writes: each is tried until it is taken.
	var wg sync.WaitGroup
	for n := 3; n < 43; n++ {
		wg.Go(func() {
			both := func() error { return errors.Join(put(n), s.PutEntry(t.Context(), historytest.Entry("p", "s", n))) }
			if err := eventually(t, both, func(err error) bool { return err == nil }); err != nil {
				t.Error(err)
			}
		})
	}
	server.Kill()
	server.Start()
	wg.Wait()
	if n := count(t, s); n != 42 {
		t.Errorf("%d rows, want 42: each exactly once", n)
	}
	historytest.Whole(t, s, 42+40)

	wrong := open(t, secret.New(strings.Replace(server.DSN().Reveal(), historytest.Username, "nobody", 1)))
	unavailable(t, "a wrong password", wrong.Ping(t.Context()))
}

func isRefusal(err error) bool { return err != nil && strings.Contains(err.Error(), "SQLSTATE 25006") }

// eventually calls try until its error is as wanted, and returns it.
func eventually(t *testing.T, try func() error, isWanted func(error) bool) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for {
		err := try()
		if isWanted(err) || ctx.Err() != nil {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// TestManyStartAtOnce: replicas that start together make the tables once.
func TestManyStartAtOnce(t *testing.T) {
	server := historytest.StartPostgres(t)
	var wg sync.WaitGroup
	for n := range 4 {
		s := open(t, server.DSN())
		wg.Go(func() {
			if err := s.PutPromotion(t.Context(), historytest.Promotion("p", "s", n)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := count(t, open(t, server.DSN())); n != 4 {
		t.Errorf("%d rows, want 4", n)
	}
	sql(t, server, "INSERT INTO waybill_history_version (version_id, is_applied) VALUES (99999, true)")
	err := open(t, server.DSN()).Ping(t.Context())
	unavailable(t, "tables of a newer version", err)
	if err == nil || !strings.Contains(err.Error(), "newer Waybill") {
		t.Errorf("tables of a newer version: %v", err)
	}
}

func TestConnectionStringsThatCannotBeRead(t *testing.T) {
	for _, dsn := range []string{"postgres://waybill:" + historytest.Password + "@db.example:port/x", "host=h password=" + historytest.Password + " sslmode=maybe"} {
		if _, err := postgres.Open(secret.New(dsn)); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%v", err)
		}
	}
}

// BenchmarkPage lists a page of 50 in the middle of 10,000 records.
func BenchmarkPage(b *testing.B) {
	server := historytest.StartPostgres(b)
	s, err := postgres.Open(server.DSN())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	historytest.BenchmarkPage(b, s)
}
