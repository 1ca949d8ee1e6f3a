package historytest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/internal/freeaddr"
	"github.com/waybill-dev/waybill/internal/secret"
)

// The account of every test server.
const (
	Username = "waybill"
	Password = "hist0ry-canary/pa55"
)

// Postgres is a PostgreSQL server of a test's own, on loopback.
type Postgres struct {
	// Addr is where it listens: host:port.
	Addr string

	t   testing.TB
	dir string
	bin string
	// as is who it runs as: PostgreSQL refuses root.
	as *syscall.Credential
}

// startTime bounds what initdb and pg_ctl take.
const startTime = 2 * time.Minute

// StartPostgres starts a server with nothing in it and stops it when the test
// ends. It fails the test, and says what is missing, where PostgreSQL is not
// installed.
func StartPostgres(t testing.TB) *Postgres {
	t.Helper()
	bin, err := findPostgres()
	if err != nil {
		t.Fatal(err)
	}
	// Not t.TempDir: its parents belong to who runs the test alone, and a socket's path is short.
	dir, err := os.MkdirTemp("", "waybill-pg-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	p := &Postgres{t: t, dir: dir, bin: bin}
	if os.Getuid() == 0 {
		p.as = nobody(t)
		if err := os.Chown(dir, int(p.as.Uid), int(p.as.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	password := filepath.Join(dir, "password")
	if err := os.WriteFile(password, []byte(Password), 0o644); err != nil {
		t.Fatal(err)
	}
	p.run("initdb", "-D", p.data(), "-U", Username, "--auth=scram-sha-256", "--pwfile="+password, "-E", "UTF8", "--locale=C", "--no-sync")
	p.Addr = freeaddr.For(t)
	t.Cleanup(func() { p.Stop() })
	p.Start()
	return p
}

func (p *Postgres) data() string { return filepath.Join(p.dir, "data") }

// findPostgres returns the folder of initdb, pg_ctl and postgres. Debian keeps
// them out of the PATH.
func findPostgres() (string, error) {
	if path, err := exec.LookPath("pg_ctl"); err == nil {
		if resolved, err := filepath.EvalSymlinks(path); err == nil {
			return filepath.Dir(resolved), nil
		}
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/pg_ctl")
	if err != nil || len(found) == 0 {
		return "", errors.New("PostgreSQL is not installed: `make needs` says how (on Debian: apt-get install postgresql)")
	}
	version := func(path string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path)))) //nolint:errcheck // 0 is the oldest
		return n
	}
	return filepath.Dir(slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })), nil
}

// nobody is an account without rights.
func nobody(t testing.TB) *syscall.Credential {
	t.Helper()
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	t.Fatal("PostgreSQL does not run as root, and there is neither an account postgres nor nobody")
	return nil
}

// run runs one of PostgreSQL's programs to its end.
func (p *Postgres) run(program string, args ...string) {
	p.t.Helper()
	if err := p.try(program, args...); err != nil {
		p.t.Fatal(err)
	}
}

func (p *Postgres) try(program string, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(p.bin, program), args...)
	cmd.Dir = p.dir
	cmd.Env = []string{"PATH=" + p.bin + ":/usr/bin:/bin", "LC_ALL=C", "TZ=UTC", "HOME=" + p.dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.as}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = time.Second // the server keeps what pg_ctl was given open
	if err := cmd.Run(); err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		log, _ := os.ReadFile(filepath.Join(p.dir, "log")) //nolint:errcheck // there may be none
		return fmt.Errorf("%s: %w\n%s%s", program, err, out.String(), log)
	}
	return nil
}

// Start starts the server again after Stop or Kill.
func (p *Postgres) Start() {
	p.t.Helper()
	_, port, err := net.SplitHostPort(p.Addr)
	if err != nil {
		p.t.Fatal(err)
	}
	options := strings.Join([]string{
		"-c listen_addresses=127.0.0.1", "-c port=" + port, "-c unix_socket_directories=" + p.dir,
		"-c fsync=off", "-c shared_buffers=16MB", "-c max_connections=40", // a test's data need not survive the machine
	}, " ")
	p.run("pg_ctl", "-D", p.data(), "-l", filepath.Join(p.dir, "log"), "-w", "-t", "60", "-o", options, "start")
}

// Stop stops the server: open connections are cut. One that is stopped stays so.
func (p *Postgres) Stop() { p.end("fast") }

// Kill ends the server as a crash does: nothing is written any more.
func (p *Postgres) Kill() { p.end("immediate") }

func (p *Postgres) end(mode string) {
	p.t.Helper()
	if _, err := os.Stat(filepath.Join(p.data(), "postmaster.pid")); errors.Is(err, os.ErrNotExist) {
		return
	}
	if err := p.try("pg_ctl", "-D", p.data(), "-w", "-t", "60", "-m", mode, "stop"); err != nil {
		p.t.Error(err)
	}
}

// DSN returns the connection string of the database postgres. Each of options is
// like search_path=mine.
func (p *Postgres) DSN(options ...string) secret.Text { return p.DSNAt(p.Addr, options...) }

// DSNAt is DSN through another address: that of a proxy.
func (p *Postgres) DSNAt(addr string, options ...string) secret.Text {
	q := url.Values{"sslmode": {"disable"}}
	for _, o := range options {
		name, value, _ := strings.Cut(o, "=")
		q.Set(name, value)
	}
	u := url.URL{Scheme: "postgres", User: url.UserPassword(Username, Password), Host: addr, Path: "/postgres", RawQuery: q.Encode()}
	return secret.New(u.String())
}
