package git

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/waybill-dev/waybill/internal/outbound"
	"github.com/waybill-dev/waybill/internal/secret"
)

// maxRetryAfter caps what a server can ask for.
const maxRetryAfter = time.Hour

// fail makes the operation's error. detail may hold a server's words.
func (w *wire) fail(kind error, detail string) *Error {
	return &Error{Op: w.op, Kind: kind, Detail: secret.Redact(oneLine(detail), w.Password, w.SSHPrivateKey)}
}

// status classifies an HTTP status. The body is not looked at: it is a page for
// people, and it differs from call to call.
func (w *wire) status(res *http.Response) *Error {
	code := fmt.Sprintf("status %d", res.StatusCode)
	e := w.fail(ErrNotGit, code)
	switch {
	case res.StatusCode == http.StatusUnauthorized || res.StatusCode == http.StatusForbidden:
		e = w.fail(ErrAuthentication, code+", "+w.who())
	case res.StatusCode == http.StatusNotFound || res.StatusCode == http.StatusGone:
		e = w.fail(ErrNotFound, code+", "+w.who())
	case res.StatusCode == http.StatusRequestEntityTooLarge:
		e = w.fail(ErrTooLarge, code+": the server takes no pack of this size")
	case res.StatusCode == http.StatusTooManyRequests || res.StatusCode >= http.StatusInternalServerError:
		e = w.fail(ErrUnreachable, code)
		e.RetryAfter = retryAfter(res.Header.Get("Retry-After"))
	}
	// A 5xx may come from a proxy whose backend went on.
	e.refused = res.StatusCode < http.StatusInternalServerError
	return e
}

// retryAfter reads the seconds of a Retry-After header; a date, which would
// need a clock, counts as none.
func retryAfter(header string) time.Duration {
	seconds, err := strconv.Atoi(strings.TrimSpace(header))
	if err != nil || seconds < 0 {
		return 0
	}
	return min(time.Duration(min(seconds, int(maxRetryAfter/time.Second)))*time.Second, maxRetryAfter)
}

// unreachable classifies an error of the transport: no answer at all. The text
// names the cause without addresses that change from call to call.
func (w *wire) unreachable(ctx context.Context, err error) *Error {
	if e := w.forbidden(err); e != nil {
		return e
	}
	e := w.fail(ErrUnreachable, networkCause(err))
	e.refused = neverConnected(err)
	if errors.Is(err, ErrTooLarge) {
		e.Kind, e.Detail = ErrTooLarge, ""
	}
	switch {
	case errors.Is(err, context.Canceled) || errors.Is(ctx.Err(), context.Canceled):
		e.cause, e.Detail = context.Canceled, "canceled"
	case errors.Is(err, context.DeadlineExceeded) || errors.Is(ctx.Err(), context.DeadlineExceeded):
		e.cause, e.Detail = context.DeadlineExceeded, "no answer in time"
	}
	return e
}

// forbidden returns what the guarded transport refused to do, or nil: no
// request was made, and none will be until the URL or the policy changes.
func (w *wire) forbidden(err error) *Error {
	var kind error
	switch {
	case errors.Is(err, outbound.ErrForbiddenRedirect):
		kind = ErrRedirected
	case errors.Is(err, outbound.ErrForbiddenAddress), errors.Is(err, outbound.ErrPlainHTTP), errors.Is(err, outbound.ErrForbiddenURL):
		kind = ErrInvalidRemote
	default:
		return nil
	}
	detail := err
	var uerr *url.Error
	if errors.As(err, &uerr) {
		detail = uerr.Err // its own text repeats the URL
	}
	e := w.fail(kind, detail.Error())
	e.refused = true
	return e
}

// broken classifies an answer that ended early, grew too large or made no
// sense. body may be nil.
func (w *wire) broken(ctx context.Context, body *limited, err error) *Error {
	var netErr net.Error
	switch {
	case body != nil && body.exceeded:
		return w.fail(ErrTooLarge, "the answer is longer than allowed")
	case ctx.Err() != nil || errors.As(err, &netErr) || errors.Is(err, syscall.ECONNRESET):
		return w.unreachable(ctx, err)
	default:
		return w.fail(ErrUnreachable, "the answer is cut off or malformed")
	}
}

// unknown turns an error of a push that was sent into ErrUnknownOutcome.
func (w *wire) unknown(err *Error) *Error {
	return &Error{Op: err.Op, Kind: ErrUnknownOutcome, Detail: err.Kind.Error() + suffix(err.Detail), RetryAfter: err.RetryAfter, cause: err.cause}
}

func suffix(detail string) string {
	if detail == "" {
		return ""
	}
	return ": " + detail
}

// unlessRefused turns an error of sending a push into ErrUnknownOutcome unless
// it is certain that the push was not carried out.
func (w *wire) unlessRefused(err error) error {
	var e *Error
	if !errors.As(err, &e) || e.refused {
		return err
	}
	return w.unknown(e)
}

// neverConnected reports whether no connection was made, so that the request
// cannot have been read by anybody.
func neverConnected(err error) bool {
	var (
		op   *net.OpError
		dns  *net.DNSError
		cert *tls.CertificateVerificationError
	)
	return errors.As(err, &dns) || errors.As(err, &cert) || errors.As(err, &op) && op.Op == "dial"
}

// networkCause names why there was no answer. Texts of net errors hold ports
// that differ each time, and texts of url errors hold URLs; neither is used.
func networkCause(err error) string {
	var (
		dns     *net.DNSError
		unknown x509.UnknownAuthorityError
		host    x509.HostnameError
		invalid x509.CertificateInvalidError
		errno   syscall.Errno
		op      *net.OpError
	)
	switch {
	case errors.As(err, &dns):
		return fmt.Sprintf("host %q cannot be resolved", dns.Name)
	case errors.As(err, &unknown):
		return "its certificate is signed by an unknown authority"
	case errors.As(err, &host):
		return "its certificate is for another host"
	case errors.As(err, &invalid):
		return "its certificate is not valid"
	case errors.As(err, &errno):
		return errno.Error()
	case isTimeout(err):
		return "no answer in time"
	case errors.As(err, &op) && op.Op == "dial" && op.Err != nil:
		// What a guarded dialer says about an address it does not allow.
		return op.Err.Error()
	default:
		return "the connection failed"
	}
}

func isTimeout(err error) bool {
	var netErr net.Error
	return errors.As(err, &netErr) && netErr.Timeout()
}
