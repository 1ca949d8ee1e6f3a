// Package httprequest is the step http: it sends a request, reads its answer,
// and can wait until the answer says that something is done.
//
// The server connects to public addresses only: not to itself, its cluster,
// metadata services or private networks. Without expressions an answer of 2xx is
// success and every other a failure. A request that may have been sent twice,
// because the server stopped in between, has the same Idempotency-Key both times.
// Output: what outputs names.
package httprequest

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/internal/expression"
	"github.com/waybill-dev/waybill/promotion/steps/step"
	"github.com/waybill-dev/waybill/promotion/steps/web"
)

const (
	maxAnswer   = 2 << 20
	defaultPoll = 30 * time.Second
	minPoll     = time.Second
)

// Config of http.
type Config struct {
	// URL of the request.
	URL string `json:"url"`
	// Method of the request; default GET.
	Method string `json:"method,omitempty" enum:"GET,HEAD,POST,PUT,PATCH,DELETE,OPTIONS"`
	// Headers of the request.
	Headers []Pair `json:"headers,omitempty"`
	// QueryParams are added to the URL.
	QueryParams []Pair `json:"queryParams,omitempty"`
	// Body of the request.
	Body string `json:"body,omitempty"`
	// Timeout of one request; default 30s, at most 5m.
	Timeout string `json:"timeout,omitempty"`
	// PollInterval is how long to wait before asking again; default 30s.
	PollInterval string `json:"pollInterval,omitempty"`
	// ResponseContentType reads the body as this type, whatever the answer says.
	ResponseContentType string `json:"responseContentType,omitempty"`
	// SuccessExpression is true when the step is done; it sees response.status,
	// response.body, response.headers and response.header(name). Written without
	// brackets.
	SuccessExpression string `json:"successExpression,omitempty"`
	// FailureExpression is true when the step has failed. With neither true the
	// request is repeated after pollInterval.
	FailureExpression string `json:"failureExpression,omitempty"`
	// Outputs to take from the answer.
	Outputs []Output `json:"outputs,omitempty"`
}

// Pair is a name with a value.
type Pair struct {
	// Name of the header or parameter.
	Name string `json:"name"`
	// Value of it.
	Value string `json:"value"`
}

// Output is one value to take from the answer.
type Output struct {
	// Name under which later steps find it.
	Name string `json:"name"`
	// FromExpression says where it is: response.body.ticket.id. Written without
	// brackets.
	FromExpression string `json:"fromExpression"`
}

// Step is http.
type Step struct {
	// Transport that guards where requests go.
	Transport http.RoundTripper
}

var _ step.Once = Step{}

// NewConfig returns an empty configuration.
func (Step) NewConfig() any { return new(Config) }

// NeedsWorkspace is false.
func (Step) NeedsWorkspace() bool { return false }

// Run sends the request and judges the answer.
func (s Step) Run(ctx context.Context, in step.Input) (step.Result, error) {
	var c Config
	if err := step.Decode(in.Config, &c); err != nil {
		return step.Result{}, err
	}
	timeout, err := web.Duration("timeout", c.Timeout, 0)
	if err != nil {
		return step.Result{}, err
	}
	poll, err := web.Duration("pollInterval", c.PollInterval, defaultPoll)
	if err != nil {
		return step.Result{}, err
	}
	request := web.Request{
		Method: cmp.Or(c.Method, http.MethodGet), URL: c.URL, Headers: pairs(c.Headers), Query: pairs(c.QueryParams),
		Body: c.Body, Timeout: timeout, MaxBytes: maxAnswer,
	}
	request.Headers["Idempotency-Key"] = string(in.Promotion.UID) + "/" + in.As
	answer, err := web.Do(ctx, s.Transport, request)
	if err != nil {
		return step.Result{}, err //nolint:wrapcheck // names the host already
	}
	scope := expression.Scope{Functions: expression.Standard(), Now: in.Date, Variables: map[string]any{"response": variables(answer, c)}}
	done, err := judge(c, answer.Status, scope)
	if err != nil {
		return step.Result{}, err
	}
	message := fmt.Sprintf("the answer is %d %s", answer.Status, http.StatusText(answer.Status))
	if !done {
		return step.Result{Wait: max(poll, minPoll), Message: message + ", which is neither success nor failure"}, nil
	}
	out := map[string]any{}
	for _, o := range c.Outputs {
		v, err := expression.Evaluate(o.FromExpression, scope)
		if err != nil {
			return step.Result{}, step.Terminal("InvalidExpression", fmt.Errorf("output %q: %w", o.Name, err))
		}
		out[o.Name] = v
	}
	return step.Result{Message: message, Output: out}, nil
}

func pairs(list []Pair) map[string]string {
	out := map[string]string{}
	for _, p := range list {
		out[p.Name] = p.Value
	}
	return out
}

// judge reports whether the step is done; a failure is a terminal error.
func judge(c Config, status int, scope expression.Scope) (bool, error) {
	failed := step.Terminal("RequestFailed", fmt.Errorf("the answer is %d %s, which is a failure", status, http.StatusText(status)))
	is := func(text string) (bool, error) {
		ok, err := expression.Bool(text, scope)
		if err != nil {
			return false, step.Terminal("InvalidExpression", err)
		}
		return ok, nil
	}
	switch {
	case c.SuccessExpression == "" && c.FailureExpression == "":
		if status < 200 || status > 299 {
			if status >= 500 || status == http.StatusTooManyRequests {
				return false, step.Reasoned("RequestFailed", errors.New(failed.Error()))
			}
			return false, failed
		}
		return true, nil
	case c.FailureExpression == "":
		ok, err := is(c.SuccessExpression)
		if err == nil && !ok {
			err = failed
		}
		return ok, err
	}
	bad, err := is(c.FailureExpression)
	if err != nil {
		return false, err
	}
	if bad {
		return false, failed
	}
	if c.SuccessExpression == "" {
		return true, nil
	}
	return is(c.SuccessExpression)
}

// variables is what expressions see of an answer.
func variables(a *web.Response, c Config) map[string]any {
	headers := map[string]any{}
	for name := range a.Header {
		headers[name] = a.Header.Get(name)
	}
	var body any = string(a.Body)
	kind := cmp.Or(c.ResponseContentType, a.Header.Get("Content-Type"))
	if strings.Contains(kind, "json") {
		var v any
		if err := json.Unmarshal(a.Body, &v); err == nil {
			body = v
		}
	}
	return map[string]any{
		"status": a.Status, "body": body, "headers": headers,
		"header": func(name string) string { return a.Header.Get(name) },
	}
}
