package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestOpenHistory(t *testing.T) {
	const canary = "hist0ry-canary"
	for _, c := range []struct {
		why, file, env string
		want           string // what the error says; empty: none
	}{
		{"by default a file in the data folder", "", "", ""},
		{"PostgreSQL, by a file", "postgres://waybill:" + canary + "@db.example/waybill\n", "", ""},
		{"PostgreSQL, by the environment", "", "host=db.example user=waybill password=" + canary, ""},
		{"a file elsewhere", "sqlite:" + t.TempDir() + "/h.db", "", ""},
		{"another database", "mysql://waybill:" + canary + "@db.example/waybill", "", "postgres://USER"},
		{"a connection string that cannot be read", "postgres://waybill:" + canary + "@db.example:notaport/waybill", "", "cannot be read"},
		{"an empty file", " \n", "", "does not name"},
		{"a file without end", strings.Repeat(canary, 1000), "", "does not name"},
	} {
		o := serveOptions{data: t.TempDir()}
		if c.file != "" {
			o.historyDSNFile = filepath.Join(t.TempDir(), "dsn")
			if err := os.WriteFile(o.historyDSNFile, []byte(c.file), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		t.Setenv(historyEnv, c.env)
		store, err := openHistory(o)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.why, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %q", c.why, err, c.want)
		case err != nil && strings.Contains(err.Error(), canary):
			t.Errorf("%s: the error shows the password: %v", c.why, err)
		}
		if store != nil {
			if err := store.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}
