package git

import (
	"errors"
	"fmt"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// TestRequestsAreCounted by server, kind and how they ended.
func TestRequestsAreCounted(t *testing.T) {
	m := newMetrics()
	m.request("git.example.com", listKind(uploadPack), nil)
	m.request("git.example.com", listKind(receivePack), nil)
	m.request("git.example.com", requestKind(receivePack), &Error{Op: "push", Kind: ErrRejected})
	m.request("git.example.com", requestKind(uploadPack), fmt.Errorf("wrapped: %w", &Error{Op: "fetch", Kind: ErrUnreachable}))
	m.request("git.example.com", requestKind(uploadPack), errors.New("something else"))
	for i := range maxMetricHosts + 5 {
		m.request(fmt.Sprintf("git-%d.example.com", i), requestList, nil)
	}
	got := map[string]float64{}
	all := make(chan prometheus.Metric, 1000)
	m.requests.Collect(all)
	close(all)
	for one := range all {
		var d dto.Metric
		if err := one.Write(&d); err != nil {
			t.Fatal(err)
		}
		labels := map[string]string{}
		for _, l := range d.GetLabel() {
			labels[l.GetName()] = l.GetValue()
		}
		got[labels["server"]+" "+labels["kind"]+" "+labels["result"]] = d.GetCounter().GetValue()
	}
	for key, want := range map[string]float64{
		"git.example.com list ok": 1, "git.example.com push_list ok": 1, "git.example.com push rejected": 1,
		"git.example.com fetch unreachable": 1, "git.example.com fetch failed": 1, "other list ok": 6,
	} {
		if got[key] != want {
			t.Errorf("%s: %v, want %v", key, got[key], want)
		}
	}
}
