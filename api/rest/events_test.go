package rest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"sigs.k8s.io/controller-runtime/pkg/client"

	apiclient "github.com/waybill-dev/waybill/api/client"
	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// sse reads an event stream.
type sse struct {
	resp  *http.Response
	lines *bufio.Scanner
}

type sseEvent struct{ id, name, data string }

func (p person) open(t *testing.T, topics, last string) *sse {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, "GET", p.w.url+"/api/v1/events?topics="+topics, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+p.token)
	if last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" || resp.Header.Get("X-Accel-Buffering") != "no" {
		body, _ := io.ReadAll(resp.Body)
		t.Fatalf("%d %v %s", resp.StatusCode, resp.Header, body)
	}
	s := &sse{resp, bufio.NewScanner(resp.Body)}
	s.lines.Buffer(nil, 16<<20)
	return s
}

// next returns the next event; comments are skipped.
func (s *sse) next(t *testing.T) sseEvent {
	t.Helper()
	var e sseEvent
	for s.lines.Scan() {
		line := s.lines.Text()
		name, value, _ := strings.Cut(line, ": ")
		switch {
		case line == "" && e.name != "":
			return e
		case name == "id":
			e.id = value
		case name == "event":
			e.name = value
		case name == "data":
			e.data = value
		}
	}
	t.Fatalf("stream ended: %v", s.lines.Err())
	return e
}

func TestEventStream(t *testing.T) {
	f := newProject(t)
	alice, victor := shared.as(t, "alice"), shared.as(t, "victor")
	topic := "pipeline:" + f.name

	var page model.Pipeline
	victor.get(t, f.path("/pipeline"), &page)

	t.Run("without an id it starts with the present page", func(t *testing.T) {
		e := victor.open(t, topic, "").next(t)
		var m model.Pipeline
		if err := json.Unmarshal([]byte(e.data), &m); err != nil {
			t.Fatal(err)
		}
		if e.name != topic || e.id != m.Cursor || len(m.Stages) != 3 {
			t.Fatalf("%s %s", e.id, e.name)
		}
	})

	t.Run("a change arrives as a whole page, and nothing is sent twice", func(t *testing.T) {
		s := victor.open(t, topic, page.Cursor)
		alice.do(t, "POST", f.path("/stages/uat/hold"), model.HoldRequest{Reason: "look"}).into(t, &model.Freeze{})
		e := s.next(t)
		var m model.Pipeline
		if err := json.Unmarshal([]byte(e.data), &m); err != nil {
			t.Fatal(err)
		}
		if !m.Stages[1].Held || !isBefore(page.Cursor, e.id) {
			t.Fatalf("first event after %s is %s: held %v", page.Cursor, e.id, m.Stages[1].Held)
		}

		t.Run("what was missed comes after a break", func(t *testing.T) {
			again := victor.open(t, topic, page.Cursor).next(t)
			if again.id != e.id || again.data != e.data {
				t.Fatalf("got %s, want %s again", again.id, e.id)
			}
			// Having seen it, only something newer comes.
			later := victor.open(t, topic, e.id)
			alice.do(t, "POST", f.path("/stages/uat/resume"), nil).into(t, &model.FreezeList{})
			next := later.next(t)
			if !isBefore(e.id, next.id) || next.name != topic {
				t.Fatalf("got %s after %s", next.id, e.id)
			}
		})
	})

	t.Run("an id of another process is answered by reset and the present page", func(t *testing.T) {
		for _, id := range []string{"1", "99999999999999999999999999", "garbage"} {
			s := victor.open(t, topic, id)
			if e := s.next(t); e.name != "reset" || e.data == "" {
				t.Fatalf("%s: %+v", id, e)
			}
			if e := s.next(t); e.name != topic {
				t.Fatalf("%s: %+v", id, e)
			}
		}
	})

	t.Run("projects are narrowed to what the person may see", func(t *testing.T) {
		e := shared.as(t, "mallory").open(t, "projects", "").next(t)
		var m model.Projects
		if err := json.Unmarshal([]byte(e.data), &m); err != nil {
			t.Fatal(err)
		}
		if len(m.Items) != 0 || m.Cursor != e.id {
			t.Fatalf("%+v", m)
		}
		e = victor.open(t, "projects,"+topic, "").next(t)
		if e.name != topic && e.name != "projects" {
			t.Fatalf("%+v", e)
		}
	})

	t.Run("a topic that ends says so", func(t *testing.T) {
		s := victor.open(t, topic, page.Cursor)
		if err := shared.admin.Delete(t.Context(), &v1alpha1.Project{ObjectMeta: metaOf(f.name)}); err != nil {
			t.Fatal(err)
		}
		for {
			if e := s.next(t); e.name == "gone" {
				if e.data != fmt.Sprintf("%q", topic) {
					t.Fatalf("%+v", e)
				}
				break
			}
		}
		if s.lines.Scan() && s.lines.Text() != "" {
			t.Fatalf("the stream goes on without topics: %q", s.lines.Text())
		}
		if a := victor.do(t, "GET", "/api/v1/events?topics="+topic, nil); a.status != http.StatusNotFound {
			t.Fatalf("%d", a.status)
		}
	})

	t.Run("topics that make no sense", func(t *testing.T) {
		many := strings.Repeat("pipeline:a,", 25)
		for _, topics := range []string{"", "pipeline", "pipeline:", "pipeline:../x", "promotion:a", "secrets:x", "projects:x", "pipeline:A"} {
			if a := victor.do(t, "GET", "/api/v1/events?topics="+topics, nil); a.status != http.StatusBadRequest {
				t.Errorf("%q: %d %s", topics, a.status, a.body)
			}
		}
		if a := victor.do(t, "GET", "/api/v1/events?topics="+many, nil); a.status != http.StatusBadRequest {
			t.Errorf("many: %d", a.status)
		}
	})
}

// TestStreamOfAPromotion is what promote --wait does: the Go client follows a
// Promotion to its end, through a server that goes away once.
func TestStreamOfAPromotion(t *testing.T) {
	f := newProject(t)
	alice := shared.as(t, "alice")
	c, err := apiclient.New(apiclient.Options{Server: shared.url, Token: alice.token})
	if err != nil {
		t.Fatal(err)
	}
	m, err := c.Promote(t.Context(), f.name, "test", model.PromoteRequest{Freight: "latest"})
	if err != nil {
		t.Fatal(err)
	}
	var phases []string
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	steps := map[string]v1alpha1.PromotionPhase{"Pending": v1alpha1.PhaseRunning, "Running": v1alpha1.PhaseSyncing, "Syncing": v1alpha1.PhaseSucceeded}
	err = c.WatchPromotion(ctx, f.name, m.Name, nil, func(p *model.Promotion) error {
		if len(phases) == 0 || phases[len(phases)-1] != string(p.Phase) {
			phases = append(phases, string(p.Phase))
		}
		if p.Finished {
			return apiclient.ErrStop
		}
		var obj v1alpha1.Promotion
		if err := shared.admin.Get(ctx, client.ObjectKey{Namespace: f.name, Name: m.Name}, &obj); err != nil {
			return err
		}
		if obj.Status.Phase != steps[string(p.Phase)] {
			obj.Status.Phase = steps[string(p.Phase)]
			return shared.admin.Status().Update(ctx, &obj)
		}
		return nil
	})
	if err != nil || strings.Join(phases, " ") != "Pending Running Syncing Succeeded" {
		t.Fatalf("phases %v, error %v", phases, err)
	}

	t.Run("a stream without rights is a refusal, not a wait", func(t *testing.T) {
		stranger, err := apiclient.New(apiclient.Options{Server: shared.url, Token: shared.as(t, "mallory").token})
		if err != nil {
			t.Fatal(err)
		}
		err = stranger.WatchPipeline(ctx, f.name, nil, func(*model.Pipeline) error { return nil })
		if apiclient.Code(err) != model.NotFound || apiclient.ExitCode(err) != apiclient.ExitNotFound {
			t.Fatalf("%v", err)
		}
	})
}

// TestStreamsEnd: neither a client that leaves, nor one that does not read, nor
// one whose session ends, leaves a goroutine behind.
func TestStreamsEnd(t *testing.T) {
	f := newProject(t)
	done, err := shared.serveAgain(t, streamTimes{ping: 50 * time.Millisecond, write: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(done.stop)
	token := loginAs(t, "alice")
	before := goleak.IgnoreCurrent()

	open := func() net.Conn {
		t.Helper()
		conn, err := net.Dial("tcp", strings.TrimPrefix(done.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "GET /api/v1/events?topics=projects,pipeline:%s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", f.name, token)
		line, err := bufio.NewReader(conn).ReadString('\n')
		if err != nil || !strings.Contains(line, "200") {
			t.Fatalf("%q %v", line, err)
		}
		return conn
	}
	readers := func() int {
		done.server.hub.mu.Lock()
		defer done.server.hub.mu.Unlock()
		n := 0
		for _, st := range done.server.hub.topics {
			n = max(n, len(st.readers))
		}
		return n
	}
	waitFor := func(n int) {
		t.Helper()
		eventually(t, func() error {
			if got := readers(); got != n {
				return fmt.Errorf("%d readers, want %d", got, n)
			}
			return nil
		})
	}
	// Clients that leave.
	var conns []net.Conn
	for range 10 {
		conns = append(conns, open())
	}
	waitFor(10)
	for _, c := range conns {
		c.Close()
	}
	waitFor(0)

	// One that does not read: pages are pushed until its buffers are full.
	slow := open()
	defer slow.Close()
	if tcp, ok := slow.(*net.TCPConn); ok {
		_ = tcp.SetReadBuffer(4096)
	}
	waitFor(1)
	deadline := time.Now().Add(2 * time.Minute)
	for i := 0; readers() > 0; i++ {
		if time.Now().After(deadline) {
			t.Fatal("a client that does not read is still connected")
		}
		done.server.hub.mu.Lock()
		for topic, st := range done.server.hub.topics {
			if strings.HasPrefix(topic, "pipeline:") && st.page != nil {
				big := *st.page
				big.id = done.server.hub.idLocked()
				big.data = []byte(fmt.Sprintf(`{"padding":%q}`, strings.Repeat("x", 1<<20)))
				st.page = &big
				wakeAll(st)
			}
		}
		done.server.hub.mu.Unlock()
		time.Sleep(10 * time.Millisecond) // poll with a deadline
	}

	// One whose token is revoked.
	conn := open()
	defer conn.Close()
	waitFor(1)
	if a := shared.send(t, "POST", "/api/v1/logout", nil, "Authorization: Bearer "+token); a.status != http.StatusNoContent {
		t.Fatal(a.status)
	}
	waitFor(0)

	slow.Close()
	conn.Close()
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	// Client-go keeps its connections to the API server; nothing else may stay.
	if err := goleak.Find(before, goleak.IgnoreAnyFunction("golang.org/x/net/http2.(*ClientConn).readLoop")); err != nil {
		t.Fatal(err)
	}
}

// again is a second server on the same cluster.
type again struct {
	*world
	stop func()
}

func (w *world) serveAgain(t *testing.T, times streamTimes) (again, error) {
	t.Helper()
	second := &world{env: w.env, admin: w.admin, log: &lockedBuffer{}}
	stop, err := second.serve(context.Background(), Options{})
	if err != nil {
		return again{}, err
	}
	second.server.times = times
	return again{second, stop}, nil
}

func TestClient(t *testing.T) {
	f := newProject(t)
	ctx := t.Context()
	c, err := apiclient.New(apiclient.Options{Server: shared.url + "/"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Me(ctx); apiclient.ExitCode(err) != apiclient.ExitForbidden || apiclient.Code(err) != model.NotSignedIn {
		t.Errorf("not signed in: %v", err)
	}
	if _, err := c.Login(ctx, "alice", "wrong", "test"); apiclient.Code(err) != model.WrongCredentials {
		t.Errorf("wrong password: %v", err)
	}
	in, err := c.Login(ctx, "alice", alicePassword, "test")
	if err != nil {
		t.Fatal(err)
	}
	c = c.WithToken(in.Token)
	if me, err := c.Me(ctx); err != nil || me.Name != "alice" {
		t.Fatalf("%+v %v", me, err)
	}
	if v, err := c.Version(ctx); err != nil || v.Version != "v0.0.0-test" {
		t.Errorf("%+v %v", v, err)
	}
	if p, err := c.Pipeline(ctx, f.name); err != nil || len(p.Stages) != 3 {
		t.Errorf("%v", err)
	}
	if _, err := c.Pipeline(ctx, "nope"); apiclient.ExitCode(err) != apiclient.ExitNotFound {
		t.Errorf("%v", err)
	}
	_, err = c.Promote(ctx, f.name, "prod", model.PromoteRequest{Freight: "1.28.0"})
	var p *apiclient.Problem
	if !errors.As(err, &p) || len(p.BlockedBy) != 2 || apiclient.ExitCode(err) != apiclient.ExitBlocked {
		t.Errorf("%v", err)
	}
	if _, err := c.Freeze(ctx, f.name, model.FreezeRequest{Stage: "*", Reason: "r"}); apiclient.ExitCode(err) != apiclient.ExitForbidden {
		t.Errorf("%v", err)
	}
	if _, err := c.Apply(ctx, []model.ManifestFile{{Name: "x.yaml", Content: "a: ["}}, apiclient.ApplyOptions{}); apiclient.ExitCode(err) != apiclient.ExitUsage || apiclient.Code(err) != model.InvalidManifest {
		t.Errorf("%v", err)
	}
	if d, err := c.Definition(ctx, f.name, model.Stages, "prod"); err != nil || d["kind"] != "Stage" {
		t.Errorf("%v %v", d, err)
	}
	if d, err := c.Definition(ctx, "", apiclient.KindProjects, f.name); err != nil || d["kind"] != "Project" {
		t.Errorf("%v %v", d, err)
	}
	if l, err := c.Definitions(ctx, f.name, model.Freights, apiclient.Page{Limit: 1}); err != nil || len(l.Items) != 1 || l.NextPage == "" {
		t.Errorf("%v %v", l, err)
	}
	if _, err := c.Freight(ctx, f.name, "../../../version"); apiclient.Code(err) != model.NotFound {
		t.Errorf("a name with slashes reached another page: %v", err)
	}
	if err := c.Logout(ctx); err != nil {
		t.Error(err)
	}
	if _, err := c.Me(ctx); apiclient.Code(err) != model.NotSignedIn {
		t.Errorf("after logout: %v", err)
	}
}
