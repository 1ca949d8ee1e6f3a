package local

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/examples"
)

// freeBase returns the first of PortCount consecutive ports that nobody uses.
func freeBase(t *testing.T) int {
	t.Helper()
	for range 100 {
		base := 20000 + rand.IntN(2000)*PortCount
		p := portsFrom(base)
		needed := map[string]int{"server": p.server, "registry": p.registry, "git": p.git, "kubernetes": p.kube, "etcd": p.etcd}
		if checkFree(context.Background(), base, needed) == nil {
			return base
		}
	}
	t.Fatal("no free ports found")
	return 0
}

func testDir(t *testing.T) dir {
	t.Helper()
	d := dir(t.TempDir())
	if err := d.make(); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestPasswordIsMadeOnceAndKeptPrivate(t *testing.T) {
	d := testDir(t)
	first, err := d.password()
	if err != nil {
		t.Fatal(err)
	}
	again, err := d.password()
	if err != nil {
		t.Fatal(err)
	}
	if first != again {
		t.Error("the second call made another password")
	}
	if len(first.Reveal()) < 26 {
		t.Errorf("password has %d characters, want at least 26 (128 bits)", len(first.Reveal()))
	}
	info, err := os.Stat(d.passwordFile())
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); mode != 0o600 {
		t.Errorf("password file has mode %o, want 600", mode)
	}
	other, err := testDir(t).password()
	if err != nil {
		t.Fatal(err)
	}
	if other == first {
		t.Error("two directories have the same password")
	}
}

func TestLockHasOneOwner(t *testing.T) {
	d := testDir(t)
	held, err := d.lock()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.lock(); !errors.Is(err, errLocked) {
		t.Errorf("a second lock: got %v, want errLocked", err)
	}
	if err := d.unlock(held); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(d.lockFile()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the lock file stays behind: %v", err)
	}
	held, err = d.lock()
	if err != nil {
		t.Fatalf("lock after unlock: %v", err)
	}
	if err := d.unlock(held); err != nil {
		t.Fatal(err)
	}
}

func TestCheckFreeNamesEveryTakenPort(t *testing.T) {
	base := freeBase(t)
	p := portsFrom(base)
	for _, port := range []int{p.server, p.git} {
		l, err := net.Listen("tcp", address(port))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
	}
	err := checkFree(context.Background(), base, map[string]int{"server": p.server, "registry": p.registry, "git": p.git})
	var taken *PortTakenError
	if !errors.As(err, &taken) {
		t.Fatalf("got %v, want a PortTakenError", err)
	}
	want := "ports " + strconv.Itoa(p.server) + " (server), " + strconv.Itoa(p.git) + " (git) on 127.0.0.1: taken by another program"
	if err.Error() != want {
		t.Errorf("got  %s\nwant %s", err, want)
	}
	if err := checkFree(context.Background(), 65533, nil); err == nil {
		t.Error("a base without room for all ports was accepted")
	}
}

func TestIdentityTellsProcessesApart(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	waited := make(chan error, 1)
	id, err := identify(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	stranger := processID{PID: id.PID, Birth: id.Birth + "0"}
	if err := stranger.end(context.Background(), time.Second); err != nil {
		t.Fatal(err)
	}
	if alive, err := id.isAlive(); err != nil || !alive {
		t.Fatalf("ending a record of an earlier process with this id ended this one (alive %v, %v)", alive, err)
	}
	go func() { waited <- cmd.Wait() }()
	if err := id.end(context.Background(), time.Minute); err != nil {
		t.Fatal(err)
	}
	if err := <-waited; err == nil {
		t.Error("the process ended by itself")
	}
	if alive, err := id.isAlive(); err != nil || alive {
		t.Errorf("after end: alive %v, %v", alive, err)
	}
}

func TestDownOfADirectoryThatNeverWas(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "none")
	ran, err := Down(context.Background(), missing, func(text string) { t.Log(text) })
	if err != nil || ran {
		t.Errorf("got %v, %v; want false, nil", ran, err)
	}
	if _, err := os.Stat(missing); !errors.Is(err, os.ErrNotExist) {
		t.Error("down made the directory")
	}
}

func TestDemoManifestsHoldOnlyThisInstancesAddresses(t *testing.T) {
	i := Instance{GitURL: "http://127.0.0.1:1002/guestbook.git", Registry: "127.0.0.1:1001", User: User, Password: "pa55word"}
	manifests, err := i.DemoManifests()
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, m := range manifests {
		all.WriteString(m.Content)
	}
	for _, gone := range []string{examples.GitURL, examples.ImageRepo, examples.Password, "username: " + examples.Username, "example.com"} {
		if strings.Contains(all.String(), gone) {
			t.Errorf("the definitions still contain %q", gone)
		}
	}
	for _, want := range []string{"repoURL: " + i.GitURL, "127.0.0.1:1001/guestbook", "password: pa55word", "username: admin"} {
		if !strings.Contains(all.String(), want) {
			t.Errorf("the definitions do not contain %q", want)
		}
	}
	if !strings.HasPrefix(firstDocument(manifests[0].Content), "apiVersion: v1\nkind: Namespace\n") {
		t.Errorf("the first document is not the Namespace:\n%s", manifests[0].Content)
	}
}

// firstDocument is content without leading comment lines.
func firstDocument(content string) string {
	for strings.HasPrefix(content, "#") {
		_, content, _ = strings.Cut(content, "\n")
	}
	return content
}
