package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"k8s.io/utils/ptr"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/promotion"
	"github.com/waybill-dev/waybill/test/prometheus"
)

// exporter counts requests as an application does that is asked a hundred times
// a second: of the bad version nearly half of them fail.
func exporter(t *testing.T, bad string, versions ...string) *httptest.Server {
	began := time.Now()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		asked := time.Since(began).Seconds() * 100
		for _, v := range versions {
			share := 0.001
			if v == bad {
				share = 0.4
			}
			fmt.Fprintf(w, "http_requests_total{version=%q,code=\"200\"} %f\n", v, asked*(1-share))
			fmt.Fprintf(w, "http_requests_total{version=%q,code=\"500\"} %f\n", v, asked*share)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// TestErrorRate: a version that runs Healthy and answers with errors is found by
// a real Prometheus, taken back, and named in one record; the mended one flows.
func TestErrorRate(t *testing.T) {
	t.Parallel()
	w := newCommonWorld(t, "error-rate")
	w.guestbook()
	app := exporter(t, "1.26.1", "1.26.0", "1.26.1", "1.26.2")
	address := prometheus.Start(t, strings.TrimPrefix(app.URL, "http://"))
	const failed = `http_requests_total{version="${{ args.version }}",code="500"}[2s]`
	const all = `http_requests_total{version="${{ args.version }}"}[2s]`
	w.pipeline([]string{"test", "uat"}, w.verified("test", func(v *v1alpha1.Verification) {
		v.Checks = []v1alpha1.Check{{Name: "errors", Prometheus: &v1alpha1.PrometheusCheck{
			Measuring: v1alpha1.Measuring{
				Interval: seconds(0.3), Count: 3, SuccessCondition: "result < 0.05", FailureCondition: "result > 0.2",
				ConsecutiveErrorLimit: ptr.To[int32](1000), // until it has started and scraped
			},
			Address: address, Query: "sum(rate(" + failed + ")) / sum(rate(" + all + "))",
		}}}
	}))
	w.push("1.26.0")
	good := w.ends(w.promotionOf("test", "1.26.0"), v1alpha1.PhaseSucceeded)
	w.runs("uat", "1.26.0")
	w.told(good, "1.26.0", "Succeeded")

	w.push("1.26.1")
	bad := w.ends(w.promotionOf("test", "1.26.1"), v1alpha1.PhaseRolledBack)
	c := bad.Status.Verification.Checks[0]
	if c.Phase != v1alpha1.CheckFailed || !strings.HasPrefix(c.Value, "0.4") || c.Failed != 1 {
		t.Errorf("check %+v", c)
	}
	w.runs("test", "1.26.0")
	w.told(bad, "1.26.1", "RolledBack", `check "errors" failed: 0.4`)
	if diff := w.git.Git("guestbook", "diff", "--stat", good.Status.Commit.Commit, w.git.Branch("guestbook", "stage/test")); diff != "" {
		t.Errorf("the tree differs from the good one:\n%s", diff)
	}
	s := w.cli("", "why", "1.26.1", w.project+"/uat")
	if !strings.Contains(s.out, `not verified in "test"`) || !strings.Contains(s.out, "Checks of 1.26.1 in test: Failed, 0 of 1") {
		t.Errorf("why ended with %d:\n%s", s.code, s.text())
	}

	w.push("1.26.2")
	fixed := w.ends(w.promotionOf("test", "1.26.2"), v1alpha1.PhaseSucceeded)
	if fixed.Status.Reason != promotion.ReasonVerified {
		t.Errorf("it ended with %s: %s", fixed.Status.Reason, fixed.Status.Message)
	}
	w.runs("uat", "1.26.2")
	for tag, want := range map[string]string{"1.26.1": `checks Failed: check "errors" failed: 0.4`, "1.26.2": "checks Succeeded"} {
		if s := w.cli("", "describe", "freight", w.project+"/"+tag); !strings.Contains(s.out, want) {
			t.Errorf("the facts of %s lack %q:\n%s", tag, want, s.text())
		}
	}
	w.settled()
	w.oneCommitEach()
}
