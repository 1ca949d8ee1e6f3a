package secretstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/credentials"
	"github.com/waybill-dev/waybill/internal/expression"
	"github.com/waybill-dev/waybill/internal/secret"
)

// Lookups are the functions of expressions that read the cluster: secret and
// configMap of the Project, and those that are shared with it.
type Lookups struct {
	// Store reads Secrets.
	Store *Store
	// Live reads ConfigMaps, which no cache holds.
	Live client.Reader
}

// Functions returns the functions for one run of p. Each secret that is read is
// given to reveal first, value by value.
func (l *Lookups) Functions(ctx context.Context, p *v1alpha1.Promotion, reveal func(secret.Text)) map[string]expression.Function {
	return map[string]expression.Function{
		"secret":       l.secret(ctx, p.Namespace, p.Namespace, reveal),
		"sharedSecret": l.secret(ctx, p.Namespace, l.Store.SystemNamespace, reveal),
		"configMap":    l.configMap(ctx, p.Namespace, p.Namespace),
		"sharedConfigMap": l.configMap(ctx, p.Namespace,
			l.Store.SystemNamespace),
	}
}

// secret reads a Secret that is there for expressions: credentials of
// repositories are not.
func (l *Lookups) secret(ctx context.Context, project, namespace string, reveal func(secret.Text)) expression.Function {
	return func(args ...any) (any, error) {
		name, err := nameOf("secret", args)
		if err != nil {
			return nil, err
		}
		var s corev1.Secret
		err = l.Store.Reader.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &s)
		isShared := namespace == project || isSharedWith(s.Annotations, project)
		if apierrors.IsNotFound(err) || err == nil && (!isShared || s.Labels[credentials.TypeLabel] != string(credentials.Generic)) {
			return nil, fmt.Errorf("there is no Secret %q with the label %s: %s in %q", name, credentials.TypeLabel, credentials.Generic, namespace)
		}
		if err != nil {
			return nil, fmt.Errorf("read Secret %q: %w", name, err)
		}
		out := map[string]any{}
		for key, value := range s.Data {
			reveal(secret.New(string(value)))
			for _, line := range strings.Split(string(value), "\n") {
				if line = strings.TrimSpace(line); line != string(value) {
					reveal(secret.New(line))
				}
			}
			out[key] = string(value)
		}
		return out, nil
	}
}

func (l *Lookups) configMap(ctx context.Context, project, namespace string) expression.Function {
	return func(args ...any) (any, error) {
		name, err := nameOf("configMap", args)
		if err != nil {
			return nil, err
		}
		var c corev1.ConfigMap
		err = l.Live.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &c)
		if apierrors.IsNotFound(err) || err == nil && namespace != project && !isSharedWith(c.Annotations, project) {
			return nil, fmt.Errorf("there is no ConfigMap %q in %q", name, namespace)
		}
		if err != nil {
			return nil, fmt.Errorf("read ConfigMap %q: %w", name, err)
		}
		out := map[string]any{}
		for key, value := range c.Data {
			out[key] = value
		}
		return out, nil
	}
}

// isSharedWith reports whether an object of Waybill's own Namespace is shared
// with the Project.
func isSharedWith(annotations map[string]string, project string) bool {
	names := strings.Split(annotations[credentials.SharedAnnotation], ",")
	return slices.ContainsFunc(names, func(n string) bool {
		n = strings.TrimSpace(n)
		return n == "*" || n == project
	})
}

func nameOf(function string, args []any) (string, error) {
	if len(args) == 1 {
		if name, ok := args[0].(string); ok && name != "" {
			return name, nil
		}
	}
	return "", errors.New(function + " takes a name")
}
