package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// recorder stands between one client and the API server, and keeps what was asked.
type recorder struct {
	// kubeconfig is the client's; its context is "production".
	kubeconfig string

	mu       sync.Mutex
	requests []request
}

// request is one that was answered, watches when they ended.
type request struct {
	method, path, query string
	begun, ended        time.Time
	code                int
	// holder is what the patch of an Application's status made status.holder: an id, or
	// "" when it took the holder away. claims says that it did one of these.
	holder string
	claims bool
}

// isWatch tells what stays open from what asks something.
func (r request) isWatch() bool { return strings.Contains(r.query, "watch=") }

func (r request) String() string { return r.method + " " + r.path }

// newRecorder lets a client through as the user of config.
func newRecorder(t *testing.T, config *rest.Config) *recorder {
	t.Helper()
	transport, err := rest.TransportFor(config)
	if err != nil {
		t.Fatal(err)
	}
	target, err := url.Parse(config.Host)
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{}
	proxy := &httputil.ReverseProxy{
		Transport: transport, Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(target) },
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) }, // the client has gone
	}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, asked *http.Request) {
		now := request{method: asked.Method, path: asked.URL.Path, query: asked.URL.RawQuery, begun: time.Now()}
		now.readHolder(asked)
		answer := &answered{ResponseWriter: w, code: http.StatusOK}
		defer func() {
			now.ended, now.code = time.Now(), answer.code
			r.mu.Lock()
			defer r.mu.Unlock()
			r.requests = append(r.requests, now)
		}()
		proxy.ServeHTTP(answer, asked)
	}))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	k := clientcmdapi.NewConfig()
	k.Clusters["c"] = &clientcmdapi.Cluster{Server: server.URL, InsecureSkipTLSVerify: true}
	k.AuthInfos["u"] = &clientcmdapi.AuthInfo{}
	k.Contexts["production"] = &clientcmdapi.Context{Cluster: "c", AuthInfo: "u"}
	k.CurrentContext = "production"
	r.kubeconfig = filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*k, r.kubeconfig); err != nil {
		t.Fatal(err)
	}
	return r
}

// answered notes the code of an answer.
type answered struct {
	http.ResponseWriter
	code int
}

func (a *answered) WriteHeader(code int) {
	a.code = code
	a.ResponseWriter.WriteHeader(code)
}

// Unwrap lets the proxy flush what a watch sends.
func (a *answered) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// readHolder looks into the patch of an Application's status.
func (r *request) readHolder(asked *http.Request) {
	if r.method != http.MethodPatch || !strings.Contains(r.path, "/applications/") || !strings.HasSuffix(r.path, "/status") {
		return
	}
	body, err := io.ReadAll(asked.Body)
	if err != nil {
		return
	}
	asked.Body = io.NopCloser(bytes.NewReader(body))
	var patch struct {
		Status map[string]json.RawMessage `json:"status"`
	}
	if json.Unmarshal(body, &patch) != nil {
		return
	}
	var raw json.RawMessage
	if raw, r.claims = patch.Status["holder"]; r.claims {
		var holder *v1alpha1.Holder
		if json.Unmarshal(raw, &holder) == nil && holder != nil {
			r.holder = holder.Replica
		}
	}
}

// all returns what was asked so far.
func (r *recorder) all() []request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.requests)
}
