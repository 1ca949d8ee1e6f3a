package sendmessage_test

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/credentials"
	"github.com/waybill-dev/waybill/internal/outbound"
	"github.com/waybill-dev/waybill/promotion/message"
	"github.com/waybill-dev/waybill/promotion/steps/sendmessage"
	"github.com/waybill-dev/waybill/promotion/steps/step"
)

// channels are Secrets by name.
type channels map[string]map[string]string

// Channel implements message.Channels.
func (c channels) Channel(_ context.Context, _, name string) (map[string][]byte, error) {
	found, ok := c[name]
	if !ok {
		return nil, fmt.Errorf("%w: %q", credentials.ErrNoChannel, name)
	}
	out := map[string][]byte{}
	for k, v := range found {
		out[k] = []byte(v)
	}
	return out, nil
}

// send runs the step as a promotion would.
func send(t *testing.T, c channels, policy outbound.Policy, config string) error {
	t.Helper()
	out, err := outbound.New(policy)
	if err != nil {
		t.Fatal(err)
	}
	p := &v1alpha1.Promotion{}
	p.Namespace, p.Name, p.UID, p.Spec.Stage, p.Spec.Freight, p.Spec.RequestedBy = "guestbook", "prod.3.f1", "uid-3", "prod", "f1", "waybill:alice"
	p.Status.Plan = &v1alpha1.PromotionPlan{FreightAlias: "amber-heron"}
	s := sendmessage.Step{Sender: message.Sender{Channels: c, Outbound: func(context.Context, string) (message.Outbound, error) { return out, nil }}}
	in := step.Input{Promotion: p, As: "tell", Config: []byte(config), Date: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)}
	_, err = s.Run(t.Context(), in)
	return err
}

// local permits what tests do and production does not.
var local = outbound.Policy{AllowLoopback: true, AllowPlainHTTP: true}

// TestWebhooks: what Slack and a webhook get.
func TestWebhooks(t *testing.T) {
	var got []*http.Request
	var bodies []map[string]any
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var body map[string]any
		_ = json.NewDecoder(r.Body).Decode(&body)
		got, bodies = append(got, r), append(bodies, body)
	}))
	defer server.Close()
	c := channels{
		"slack": {"type": "slack", "url": server.URL + "/services/T/B/hush"},
		"hook":  {"type": "webhook", "url": server.URL + "/in", "authorization": "Bearer hush"},
	}
	for _, name := range []string{"slack", "hook"} {
		if err := send(t, c, local, `{"channel": "`+name+`", "message": "hello", "fields": {"n": 1}}`); err != nil {
			t.Fatal(err)
		}
	}
	if len(bodies[0]) != 1 || bodies[0]["text"] != "hello" || got[0].URL.Path != "/services/T/B/hush" {
		t.Errorf("Slack got %v at %s", bodies[0], got[0].URL)
	}
	want := map[string]any{"id": "uid-3.tell", "text": "hello", "subject": "guestbook/prod: amber-heron", "project": "guestbook", "stage": "prod", "promotion": "prod.3.f1", "freight": "f1", "alias": "amber-heron", "requestedBy": "alice", "fields": map[string]any{"n": 1.0}}
	if fmt.Sprint(bodies[1]) != fmt.Sprint(want) || got[1].Header.Get("Authorization") != "Bearer hush" || got[1].Header.Get("Idempotency-Key") != "uid-3.tell" {
		t.Errorf("the webhook got %v with %v", bodies[1], got[1].Header)
	}
}

// TestSigned: a webhook whose channel has a signingKey proves that it was Waybill
// that sent it.
func TestSigned(t *testing.T) {
	const key = "hush-hush-hush-hush"
	var body []byte
	var signed string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ = io.ReadAll(r.Body)
		signed = r.Header.Get(message.SignatureHeader)
	}))
	defer server.Close()
	hook := map[string]string{"type": "webhook", "url": server.URL, "signingKey": key}
	if err := send(t, channels{"hook": hook}, local, `{"channel": "hook", "message": "hello"}`); err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write(body)
	if want := "sha256=" + hex.EncodeToString(mac.Sum(nil)); len(body) == 0 || signed != want {
		t.Errorf("%q was signed %q, want %q", body, signed, want)
	}
}

// TestRefusals: what fails, for ever or for now, and that nothing says a secret.
func TestRefusals(t *testing.T) {
	status := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(status)
		fmt.Fprintf(w, "no_service for %s %s", r.URL, r.Header.Get("Authorization"))
	}))
	defer server.Close()
	slack := map[string]string{"type": "slack", "url": server.URL + "/services/hush-hush"}
	for name, c := range map[string]struct {
		secret map[string]string
		status int
		policy outbound.Policy
		config string
		reason string
		final  bool
	}{
		"refused":         {slack, 404, local, "", "MessageRefused", true},
		"overloaded":      {slack, 503, local, "", "RequestFailed", false},
		"too many":        {slack, 429, local, "", "RequestFailed", false},
		"this machine":    {slack, 200, outbound.Policy{AllowPlainHTTP: true, RefusePrivate: true}, "", "DestinationRefused", true},
		"plain http":      {map[string]string{"type": "slack", "url": "http://hooks.example.com/hush-hush"}, 200, outbound.Policy{}, "", "DestinationRefused", true},
		"no channel":      {nil, 200, local, "", "ChannelMissing", false},
		"no type":         {map[string]string{"url": "hush-hush"}, 200, local, "", "ChannelInvalid", true},
		"no URL":          {map[string]string{"type": "slack", "url": "hush-hush"}, 200, local, "", "ChannelInvalid", true},
		"user in the URL": {map[string]string{"type": "webhook", "url": "https://me:hush-hush@example.com"}, 200, local, "", "ChannelInvalid", true},
		"unknown key":     {map[string]string{"type": "slack", "url": "https://x.example.com/hush-hush", "token": "hush-hush"}, 200, local, "", "ChannelInvalid", true},
		"short key":       {map[string]string{"type": "webhook", "url": "https://x.example.com", "signingKey": "hush-hush"}, 200, local, "", "ChannelInvalid", true},
		"Slack's key":     {map[string]string{"type": "slack", "url": "https://x.example.com", "signingKey": "hush-hush-hush-hush"}, 200, local, "", "ChannelInvalid", true},
		"two lines":       {map[string]string{"type": "webhook", "url": "https://x.example.com", "authorization": "hush-hush\nX: y"}, 200, local, "", "ChannelInvalid", true},
		"open password":   {map[string]string{"type": "smtp", "host": "mail", "tls": "none", "from": "a@b.c", "to": "a@b.c", "password": "hush-hush"}, 200, local, "", "ChannelInvalid", true},
		"no address":      {map[string]string{"type": "smtp", "host": "mail", "from": "hush-hush", "to": "a@b.c"}, 200, local, "", "ChannelInvalid", true},
		"too long":        {slack, 200, local, `{"channel": "c", "message": "` + strings.Repeat("x", 17<<10) + `"}`, "InvalidConfig", true},
		"unknown field":   {slack, 200, local, `{"channel": "c", "message": "m", "to": "x"}`, "InvalidConfig", true},
	} {
		t.Run(name, func(t *testing.T) {
			status = c.status
			all := channels{}
			if c.secret != nil {
				all["c"] = c.secret
			}
			config := c.config
			if config == "" {
				config = `{"channel": "c", "message": "m"}`
			}
			err := send(t, all, c.policy, config)
			if err == nil {
				t.Fatal("it was sent")
			}
			var terminal *step.TerminalError
			var reasoned *step.ReasonedError
			reason := ""
			switch {
			case errors.As(err, &terminal):
				reason = terminal.Reason
			case errors.As(err, &reasoned):
				reason = reasoned.Reason
			}
			if reason != c.reason || step.IsTerminal(err) != c.final {
				t.Errorf("%s (final: %v): %v", reason, step.IsTerminal(err), err)
			}
			if strings.Contains(err.Error(), "hush-hush") {
				t.Errorf("the error says a secret: %v", err)
			}
		})
	}
}

// mailServer takes letters, as far as a client needs it. starts, if set, is how it
// goes on encrypted when it is asked to; refuses is a recipient it does not take.
type mailServer struct {
	t       *testing.T
	address string
	starts  *tls.Config
	refuses string

	mu      sync.Mutex
	letters []string
	signIns []string
}

// newMailServer starts one whose connections begin encrypted with config, or open.
func newMailServer(t *testing.T, config, starts *tls.Config) *mailServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &mailServer{t: t, address: l.Addr().String(), starts: starts}
	if config != nil {
		l = tls.NewListener(l, config)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { s.serve(conn) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); all.Wait() })
	return s
}

func (s *mailServer) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	r := bufio.NewReader(conn)
	say := func(line string) { _, _ = io.WriteString(conn, line+"\r\n") }
	say("220 ready")
	offers := s.starts != nil
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		switch word := strings.ToUpper(strings.Fields(line + " x")[0]); word {
		case "EHLO":
			if offers {
				say("250-here\r\n250 STARTTLS")
				continue
			}
			say("250-here\r\n250 AUTH PLAIN")
		case "STARTTLS":
			if !offers {
				say("502 not here")
				continue
			}
			say("220 go on")
			conn, offers = tls.Server(conn, s.starts), false
			r = bufio.NewReader(conn)
		case "AUTH":
			s.mu.Lock()
			s.signIns = append(s.signIns, strings.TrimSpace(line))
			s.mu.Unlock()
			say("235 welcome")
		case "MAIL":
			if offers {
				s.t.Errorf("%q before the encryption began", line)
			}
			say("250 ok")
		case "RCPT":
			if s.refuses != "" && strings.Contains(line, s.refuses) {
				say("550 no such mailbox")
				continue
			}
			say("250 ok")
		case "DATA":
			say("354 go on")
			var text strings.Builder
			for {
				line, err := r.ReadString('\n')
				if err != nil {
					return
				}
				if line == ".\r\n" {
					break
				}
				text.WriteString(line)
			}
			s.mu.Lock()
			s.letters = append(s.letters, text.String())
			s.mu.Unlock()
			say("250 taken")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}

// TestMail: an e-mail, encrypted from the beginning or by STARTTLS with a sign-in,
// and open without one; one recipient refused, and nobody gets it.
func TestMail(t *testing.T) {
	web := httptest.NewUnstartedServer(nil)
	web.StartTLS() // for its certificate
	defer web.Close()
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: web.Certificate().Raw}))
	safe, open, starts := newMailServer(t, web.TLS, nil), newMailServer(t, nil, nil), newMailServer(t, nil, web.TLS)
	c := channels{
		"safe": {
			"type": "smtp", "host": safe.address, "tls": "implicit", "from": "Waybill <waybill@example.com>", "to": "Olga <olga@example.com>, bob@example.com",
			"username": "waybill", "password": "hush-hush", "caCert": ca,
		},
		"starts": {
			"type": "smtp", "host": starts.address, "tls": "starttls", "from": "waybill@example.com", "to": "olga@example.com",
			"username": "waybill", "password": "hush-hush", "caCert": ca,
		},
		"distrusts": {"type": "smtp", "host": starts.address, "from": "waybill@example.com", "to": "olga@example.com", "username": "w", "password": "hush-hush"},
		"open":      {"type": "smtp", "host": open.address, "tls": "none", "from": "waybill@example.com", "to": "olga@example.com"},
		"untrusted": {"type": "smtp", "host": safe.address, "tls": "implicit", "from": "waybill@example.com", "to": "olga@example.com"},
		"no tls":    {"type": "smtp", "host": open.address, "from": "waybill@example.com", "to": "olga@example.com", "username": "w", "password": "hush-hush"},
	}
	const config = `{"channel": "%s", "message": "Grüße\n.\nend", "subject": "news\r\nBcc: eve@example.com"}`
	for range 2 { // as after a crash
		if err := send(t, c, local, fmt.Sprintf(config, "safe")); err != nil {
			t.Fatal(err)
		}
	}
	if err := send(t, c, local, fmt.Sprintf(config, "open")); err != nil {
		t.Fatal(err)
	}
	if err := send(t, c, local, fmt.Sprintf(config, "starts")); err != nil || len(starts.letters) != 1 || len(starts.signIns) != 1 {
		t.Errorf("%d letters with %d sign-ins by STARTTLS: %v", len(starts.letters), len(starts.signIns), err)
	}
	if err := send(t, c, local, fmt.Sprintf(config, "distrusts")); !step.IsTerminal(err) || len(starts.signIns) != 1 {
		t.Errorf("a server that nobody trusts got the password by STARTTLS: %v", err)
	}
	if len(safe.letters) != 2 || safe.letters[0] != safe.letters[1] || len(safe.signIns) != 2 || len(open.letters) != 1 || len(open.signIns) != 0 {
		t.Fatalf("%d and %d letters", len(safe.letters), len(open.letters))
	}
	for _, want := range []string{
		"Message-ID: <uid-3.tell@waybill.dev>\r\n", "Subject: news Bcc: eve@example.com\r\n", "Date: Sat, 21 Nov 2026 12:00:00 +0000\r\n",
		"To: \"Olga\" <olga@example.com>, <bob@example.com>\r\n", "Gr=C3=BC=C3=9Fe",
	} {
		if !strings.Contains(safe.letters[0], want) {
			t.Errorf("the letter lacks %q:\n%s", want, safe.letters[0])
		}
	}
	if err := send(t, c, local, fmt.Sprintf(config, "untrusted")); !step.IsTerminal(err) {
		t.Errorf("a certificate that nobody trusts: %v", err)
	}
	if err := send(t, c, local, fmt.Sprintf(config, "no tls")); err == nil || len(open.signIns) != 0 {
		t.Errorf("a server without encryption got the password: %v", err)
	}
	safe.refuses = "bob@example.com"
	if err := send(t, c, local, fmt.Sprintf(config, "safe")); !step.IsTerminal(err) || !strings.Contains(err.Error(), "no such mailbox") || strings.Contains(err.Error(), "hush-hush") {
		t.Errorf("a recipient that is refused: %v", err)
	}
	if len(safe.letters) != 2 {
		t.Error("the other recipient got it")
	}
	if err := send(t, c, outbound.Policy{RefusePrivate: true}, fmt.Sprintf(config, "open")); !step.IsTerminal(err) {
		t.Errorf("a mail server on this machine: %v", err)
	}
}
