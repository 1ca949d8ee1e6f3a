package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/waybill-dev/waybill/history"
	"github.com/waybill-dev/waybill/history/checkpoint"
	"github.com/waybill-dev/waybill/history/postgres"
	"github.com/waybill-dev/waybill/history/sqlite"
	"github.com/waybill-dev/waybill/internal/secret"
)

// historyEnv names the history's store as --history-dsn-file does.
const historyEnv = "WAYBILL_HISTORY_DSN"

// maxDSN bounds the file that names the store.
const maxDSN = 4 << 10

// openHistory returns the store that a file or the environment names: by default
// a file in the data folder. It is opened when it is first used.
func openHistory(o serveOptions) (history.Store, error) {
	dsn, err := historyDSN(o.historyDSNFile)
	if err != nil {
		return nil, err
	}
	var store history.Store
	switch text := dsn.Reveal(); {
	case dsn.IsEmpty():
		store, err = sqlite.Open(filepath.Join(o.data, "history", "history.db"))
	case strings.HasPrefix(text, "sqlite:"):
		store, err = sqlite.Open(strings.TrimPrefix(text, "sqlite:"))
	case strings.HasPrefix(text, "postgres://"), strings.HasPrefix(text, "postgresql://"), strings.Contains(text, "host="):
		store, err = postgres.Open(dsn)
	default:
		return nil, errors.New("the history's store is named as postgres://USER:PASSWORD@HOST/DATABASE or sqlite:/PATH")
	}
	if err != nil {
		return nil, fmt.Errorf("open the history: %w", err)
	}
	return store, nil
}

// kindOf names what holds the history.
func kindOf(store history.Store) string {
	if _, isFile := store.(*sqlite.Store); isFile {
		return "SQLite"
	}
	return "PostgreSQL"
}

// newCheckpoint returns what notes the head of the history's chain, with its
// metrics registered.
func newCheckpoint(store history.Store, logger *slog.Logger) (*checkpoint.Log, error) {
	l := checkpoint.New(store, clock.RealClock{}, logger)
	for _, c := range l.Collectors() {
		if err := metrics.Registry.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return l, nil
}

func historyDSN(path string) (secret.Text, error) {
	if path == "" {
		return secret.New(strings.TrimSpace(os.Getenv(historyEnv))), nil
	}
	f, err := os.Open(path)
	if err != nil {
		return secret.Text{}, fmt.Errorf("read what names the history's store: %w", err)
	}
	defer f.Close() //nolint:errcheck // it is read only
	raw, err := io.ReadAll(io.LimitReader(f, maxDSN+1))
	if err != nil {
		return secret.Text{}, fmt.Errorf("read what names the history's store: %w", err)
	}
	text := strings.TrimSpace(string(raw))
	if text == "" || len(raw) > maxDSN {
		return secret.Text{}, fmt.Errorf("%s does not name the history's store: expected one line like postgres://USER:PASSWORD@HOST/DATABASE", path)
	}
	return secret.New(text), nil
}
