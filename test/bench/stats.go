package main

import (
	"math"
	"slices"
)

// summary describes samples of one quantity, in their unit.
type summary struct {
	N      int
	Min    float64
	Median float64
	P99    float64
}

// summarize returns the summary of samples; of none, all is NaN.
func summarize(samples []float64) summary {
	if len(samples) == 0 {
		return summary{Min: math.NaN(), Median: math.NaN(), P99: math.NaN()}
	}
	sorted := slices.Sorted(slices.Values(samples))
	return summary{N: len(sorted), Min: sorted[0], Median: quantile(sorted, 0.5), P99: quantile(sorted, 0.99)}
}

// quantile returns the smallest of the sorted samples that at least the share q
// of them does not exceed (nearest rank): a value that was measured, never one
// in between. With fewer than 100 samples the 99th percentile is the largest.
func quantile(sorted []float64, q float64) float64 {
	rank := int(math.Ceil(q * float64(len(sorted))))
	return sorted[max(rank, 1)-1]
}
