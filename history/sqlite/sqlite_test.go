package sqlite_test

import (
	"path/filepath"
	"testing"

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
