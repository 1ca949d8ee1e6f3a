package render

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCache(t *testing.T) {
	var opened atomic.Int32
	files := hooked{repo(map[string]string{"a.yaml": configMap("a")}), func(name string) {
		if name == "a.yaml" {
			opened.Add(1)
		}
	}}
	source := Source{FS: files}
	cache := NewCache(1<<20, nil)
	render := func(pathTree, rootTree string) Result {
		t.Helper()
		result, tree, err := cache.Render(context.Background(), source, pathTree, rootTree, Limits{})
		if err != nil || tree != pathTree {
			t.Fatal(tree, err)
		}
		return result
	}
	render("t1", "r1")
	once := opened.Load() // by one rendering
	if got := names(t, render("t1", "r1")); opened.Load() != once || !cmp.Equal(got, []string{"ConfigMap/a"}) {
		t.Errorf("opened %d times, %v", opened.Load(), got)
	}
	render("t1", "r2") // a commit elsewhere in the repository
	if opened.Load() != once {
		t.Error("the same content was rendered again")
	}
	render("t2", "r3")
	if opened.Load() != 2*once {
		t.Error("another tree was not rendered")
	}

	var wait sync.WaitGroup
	for range 32 {
		wait.Go(func() {
			if _, _, err := cache.Render(context.Background(), source, "t3", "r4", Limits{}); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if opened.Load() != 3*once {
		t.Errorf("32 at once opened %d times, one rendering %d", opened.Load()-2*once, once)
	}
}

func TestCacheIsBounded(t *testing.T) {
	cache := NewCache(8_000, nil)
	for i := range 100 {
		source := Source{FS: repo(map[string]string{"a.yaml": configMap(fmt.Sprintf("a-%d", i))})}
		if _, _, err := cache.Render(context.Background(), source, fmt.Sprint(i), fmt.Sprint("r", i), Limits{}); err != nil {
			t.Fatal(err)
		}
		if _, _, err := cache.Render(context.Background(), Source{FS: repo(nil)}, "0", "r0", Limits{}); err != nil {
			t.Fatalf("the one in use was dropped after %d: %v", i, err)
		}
	}
	if cache.bytes > cache.maxBytes || len(cache.entries) != cache.recent.Len() || len(cache.entries) > 20 || len(cache.entries) < 2 {
		t.Errorf("%d bytes, %d entries, list of %d", cache.bytes, len(cache.entries), cache.recent.Len())
	}
	small := NewCache(10, nil)
	if _, _, err := small.Render(context.Background(), Source{FS: repo(map[string]string{"a.yaml": configMap("a")})}, "t", "r", Limits{}); err != nil || len(small.entries) > 0 {
		t.Errorf("%v, %d entries", err, len(small.entries))
	}
}

func TestCacheKeepsErrorsOfTheContentAlone(t *testing.T) {
	cache := NewCache(1<<20, nil)
	for range 2 {
		if _, tree, err := cache.Render(context.Background(), Source{FS: repo(nil)}, "t", "r", Limits{}); !errors.Is(err, ErrNothingRendered) || tree != "r" {
			t.Fatalf("%s %v", tree, err)
		}
	}
	if _, _, err := cache.Render(context.Background(), Source{FS: repo(map[string]string{"a.yaml": configMap("a")})}, "t", "r2", Limits{}); err != nil {
		t.Errorf("the same path in another repository: %v", err)
	}

	// One caller gives up while it renders for two; the other renders itself.
	ctx, cancel := context.WithCancel(context.Background())
	begun, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	slow := hooked{repo(map[string]string{"b.yaml": configMap("b")}), func(name string) {
		if name == "b.yaml" {
			once.Do(func() { close(begun); <-release })
		}
	}}
	var wait sync.WaitGroup
	wait.Go(func() {
		if _, _, err := cache.Render(ctx, Source{FS: slow}, "slow", "slow", Limits{}); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("first: %v", err)
		}
	})
	<-begun
	wait.Go(func() {
		if got, _, err := cache.Render(context.Background(), Source{FS: slow}, "slow", "slow", Limits{}); err != nil || len(got.Objects) != 1 {
			t.Errorf("second: %v", err)
		}
	})
	cancel()
	close(release)
	wait.Wait()
}

func TestParams(t *testing.T) {
	a := Source{Path: "stages/test/"}
	if b := (Source{Path: "./stages/test"}); a.Params() != b.Params() || a.Params() == "" {
		t.Error("two spellings of one path differ")
	}
	for _, other := range []Source{{Path: "stages/prod"}, {Path: "stages/test", Directory: Directory{Recurse: true}}, {Path: "stages/test", Directory: Directory{Include: "*"}}, {Path: "stages/test", Directory: Directory{Exclude: "*"}}} {
		if other.Params() == a.Params() {
			t.Errorf("%+v has the same parameters", other)
		}
	}
}
