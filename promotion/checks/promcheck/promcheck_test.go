package promcheck_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/expression"
	"github.com/waybill-dev/waybill/internal/outbound"
	"github.com/waybill-dev/waybill/promotion"
	"github.com/waybill-dev/waybill/promotion/checks/promcheck"
	"github.com/waybill-dev/waybill/test/prometheus"
)

func transport(t *testing.T, loopback bool) *outbound.Transport {
	t.Helper()
	out, err := outbound.New(outbound.Policy{AllowLoopback: loopback, RefusePrivate: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(out.CloseIdleConnections)
	return out
}

func scope() expression.Scope {
	return expression.Scope{Functions: expression.Standard(), Variables: map[string]any{"ctx": map[string]any{}, "args": map[string]any{}}}
}

// TestPrometheus asks a real Prometheus that scrapes a real server.
func TestPrometheus(t *testing.T) {
	t.Parallel()
	address, errors := scraped(t)
	check := func(query, success, failure string) promotion.Measurement {
		return promcheck.Measure(t.Context(), transport(t, true), &v1alpha1.PrometheusCheck{
			Measuring: v1alpha1.Measuring{SuccessCondition: success, FailureCondition: failure}, Address: address, Query: query,
		}, scope())
	}
	const rate = `sum(http_errors) / sum(http_requests)`
	for deadline := time.Now().Add(2 * time.Minute); check(rate, "result < 0.05", "").Outcome != promotion.OutcomeSuccess; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("nothing was scraped: %+v", check(rate, "result < 0.05", ""))
		}
	}
	for _, c := range []struct {
		query, success, failure string
		want                    promotion.Outcome
		isFinal                 bool
		says                    string
	}{
		{rate, "result < 0.05", "", promotion.OutcomeSuccess, false, "result is 0.01"},
		{rate, "", "result > 0.05", promotion.OutcomeSuccess, false, ""},
		{rate, "result < 0.001", "result > 0.05", promotion.OutcomeInconclusive, false, "neither"},
		{"nothing_of_that_name", "result < 1", "", promotion.OutcomeError, false, "no data"},
		{"nothing_of_that_name", "len(results) == 0", "", promotion.OutcomeSuccess, false, "0 series"},
		{"http_requests", "result > 1", "", promotion.OutcomeError, true, "2 series"},
		{"http_requests", "all(results, #.value >= 40)", "", promotion.OutcomeSuccess, false, ""},
		{"http_requests", `any(results, #.labels.code == "500")`, "", promotion.OutcomeSuccess, false, ""},
		{"0/0", "result < 1", "", promotion.OutcomeError, false, "NaN"},
		{"scalar(vector(7))", "result == 7", "", promotion.OutcomeSuccess, false, "7"},
		{"sum(", "result < 1", "", promotion.OutcomeError, true, "parse error"},
		{`"text"`, "result < 1", "", promotion.OutcomeError, true, "a number"},
	} {
		m := check(c.query, c.success, c.failure)
		if m.Outcome != c.want || m.IsFinal != c.isFinal || !strings.Contains(m.Message, c.says) {
			t.Errorf("%s, %q, %q: %+v", c.query, c.success, c.failure, m)
		}
	}
	errors.Store(30)
	for deadline := time.Now().Add(2 * time.Minute); check(rate, "", "result > 0.05").Outcome != promotion.OutcomeFailure; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the errors were not seen")
		}
	}
}

// TestNoPrometheus: servers that are none, give no answer, or may not be asked.
func TestNoPrometheus(t *testing.T) {
	t.Parallel()
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") }))
	t.Cleanup(page.Close)
	ended := make(chan struct{})
	silent := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-ended }))
	t.Cleanup(silent.Close)
	t.Cleanup(func() { close(ended) })
	ask := func(address string, loopback bool) promotion.Measurement {
		c := &v1alpha1.PrometheusCheck{Measuring: v1alpha1.Measuring{SuccessCondition: "result < 1"}, Address: address, Query: "up"}
		if address == silent.URL {
			c.Timeout = &metav1.Duration{Duration: 300 * time.Millisecond} // the limit is what is tested
		}
		return promcheck.Measure(t.Context(), transport(t, loopback), c, scope())
	}
	for _, c := range []struct {
		address  string
		loopback bool
		isFinal  bool
		says     string
	}{
		{page.URL, true, false, "not as a Prometheus does"},
		{silent.URL, true, false, "gave no answer"},
		{page.URL, false, true, "spec.allowedHosts"},
		{"https://169.254.169.254", true, true, "spec.allowedHosts"},
		{"prometheus:9090", true, true, "not an address"},
	} {
		m := ask(c.address, c.loopback)
		if m.Outcome != promotion.OutcomeError || m.IsFinal != c.isFinal || !strings.Contains(m.Message, c.says) {
			t.Errorf("%s: %+v", c.address, m)
		}
	}
}

// scraped starts a Prometheus with a server to scrape. What it counts as errors,
// out of 100 requests, can be set.
func scraped(t *testing.T) (address string, errors *atomic.Int64) {
	t.Helper()
	errors = &atomic.Int64{}
	errors.Store(1)
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		fmt.Fprintf(w, "http_requests{code=\"200\"} 60\nhttp_requests{code=\"500\"} 40\nhttp_errors %d\n", errors.Load())
	}))
	t.Cleanup(app.Close)
	return prometheus.Start(t, strings.TrimPrefix(app.URL, "http://")), errors
}
