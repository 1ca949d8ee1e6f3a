package git

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/waybill-dev/waybill/internal/metriclabel"
)

// maxMetricHosts bounds how many servers get a label of their own; Projects name
// them, so their number is not ours.
const maxMetricHosts = 200

// What a request is for.
const (
	requestList     = "list"
	requestFetch    = "fetch"
	requestPushList = "push_list" // what a server tells before a push
	requestPush     = "push"
)

// metrics are what Mirrors count.
type metrics struct {
	requests *prometheus.CounterVec
	shared   prometheus.Counter
	hosts    *metriclabel.Bounded
}

func newMetrics() *metrics {
	return &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "waybill_git_requests_total",
			Help: "Requests sent to Git servers over HTTP and SSH, by server, kind (list, fetch, push_list, push) and result: ok, or what kind of failure.",
		}, []string{"server", "kind", "result"}),
		shared: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "waybill_git_shared_answers_total",
			Help: "Questions where branches and tags are that were answered by what somebody else with the same credential had asked within the interval.",
		}),
		hosts: metriclabel.NewBounded(maxMetricHosts),
	}
}

// Collectors returns the metrics of the mirrors.
func (m *Mirrors) Collectors() []prometheus.Collector {
	return []prometheus.Collector{m.metrics.requests, m.metrics.shared}
}

func (m *metrics) request(host, kind string, err error) {
	m.requests.WithLabelValues(m.hosts.Value(host), kind, resultOf(err)).Inc()
}

// resultOf is the word for how a request ended.
func resultOf(err error) string {
	if err == nil {
		return "ok"
	}
	for _, r := range []struct {
		kind error
		word string
	}{
		{ErrAuthentication, "authentication"},
		{ErrHostKey, "host_key"},
		{ErrNotFound, "not_found"},
		{ErrRedirected, "redirected"},
		{ErrNotGit, "not_git"},
		{ErrTooLarge, "too_large"},
		{ErrRejected, "rejected"},
		{ErrUnknownOutcome, "unknown"},
		{ErrUnreachable, "unreachable"},
	} {
		if errors.Is(err, r.kind) {
			return r.word
		}
	}
	return "failed"
}

// listKind and requestKind are what a request to service is for.
func listKind(service string) string {
	if service == receivePack {
		return requestPushList
	}
	return requestList
}

func requestKind(service string) string {
	if service == receivePack {
		return requestPush
	}
	return requestFetch
}
