package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"

	"github.com/waybill-dev/waybill/api/rest/model"
)

// maxProblemBytes is the largest problem document that is read.
const maxProblemBytes = 1 << 20

// Problem is a refusal by the server. Its fields are those of the problem
// document (RFC 9457): stable Code, one sentence in Detail, what to do in Hint,
// closed gates in BlockedBy.
type Problem struct {
	model.Problem
}

// Error returns the detail; the hint and request id are for the caller to show.
func (p *Problem) Error() string { return p.Detail }

// UnreachableError means that the server gave no answer, or not a whole one.
type UnreachableError struct {
	// Server is the base URL.
	Server string
	// Err is the cause.
	Err error
}

// Error names the server and the cause.
func (e *UnreachableError) Error() string { return fmt.Sprintf("server %s: %v", e.Server, e.Err) }

// Unwrap returns the cause.
func (e *UnreachableError) Unwrap() error { return e.Err }

// Code returns the code of the Problem in err, or "".
func Code(err error) model.ProblemCode {
	var p *Problem
	if errors.As(err, &p) {
		return p.Code
	}
	return ""
}

// Exit codes of the command line, the same in every verb (design 05).
const (
	ExitDone        = 0
	ExitFailed      = 1
	ExitUsage       = 2
	ExitNotFound    = 3
	ExitForbidden   = 4
	ExitConflict    = 5
	ExitTimeout     = 6
	ExitBlocked     = 7
	ExitInterrupted = 130
)

// ExitCode returns the exit code that err stands for: 0 for nil, 1 for errors
// that have no code of their own.
func ExitCode(err error) int {
	var unreachable *UnreachableError
	switch {
	case err == nil:
		return ExitDone
	case errors.As(err, &unreachable):
		return ExitUsage
	case errors.Is(err, context.Canceled):
		return ExitInterrupted
	case errors.Is(err, context.DeadlineExceeded):
		return ExitTimeout
	}
	switch Code(err) {
	case model.InvalidRequest, model.InvalidManifest, model.PayloadTooLarge, model.PreconditionRequired, model.KeyReused, model.Unavailable:
		return ExitUsage
	case model.NotFound:
		return ExitNotFound
	case model.NotSignedIn, model.WrongCredentials, model.Forbidden:
		return ExitForbidden
	case model.Conflict, model.PlanChanged, model.PreconditionFailed:
		return ExitConflict
	case model.GateClosed:
		return ExitBlocked
	default:
		return ExitFailed
	}
}

// readProblem returns the error an answer outside 2xx stands for.
func readProblem(resp *http.Response) error {
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxProblemBytes))
	p := &Problem{}
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err == nil && kind == "application/problem+json" && json.Unmarshal(data, &p.Problem) == nil && p.Code != "" {
		return p
	}
	// Something between us and Waybill answered: a proxy, or another server.
	p.Problem = model.Problem{
		Type: "about:blank", Title: http.StatusText(resp.StatusCode), Status: resp.StatusCode,
		Code: codeOfStatus(resp.StatusCode), RequestID: resp.Header.Get("X-Request-Id"),
		Detail: fmt.Sprintf("%s answered %s, not as a Waybill server does", resp.Request.URL.Host, resp.Status),
		Hint:   "check the server address, and any proxy in front of it",
	}
	return p
}

func codeOfStatus(status int) model.ProblemCode {
	switch {
	case status == http.StatusUnauthorized:
		return model.NotSignedIn
	case status == http.StatusForbidden:
		return model.Forbidden
	case status == http.StatusTooManyRequests:
		return model.TooManyRequests
	case status >= 300 && status < 400, status == http.StatusNotFound, status == http.StatusBadGateway,
		status == http.StatusServiceUnavailable, status == http.StatusGatewayTimeout:
		return model.Unavailable
	default:
		return model.Internal
	}
}
