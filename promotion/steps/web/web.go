// Package web sends the requests of steps: to where a Stage's author says, by a
// transport that refuses addresses they have no business with, within limits.
package web

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/waybill-dev/waybill/internal/outbound"
	"github.com/waybill-dev/waybill/promotion/steps/step"
)

const (
	defaultTimeout = 30 * time.Second
	maxTimeout     = 5 * time.Minute
)

// Request is one request.
type Request struct {
	Method, URL    string
	Headers, Query map[string]string
	Body           string
	// Timeout of the whole exchange; zero: 30 seconds.
	Timeout time.Duration
	// MaxBytes bounds the body of the answer.
	MaxBytes int64
}

// Response is its answer.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
}

// Do sends r. What no repetition mends is a terminal error: an address that is
// refused, a URL that is none, an answer that is too large.
func Do(ctx context.Context, transport http.RoundTripper, r Request) (*Response, error) {
	if transport == nil {
		return nil, step.Terminal("DestinationRefused", errors.New("this server sends no requests of steps"))
	}
	u, err := url.Parse(r.URL)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, step.Terminal("InvalidConfig", fmt.Errorf("url %.200q is no http or https URL", r.URL))
	}
	query := u.Query()
	for name, value := range r.Query {
		query.Set(name, value)
	}
	if len(r.Query) > 0 {
		u.RawQuery = query.Encode()
	}
	timeout := r.Timeout
	if timeout <= 0 {
		timeout = defaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, min(timeout, maxTimeout))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, r.Method, u.String(), bytes.NewReader([]byte(r.Body)))
	if err != nil {
		return nil, step.Terminal("InvalidConfig", fmt.Errorf("request to %q: the method or URL is invalid", u.Host))
	}
	for name, value := range r.Headers {
		req.Header.Set(name, value)
	}
	client := &http.Client{Transport: transport}
	if t, ok := transport.(*outbound.Transport); ok {
		client.CheckRedirect = t.CheckRedirect
	}
	resp, err := client.Do(req) //nolint:bodyclose // closed below
	if err != nil {
		return nil, refused(u.Host, err)
	}
	defer func() { _ = resp.Body.Close() }() // read to the end or given up
	body, err := io.ReadAll(io.LimitReader(resp.Body, r.MaxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read the answer of %q: %w", u.Host, err)
	}
	if int64(len(body)) > r.MaxBytes {
		return nil, step.Terminal("FileTooLarge", fmt.Errorf("the answer of %q has more than %d bytes", u.Host, r.MaxBytes))
	}
	return &Response{Status: resp.StatusCode, Header: resp.Header, Body: body}, nil
}

// refused tells what policy forbids from what may work later. The URL stays out
// of the message: it may hold a token.
func refused(host string, err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	var address *outbound.AddressError
	for _, forbidden := range []error{outbound.ErrForbiddenURL, outbound.ErrForbiddenRedirect, outbound.ErrPlainHTTP} {
		if errors.Is(err, forbidden) {
			return step.Terminal("DestinationRefused", fmt.Errorf("request to %q: %w", host, err))
		}
	}
	if errors.As(err, &address) {
		return step.Terminal("DestinationRefused", fmt.Errorf("request to %q: %w", host, err))
	}
	return step.Reasoned("HostUnreachable", fmt.Errorf("request to %q: %w", host, err))
}

// Duration reads a duration of a configuration; an empty text is fallback.
func Duration(field, text string, fallback time.Duration) (time.Duration, error) {
	if text == "" {
		return fallback, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, step.Terminal("InvalidConfig", fmt.Errorf("%s %q is no duration such as 30s or 5m", field, text))
	}
	return d, nil
}
