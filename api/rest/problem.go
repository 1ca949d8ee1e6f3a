package rest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/identity"
)

// refusal is an error that people see. Everything else is "internal error" to
// them, with a request id that finds it in the log.
type refusal struct {
	code      model.ProblemCode
	detail    string
	hint      string
	errors    []model.FieldError
	blockedBy []v1alpha1.GateVerdict
	// retryAfter, when set, becomes the header Retry-After.
	retryAfter time.Duration
	// cause goes to the log.
	cause error
}

// Error returns the code, the detail and the cause, for the log.
func (r *refusal) Error() string {
	if r.cause != nil {
		return fmt.Sprintf("%s: %s: %v", r.code, r.detail, r.cause)
	}
	return fmt.Sprintf("%s: %s", r.code, r.detail)
}

// Unwrap returns the cause.
func (r *refusal) Unwrap() error { return r.cause }

func refuse(code model.ProblemCode, format string, args ...any) *refusal {
	return &refusal{code: code, detail: fmt.Sprintf(format, args...)}
}

func (r *refusal) withHint(format string, args ...any) *refusal {
	r.hint = fmt.Sprintf(format, args...)
	return r
}

// noProject is the answer for a Project that is not there and for one that may
// not be seen: they must not differ.
func noProject(name string) *refusal {
	return refuse(model.NotFound, "no Project %q, or you may not see it", name).withHint("waybill get projects lists those you may see")
}

// statusOf returns the HTTP status of a code.
func statusOf(code model.ProblemCode) int {
	switch code {
	case model.InvalidRequest:
		return http.StatusBadRequest
	case model.InvalidManifest, model.KeyReused:
		return http.StatusUnprocessableEntity
	case model.PayloadTooLarge:
		return http.StatusRequestEntityTooLarge
	case model.Unavailable:
		return http.StatusServiceUnavailable
	case model.NotFound:
		return http.StatusNotFound
	case model.NotSignedIn, model.WrongCredentials:
		return http.StatusUnauthorized
	case model.Forbidden:
		return http.StatusForbidden
	case model.Conflict, model.PlanChanged, model.GateClosed:
		return http.StatusConflict
	case model.PreconditionFailed:
		return http.StatusPreconditionFailed
	case model.PreconditionRequired:
		return http.StatusPreconditionRequired
	case model.TooManyRequests:
		return http.StatusTooManyRequests
	case model.Timeout:
		return http.StatusGatewayTimeout
	default:
		return http.StatusInternalServerError
	}
}

// titleOf returns the title of a code: the same for each problem of its kind.
func titleOf(code model.ProblemCode) string {
	return strings.ToUpper(string(code[:1])) + strings.ReplaceAll(string(code[1:]), "-", " ")
}

// problemOf returns what people see of err.
func problemOf(err error, requestID string) (model.Problem, *refusal) {
	r := refusalOf(err)
	p := model.Problem{
		Type: "urn:waybill:problem:" + string(r.code), Title: titleOf(r.code), Status: statusOf(r.code), Code: r.code,
		Detail: r.detail, Hint: r.hint, RequestID: requestID, Errors: r.errors,
	}
	for _, v := range r.blockedBy {
		p.BlockedBy = append(p.BlockedBy, gateModel(v))
	}
	return p, r
}

// refusalOf finds the refusal in err, or makes the one that err stands for.
func refusalOf(err error) *refusal {
	var r *refusal
	var he *echo.HTTPError
	var tooLarge *http.MaxBytesError
	var tooMany *identity.TooManyError
	switch {
	case errors.As(err, &r):
		return r
	case errors.As(err, &tooLarge):
		return &refusal{code: model.PayloadTooLarge, detail: fmt.Sprintf("the request is larger than %d bytes", tooLarge.Limit), cause: err}
	case errors.As(err, &tooMany):
		return &refusal{code: model.TooManyRequests, detail: tooMany.Error(), retryAfter: tooMany.RetryAfter}
	case errors.Is(err, context.DeadlineExceeded):
		return &refusal{code: model.Timeout, detail: "the server took too long", cause: err}
	case errors.Is(err, context.Canceled):
		return &refusal{code: model.Timeout, detail: "the request was given up", cause: err}
	case errors.As(err, &he):
		return refusalOfEcho(he)
	default:
		return &refusal{code: model.Internal, detail: "internal error", cause: err}
	}
}

func refusalOfEcho(he *echo.HTTPError) *refusal {
	switch he.Code {
	case http.StatusNotFound:
		return refuse(model.NotFound, "there is no such page in the API").withHint("GET /api/openapi.json lists the operations")
	case http.StatusMethodNotAllowed:
		return refuse(model.InvalidRequest, "this page of the API has no such method").withHint("GET /api/openapi.json lists the operations")
	case http.StatusRequestEntityTooLarge:
		return refuse(model.PayloadTooLarge, "the request is too large")
	}
	if he.Code >= 400 && he.Code < 500 {
		// Parameter binding of the generated code: names the parameter.
		return &refusal{code: model.InvalidRequest, detail: fmt.Sprint(he.Message), cause: he.Internal}
	}
	return &refusal{code: model.Internal, detail: "internal error", cause: he}
}

// writeProblem answers with the problem of err.
func writeProblem(w http.ResponseWriter, p model.Problem, r *refusal) {
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	if r.retryAfter > 0 {
		seconds := int((r.retryAfter + time.Second - 1) / time.Second)
		h.Set("Retry-After", strconv.Itoa(seconds))
	}
	if p.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="waybill"`)
	}
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the client is gone if this fails
}

// fromKube turns what Kubernetes answered to a person's own request into what
// the person sees. what names the attempt: `create Promotion in "guestbook"`.
func fromKube(what string, err error) error {
	if err == nil {
		return nil
	}
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return fmt.Errorf("%s: %w", what, err)
	}
	s := status.Status()
	message := admissionText(s.Message)
	r := &refusal{cause: err}
	switch {
	case apierrors.IsForbidden(err), apierrors.IsUnauthorized(err):
		r.code, r.detail = model.Forbidden, message
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
		r.code, r.detail = model.InvalidRequest, message
		if s.Details != nil {
			for _, c := range s.Details.Causes {
				r.errors = append(r.errors, model.FieldError{Pointer: pointerOf(c.Field), Field: c.Field, Detail: c.Message})
			}
		}
	case apierrors.IsNotFound(err):
		r.code, r.detail = model.NotFound, message
	case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err):
		r.code, r.detail = model.Conflict, message
	case apierrors.IsTooManyRequests(err), apierrors.IsServiceUnavailable(err), apierrors.IsServerTimeout(err):
		r.code, r.detail, r.hint = model.Unavailable, "Kubernetes is busy or not reachable", "try again in a moment"
	case apierrors.IsTimeout(err):
		r.code, r.detail = model.Timeout, "Kubernetes took too long"
	default:
		return fmt.Errorf("%s: %w", what, err)
	}
	return r
}

// admissionText drops the envelope around the message of a
// ValidatingAdmissionPolicy, whose own text says what to do.
func admissionText(message string) string {
	const marker = "denied request: "
	if i := strings.Index(message, marker); i >= 0 && strings.Contains(message[:i], "ValidatingAdmissionPolicy") {
		return message[i+len(marker):]
	}
	return message
}

// pointerOf turns spec.subscriptions[0].image into a JSON pointer.
func pointerOf(field string) string {
	if field == "" {
		return ""
	}
	return "/" + strings.NewReplacer("].", "/", ".", "/", "[", "/", "]", "").Replace(field)
}
