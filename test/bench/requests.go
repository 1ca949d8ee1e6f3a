package main

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"strconv"
	"strings"

	"k8s.io/client-go/rest"
)

// The API server says whose request it was by the FlowSchema that it fell
// under. These two split those of waybilld into watches and everything else;
// they have the priority that its requests have anyway.
const (
	schemaRequests = "bench-waybilld-requests"
	schemaWatches  = "bench-waybilld-watches"

	flowSchemas = `
apiVersion: flowcontrol.apiserver.k8s.io/v1
kind: FlowSchema
metadata: {name: ` + schemaRequests + `}
spec:
  priorityLevelConfiguration: {name: workload-low}
  matchingPrecedence: 400
  distinguisherMethod: {type: ByUser}
  rules:
  - subjects: [{kind: User, user: {name: "` + serviceAccount + `"}}]
    resourceRules:
    - {apiGroups: ["*"], resources: ["*"], clusterScope: true, namespaces: ["*"], verbs: [get, list, create, update, patch, delete, deletecollection]}
    nonResourceRules: [{nonResourceURLs: ["*"], verbs: ["*"]}]
---
apiVersion: flowcontrol.apiserver.k8s.io/v1
kind: FlowSchema
metadata: {name: ` + schemaWatches + `}
spec:
  priorityLevelConfiguration: {name: workload-low}
  matchingPrecedence: 401
  distinguisherMethod: {type: ByUser}
  rules:
  - subjects: [{kind: User, user: {name: "` + serviceAccount + `"}}]
    resourceRules:
    - {apiGroups: ["*"], resources: ["*"], clusterScope: true, namespaces: ["*"], verbs: [watch]}
`
)

// counts are requests by whom they came from, or passes by controller.
type counts map[string]float64

// minus returns what was added since an earlier count, without zeros.
func (c counts) minus(before counts) counts {
	out := counts{}
	for k, n := range c {
		if d := n - before[k]; d != 0 {
			out[k] = d
		}
	}
	return out
}

// apiRequests returns how many requests the API server has served, by
// FlowSchema.
func apiRequests(ctx context.Context, c rest.Interface) (counts, error) {
	raw, err := c.Get().AbsPath("/metrics").DoRaw(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the API server's metrics: %w", err)
	}
	return sumBy(string(raw), "apiserver_flowcontrol_dispatched_requests_total", "flow_schema"), nil
}

// clientRequests returns waybilld's own count of its requests to Kubernetes by
// method (watches are GETs), and of the passes of its controllers.
func (c *child) clientRequests(ctx context.Context) (requests, passes counts, err error) {
	raw, err := get(ctx, "http://"+c.metrics+"/metrics")
	if err != nil {
		return nil, nil, fmt.Errorf("read waybilld's metrics: %w", err)
	}
	return sumBy(string(raw), "rest_client_requests_total", "method"),
		sumBy(string(raw), "controller_runtime_reconcile_total", "controller"), nil
}

// sumBy adds up the series of one metric in the text format of Prometheus by
// the value of one label.
func sumBy(text, metric, label string) counts {
	out := counts{}
	for labels, value := range series(text, metric) {
		out[labelOf(labels, label)] += value
	}
	return out
}

// series yields the labels and the value of each series of one metric in the text
// format of Prometheus.
func series(text, metric string) iter.Seq2[string, float64] {
	return func(yield func(string, float64) bool) {
		for line := range strings.SplitSeq(text, "\n") {
			rest, isMetric := strings.CutPrefix(line, metric+"{")
			if !isMetric {
				continue
			}
			end := strings.LastIndex(rest, "}")
			if end < 0 {
				continue
			}
			value, err := strconv.ParseFloat(strings.TrimSpace(rest[end+1:]), 64)
			if err != nil {
				continue
			}
			if !yield(rest[:end], value) {
				return
			}
		}
	}
}

// labelOf returns the value of one label in `a="x",b="y"`. The values read here
// hold no quotes.
func labelOf(labels, name string) string {
	for pair := range strings.SplitSeq(labels, ",") {
		if value, found := strings.CutPrefix(pair, name+`="`); found {
			return strings.TrimSuffix(value, `"`)
		}
	}
	return ""
}

// usage is what waybilld has cost so far.
type usage struct {
	Registry int `json:"registryRequests"`
	Git      int `json:"gitRequests"`
	// API counts requests of everybody, by FlowSchema; Client those that waybilld
	// says it made, by method, watches included; Passes those of its controllers.
	API    counts  `json:"kubernetesRequestsByFlowSchema"`
	Client counts  `json:"waybilldRequestsByMethod"`
	Passes counts  `json:"passesByController"`
	CPU    float64 `json:"cpuSeconds"`
}

// usage reads all counters.
func (b *bench) usage(ctx context.Context) (usage, error) {
	api, err := apiRequests(ctx, b.kube.Discovery().RESTClient())
	if err != nil {
		return usage{}, err
	}
	requests, passes, err := b.child.clientRequests(ctx)
	if err != nil {
		return usage{}, err
	}
	cpu, err := b.child.cpu()
	if err != nil {
		return usage{}, err
	}
	return usage{
		Registry: b.servers.registryRequests(), Git: b.servers.git.Requests().Total(),
		API: api, Client: requests, Passes: passes, CPU: cpu.Seconds(),
	}, nil
}

// minus returns the cost since before.
func (u usage) minus(before usage) usage {
	return usage{
		Registry: u.Registry - before.Registry, Git: u.Git - before.Git, CPU: u.CPU - before.CPU,
		API: u.API.minus(before.API), Client: u.Client.minus(before.Client), Passes: u.Passes.minus(before.Passes),
	}
}

// others adds up the requests that were not waybilld's: the control plane, kwok
// and this program.
func (u usage) others() float64 {
	n := 0.0
	for who := range maps.Keys(u.API) {
		if who != schemaRequests && who != schemaWatches {
			n += u.API[who]
		}
	}
	return n
}
