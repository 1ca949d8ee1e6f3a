package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"text/tabwriter"
	"time"
)

// report is what was measured.
type report struct {
	at       time.Time
	commit   string
	load     string // the three load averages at the start
	loadEnd  string
	cpus     int
	platform string
	options  options
	samples  map[string][]float64
	// unfinished names the parts that did not get to their end, and why.
	unfinished []string

	chainCosts          []usage
	fleetCost, restCost *usage
}

func (r *report) add(key string, value float64) { r.samples[key] = append(r.samples[key], value) }

// keepLast copies the last n samples of one key to another.
func (r *report) keepLast(from, to string, n int) {
	all := r.samples[from]
	r.samples[to] = append([]float64(nil), all[max(0, len(all)-n):]...)
}

// row is one line as JSON has it.
type row struct {
	Key     string            `json:"key"`
	Name    string            `json:"name"`
	Unit    string            `json:"unit,omitempty"`
	N       int               `json:"n"`
	Min     *float64          `json:"min,omitempty"`
	Median  *float64          `json:"median,omitempty"`
	P99     *float64          `json:"p99,omitempty"`
	Max     *float64          `json:"max,omitempty"`
	Target  string            `json:"target,omitempty"`
	Verdict string            `json:"verdict"`
	Others  map[string]string `json:"others,omitempty"`
	Commit  string            `json:"commit"`
	Load    string            `json:"load"`
	Samples []float64         `json:"samples"`
}

// Verdicts on a line.
const (
	hit         = "hit"
	miss        = "MISS"
	noTarget    = "-"
	notMeasured = "not measured"
)

// rows judges every metric.
func (r *report) rows() []row {
	var out []row
	lines := metrics(r.options.fleet)
	if r.options.big {
		lines = bigMetrics()
	}
	for _, m := range lines {
		from := m.Key
		if from == driftTail {
			from = driftToHealed
		}
		samples := r.samples[from]
		s := summarize(samples)
		line := row{
			Key: m.Key, Name: m.Name, Unit: m.Unit, N: s.N, Target: m.target(), Verdict: m.verdict(samples),
			Commit: r.commit, Load: r.load, Samples: samples,
		}
		if s.N > 0 {
			line.Min, line.Median, line.P99 = &s.Min, &s.Median, &s.P99
			largest := maximum(samples)
			line.Max = &largest
		}
		if m.Kargo != "" || m.Flux != "" {
			line.Others = map[string]string{"kargo+argocd": m.Kargo, "flux": m.Flux}
		}
		out = append(out, line)
	}
	return out
}

// target is the bound as text, or "".
func (m metric) target() string {
	if !m.HasTarget {
		return ""
	}
	sign := "< "
	if m.Inclusive {
		sign = "<= "
	}
	return m.Judge + " " + sign + number(m.Below)
}

// verdict compares samples with the target.
func (m metric) verdict(samples []float64) string {
	if len(samples) == 0 {
		return notMeasured
	}
	if !m.HasTarget {
		return noTarget
	}
	s := summarize(samples)
	got := s.Median
	switch m.Judge {
	case "p99":
		got = s.P99
	case "max":
		got = maximum(samples)
	}
	if got < m.Below || m.Inclusive && got == m.Below {
		return hit
	}
	return miss
}

func maximum(samples []float64) float64 {
	largest := samples[0]
	for _, x := range samples {
		largest = max(largest, x)
	}
	return largest
}

// number writes a quantity with three significant digits.
func number(x float64) string {
	switch {
	case x == 0:
		return "0"
	case x >= 100:
		return strconv.FormatFloat(x, 'f', 0, 64)
	case x >= 10:
		return strconv.FormatFloat(x, 'f', 1, 64)
	case x >= 1:
		return strconv.FormatFloat(x, 'f', 2, 64)
	default:
		return strconv.FormatFloat(x, 'f', 3, 64)
	}
}

// print writes the table.
func (r *report) print(w io.Writer) error {
	fmt.Fprintf(w, "\ncommit %s, %s, %d CPUs, load %s at the start and %s at the end\n\n", r.commit, r.platform, r.cpus, r.load, r.loadEnd)
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "work\tunit\tn\tmin\tmedian\tp99\ttarget\tverdict\tKargo + Argo CD\tFlux")
	for _, l := range r.rows() {
		values := "\t\t"
		if l.N > 0 {
			values = number(*l.Min) + "\t" + number(*l.Median) + "\t" + number(*l.P99)
		}
		fmt.Fprintf(t, "%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\n", l.Name, l.Unit, l.N, values, l.Target, l.Verdict, l.Others["kargo+argocd"], l.Others["flux"])
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w, "\np99 of fewer than 100 samples is the largest.")
	for _, line := range r.sources() {
		fmt.Fprintln(w, line)
	}
	if r.isBusy() {
		fmt.Fprintf(w, "The machine was busy (load %s on %d CPUs): times are longer than on one at rest.\n", r.load, r.cpus)
	}
	for _, u := range r.unfinished {
		fmt.Fprintln(w, "unfinished: "+u)
	}
	return nil
}

// sources says where the numbers of others come from.
func (r *report) sources() []string {
	if r.options.big {
		return bigSources
	}
	return []string{"Kargo + Argo CD and Flux: measured earlier, on the same kind of machine and control plane."}
}

// isBusy reports whether others kept the machine's CPUs at the start.
func (r *report) isBusy() bool {
	var oneMinute float64
	_, err := fmt.Sscanf(r.load, "%g", &oneMinute)
	return err == nil && oneMinute > float64(r.cpus)
}

// write puts everything into a JSON file.
func (r *report) write(file string) error {
	document := map[string]any{
		"commit": r.commit, "at": r.at.UTC().Format(time.RFC3339), "platform": r.platform, "cpus": r.cpus,
		"loadAtStart": r.load, "loadAtEnd": r.loadEnd, "unfinished": r.unfinished, "rows": r.rows(),
		"costs": map[string]any{"chains": r.chainCosts, "fleet": r.fleetCost, "rest": r.restCost},
	}
	raw, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the report: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, append(raw, '\n'), 0o644)
}
