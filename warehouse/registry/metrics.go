package registry

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/waybill-dev/waybill/internal/metriclabel"
)

// maxMetricHosts bounds how many registries get a label of their own; Projects
// name them, so their number is not ours. The others are counted together.
const maxMetricHosts = 200

// metrics are what a Client counts.
type metrics struct {
	requests *prometheus.CounterVec // registry, kind, code
	polls    *prometheus.CounterVec // registry, result
	shared   prometheus.Counter
	limit    *prometheus.GaugeVec // registry
	// signatures are images whose signatures were checked, by result.
	signatures *prometheus.CounterVec

	hosts *metriclabel.Bounded
}

func newMetrics() *metrics {
	return &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "waybill_registry_requests_total",
			Help: "Requests sent to image and chart registries, by registry, kind (tags, manifest, manifest_head, blob, referrers, index, token) and status code; code 0 is no answer.",
		}, []string{"registry", "kind", "code"}),
		polls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "waybill_registry_polls_total",
			Help: "Polls of subscriptions, by registry and result: ok, or the reason of the failure.",
		}, []string{"registry", "result"}),
		shared: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "waybill_registry_shared_answers_total",
			Help: "Questions that were answered by what another subscription of the same credential had asked within the interval.",
		}),
		limit: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "waybill_registry_concurrency_limit",
			Help: "How many requests to a registry may run at a time; falls when it answers 429 or fails.",
		}, []string{"registry"}),
		signatures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "waybill_image_signatures_total",
			Help: "Images whose signatures were checked, by result: ok, or the reason why an image is refused.",
		}, []string{"result"}),
		hosts: metriclabel.NewBounded(maxMetricHosts),
	}
}

// Collectors returns the metrics of the Client.
func (c *Client) Collectors() []prometheus.Collector {
	return []prometheus.Collector{c.metrics.requests, c.metrics.polls, c.metrics.shared, c.metrics.limit, c.metrics.signatures}
}

func (m *metrics) request(host string, req *http.Request, code int) {
	m.requests.WithLabelValues(m.hosts.Value(host), kindOf(req), strconv.Itoa(code)).Inc()
}

// kindOf says what a request is for.
func kindOf(req *http.Request) string {
	path := req.URL.Path
	switch {
	case strings.HasSuffix(path, "/index.yaml"):
		return "index"
	case !strings.HasPrefix(path, "/v2/"):
		return "token"
	case strings.HasSuffix(path, "/tags/list"):
		return "tags"
	case strings.Contains(path, "/blobs/"):
		return "blob"
	case strings.Contains(path, "/referrers/"):
		return "referrers"
	case req.Method == http.MethodHead:
		return "manifest_head"
	}
	return "manifest"
}
