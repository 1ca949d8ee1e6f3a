package e2e

import (
	"os"
	"strings"
	"testing"
)

// TestSecondInstallation: a waybilld that is no replica of the one that works on the
// cluster says so and does not start, unless it is told to. One that was killed is
// followed by whoever starts next.
func TestSecondInstallation(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "second")
	first := w.server
	w.startServer()
	w.eventually("the first is ready", first.isReady)

	other := w.anotherServer
	isRefused := func(s *server) {
		t.Helper()
		w.wait("it ends", s.done)
		log, err := os.ReadFile(s.log.Name())
		if err != nil {
			t.Fatal(err)
		}
		if s.cmd.ProcessState.ExitCode() != 1 || !strings.Contains(string(log), "another waybilld works on this cluster already") {
			t.Errorf("%s: exit code %d, log:\n%s", s.log.Name(), s.cmd.ProcessState.ExitCode(), log)
		}
	}
	second := other("second")
	isRefused(second)
	isRefused(other("replica", "--leader-elect"))
	if err := first.isReady(); err != nil {
		t.Errorf("the first: %v", err)
	}
	told := other("told", "--allow-other")
	w.eventually("one that was told to starts", told.isReady)
	told.stop()

	// Killed and started again, it is itself.
	first.kill()
	w.startServer()
	w.eventually("the first is ready again", first.isReady)
	isRefused(other("third"))

	// Gone for good, it is followed; and the follower is the one from then on.
	first.kill()
	if err := second.start(); err != nil {
		t.Fatal(err)
	}
	w.eventually("the second takes over", second.isReady)
	w.startServer()
	isRefused(first)
	second.stop()
	w.startServer()
	w.eventually("after a proper end nobody has to wait", first.isReady)

	// Replicas are noticed too.
	first.stop()
	gone := w.leaderName() // an earlier one, whose Lease may still run
	replica := other("leader", "--leader-elect")
	w.eventually("it leads", func() error {
		if err := replica.isReady(); err != nil {
			return err
		}
		return w.leader(gone)
	})
	w.startServer()
	isRefused(first)
}
