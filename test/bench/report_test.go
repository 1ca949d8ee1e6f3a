package main

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestVerdict(t *testing.T) {
	for _, c := range []struct {
		why     string
		m       metric
		samples []float64
		want    string
	}{
		{"nothing was measured", metric{HasTarget: true, Judge: "median", Below: 1}, nil, notMeasured},
		{"the design names no target", metric{}, []float64{9}, noTarget},
		{"below", metric{HasTarget: true, Judge: "median", Below: 1}, []float64{0.9, 5, 0.1}, hit},
		{"the bound itself is not below it", metric{HasTarget: true, Judge: "median", Below: 1}, []float64{1}, miss},
		{"reaching it is enough", metric{HasTarget: true, Judge: "median", Below: 1, Inclusive: true}, []float64{1}, hit},
		{"the slow ones count", metric{HasTarget: true, Judge: "p99", Below: 1}, []float64{0.1, 0.1, 2}, miss},
		{"every one counts", metric{HasTarget: true, Judge: "max", Below: 0, Inclusive: true}, []float64{0, 0, 1}, miss},
	} {
		if got := c.m.verdict(c.samples); got != c.want {
			t.Errorf("%s: %q, want %q", c.why, got, c.want)
		}
	}
}

// TestReport: what was not measured is a line too, and JSON holds no number
// that JSON does not have.
func TestReport(t *testing.T) {
	r := &report{commit: "abc", load: "9.0 1 1", loadEnd: "1 1 1", cpus: 2, options: options{fleet: fleetOfTargets}, samples: map[string][]float64{}}
	for i := range 200 {
		r.add(driftToHealed, float64(i)/1000)
	}
	r.keepLast(driftToHealed, lateDrifts, 20)
	r.add(restRequests, 2)
	file := filepath.Join(t.TempDir(), "made", "bench.json")
	if err := r.write(file); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var document struct{ Rows []row }
	if err := json.Unmarshal(raw, &document); err != nil {
		t.Fatal(err)
	}
	verdicts := map[string]string{}
	for _, l := range document.Rows {
		verdicts[l.Key] = l.Verdict
		if l.N > 0 && (l.Median == nil || math.IsNaN(*l.Median)) {
			t.Errorf("%s: n %d and no median", l.Key, l.N)
		}
	}
	for key, want := range map[string]string{
		driftToHealed: miss, driftTail: hit, lateDrifts: miss, restRequests: miss, wholeChain: notMeasured, restWatches: notMeasured,
	} {
		if verdicts[key] != want {
			t.Errorf("%s: %q, want %q", key, verdicts[key], want)
		}
	}
	var text strings.Builder
	if err := r.print(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"commit abc", "MISS", "not measured", "The machine was busy (load 9.0 1 1 on 2 CPUs)"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, text.String())
		}
	}
}

// TestTargetsAreForTheirFleet: numbers of another number of Applications are
// not compared with targets and peers.
func TestTargetsAreForTheirFleet(t *testing.T) {
	for _, m := range metrics(20) {
		if (strings.HasPrefix(m.Key, "fleet-") || strings.HasPrefix(m.Key, "rest-")) && (m.HasTarget || m.Kargo != "") {
			t.Errorf("%s has a target", m.Key)
		}
	}
	keys := map[string]bool{}
	for _, m := range metrics(fleetOfTargets) {
		if keys[m.Key] {
			t.Errorf("%s twice", m.Key)
		}
		keys[m.Key] = true
		if m.HasTarget && m.Judge == "" {
			t.Errorf("%s: a target for nothing", m.Key)
		}
	}
}
