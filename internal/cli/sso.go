package cli

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/api/client"
)

// ssoTime is how long the server keeps a sign-in that was begun.
const ssoTime = 10 * time.Minute

// headerTime is how long the browser may take to ask.
const headerTime = 10 * time.Second

// handover is what the browser brings back from the identity provider.
type handover struct{ code, why, request string }

// ssoWhys say what the server's short words mean.
var ssoWhys = map[string]string{
	"denied":      "the identity provider did not sign you in",
	"expired":     "the sign-in took too long, or was begun elsewhere",
	"refused":     "the identity provider knows you, but this server does not let you in",
	"unavailable": "the identity provider does not answer the server",
}

// loginWithSSO has the person sign in at the server's identity provider, in a browser,
// and keeps the token. The browser comes back to a port of this machine with a code
// that is of use only together with a verifier which never leaves this program
// (RFC 7636 and RFC 8252).
func (a *App) loginWithSSO(ctx context.Context, c *client.Client, x Context, openBrowser bool) error {
	ctx, cancel := context.WithTimeout(ctx, ssoTime)
	defer cancel()
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("wait for the browser: %w", err)
	}
	verifier, state := rand.Text()+rand.Text(), rand.Text()
	sum := sha256.Sum256([]byte(verifier))
	address := x.Server + "/api/v1/login/sso?" + url.Values{
		"port": {fmt.Sprint(listener.Addr().(*net.TCPAddr).Port)}, "state": {state}, //nolint:forcetypeassert // it listens on TCP
		"challenge": {base64.RawURLEncoding.EncodeToString(sum[:])},
	}.Encode()
	came := make(chan handover, 1)
	stop := receive(listener, state, came)
	defer stop()
	if openBrowser && a.OpenBrowser(ctx, address) == nil {
		a.say("Sign in in the browser window that opened, or open this address:\n\n  %s\n", address)
	} else {
		a.say("Open this address in a browser on this machine, and sign in:\n\n  %s\n", address)
	}
	if a.Terminal.Stdin && a.Terminal.Stderr {
		a.say("If the browser is on another machine: it ends at an address that begins with http://127.0.0.1. Paste that here.")
		go readPasted(a.Stdin, state, came)
	}
	var got handover
	select {
	case got = <-came:
	case <-ctx.Done():
		if errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
			return &failure{code: client.ExitFailed, what: fmt.Sprintf("nobody signed in within %s", ssoTime)}
		}
		return context.Cause(ctx)
	}
	if got.code == "" {
		what := firstOf(ssoWhys[got.why], "signing in did not work")
		return &failure{code: client.ExitForbidden, what: what, next: []string{"the server's log says why, under request " + firstOf(got.request, "(unknown)")}}
	}
	result, err := c.RedeemSSO(ctx, got.code, verifier, a.purpose())
	if err != nil {
		return err
	}
	return a.signedIn(x, result)
}

// isOnlySSO reports whether there is no way in but the identity provider. A server that
// does not say so has passwords.
func (a *App) isOnlySSO(ctx context.Context, c *client.Client) bool {
	ways, err := c.SignInMethods(ctx)
	return err == nil && !ways.Password && ways.Sso != ""
}

// receive serves the address that the browser is led to, until stop is called. Only
// what carries state is taken, once.
func receive(listener net.Listener, state string, came chan<- handover) (stop func()) {
	server := &http.Server{ReadHeaderTimeout: headerTime, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got, isOurs := handoverOf(r.URL.Query(), state)
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'none'")
		w.Header().Set("Referrer-Policy", "no-referrer")
		if r.URL.Path != "/" || !isOurs {
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, page("This is not the answer that the terminal waits for."))
			return
		}
		if got.code == "" {
			_, _ = io.WriteString(w, page("Signing in did not work. The terminal says why."))
		} else {
			_, _ = io.WriteString(w, page("You are signed in. Close this window and go on in the terminal."))
		}
		select {
		case came <- got:
		default: // somebody came before
		}
	})}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(listener) }()
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = server.Shutdown(ctx) // the page reaches the browser
		_ = server.Close()
		<-done
	}
}

func page(text string) string {
	return "<!doctype html><html lang=\"en\"><title>Waybill</title><p>" + text + "</p></html>\n"
}

// handoverOf reads the parameters of the address that the browser ended at.
func handoverOf(q url.Values, state string) (handover, bool) {
	got := handover{code: q.Get("code"), why: q.Get("error"), request: q.Get("request")}
	return got, q.Get("state") == state && (got.code != "" || got.why != "")
}

// readPasted takes the address from somebody whose browser could not get here.
func readPasted(from io.Reader, state string, came chan<- handover) {
	lines := bufio.NewScanner(io.LimitReader(from, maxSecretBytes))
	for lines.Scan() {
		u, err := url.Parse(strings.TrimSpace(lines.Text()))
		if err != nil {
			continue
		}
		if got, isOurs := handoverOf(u.Query(), state); isOurs {
			select {
			case came <- got:
			default:
			}
			return
		}
	}
}
