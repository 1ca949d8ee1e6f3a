package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestSumBy(t *testing.T) {
	text := `# HELP requests_total How many.
# TYPE requests_total counter
requests_total{code="200",method="GET"} 3
requests_total{code="404",method="GET"} 2
requests_total{code="200",method="PATCH"} 1e+01
requests_totals{code="200",method="GET"} 100
requests_total{code="200",method="PUT"} not-a-number
`
	if d := cmp.Diff(counts{"GET": 5, "PATCH": 10}, sumBy(text, "requests_total", "method")); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(counts{"GET": 2}, counts{"GET": 7, "PATCH": 1}.minus(counts{"GET": 5, "PATCH": 1})); d != "" {
		t.Error(d)
	}
}

func TestParseStat(t *testing.T) {
	got, err := parseStat("4242 (a (b) c) S 1 4242 4242 0 -1 4194560 100 0 0 0 250 75 0 0 20 0 9 0 100 1000 200")
	if err != nil || got != 3250*time.Millisecond {
		t.Errorf("%v, %v, want 3.25 s", got, err)
	}
	if _, err := parseStat("4242 (x) S 1"); err == nil {
		t.Error("a short line: no error")
	}
}

func TestParsePush(t *testing.T) {
	const old, moved = "1111111111111111111111111111111111111111", "2222222222222222222222222222222222222222"
	for name, c := range map[string]struct {
		body string
		want *push
	}{
		"a branch":  {"0089" + old + " " + moved + " refs/heads/stage/test\x00 report-status0000PACK", &push{"stage/test", moved}},
		"a tag":     {"0089" + old + " " + moved + " refs/tags/v1\x00 report-status0000PACK", nil},
		"no length": {"\x00", nil},
		"no NUL":    {"0000", nil},
	} {
		if d := cmp.Diff(c.want, parsePush([]byte(c.body))); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

func TestCountWrites(t *testing.T) {
	const text = `# TYPE apiserver_request_total counter
apiserver_request_total{code="200",group="apps",resource="deployments",subresource="",verb="APPLY"} 3
apiserver_request_total{code="200",group="apps",resource="deployments",subresource="status",verb="PATCH"} 40
apiserver_request_total{code="200",group="apps",resource="deployments",subresource="",verb="WATCH"} 50
apiserver_request_total{code="201",group="",resource="configmaps",subresource="",verb="POST"} 2
apiserver_request_total{code="200",group="waybill.dev",resource="stages",subresource="status",verb="PATCH"} 7
apiserver_request_total{code="200",group="waybill.dev",resource="stages",subresource="",verb="LIST"} 9
apiserver_request_total{code="200",group="coordination.k8s.io",resource="leases",subresource="",verb="PUT"} 11
`
	if diff := cmp.Diff(counts{toManaged: 5, toOwn: 7}, countWrites(text)); diff != "" {
		t.Error(diff)
	}
}
