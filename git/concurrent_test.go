package git_test

import (
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"testing"

	"github.com/waybill-dev/waybill/git/gittest"
)

// TestFiftyBranchesAtOnce promotes 50 Stages of one repository at the same
// time, twice, while others read it: none may fail, each branch gets exactly
// its commits.
func TestFiftyBranchesAtOnce(t *testing.T) {
	r := newRig(t)
	url := r.server.CreateRepo("app", gittest.ManyFiles(1000))
	const stages, rounds = 50, 2
	readers, stop := sync.WaitGroup{}, make(chan struct{})
	m, refs := r.fetched(url, "main")
	main := refs.Branches["main"]
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				files, err := m.FS(main)
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := fs.ReadFile(files, "apps/team-009/app-099.yaml"); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for round := range rounds {
		var writers sync.WaitGroup
		for stage := range stages {
			writers.Go(func() { promote(t, r.open(url), fmt.Sprintf("stage/%d", stage), fmt.Sprint(round, "-", stage)) })
		}
		writers.Wait()
	}
	close(stop)
	readers.Wait()
	for stage := range stages {
		log := r.server.Log("app", fmt.Sprintf("stage/%d", stage))
		if len(log) != rounds+1 {
			t.Errorf("stage %d has %d commits, want %d", stage, len(log), rounds+1)
			continue
		}
		for round := range rounds {
			if want := fmt.Sprintf("Waybill-Promotion-UID: %d-%d\n", round, stage); !strings.Contains(log[rounds-1-round], want) {
				t.Errorf("stage %d, round %d: %q", stage, round, log[rounds-1-round])
			}
		}
	}
}
