package main

import (
	"math"
	"testing"
)

func TestSummarize(t *testing.T) {
	hundred := make([]float64, 100)
	for i := range hundred {
		hundred[i] = float64(100 - i)
	}
	for _, c := range []struct {
		name, why string
		samples   []float64
		want      summary
	}{
		{"one", "it is all three", []float64{7}, summary{1, 7, 7, 7}},
		{"odd", "order does not matter", []float64{3, 1, 2}, summary{3, 1, 2, 3}},
		{"even", "the lower middle was measured, the mean was not", []float64{4, 1, 3, 2}, summary{4, 1, 2, 4}},
		{"hundred", "one in a hundred may be worse than p99", hundred, summary{100, 1, 50, 99}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := summarize(c.samples); got != c.want {
				t.Errorf("%+v, want %+v: %s", got, c.want, c.why)
			}
		})
	}
	if s := summarize(nil); s.N != 0 || !math.IsNaN(s.Median) {
		t.Errorf("of nothing: %+v", s)
	}
}
