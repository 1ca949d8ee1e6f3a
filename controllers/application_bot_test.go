package controllers_test

import (
	"context"
	"fmt"
	"math/bits"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

const (
	botName     = "rival-bot"
	botObjects  = 50
	botInterval = 100 * time.Millisecond
	// botRounds are few unless somebody asks for a time; by then the rival is named.
	botRounds = 30
)

// botTime is how long the bot of TestBotAgainstFiftyObjects goes on:
// WAYBILL_TEST_BOT, say 3m; 0 means until the rival is named.
func botTime(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("WAYBILL_TEST_BOT")
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		t.Fatalf("WAYBILL_TEST_BOT=%q is no duration", text)
	}
	return d
}

// TestBotAgainstFiftyObjects: somebody rewrites 50 objects every 100 ms. What is
// sent against that is bounded however long it goes on, the rival is named, and
// others are not held up.
func TestBotAgainstFiftyObjects(t *testing.T) {
	length := botTime(t)
	f := newAppFixture(t)
	f.application("test", "stage/test", "app")
	f.application("other", "stage/other", "app")
	const objects = 200
	files := map[string]string{}
	for i := range objects {
		name := fmt.Sprintf("c%03d", i)
		files["app/"+name+".yaml"] = configMap(name)
	}
	commit := f.commit("stage/test", files)
	f.waitSynced("test", commit)
	f.waitSynced("other", f.commit("stage/other", web("registry.example.com/web:1.0.0", 1)))
	f.counter.take()
	f.own.take()

	stop := f.startBot()
	begun := time.Now()
	isLongEnough := func() bool {
		return time.Since(begun) >= length && stop.rounds() >= botRounds && f.namesRival()
	}
	var slowestApply, slowestRollout time.Duration
	syncs := 0
	for deadline := begun.Add(length + 2*time.Minute); !isLongEnough() && time.Now().Before(deadline); syncs++ {
		at := time.Now() // others are served as if there were no bot
		head := f.commit("stage/other", web(fmt.Sprintf("registry.example.com/web:1.%d.0", syncs+1), 1))
		f.waitFor("other", "applied at "+head, func(a *v1alpha1.Application) bool { return a.Status.Sync.Revision == head })
		slowestApply = max(slowestApply, time.Since(at))
		f.waitSynced("other", head) // its pods are the control plane's business, which the bot keeps busy
		slowestRollout = max(slowestRollout, time.Since(at))
		pause(t, time.Second)
	}
	rounds := stop.end()
	if !f.namesRival() {
		t.Errorf("after %d rounds the rival is not named: %s", rounds, describe(f.waitFor("test", "anything", func(*v1alpha1.Application) bool { return true })))
	}
	// Each object is healed at once five times, then at pauses that double.
	heals := 0
	sent := writesOnly(f.counter.take())
	for _, line := range sent {
		_, after, isOurs := strings.Cut(line, "/configmaps/c")
		if !isOurs {
			continue
		}
		heals++
		if n, err := strconv.Atoi(after[:min(3, len(after))]); err != nil || n >= botObjects {
			t.Errorf("an object that nobody touched was written: %s", line)
		}
	}
	if limit := botObjects * healsIn(time.Since(begun)); heals == 0 || heals > limit {
		t.Errorf("%d heals in %d rounds of %d writes, want at most %d", heals, rounds, botObjects, limit)
	}
	// Its own objects it writes about once a second at most.
	own := len(writesOnly(f.own.take()))
	if limit := 3*int(time.Since(begun)/time.Second) + 30 + 12*syncs; own > limit {
		t.Errorf("%d writes to its own objects in %s, want at most %d", own, time.Since(begun).Round(time.Second), limit)
	}
	t.Logf("%s: %d rounds, %d writes of the bot; %d heals (%.1f per object), %d other writes to the cluster, %d to its own objects; another Application got %d revisions meanwhile, the slowest was applied in %s and rolled out in %s",
		time.Since(begun).Round(time.Second), rounds, rounds*botObjects, heals, float64(heals)/botObjects, len(sent)-heals, own, syncs, slowestApply.Round(time.Millisecond), slowestRollout.Round(time.Millisecond))
}

// namesRival says that the Application's condition Contested names the bot.
func (f *appFixture) namesRival() bool {
	var a v1alpha1.Application
	if err := f.client.Get(f.t.Context(), key(f.project, "test"), &a); err != nil {
		return false
	}
	c := meta.FindStatusCondition(a.Status.Conditions, "Contested")
	return c != nil && strings.Contains(c.Message, `"`+botName+`"`)
}

// healsIn bounds how often one contested object may be healed in a time: what was
// healed ten minutes ago does not count any more.
func healsIn(d time.Duration) int {
	const window = 10 * time.Minute
	windows := 1 + int(d/window)
	return windows * (7 + bits.Len(uint(min(d, window)/time.Second)))
}

// bot is somebody who rewrites objects all the time.
type bot struct {
	count chan int
	quit  context.CancelFunc
	done  chan int
}

// startBot lets it loose on the first 50 objects of the Application.
func (f *appFixture) startBot() *bot {
	ctx, cancel := context.WithCancel(f.t.Context())
	b := &bot{count: make(chan int), quit: cancel, done: make(chan int, 1)}
	go func() {
		ticks := time.NewTicker(botInterval)
		defer ticks.Stop()
		rounds := 0
		for {
			select {
			case <-ctx.Done():
				b.done <- rounds
				return
			case b.count <- rounds:
				continue
			case <-ticks.C:
			}
			var group errgroup.Group
			group.SetLimit(10)
			for i := range botObjects {
				patch := client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"data":{"k":"bot-%d"}}`, rounds))
				c := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: f.project + "-test", Name: fmt.Sprintf("c%03d", i)}}
				group.Go(func() error { return f.client.Patch(ctx, c, patch, client.FieldOwner(botName)) })
			}
			if err := group.Wait(); err != nil && ctx.Err() == nil {
				f.t.Errorf("the bot cannot write: %v", err)
			}
			rounds++
		}
	}()
	f.t.Cleanup(cancel)
	return b
}

// rounds is how often it wrote all of them.
func (b *bot) rounds() int { return <-b.count }

// end stops it and returns its rounds.
func (b *bot) end() int {
	b.quit()
	return <-b.done
}

// pause lets time pass between two commits of a person.
func pause(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
	}
}
