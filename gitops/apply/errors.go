package apply

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/waybill-dev/waybill/gitops"
)

// Reason classifies a failed write. It is shown as the reason of the object.
type Reason string

// The reasons.
const (
	// Invalid: the API server does not accept the object; Git has to change.
	Invalid Reason = "Invalid"
	// Immutable: a field that cannot be changed differs from the live object.
	Immutable Reason = "ImmutableField"
	// Forbidden: RBAC, an admission policy or a webhook refuses the write.
	Forbidden Reason = "Forbidden"
	// QuotaExceeded: a ResourceQuota refuses the object.
	QuotaExceeded Reason = "QuotaExceeded"
	// WebhookUnavailable: a webhook with failurePolicy Fail does not answer.
	WebhookUnavailable Reason = "WebhookUnavailable"
	// NamespaceMissing: the object's namespace does not exist.
	NamespaceMissing Reason = "NamespaceMissing"
	// NamespaceTerminating: the object's namespace is being deleted.
	NamespaceTerminating Reason = "NamespaceTerminating"
	// NamespaceTaken: the namespace belongs to another Project.
	NamespaceTaken Reason = "NamespaceTaken"
	// KindUnknown: the cluster does not serve the kind.
	KindUnknown Reason = "KindUnknown"
	// Changed: the object changed between reading and writing.
	Changed Reason = "Changed"
	// Unreachable: the cluster did not answer in time.
	Unreachable Reason = "ClusterUnreachable"
	// Failed: the API server answered with another error.
	Failed Reason = "ApplyFailed"
)

// Error is a failed write of one object.
type Error struct {
	Key     gitops.Key
	Reason  Reason
	Message string
	cause   error
}

// Error returns key and message.
func (e *Error) Error() string { return e.Key.String() + ": " + e.Message }

// Unwrap returns the error of the library.
func (e *Error) Unwrap() error { return e.cause }

// NeedsGit reports whether only another revision (or a person) can help, so
// that trying again soon is of no use.
func (e *Error) NeedsGit() bool {
	return e.Reason == Invalid || e.Reason == Immutable || e.Reason == NamespaceTaken
}

// ObjectError returns the error as the pure packages know it.
func (e *Error) ObjectError() *gitops.ObjectError {
	return &gitops.ObjectError{Key: e.Key, Reason: string(e.Reason), Message: e.Message}
}

// IsUnreachable reports whether err says that a cluster did not answer.
func IsUnreachable(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Reason == Unreachable
}

// reasonOf returns the reason of err, "" when it is no *Error.
func reasonOf(err error) Reason {
	var e *Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return ""
}

// maxMessage bounds what is kept of a server's answer.
const maxMessage = 512

// classify turns an error of the client into an *Error. The API server tells
// immutable fields, webhooks and quotas apart only in its text; this is the one
// place that reads it.
func classify(key gitops.Key, err error) error {
	if err == nil {
		return nil
	}
	e := &Error{Key: key, Message: err.Error(), cause: err}
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		e.Reason = Unreachable
		if errors.Is(err, context.Canceled) {
			e.Reason = Changed
		}
		e.Message = shorten(err.Error())
		return e
	}
	details := status.Status()
	text := details.Message
	switch {
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		e.Reason = NamespaceTerminating
		text = fmt.Sprintf("namespace %q is being deleted; the object is applied again when it is gone", key.Namespace)
	case apierrors.IsNotFound(err) && details.Details != nil && details.Details.Kind == "namespaces" && key.Kind != "Namespace":
		e.Reason = NamespaceMissing
		text = fmt.Sprintf("namespace %q does not exist; create it or set the sync option CreateNamespace=true", key.Namespace)
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err), strings.HasPrefix(text, "failed to create typed patch object"):
		// The last one is an unknown or mistyped field, answered as an internal error.
		e.Reason = Invalid
		if strings.Contains(text, "field is immutable") || strings.Contains(text, "updates to statefulset spec") || strings.Contains(text, "Forbidden: ") && strings.Contains(text, "immutable") {
			e.Reason = Immutable
		}
	case apierrors.IsForbidden(err) && strings.Contains(text, "exceeded quota"):
		e.Reason = QuotaExceeded
	case apierrors.IsForbidden(err), apierrors.IsUnauthorized(err):
		e.Reason = Forbidden
	case strings.Contains(text, "failed calling webhook"):
		e.Reason = WebhookUnavailable
	case apierrors.IsNotFound(err):
		e.Reason = KindUnknown
	case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err):
		e.Reason = Changed
	case apierrors.IsServerTimeout(err), apierrors.IsTimeout(err), apierrors.IsServiceUnavailable(err), apierrors.IsTooManyRequests(err):
		e.Reason = Unreachable
	default:
		e.Reason = Failed
	}
	if key.Group == "" && key.Kind == "Secret" {
		text = fieldsOnly(details)
	}
	e.Message = shorten(text)
	return e
}

// fieldsOnly names the fields of a refused Secret and not their values, which
// the API server quotes.
func fieldsOnly(s metav1.Status) string {
	var fields []string
	if s.Details != nil {
		for _, c := range s.Details.Causes {
			if c.Field != "" {
				fields = append(fields, fmt.Sprintf("%s (%s)", c.Field, c.Type))
			}
		}
	}
	if len(fields) == 0 {
		return fmt.Sprintf("refused: %s", s.Reason)
	}
	slices.Sort(fields)
	return fmt.Sprintf("refused: %s: %s", s.Reason, strings.Join(fields, ", "))
}

func shorten(text string) string {
	if len(text) <= maxMessage {
		return text
	}
	return strings.ToValidUTF8(text[:maxMessage-3], "") + "..."
}
