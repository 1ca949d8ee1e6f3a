// Package httpcheck runs the http check of a verification: one request, judged
// by its conditions.
package httpcheck

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/expression"
	"github.com/waybill-dev/waybill/internal/outbound"
	"github.com/waybill-dev/waybill/promotion"
)

const (
	defaultTimeout = 10 * time.Second
	// maxBody bounds what is read of an answer.
	maxBody = 256 << 10
)

// Measure sends the request of a check whose expressions are evaluated, over
// transport, and judges the answer. It always returns: nothing takes longer than
// the check's timeout.
func Measure(ctx context.Context, transport http.RoundTripper, c *v1alpha1.HTTPCheck, s expression.Scope) promotion.Measurement {
	timeout := defaultTimeout
	if c.Timeout != nil {
		timeout = c.Timeout.Duration
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	method := c.Method
	if method == "" {
		method = http.MethodGet
	}
	request, err := http.NewRequestWithContext(ctx, method, c.URL, strings.NewReader(c.Body))
	if err != nil || request.URL.Host == "" || request.URL.Scheme != "http" && request.URL.Scheme != "https" {
		return promotion.Measurement{Outcome: promotion.OutcomeError, IsFinal: true, Message: fmt.Sprintf("url %q is not an address by https or http", c.URL)}
	}
	request.Header.Set("User-Agent", "waybill")
	for _, h := range c.Headers {
		request.Header.Set(h.Name, h.Value)
	}
	client := &http.Client{Transport: transport}
	response, err := client.Do(request)
	if err != nil {
		return NotMeasured(request.URL, err, timeout)
	}
	defer response.Body.Close() //nolint:errcheck // only read
	body, err := outbound.ReadAll(response.Body, maxBody)
	if err != nil {
		return NotMeasured(request.URL, err, timeout)
	}
	headers := map[string]any{}
	for name, values := range response.Header {
		headers[name] = strings.Join(values, ", ")
	}
	vars := map[string]any{"response": map[string]any{"status": response.StatusCode, "headers": headers, "body": decoded(body)}}
	isGood := response.StatusCode >= 200 && response.StatusCode < 300
	m := promotion.MeasurementOf(&c.Measuring, s, vars, isGood, fmt.Sprintf("%s %s answered %s", method, redacted(request.URL), response.Status))
	m.Value = response.Status
	return m
}

// decoded is the body as JSON where it is that, and text otherwise.
func decoded(body []byte) any {
	var v any
	if err := json.Unmarshal(body, &v); err == nil {
		return v
	}
	return strings.ToValidUTF8(string(body), "\uFFFD")
}

// NotMeasured says why a server gave no answer. An address that may not be
// connected to is final: asking again changes nothing.
func NotMeasured(to *url.URL, err error, timeout time.Duration) promotion.Measurement {
	m := promotion.Measurement{Outcome: promotion.OutcomeError}
	var inner *url.Error
	if errors.As(err, &inner) {
		err = inner.Err
	}
	var refused *outbound.AddressError
	switch {
	case errors.As(err, &refused):
		m.IsFinal = true
		m.Message = fmt.Sprintf("%s: %v; an administrator can add %q to spec.allowedHosts of the Project", redacted(to), err, to.Hostname())
	case errors.Is(err, outbound.ErrPlainHTTP):
		m.IsFinal = true
		m.Message = fmt.Sprintf("%s: %v; use https, or let an administrator add %q to spec.allowedHosts of the Project", redacted(to), err, to.Hostname())
	case errors.Is(err, context.DeadlineExceeded):
		m.Message = fmt.Sprintf("%s gave no answer within %s", redacted(to), timeout)
	default:
		m.Message = fmt.Sprintf("%s: %v", redacted(to), err)
	}
	return m
}

// redacted is an address without what may be secret: user, query and fragment.
func redacted(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}
