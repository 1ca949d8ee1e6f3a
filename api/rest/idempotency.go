package rest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/labstack/echo/v4"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/promotion"
)

// keyHeader is draft-ietf-httpapi-idempotency-key-header. No answers are kept for
// it: what a request makes carries its key, so that Kubernetes itself knows, for
// every replica and after a restart, what was made already.
const keyHeader = "Idempotency-Key"

// Names of what is remembered in an object.
const (
	// labelRequest has the digest of person, path and key.
	labelRequest = "waybill.dev/request"
	// annotationRequestHash has the digest of the request's parameters and body.
	annotationRequestHash = "waybill.dev/request-hash"
)

// idempotency stands for the Idempotency-Key of a request; the zero value for none.
type idempotency struct{ digest, hash string }

type idempotencyKey struct{}

func keyOf(ctx context.Context) idempotency {
	k, _ := ctx.Value(idempotencyKey{}).(idempotency)
	return k
}

// readKey gives handlers the Idempotency-Key of operations that have one.
func (s *Server) readKey(next StrictHandlerFunc, _ string) StrictHandlerFunc {
	return func(c echo.Context, request any) (any, error) {
		r := c.Request()
		key := r.Header.Get(keyHeader)
		takes := operationOf(r.Context()).route.Operation.Parameters.GetByInAndName("header", keyHeader) != nil
		if key == "" || !takes {
			return next(c, request)
		}
		who, err := whoIs(r.Context())
		if err != nil {
			return nil, err
		}
		body, err := json.Marshal(request)
		if err != nil {
			return nil, fmt.Errorf("encode request: %w", err)
		}
		k := idempotency{digest: digestOfAll(who.person.User, r.URL.Path, key), hash: digestOfAll(string(body))}
		c.SetRequest(r.WithContext(context.WithValue(r.Context(), idempotencyKey{}, k)))
		return next(c, request)
	}
}

// digestOfAll is 128 bits of the SHA-256 of the parts, each of which is bounded by
// its length.
func digestOfAll(parts ...string) string {
	h := sha256.New()
	for _, part := range parts {
		_, _ = fmt.Fprintf(h, "%d %s", len(part), part) // a hash does not fail
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// mark writes the key into an object that is to be created. With a generateName
// the name follows from the key, so that it is not created twice.
func (k idempotency) mark(o client.Object) {
	if k.digest == "" {
		return
	}
	labels, annotations := o.GetLabels(), o.GetAnnotations()
	if labels == nil {
		labels = map[string]string{}
	}
	if annotations == nil {
		annotations = map[string]string{}
	}
	labels[labelRequest], annotations[annotationRequestHash] = k.digest, k.hash
	o.SetLabels(labels)
	o.SetAnnotations(annotations)
	if prefix := o.GetGenerateName(); prefix != "" {
		o.SetGenerateName("")
		o.SetName(prefix + k.digest[:16])
	}
}

// isOf refuses an object that another request with the same key has made.
func (k idempotency) isOf(o client.Object) error {
	if o.GetAnnotations()[annotationRequestHash] == k.hash {
		return nil
	}
	return refuse(model.KeyReused, "the %s was used for another request, which made %q", keyHeader, o.GetName()).
		withHint("make up a new key for each request")
}

// createOnce creates an object by c, or reads into it what the same request made
// before; isMine says that the object that is there is the person's.
func createOnce[T client.Object](ctx context.Context, c client.Client, o T, isMine func(T) bool) error {
	k := keyOf(ctx)
	k.mark(o)
	err := c.Create(ctx, o)
	if k.digest == "" || !apierrors.IsAlreadyExists(err) {
		return err
	}
	if getErr := c.Get(ctx, client.ObjectKeyFromObject(o), o); getErr != nil || o.GetLabels()[labelRequest] != k.digest || !isMine(o) {
		return err
	}
	return k.isOf(o)
}

// once returns the Promotion that the same request made before, else what create
// makes.
func (s *Server) once(ctx context.Context, v *projectView, create func() (model.Promotion, error)) (model.Promotion, error) {
	switch made, err := s.madeBefore(ctx, v); {
	case err != nil:
		return model.Promotion{}, err
	case made != nil:
		return v.promotionModel(made), nil
	default:
		return create()
	}
}

// madeBefore returns the Promotion that the same request made before, nil when
// there is none. The API server is asked: it may have been made by another replica.
func (s *Server) madeBefore(ctx context.Context, v *projectView) (*v1alpha1.Promotion, error) {
	k := keyOf(ctx)
	if k.digest == "" {
		return nil, nil
	}
	who, err := whoIs(ctx)
	if err != nil {
		return nil, err
	}
	var list v1alpha1.PromotionList
	if err := s.own.List(ctx, &list, client.InNamespace(v.project.Name), client.MatchingLabels{labelRequest: k.digest}); err != nil {
		return nil, fmt.Errorf("look for what the request made before: %w", err)
	}
	var first *v1alpha1.Promotion
	for i := range list.Items {
		p := &list.Items[i]
		if p.Spec.RequestedBy == who.person.User && (first == nil || promotion.Seq(p.Name) < promotion.Seq(first.Name)) {
			first = p
		}
	}
	if first == nil {
		return nil, nil
	}
	return first, k.isOf(first)
}
