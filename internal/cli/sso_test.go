package cli

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/waybill-dev/waybill/api/client"
	"github.com/waybill-dev/waybill/api/rest/model"
)

// ssoServer is what a server with an identity provider says to a program. Its way to
// the provider and back is tested in api/rest; here the browser comes back at once.
type ssoServer struct {
	*httptest.Server
	challenge string
	redeemed  int
}

func newSSOServer(t *testing.T) *ssoServer {
	t.Helper()
	s := &ssoServer{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		var out any = model.SignInMethods{Sso: "Example Inc"}
		if r.Method == http.MethodPost {
			var code model.SSOCode
			if err := json.NewDecoder(r.Body).Decode(&code); err != nil {
				t.Error(err)
			}
			sum := sha256.Sum256([]byte(code.Verifier))
			if code.Code != "wbc_1" || base64.RawURLEncoding.EncodeToString(sum[:]) != s.challenge || !strings.HasPrefix(code.Name, "waybill command line") {
				t.Errorf("redeemed %+v for challenge %s", code, s.challenge)
			}
			s.redeemed++
			out = model.LoginResult{Me: alice(), Token: "wbt_sso"}
		}
		if err := json.NewEncoder(w).Encode(out); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// back is the address that a browser ends at which was sent to address.
func (s *ssoServer) back(t *testing.T, address string, answer url.Values) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil || !strings.HasPrefix(address, s.URL+"/api/v1/login/sso?") {
		t.Errorf("the browser is sent to %s: %v", address, err)
	}
	q := u.Query()
	s.challenge = q.Get("challenge")
	if !answer.Has("state") {
		answer.Set("state", q.Get("state"))
	}
	return "http://127.0.0.1:" + q.Get("port") + "/?" + answer.Encode()
}

func visit(t *testing.T, address string) (int, string) {
	t.Helper()
	answer, err := http.Get(address) //nolint:gosec,noctx // the address is the test's
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	defer answer.Body.Close() //nolint:errcheck // only read
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Error(err)
	}
	return answer.StatusCode, string(body)
}

func TestLoginWithSSO(t *testing.T) {
	for name, args := range map[string][]string{"asked for": {"--sso"}, "the only way": nil} {
		t.Run(name, func(t *testing.T) {
			server := newSSOServer(t)
			s := newSession(t)
			s.browser = func(address string) {
				for _, wrong := range []url.Values{{"code": {"wbc_other"}, "state": {"x"}}, {}} {
					if status, _ := visit(t, server.back(t, address, wrong)); status != http.StatusNotFound {
						t.Errorf("%v: %d", wrong, status)
					}
				}
				status, body := visit(t, server.back(t, address, url.Values{"code": {"wbc_1"}}))
				if status != http.StatusOK || !strings.Contains(body, "You are signed in") || strings.Contains(body, "wbc_1") {
					t.Errorf("the browser shows %d %s", status, body)
				}
			}
			r := s.run(append([]string{"login", server.URL, "--name", "work"}, args...)...)
			if r.code != client.ExitDone || !strings.Contains(r.stderr, "as alice") || strings.Contains(r.String(), "wbt_sso") || server.redeemed != 1 {
				t.Errorf("%s", r)
			}
			if list := s.run("context", "list"); !strings.Contains(list.stdout, "work") {
				t.Errorf("%s", list)
			}
		})
	}
}

func TestLoginWithSSORefused(t *testing.T) {
	server := newSSOServer(t)
	s := newSession(t)
	s.browser = func(address string) {
		if _, body := visit(t, server.back(t, address, url.Values{"error": {"refused"}, "request": {"0123"}})); !strings.Contains(body, "did not work") {
			t.Errorf("the browser shows %s", body)
		}
	}
	r := s.run("login", server.URL, "--sso")
	if r.code != client.ExitForbidden || !strings.Contains(r.stderr, "does not let you in") || !strings.Contains(r.stderr, "0123") || server.redeemed != 0 {
		t.Errorf("%s", r)
	}
}

// TestLoginWithSSOElsewhere: whose browser is on another machine pastes the address it
// ended at.
func TestLoginWithSSOElsewhere(t *testing.T) {
	server := newSSOServer(t)
	typed, typing := io.Pipe()
	s := newSession(t)
	s.terminal = Terminal{Stdin: true, Stderr: true}
	s.input = typed
	address := regexp.MustCompile(`http://\S+/api/v1/login/sso\S+`)
	var once sync.Once
	s.heard = func(said string) {
		if m := address.FindString(said); m != "" && strings.Contains(said, "Paste") {
			once.Do(func() {
				back := server.back(t, m, url.Values{"code": {"wbc_1"}})
				go func() { _, _ = io.WriteString(typing, "what?\n"+back+"\n") }()
			})
		}
	}
	r := s.run("login", server.URL, "--sso", "--no-browser")
	if r.code != client.ExitDone || server.redeemed != 1 {
		t.Errorf("%s", r)
	}
}
