package httpcheck_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/expression"
	"github.com/waybill-dev/waybill/internal/outbound"
	"github.com/waybill-dev/waybill/promotion"
	"github.com/waybill-dev/waybill/promotion/checks/httpcheck"
)

// TestMeasure: answers, conditions and servers that may not or cannot be asked.
func TestMeasure(t *testing.T) {
	t.Parallel()
	ended := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/down":
			w.WriteHeader(http.StatusServiceUnavailable)
		case "/json":
			w.Header().Set("X-Version", r.Header.Get("X-Want"))
			fmt.Fprintf(w, `{"status": "ok", "method": %q, "errors": 3}`, r.Method)
		case "/away":
			http.Redirect(w, r, "https://other.example/", http.StatusFound)
		case "/silent":
			<-ended
		case "/large":
			fmt.Fprint(w, strings.Repeat("x", 300<<10))
		}
	}))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(ended) })
	for _, c := range []struct {
		name, path       string
		success, failure string
		loopback         bool
		want             promotion.Outcome
		isFinal          bool
		says             string
	}{
		{"200", "/", "", "", true, promotion.OutcomeSuccess, false, "answered 200 OK"},
		{"503", "/down", "", "", true, promotion.OutcomeFailure, false, "answered 503"},
		{"503 as wanted", "/down", "response.status == 503", "", true, promotion.OutcomeSuccess, false, ""},
		{"a field of the body", "/json?token=s3cret", `response.body.status == "ok" && response.body.method == "POST"`, "", true, promotion.OutcomeSuccess, false, ""},
		{"a header", "/json", `response.headers["X-Version"] == "1.26.0"`, "", true, promotion.OutcomeSuccess, false, ""},
		{"neither", "/json", "response.body.errors < 1", "response.body.errors > 5", true, promotion.OutcomeInconclusive, false, "neither"},
		{"a body that is not JSON", "/", "response.body.status == 1", "", true, promotion.OutcomeError, true, "condition"},
		{"a redirect to another host", "/away", "", "", true, promotion.OutcomeError, false, "redirect"},
		{"no answer", "/silent", "", "", true, promotion.OutcomeError, false, "no answer within 300ms"},
		{"too much", "/large", "", "", true, promotion.OutcomeError, false, "too large"},
		{"this machine", "/", "", "", false, promotion.OutcomeError, true, "spec.allowedHosts"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			transport, err := outbound.New(outbound.Policy{AllowLoopback: c.loopback, RefusePrivate: true})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(transport.CloseIdleConnections)
			check := &v1alpha1.HTTPCheck{
				Measuring: v1alpha1.Measuring{SuccessCondition: c.success, FailureCondition: c.failure},
				URL:       server.URL + c.path, Method: "POST", Headers: []v1alpha1.CheckHeader{{Name: "X-Want", Value: "1.26.0"}},
				Timeout: &metav1.Duration{Duration: time.Minute},
			}
			if c.path == "/silent" {
				check.Timeout.Duration = 300 * time.Millisecond // the limit is what is tested
			}
			scope := expression.Scope{Functions: expression.Standard(), Variables: map[string]any{"ctx": map[string]any{}, "args": map[string]any{}}}
			m := httpcheck.Measure(t.Context(), transport, check, scope)
			if m.Outcome != c.want || m.IsFinal != c.isFinal || !strings.Contains(m.Message, c.says) {
				t.Errorf("%+v", m)
			}
			if strings.Contains(m.Message+m.Value, "s3cret") {
				t.Errorf("the query is shown: %+v", m)
			}
		})
	}
}
