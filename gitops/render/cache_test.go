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
	cache := NewCache(1 << 20)
	render := func(key Key) Result {
		t.Helper()
		result, err := cache.Render(context.Background(), key, source, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		return result
	}
	key := Key{Tree: "t1", Params: source.Params()}
	first := render(key)
	once := opened.Load() // by one rendering
	first.Objects[0].SetName("changed by its caller")
	if got := names(t, render(key)); opened.Load() != once || !cmp.Equal(got, []string{"ConfigMap/a"}) {
		t.Errorf("opened %d times, %v", opened.Load(), got)
	}
	render(Key{Tree: "t2", Params: source.Params()})
	if opened.Load() != 2*once {
		t.Error("another tree was not rendered")
	}

	var wait sync.WaitGroup
	for range 32 {
		wait.Go(func() {
			if _, err := cache.Render(context.Background(), Key{Tree: "t3"}, source, Limits{}); err != nil {
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
	cache := NewCache(2_000)
	for i := range 100 {
		source := Source{FS: repo(map[string]string{"a.yaml": configMap(fmt.Sprintf("a-%d", i))})}
		if _, err := cache.Render(context.Background(), Key{Tree: fmt.Sprint(i)}, source, Limits{}); err != nil {
			t.Fatal(err)
		}
		if _, err := cache.Render(context.Background(), Key{Tree: "0"}, Source{FS: repo(nil)}, Limits{}); err != nil {
			t.Fatalf("the one in use was dropped after %d: %v", i, err)
		}
	}
	if cache.bytes > cache.maxBytes || len(cache.entries) != cache.recent.Len() || len(cache.entries) > 20 || len(cache.entries) < 2 {
		t.Errorf("%d bytes, %d entries, list of %d", cache.bytes, len(cache.entries), cache.recent.Len())
	}
	small := NewCache(10)
	if _, err := small.Render(context.Background(), Key{}, Source{FS: repo(map[string]string{"a.yaml": configMap("a")})}, Limits{}); err != nil || len(small.entries) > 0 {
		t.Errorf("%v, %d entries", err, len(small.entries))
	}
}

func TestCacheKeepsNoErrors(t *testing.T) {
	cache := NewCache(1 << 20)
	if _, err := cache.Render(context.Background(), Key{}, Source{FS: repo(nil)}, Limits{}); !errors.Is(err, ErrNothingRendered) {
		t.Fatalf("%v", err)
	}
	if _, err := cache.Render(context.Background(), Key{}, Source{FS: repo(map[string]string{"a.yaml": configMap("a")})}, Limits{}); err != nil {
		t.Errorf("%v", err)
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
	key := Key{Tree: "slow"}
	var wait sync.WaitGroup
	wait.Go(func() {
		if _, err := cache.Render(ctx, key, Source{FS: slow}, Limits{}); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("first: %v", err)
		}
	})
	<-begun
	wait.Go(func() {
		if got, err := cache.Render(context.Background(), key, Source{FS: slow}, Limits{}); err != nil || len(got.Objects) != 1 {
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
