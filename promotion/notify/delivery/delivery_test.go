package delivery_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/waybill-dev/waybill/history"
	"github.com/waybill-dev/waybill/history/sqlite"
	"github.com/waybill-dev/waybill/internal/outbound"
	"github.com/waybill-dev/waybill/promotion/message"
	"github.com/waybill-dev/waybill/promotion/notify"
	"github.com/waybill-dev/waybill/promotion/notify/delivery"
)

// patience is how long a test waits for what has to come.
const patience = 2 * time.Minute

// receiver is a webhook.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	status int
	ids    []string
	texts  []string
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{status: http.StatusOK}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		raw, _ := io.ReadAll(req.Body)
		var body struct {
			ID, Type string
			Data     struct{ Text string }
		}
		if err := json.Unmarshal(raw, &body); err != nil {
			t.Errorf("%q: %v", raw, err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		w.WriteHeader(r.status)
		if r.status < 300 {
			r.ids, r.texts = append(r.ids, body.ID), append(r.texts, body.Data.Text)
		}
		if id := req.Header.Get("Idempotency-Key"); id != body.ID || req.Header.Get("Content-Type") != notify.ContentType {
			t.Errorf("body %q came with key %q and type %q", body.ID, id, req.Header.Get("Content-Type"))
		}
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) answer(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status = status
}

func (r *receiver) got() (ids, texts []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.ids...), append([]string(nil), r.texts...)
}

// secrets are channels by name.
type secrets map[string]string

// Channel implements message.Channels.
func (s secrets) Channel(_ context.Context, _, name string) (map[string][]byte, error) {
	return map[string][]byte{"type": []byte("webhook"), "url": []byte(s[name])}, nil
}

func open(t *testing.T, path string) history.Store {
	t.Helper()
	s, err := sqlite.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// start runs a Delivery until the returned function is called.
func start(t *testing.T, store history.Notices, clk clock.WithTicker, channels secrets) (*delivery.Delivery, func()) {
	t.Helper()
	out, err := outbound.New(outbound.Policy{AllowLoopback: true, AllowPlainHTTP: true})
	if err != nil {
		t.Fatal(err)
	}
	sender := message.Sender{Channels: channels, Outbound: func(context.Context, string) (message.Outbound, error) { return out, nil }}
	d := delivery.New(delivery.Options{Store: store, Sender: sender, Clock: clk, Changed: func(string) {}})
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := d.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	end := sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(end)
	return d, end
}

func row(channel string, n int, at time.Time) history.Notice {
	raw, _ := json.Marshal(notify.Fact{Event: "PromotionFailed", Text: fmt.Sprintf("no. %d", n), Project: "guestbook", Notification: "to-" + channel, At: at})
	return history.Notice{ID: fmt.Sprintf("%s-%d", channel, n), Project: "guestbook", Notification: "to-" + channel, Channel: channel, At: at, Body: raw}
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if is() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("not within %s: %s", patience, what)
}

// TestReceiverDown: what could not be sent is sent in order when the receiver is
// back, and the other channel has not waited for it.
func TestReceiverDown(t *testing.T) {
	store, down, well := open(t, filepath.Join(t.TempDir(), "h")), newReceiver(t), newReceiver(t)
	down.answer(http.StatusServiceUnavailable)
	clk := clocktesting.NewFakeClock(time.Now())
	d, _ := start(t, store, clk, secrets{"down": down.URL, "well": well.URL})
	for n := range 3 {
		if err := d.Put(t.Context(), []history.Notice{row("down", n, clk.Now()), row("well", n, clk.Now())}); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the other channel has its messages", func() bool { ids, _ := well.got(); return len(ids) == 3 })
	eventually(t, "the failure shows", func() bool {
		s, _ := d.Standing("guestbook", "to-down")
		return s.Reason == "RequestFailed" && s.Waiting == 3 && strings.Contains(s.Message, "503")
	})
	down.answer(http.StatusOK)
	eventually(t, "it gets them in order", func() bool {
		clk.Step(10 * time.Second)
		ids, _ := down.got()
		return strings.Join(ids, " ") == "down-0 down-1 down-2"
	})
	eventually(t, "nothing waits", func() bool {
		left, err := store.Notices(t.Context(), history.NoticeFilter{IsWaiting: true})
		return err == nil && len(left) == 0
	})
	if s, _ := d.Standing("guestbook", "to-down"); s.Reason != "" || s.LastSent.IsZero() {
		t.Errorf("it goes well again, and the standing is %+v", s)
	}
}

// TestGivenUp: after a day a message is given up, and what came later is not.
func TestGivenUp(t *testing.T) {
	store, down := open(t, filepath.Join(t.TempDir(), "h")), newReceiver(t)
	down.answer(http.StatusNotFound)
	clk := clocktesting.NewFakeClock(time.Now())
	d, _ := start(t, store, clk, secrets{"down": down.URL})
	if err := d.Put(t.Context(), []history.Notice{row("down", 0, clk.Now().Add(-23*time.Hour)), row("down", 1, clk.Now())}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the first is given up", func() bool {
		clk.Step(5 * time.Minute)
		s, _ := d.Standing("guestbook", "to-down")
		return s.GivenUp == 1 && s.Waiting == 1 && s.Reason == "MessageRefused"
	})
	down.answer(http.StatusOK)
	eventually(t, "the second is sent", func() bool {
		clk.Step(5 * time.Minute)
		ids, _ := down.got()
		return strings.Join(ids, " ") == "down-1"
	})
}

// TestForgotten: what waits for a Project without notifications is not sent.
func TestForgotten(t *testing.T) {
	store, down := open(t, filepath.Join(t.TempDir(), "h")), newReceiver(t)
	down.answer(http.StatusServiceUnavailable)
	clk := clocktesting.NewFakeClock(time.Now())
	d, _ := start(t, store, clk, secrets{"down": down.URL})
	if err := d.Put(t.Context(), []history.Notice{row("down", 0, clk.Now())}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it fails", func() bool { s, _ := d.Standing("guestbook", "to-down"); return s.Reason != "" })
	down.answer(http.StatusOK)
	eventually(t, "it is given up", func() bool {
		d.Forget("guestbook")
		left, err := store.Notices(t.Context(), history.NoticeFilter{IsWaiting: true})
		return err == nil && len(left) == 0
	})
	if ids, _ := down.got(); len(ids) > 0 {
		t.Errorf("it was sent: %v", ids)
	}
}

// TestStorm: of many messages at once a few come one by one, the rest as one.
func TestStorm(t *testing.T) {
	store, chat := open(t, filepath.Join(t.TempDir(), "h")), newReceiver(t)
	clk := clocktesting.NewFakeClock(time.Now())
	d, _ := start(t, store, clk, secrets{"chat": chat.URL})
	var rows []history.Notice
	for n := range 52 {
		rows = append(rows, row("chat", n, clk.Now().Add(time.Duration(n)*time.Microsecond)))
	}
	if err := d.Put(t.Context(), rows); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the burst has come", func() bool { ids, _ := chat.got(); return len(ids) == 10 })
	eventually(t, "the rest comes as one", func() bool {
		clk.Step(time.Second)
		ids, _ := chat.got()
		return len(ids) == 11
	})
	_, texts := chat.got()
	if want := "no. 10\nno. 11\nno. 12\nno. 13\nno. 14\n... and 37 more."; texts[10] != want {
		t.Errorf("the last is %q, want %q", texts[10], want)
	}
}

// forgetful is a store that does not record what was sent, as when the process is
// killed before it has.
type forgetful struct{ history.Store }

// SetNotices fails for what was sent.
func (f forgetful) SetNotices(ctx context.Context, ids []string, batch string, outcome history.Outcome) error {
	if outcome != "" {
		return errors.New("killed")
	}
	return f.Store.SetNotices(ctx, ids, batch, outcome) //nolint:wrapcheck // a test
}

// TestKilledAfterSending: what was sent and not recorded is sent once more with the
// same ID, one by one or together, and not a third time.
func TestKilledAfterSending(t *testing.T) {
	path, chat := filepath.Join(t.TempDir(), "h"), newReceiver(t)
	clk := clocktesting.NewFakeClock(time.Now())
	store := open(t, path)
	d, kill := start(t, forgetful{store}, clk, secrets{"chat": chat.URL})
	if err := d.Put(t.Context(), []history.Notice{row("chat", 0, clk.Now())}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is sent", func() bool { ids, _ := chat.got(); return len(ids) == 1 })
	kill()
	_, kill = start(t, store, clk, secrets{"chat": chat.URL})
	eventually(t, "it is sent again", func() bool { ids, _ := chat.got(); return len(ids) == 2 })
	eventually(t, "and recorded", func() bool {
		left, err := store.Notices(t.Context(), history.NoticeFilter{IsWaiting: true})
		return err == nil && len(left) == 0
	})
	kill()
	d, _ = start(t, store, clk, secrets{"chat": chat.URL})
	if err := d.Put(t.Context(), []history.Notice{row("chat", 1, clk.Now())}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the next is sent", func() bool { ids, _ := chat.got(); return len(ids) > 2 })
	if ids, _ := chat.got(); strings.Join(ids, " ") != "chat-0 chat-0 chat-1" {
		t.Errorf("got %v", ids)
	}
}
