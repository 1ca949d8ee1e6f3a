package registry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/waybill-dev/waybill/internal/outbound"
	"github.com/waybill-dev/waybill/internal/secret"
	"github.com/waybill-dev/waybill/warehouse"
)

// The kinds of errors; test with errors.Is.
var (
	// ErrAuthentication: the credential, or its absence, was not accepted.
	ErrAuthentication = errors.New("authentication failed")
	// ErrForbidden: the credential is known but may not read this repository.
	ErrForbidden = errors.New("access denied")
	// ErrNotFound: no such repository or tag, or none this credential may see.
	ErrNotFound = errors.New("not found")
	// ErrRateLimited: the registry wants fewer requests; see RetryAfter.
	ErrRateLimited = errors.New("rate limited")
	// ErrUnreachable: no connection, or it broke; transient.
	ErrUnreachable = errors.New("registry is unreachable")
	// ErrServer: the registry answered with a failure of its own; transient.
	ErrServer = errors.New("registry failed")
	// ErrMalformed: an answer that breaks the protocol or a limit.
	ErrMalformed = errors.New("registry sent a wrong answer")
	// ErrUnsupported: what the tag points at is no image we can read.
	ErrUnsupported = errors.New("not a supported image")
	// ErrRefused: we do not connect there, or not with a credential.
	ErrRefused = errors.New("refused by Waybill")
	// ErrInvalid: the name of the repository or tag is none.
	ErrInvalid = errors.New("invalid image reference")
)

// maxDetail bounds the registry's own words in a message, in bytes.
const maxDetail = 200

// Error is why a request for a repository failed.
type Error struct {
	Kind       error  // one of the above
	Op         string // "list tags of", "read tag \"1.0\" of"
	Repository string
	Credential string // "Secret \"regcred\"" or "anonymous access"
	Status     int    // of the answer; 0 when there was none
	Detail     string // one clause, redacted
	// RetryAt is when the registry may be asked again; zero when it did not say.
	RetryAt time.Time
	// isAnonymous adds what to do about it.
	isAnonymous bool
}

// Error returns one sentence that stays equal while the facts do.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %q: %s", e.Op, e.Repository, e.Kind)
	if e.Status != 0 {
		fmt.Fprintf(&b, " (status %d)", e.Status)
	}
	if !e.RetryAt.IsZero() {
		fmt.Fprintf(&b, " until %s", e.RetryAt.UTC().Format("2006-01-02T15:04:05Z"))
	}
	if e.Credential != "" {
		fmt.Fprintf(&b, " with %s", e.Credential)
	}
	if e.isAnonymous && slices.Contains([]error{ErrAuthentication, ErrForbidden, ErrNotFound}, e.Kind) {
		b.WriteString(", because no credential Secret of type image matches this repository")
	}
	if e.Detail != "" {
		fmt.Fprintf(&b, ": %s", e.Detail)
	}
	return b.String()
}

// Unwrap returns the kind.
func (e *Error) Unwrap() error { return e.Kind }

// RetryAt returns when a registry that limits us may be asked again.
func RetryAt(err error) (time.Time, bool) {
	var e *Error
	if errors.As(err, &e) && !e.RetryAt.IsZero() {
		return e.RetryAt, true
	}
	return time.Time{}, false
}

// Reason returns the CamelCase word for err that goes into a status.
func Reason(err error) string {
	for _, r := range []struct {
		kind   error
		reason string
	}{
		{warehouse.ErrInvalid, "InvalidSubscription"},
		{ErrInvalid, "InvalidSubscription"},
		{ErrAuthentication, "AuthenticationFailed"},
		{ErrForbidden, "AccessDenied"},
		{ErrNotFound, "NotFound"},
		{ErrRateLimited, "RateLimited"},
		{ErrServer, "RegistryFailed"},
		{ErrMalformed, "MalformedAnswer"},
		{ErrUnsupported, "UnsupportedImage"},
		{ErrRefused, "DestinationRefused"},
		{ErrUnreachable, "RegistryUnreachable"},
	} {
		if errors.Is(err, r.kind) {
			return r.reason
		}
	}
	return "PollFailed"
}

// operation is what a request is for; it gives errors their beginning.
type operation struct {
	verb       string // "list tags of"
	repository string // as the subscription spells it
}

// fail makes an *Error of this session, with the credential's secrets masked.
func (s *session) fail(op operation, kind error, status int, detail string, known ...secret.Text) *Error {
	return &Error{
		Kind: kind, Op: op.verb, Repository: op.repository, Credential: s.credential.String(), Status: status,
		Detail:      clean(secret.Redact(detail, append(s.credential.Secrets(), known...)...)),
		isAnonymous: s.credential.IsAnonymous(),
	}
}

// failStatus classifies an answer that is not the one hoped for.
func (s *session) failStatus(op operation, a answer, known ...secret.Text) *Error {
	kind := ErrMalformed
	detail := diagnosis(a.body)
	switch {
	case a.status == http.StatusUnauthorized:
		kind = ErrAuthentication
	case a.status == http.StatusForbidden:
		kind = ErrForbidden
	case a.status == http.StatusNotFound:
		kind = ErrNotFound
	case a.status == http.StatusTooManyRequests:
		kind = ErrRateLimited
	case a.status >= 500:
		kind = ErrServer
	}
	e := s.fail(op, kind, a.status, detail, known...)
	if a.status == http.StatusTooManyRequests || a.status == http.StatusServiceUnavailable {
		e.RetryAt = s.blockedUntil()
	}
	return e
}

// failNetwork classifies an error of the transport. Addresses and ports of our
// side stay out of the text: they differ every time.
func (s *session) failNetwork(ctx context.Context, op operation, err error) error {
	if cause := ctx.Err(); errors.Is(cause, context.Canceled) {
		return fmt.Errorf("%s %q: %w", op.verb, op.repository, cause)
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	var (
		dns       *net.DNSError
		timeout   net.Error
		authority x509.UnknownAuthorityError
		hostname  x509.HostnameError
		invalid   x509.CertificateInvalidError
		record    tls.RecordHeaderError
		opErr     *net.OpError
	)
	switch {
	case errors.Is(err, outbound.ErrForbiddenAddress), errors.Is(err, outbound.ErrForbiddenRedirect),
		errors.Is(err, outbound.ErrPlainHTTP), errors.Is(err, outbound.ErrForbiddenURL):
		return s.fail(op, ErrRefused, 0, err.Error())
	case errors.Is(err, outbound.ErrTooLarge):
		return s.fail(op, ErrMalformed, 0, err.Error())
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return s.fail(op, ErrUnreachable, 0, "no complete answer in time")
	case errors.As(err, &dns):
		return s.fail(op, ErrUnreachable, 0, fmt.Sprintf("the name %q has no address", dns.Name))
	case errors.As(err, &authority):
		return s.fail(op, ErrUnreachable, 0, "its certificate is signed by an unknown authority; put the authority's certificate into caCert of the credential Secret")
	case errors.As(err, &hostname), errors.As(err, &invalid):
		return s.fail(op, ErrUnreachable, 0, "its certificate is not valid for it or has expired")
	case errors.Is(err, http.ErrSchemeMismatch), errors.As(err, &record):
		return s.fail(op, ErrUnreachable, 0, "it speaks plain http where https is required")
	case errors.Is(err, syscall.ECONNREFUSED):
		return s.fail(op, ErrUnreachable, 0, "connection refused")
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return s.fail(op, ErrUnreachable, 0, "the connection broke before the answer was complete")
	case errors.As(err, &opErr):
		return s.fail(op, ErrUnreachable, 0, opErr.Op+": "+opErr.Err.Error())
	}
	return s.fail(op, ErrUnreachable, 0, "the connection failed")
}

// clean makes foreign text fit for one line of a status.
func clean(text string) string {
	text = strings.ToValidUTF8(text, "?")
	text = strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, text)
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > maxDetail {
		text = strings.ToValidUTF8(text[:maxDetail], "") + "..."
	}
	return text
}
