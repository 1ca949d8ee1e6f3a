package rest

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/hook"
)

// wakeLog is a Waker that says who would have been woken: what is followed in
// the Project is "registry.example/app".
type wakeLog struct {
	mu    sync.Mutex
	calls []string
}

func (l *wakeLog) Wake(_ context.Context, project string, repositories []hook.Repository) ([]string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var woken []string
	for _, r := range repositories {
		l.calls = append(l.calls, project+" "+r.URL)
		if r.URL == "ghcr.io/team/app" {
			woken = []string{"warehouse/app"}
		}
	}
	return woken, nil
}

func (l *wakeLog) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := l.calls
	l.calls = nil
	return out
}

const hookSecret = "canary-of-a-webhook-secret"

// serverReadsSecrets gives the server what it has in a real cluster by the role
// admin, which is filled by a controller that does not run here.
func serverReadsSecrets(t *testing.T) {
	t.Helper()
	shared.env.Apply(t, `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: reads-secrets}
rules: [{apiGroups: [""], resources: [secrets], verbs: [get, list, watch]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: reads-secrets}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: reads-secrets}
subjects: [{kind: ServiceAccount, name: waybill, namespace: waybill-system}]
`)
}

// hookWorld is the API with a Waker, and a Project with receivers.
func hookWorld(t *testing.T, project string) (*world, *wakeLog) {
	t.Helper()
	serverReadsSecrets(t)
	w := &world{env: shared.env, admin: shared.admin, log: &lockedBuffer{}}
	woken := &wakeLog{}
	stop, err := w.serve(context.Background(), Options{Waker: woken, PublicURL: "https://waybill.example.com/"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	ref := v1alpha1.SecretReference{Name: "hooks"}
	config := &v1alpha1.WebhookReceiverConfig{SecretRef: ref}
	for _, o := range []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: project, Labels: map[string]string{v1alpha1.LabelProject: "true"}}},
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: project, Name: "hooks", Labels: map[string]string{v1alpha1.LabelCredentialType: "webhook"}}, StringData: map[string]string{"secret": hookSecret}},
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: project, Name: "unlabelled"}, StringData: map[string]string{"secret": hookSecret}},
		&v1alpha1.Project{ObjectMeta: metaOf(project), Spec: v1alpha1.ProjectSpec{WebhookReceivers: []v1alpha1.WebhookReceiver{
			{Name: "github", GitHub: config},
			{Name: "quay", Quay: config},
			{Name: "broken", GitLab: &v1alpha1.WebhookReceiverConfig{SecretRef: v1alpha1.SecretReference{Name: "unlabelled"}}},
		}}},
	} {
		if err := w.admin.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = w.admin.Delete(context.Background(), o) })
	}
	return w, woken
}

func signature(body string) string {
	m := hmac.New(sha256.New, []byte(hookSecret))
	m.Write([]byte(body))
	return "X-Hub-Signature-256: sha256=" + hex.EncodeToString(m.Sum(nil))
}

const packageEvent = `{"package":{"package_type":"container","package_version":{"package_url":"ghcr.io/team/app:1"}}}`

// webhooks returns a Project's receivers once there are as many as expected.
func webhooks(t *testing.T, p person, project string) map[string]model.Webhook {
	t.Helper()
	out := map[string]model.Webhook{}
	eventually(t, func() error {
		var list model.WebhookList
		p.get(t, "/api/v1/projects/"+project+"/webhooks", &list)
		for _, w := range list.Items {
			out[w.Name] = w
		}
		if len(out) != 3 || !out["github"].Ready {
			return fmt.Errorf("receivers: %+v", list.Items)
		}
		return nil
	})
	return out
}

func TestWebhooks(t *testing.T) {
	const project = "hooked"
	w, woken := hookWorld(t, project)
	admin := w.as(t, "admin")
	hooks := webhooks(t, admin, project)
	github := hooks["github"]
	if len(github.Path) != len("/hooks/")+64 || github.URL != "https://waybill.example.com"+github.Path || !github.Signed || hooks["quay"].Signed {
		t.Fatalf("receivers %+v", hooks)
	}
	if b := hooks["broken"]; b.Ready || b.Path != "" || !strings.Contains(b.Message, `no Secret "unlabelled" with the label`) {
		t.Errorf("a receiver without a Secret: %+v", b)
	}
	for _, c := range []struct {
		why     string
		path    string
		body    string
		headers []string
		status  int
		woken   string
		result  model.WebhookResult
	}{
		{"a push of what is followed", github.Path, packageEvent, []string{"X-GitHub-Event: package", "X-GitHub-Delivery: 17", signature(packageEvent)}, 202, project + " ghcr.io/team/app", model.Woke},
		{"the same delivery again", github.Path, packageEvent, []string{"X-GitHub-Event: package", "X-GitHub-Delivery: 17", signature(packageEvent)}, 202, "", model.Ignored},
		{"the same push, delivered as another", github.Path, packageEvent, []string{"X-GitHub-Event: package", "X-GitHub-Delivery: 18", signature(packageEvent)}, 202, project + " ghcr.io/team/app", model.Woke},
		{"a ping", github.Path, "{}", []string{"X-GitHub-Event: ping", signature("{}")}, 202, "", model.Ignored},
		{"no signature", github.Path, packageEvent, []string{"X-GitHub-Event: package"}, 401, "", model.Refused},
		{"a signature of another body", github.Path, packageEvent, []string{"X-GitHub-Event: package", signature("{}")}, 401, "", model.Refused},
		{"no JSON", github.Path, "payload=%7B%7D", []string{"X-GitHub-Event: push", signature("payload=%7B%7D")}, 400, "", model.Malformed},
		{"too large", github.Path, strings.Repeat("x", 1<<20+1), []string{"X-GitHub-Event: push"}, 413, "", model.Malformed},
		{"an unknown path", "/hooks/" + strings.Repeat("0", 64), packageEvent, nil, 404, "", ""},
		{"a path of another shape", "/hooks/github", packageEvent, nil, 404, "", ""},
		{"a longer path", github.Path + "/x", packageEvent, nil, 404, "", ""},
		{"a sender that cannot sign", hooks["quay"].Path, `{"docker_url":"quay.io/team/app"}`, nil, 202, project + " quay.io/team/app", model.Ignored},
	} {
		got := w.send(t, "POST", c.path, c.body, c.headers...)
		if got.status != c.status || strings.Join(woken.take(), ",") != c.woken {
			t.Errorf("%s: %d %s", c.why, got.status, got.body)
		}
		if c.status >= 400 {
			got.problem(t)
		}
		if c.result == "" {
			continue
		}
		name := "github"
		if c.path != github.Path {
			name = "quay"
		}
		last := webhooks(t, admin, project)[name].Deliveries[0]
		if last.Result != c.result || last.At.IsZero() || c.result == model.Woke && (last.ID != "17" && last.ID != "18" || last.Event != "package" || !slices.Equal(last.Woken, []string{"warehouse/app"})) {
			t.Errorf("%s: the log says %+v", c.why, last)
		}
	}
	if got := w.send(t, "GET", github.Path, nil).status; got/100 != 4 {
		t.Errorf("GET is %d", got)
	}
	all := webhooks(t, admin, project)["github"]
	if want := (model.WebhookCounts{Woke: 2, Ignored: 2, Refused: 2, Malformed: 2}); all.Counts != want || len(all.Deliveries) != 8 {
		t.Errorf("counts %+v, %d deliveries", all.Counts, len(all.Deliveries))
	}
	// A new secret is a new path; the old one is gone.
	var s corev1.Secret
	if err := w.admin.Get(t.Context(), client.ObjectKey{Namespace: project, Name: "hooks"}, &s); err != nil {
		t.Fatal(err)
	}
	s.Data["secret"] = []byte("another-secret-of-the-hook")
	if err := w.admin.Update(t.Context(), &s); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		if now := webhooks(t, admin, project)["github"].Path; now == github.Path {
			return fmt.Errorf("the path is still %s", now)
		}
		if got := w.send(t, "POST", github.Path, packageEvent, signature(packageEvent)).status; got != 404 {
			return fmt.Errorf("the old path answers %d", got)
		}
		return nil
	})
	if strings.Contains(w.log.String(), hookSecret) {
		t.Error("the log shows the secret")
	}
}

// TestWebhookPathsAreForTheFew: a path is as good as a password for senders that
// cannot sign.
func TestWebhookPathsAreForTheFew(t *testing.T) {
	const project = "hooked-quietly"
	w, _ := hookWorld(t, project)
	path := webhooks(t, w.as(t, "admin"), project)["quay"].Path
	shared.env.Apply(t, grantsOf(project))
	eventually(t, func() error {
		got := w.as(t, "victor").do(t, "GET", "/api/v1/projects/"+project+"/webhooks", nil)
		if got.status != 200 {
			return fmt.Errorf("status %d", got.status)
		}
		if path == "" || strings.Contains(string(got.body), strings.TrimPrefix(path, "/hooks/")) || !strings.Contains(string(got.body), `"quay"`) {
			t.Fatalf("a viewer sees %s", got.body)
		}
		return nil
	})
	if got := w.as(t, "mallory").do(t, "GET", "/api/v1/projects/"+project+"/webhooks", nil).status; got != 404 {
		t.Errorf("a stranger gets %d", got)
	}
}

// TestWebhookFlood sends ten thousand messages as fast as they go, of which half
// are signed: few are read, nobody else notices, and nothing stays in memory.
func TestWebhookFlood(t *testing.T) {
	const project, requests, senders = "hooked-often", 10_000, 20
	w, woken := hookWorld(t, project)
	admin := w.as(t, "admin")
	path := webhooks(t, admin, project)["github"].Path
	hc := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: senders}}
	defer hc.CloseIdleConnections()
	body := packageEvent + strings.Repeat(" ", 100<<10)
	signed := strings.TrimPrefix(signature(body), "X-Hub-Signature-256: ")
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	begin := time.Now()
	var mu sync.Mutex
	status := map[int]int{}
	var wg sync.WaitGroup
	for sender := range senders {
		wg.Go(func() {
			for i := range requests / senders {
				req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, w.url+path, bytes.NewReader([]byte(body)))
				if err != nil {
					t.Error(err)
					return
				}
				req.Header.Set("X-Github-Event", "package")
				if (i+sender)%2 == 0 {
					req.Header.Set("X-Hub-Signature-256", signed)
				}
				resp, err := hc.Do(req)
				code := 0
				if err == nil {
					_, _ = io.Copy(io.Discard, resp.Body)
					_ = resp.Body.Close()
					code = resp.StatusCode
				} else if !isCut(err) { // the server may hang up on a body it does not read
					t.Error(err)
				}
				mu.Lock()
				status[code]++
				mu.Unlock()
			}
		})
	}
	slowest := time.Duration(0)
	for range 20 {
		at := time.Now()
		var p model.WebhookList
		admin.get(t, "/api/v1/projects/"+project+"/webhooks", &p)
		slowest = max(slowest, time.Since(at))
	}
	wg.Wait()
	seconds := int(time.Since(begin).Seconds()) + 1
	read := status[202] + status[401]
	if read == 0 || read > hookBurst+hookRate*seconds || status[429] == 0 || len(woken.take()) != status[202] {
		t.Errorf("answers %v in %d s", status, seconds)
	}
	if after := heap(); after > before+(32<<20) {
		t.Errorf("the heap grew from %d to %d MiB", before>>20, after>>20)
	}
	counts := webhooks(t, admin, project)["github"].Counts
	if counts.Woke != status[202] || counts.Refused != status[401] || counts.Limited < status[429] {
		t.Errorf("counts %+v, answers %v", counts, status)
	}
	if n := len(webhooks(t, admin, project)["github"].Deliveries); n != maxDeliveries {
		t.Errorf("%d deliveries are remembered", n)
	}
	t.Logf("%v in %d s; the slowest page took %s", status, seconds, slowest)
	// Afterwards, messages are taken again.
	eventually(t, func() error {
		if got := w.send(t, "POST", path, packageEvent, "X-GitHub-Event: package", signature(packageEvent)).status; got != 202 {
			return fmt.Errorf("after the flood: %d", got)
		}
		return nil
	})
}

// isCut reports whether the connection was closed while the body was sent.
func isCut(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) || strings.Contains(err.Error(), "EOF") || strings.Contains(err.Error(), "connection reset")
}
