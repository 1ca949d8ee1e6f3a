package localkube

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLogIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "etcd.log")
	if err := os.WriteFile(path, []byte("of the earlier start\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := openLog(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	if old, err := os.ReadFile(path + ".old"); err != nil || string(old) != "of the earlier start\n" {
		t.Errorf("the earlier log: %q, %v", old, err)
	}
	line := strings.Repeat("x", 1<<20-1) + "\n"
	for range 3 * maxLogBytes / len(line) {
		if n, err := l.Write([]byte(line)); n != len(line) || err != nil {
			t.Fatalf("write: %d, %v", n, err)
		}
	}
	for i := range 20 {
		fmt.Fprintf(l, "line %d\n", i)
	}
	for _, name := range []string{path, path + ".old"} {
		if info, err := os.Stat(name); err != nil || info.Size() > maxLogBytes || info.Size() == 0 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	if others, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*")); len(others) != 2 {
		t.Errorf("files %q, want two", others)
	}
	if tail := strings.Split(l.tail(), "\n"); len(tail) != tailLines || tail[len(tail)-1] != "line 19" {
		t.Errorf("tail %q", tail)
	}
}

func TestLogNeverRefuses(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "logs")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := openLog(filepath.Join(dir, "etcd.log"))
	if err != nil {
		t.Fatal(err)
	}
	l.close() // as if the disk were full
	if n, err := l.Write([]byte("last words\n")); n != 11 || err != nil {
		t.Errorf("write: %d, %v", n, err)
	}
	if l.tail() != "last words" {
		t.Errorf("tail %q", l.tail())
	}
}
