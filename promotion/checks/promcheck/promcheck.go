// Package promcheck runs the prometheus check of a verification: one instant
// query by the stable HTTP API (/api/v1/query), judged by its conditions.
package promcheck

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/expression"
	"github.com/waybill-dev/waybill/internal/outbound"
	"github.com/waybill-dev/waybill/promotion"
	"github.com/waybill-dev/waybill/promotion/checks/httpcheck"
)

const (
	defaultTimeout = 30 * time.Second
	// maxAnswer bounds an answer in bytes, and maxSeries the series in it.
	maxAnswer = 1 << 20
	maxSeries = 1000
)

// answer is what /api/v1/query returns.
type answer struct {
	Status string `json:"status"`
	Error  string `json:"error"`
	Data   struct {
		ResultType string          `json:"resultType"`
		Result     json.RawMessage `json:"result"`
	} `json:"data"`
}

// sample is one series of a vector.
type sample struct {
	Metric map[string]string `json:"metric"`
	Value  point             `json:"value"`
}

// point is [unix time, "value"].
type point [2]any

// Measure sends the query of a check whose expressions are evaluated, over
// transport, and judges the result.
func Measure(ctx context.Context, transport http.RoundTripper, c *v1alpha1.PrometheusCheck, s expression.Scope) promotion.Measurement {
	timeout := defaultTimeout
	if c.Timeout != nil {
		timeout = c.Timeout.Duration
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	address, err := url.Parse(strings.TrimSuffix(c.Address, "/"))
	if err != nil || address.Host == "" || address.Scheme != "http" && address.Scheme != "https" {
		return final(fmt.Sprintf("address %q is not an address by https or http", c.Address))
	}
	body := url.Values{"query": {c.Query}, "timeout": {timeout.String()}}.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address.JoinPath("api/v1/query").String(), strings.NewReader(body))
	if err != nil {
		return final(err.Error())
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("User-Agent", "waybill")
	client := &http.Client{Transport: transport}
	response, err := client.Do(request)
	if err != nil {
		return httpcheck.NotMeasured(address, err, timeout)
	}
	defer response.Body.Close() //nolint:errcheck // only read
	raw, err := outbound.ReadAll(response.Body, maxAnswer)
	if err != nil {
		return httpcheck.NotMeasured(address, err, timeout)
	}
	var a answer
	switch err := json.Unmarshal(raw, &a); {
	case err != nil || a.Status == "":
		return promotion.Measurement{Outcome: promotion.OutcomeError, Message: fmt.Sprintf("%s answered %s, not as a Prometheus does", address.Host, response.Status)}
	case a.Status != "success":
		// A query that cannot be read is wrong for good; the rest may pass.
		return promotion.Measurement{
			Outcome: promotion.OutcomeError, IsFinal: response.StatusCode == http.StatusBadRequest,
			Message: fmt.Sprintf("%s answered %s: %s", address.Host, response.Status, a.Error),
		}
	}
	return judge(c, s, &a)
}

func judge(c *v1alpha1.PrometheusCheck, s expression.Scope, a *answer) promotion.Measurement {
	series, err := samples(a)
	if err != nil {
		return final(err.Error())
	}
	results := make([]any, len(series))
	for i, p := range series {
		labels := map[string]any{}
		for k, v := range p.Metric {
			labels[k] = v
		}
		number, err := p.Value.number()
		if err != nil {
			return final(err.Error())
		}
		results[i] = map[string]any{"labels": labels, "value": number}
	}
	vars := map[string]any{"results": results, "result": nil}
	text := fmt.Sprintf("%d series", len(results))
	if len(results) == 1 {
		number := results[0].(map[string]any)["value"].(float64)
		vars["result"] = number
		text = strconv.FormatFloat(number, 'g', 6, 64)
	}
	if usesResult(c) {
		switch {
		case len(results) == 0:
			return promotion.Measurement{Outcome: promotion.OutcomeError, Message: "the query returned no data"}
		case len(results) > 1:
			return final(fmt.Sprintf("the query returned %d series; aggregate them to one, or let the condition read results", len(results)))
		case math.IsNaN(vars["result"].(float64)):
			return promotion.Measurement{Outcome: promotion.OutcomeError, Value: text, Message: "the query returned NaN: nothing to divide by yet?"}
		}
	}
	m := promotion.MeasurementOf(&c.Measuring, s, vars, false, text)
	if m.Message == text {
		m.Message = "result is " + text
	}
	return m
}

// usesResult reports whether a condition reads the one number.
func usesResult(c *v1alpha1.PrometheusCheck) bool {
	for _, condition := range []string{c.SuccessCondition, c.FailureCondition} {
		if condition == "" {
			continue
		}
		refs, err := promotion.CheckConditionReferences(&v1alpha1.Check{Prometheus: c}, condition)
		if err != nil {
			return false // the evaluation says what is wrong with it
		}
		for _, r := range refs {
			if r.Variable == "result" {
				return true
			}
		}
	}
	return false
}

func samples(a *answer) ([]sample, error) {
	switch a.Data.ResultType {
	case "vector":
		var all []sample
		if err := json.Unmarshal(a.Data.Result, &all); err != nil {
			return nil, fmt.Errorf("the answer cannot be read: %w", err)
		}
		if len(all) > maxSeries {
			return nil, fmt.Errorf("the query returned %d series, more than %d; aggregate them", len(all), maxSeries)
		}
		return all, nil
	case "scalar":
		var p point
		if err := json.Unmarshal(a.Data.Result, &p); err != nil {
			return nil, fmt.Errorf("the answer cannot be read: %w", err)
		}
		return []sample{{Value: p}}, nil
	default:
		return nil, fmt.Errorf("the query returns a %s; a check needs a number or an instant vector", a.Data.ResultType)
	}
}

func (p point) number() (float64, error) {
	text, ok := p[1].(string)
	if !ok {
		return 0, errors.New("the answer cannot be read: a value is not a text")
	}
	number, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, fmt.Errorf("the answer cannot be read: %q is no number", text)
	}
	return number, nil
}

func final(message string) promotion.Measurement {
	return promotion.Measurement{Outcome: promotion.OutcomeError, IsFinal: true, Message: message}
}
