// Package objects is what steps and expressions read and write of a Project's
// own Stages and Freight: metadata, aliases, and where Freight has been.
package objects

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/expression"
	"github.com/waybill-dev/waybill/internal/secret"
	"github.com/waybill-dev/waybill/warehouse"
)

// Errors of Store.
var (
	// ErrNotFound: there is no such Stage or Freight.
	ErrNotFound = errors.New("there is none of that name")
	// ErrTooLarge: the metadata of the object would grow too large.
	ErrTooLarge = fmt.Errorf("more than %d KiB of metadata", maxMetadataBytes>>10)
	// ErrRefused: the API server refuses the value.
	ErrRefused = errors.New("refused")
)

// maxMetadataBytes bounds what one object may carry: it is part of the object.
const maxMetadataBytes = 32 << 10

// Store reads and writes objects of Projects. It is safe for concurrent use.
type Store struct {
	// Client writes.
	Client client.Writer
	// Status writes statuses.
	Status client.StatusClient
	// Live reads from the API server: what an earlier step recorded is seen.
	Live client.Reader
}

// SetMetadata records values, by name, with a Stage or Freight of the Project.
// Names that are there already get the new value, others stay; null takes one
// away. kind is Stage or Freight.
func (s *Store) SetMetadata(ctx context.Context, project, kind, name string, values map[string]any) error {
	return retry.RetryOnConflict(retry.DefaultBackoff, func() error { //nolint:wrapcheck // wrapped inside
		var o client.Object = &v1alpha1.Freight{}
		if kind == "Stage" {
			o = &v1alpha1.Stage{}
		}
		if err := s.get(ctx, project, kind, name, o); err != nil {
			return err
		}
		before, ok := o.DeepCopyObject().(client.Object)
		if !ok {
			return fmt.Errorf("%s %q cannot be copied", kind, name)
		}
		all := metadataOf(o)
		for key, value := range values {
			if all[key] = value; value == nil {
				delete(all, key)
			}
		}
		raw, err := json.Marshal(all)
		if err != nil || len(raw) > maxMetadataBytes {
			return fmt.Errorf("metadata of %s %q: %w", kind, name, ErrTooLarge)
		}
		setMetadata(o, &runtime.RawExtension{Raw: raw})
		patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
		if err := s.Status.Status().Patch(ctx, o, patch); err != nil {
			return refusal(fmt.Sprintf("set metadata of %s %q", kind, name), err)
		}
		return nil
	})
}

func setMetadata(o client.Object, raw *runtime.RawExtension) {
	switch o := o.(type) {
	case *v1alpha1.Stage:
		o.Status.Metadata = raw
	case *v1alpha1.Freight:
		o.Status.Metadata = raw
	}
}

// SetAlias gives a Freight of the Project another alias. Errors are those of
// warehouse.CheckAlias, and of the store.
func (s *Store) SetAlias(ctx context.Context, project, name, alias string) error {
	var all v1alpha1.FreightList
	if err := s.Live.List(ctx, &all, client.InNamespace(project)); err != nil {
		return fmt.Errorf("look for alias %q: %w", alias, err)
	}
	if err := warehouse.CheckAlias(alias, name, all.Items); err != nil {
		return err //nolint:wrapcheck // says which alias already
	}
	var f v1alpha1.Freight
	if err := s.get(ctx, project, "Freight", name, &f); err != nil {
		return err
	}
	if f.Alias == alias && f.Labels[v1alpha1.LabelAlias] == alias {
		return nil
	}
	renamed := f.DeepCopy()
	warehouse.SetAlias(renamed, alias)
	if err := s.Client.Patch(ctx, renamed, client.MergeFrom(&f)); err != nil {
		return refusal(fmt.Sprintf("set the alias of Freight %q", name), err)
	}
	return nil
}

// Approvals returns what people have decided about the Promotions of a Stage.
func (s *Store) Approvals(ctx context.Context, project, stage string) ([]v1alpha1.Approval, error) {
	var all v1alpha1.ApprovalList
	if err := s.Live.List(ctx, &all, client.InNamespace(project)); err != nil {
		return nil, fmt.Errorf("list the Approvals of Project %q: %w", project, err)
	}
	return slices.DeleteFunc(all.Items, func(a v1alpha1.Approval) bool { return a.Spec.Stage != stage }), nil
}

// Functions returns the functions of expressions that read Stages and Freight.
func (s *Store) Functions(ctx context.Context, p *v1alpha1.Promotion, _ func(secret.Text)) map[string]expression.Function {
	return map[string]expression.Function{
		"freightMetadata": func(args ...any) (any, error) {
			return s.metadata(ctx, p.Namespace, "Freight", &v1alpha1.Freight{}, args)
		},
		"stageMetadata": func(args ...any) (any, error) {
			return s.metadata(ctx, p.Namespace, "Stage", &v1alpha1.Stage{}, args)
		},
		"freightStatus": func(args ...any) (any, error) {
			name, _, err := texts("freightStatus", args, 1)
			if err != nil {
				return nil, err
			}
			var f v1alpha1.Freight
			if err := s.get(ctx, p.Namespace, "Freight", name, &f); err != nil {
				return nil, err
			}
			return statusOf(&f), nil
		},
	}
}

// metadata is NAME -> all values, or NAME, KEY -> one value; nil where there is
// none.
func (s *Store) metadata(ctx context.Context, project, kind string, o client.Object, args []any) (any, error) {
	name, key, err := texts(map[string]string{"Stage": "stageMetadata", "Freight": "freightMetadata"}[kind], args, 2)
	if err != nil {
		return nil, err
	}
	if err := s.get(ctx, project, kind, name, o); err != nil {
		return nil, err
	}
	all := metadataOf(o)
	if key == "" {
		return all, nil
	}
	return all[key], nil
}

// statusOf is what expressions see of where a Freight has been.
func statusOf(f *v1alpha1.Freight) map[string]any {
	current, verified := map[string]any{}, map[string]any{}
	for stage, in := range f.Status.Stages {
		if in.EnteredAt != nil && in.LeftAt == nil {
			current[stage] = map[string]any{"since": in.EnteredAt.UTC().Format(time.RFC3339)}
		}
		if in.VerifiedAt != nil {
			verified[stage] = map[string]any{"verifiedAt": in.VerifiedAt.UTC().Format(time.RFC3339)}
		}
	}
	return map[string]any{"currentlyIn": current, "verifiedIn": verified, "metadata": metadataOf(f)}
}

// metadataOf returns the metadata of a Stage or Freight, never nil.
func metadataOf(o client.Object) map[string]any {
	var raw *runtime.RawExtension
	switch o := o.(type) {
	case *v1alpha1.Stage:
		raw = o.Status.Metadata
	case *v1alpha1.Freight:
		raw = o.Status.Metadata
	}
	all := map[string]any{}
	if raw != nil {
		_ = json.Unmarshal(raw.Raw, &all) // an object by its schema; what is none is not there
	}
	return all
}

func (s *Store) get(ctx context.Context, project, kind, name string, o client.Object) error {
	err := s.Live.Get(ctx, client.ObjectKey{Namespace: project, Name: name}, o)
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("%s %q of Project %q: %w", kind, name, project, ErrNotFound)
	}
	if err != nil {
		return fmt.Errorf("read %s %q: %w", kind, name, err)
	}
	return nil
}

// refusal tells what the API server will never take from what may work later.
func refusal(op string, err error) error {
	if apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) {
		return fmt.Errorf("%s: %w: %w", op, ErrRefused, err)
	}
	return fmt.Errorf("%s: %w", op, err)
}

// texts reads one text, and a second one if most is 2.
func texts(function string, args []any, most int) (first, second string, err error) {
	if len(args) >= 1 && len(args) <= most {
		var ok bool
		if first, ok = args[0].(string); ok && len(args) == 2 {
			second, ok = args[1].(string)
		}
		if ok && first != "" {
			return first, second, nil
		}
	}
	if most == 2 {
		return "", "", fmt.Errorf("%s takes a name, and may take a key", function)
	}
	return "", "", fmt.Errorf("%s takes a name", function)
}
