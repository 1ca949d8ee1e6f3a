// Package install applies what Waybill needs in its own cluster: CRDs, roles
// and admission policies, all from the files of the Helm chart.
package install

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/charts"
)

// Manager is the field manager of what is installed.
const Manager = "waybill-install"

// Folders of the chart that hold what is installed.
const (
	crds     = "waybill/crds"
	policies = "waybill/files/policies"
	roles    = "waybill/files/rbac"
)

// serviceAccount is the name of the server's account; the roles bind it.
const serviceAccount = "waybill"

// chartNamespace is what the role files call Waybill's namespace.
const chartNamespace = "waybill-system"

// Options say where to install.
type Options struct {
	// Client writes as somebody who may create roles: an administrator.
	Client client.Client
	// Namespace of the server; made when missing.
	Namespace string
	// Progress is told what was applied; nil for silence.
	Progress func(string)
}

// Install applies everything and waits until the CRDs are served and the first
// Promotion would be accepted. It can be repeated: what is there is brought to the state of this version.
func Install(ctx context.Context, o Options) error {
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	objects, err := read(crds)
	if err != nil {
		return err
	}
	objects = append(objects, namespaceAndAccount(o.Namespace)...)
	rest, err := read(roles)
	if err != nil {
		return err
	}
	objects = append(objects, rest...)
	guards, err := Policies()
	if err != nil {
		return err
	}
	objects = append(objects, guards...)
	for _, u := range objects {
		inNamespace(u, o.Namespace)
		if err := Apply(ctx, o.Client, u); err != nil {
			if meta.IsNoMatchError(err) && IsOptional(u) {
				continue
			}
			return err
		}
		o.Progress(fmt.Sprintf("%s %s", u.GetKind(), u.GetName()))
	}
	if err := waitForCRDs(ctx, o.Client); err != nil {
		return err
	}
	return waitForAdmission(ctx, o.Client, o.Namespace)
}

// Policies returns the admission policies and their bindings.
func Policies() ([]*unstructured.Unstructured, error) { return read(policies) }

// Apply writes one object by server-side apply, taking over its fields.
func Apply(ctx context.Context, c client.Client, u *unstructured.Unstructured) error {
	raw, err := u.MarshalJSON()
	if err != nil {
		return fmt.Errorf("encode %s %q: %w", u.GetKind(), u.GetName(), err)
	}
	if err := c.Patch(ctx, u, client.RawPatch(types.ApplyPatchType, raw), client.FieldOwner(Manager), client.ForceOwnership); err != nil {
		return fmt.Errorf("apply %s %q: %w", u.GetKind(), u.GetName(), err)
	}
	return nil
}

// IsOptional reports whether Waybill works without the object: the API server
// serves MutatingAdmissionPolicy from Kubernetes 1.36 on.
func IsOptional(u *unstructured.Unstructured) bool {
	return u.GetKind() == "MutatingAdmissionPolicy" || u.GetKind() == "MutatingAdmissionPolicyBinding"
}

func read(dir string) ([]*unstructured.Unstructured, error) {
	entries, err := fs.ReadDir(charts.Waybill, dir)
	if err != nil {
		return nil, fmt.Errorf("read chart folder %q: %w", dir, err)
	}
	var out []*unstructured.Unstructured
	for _, e := range entries {
		raw, err := fs.ReadFile(charts.Waybill, path.Join(dir, e.Name()))
		if err != nil {
			return nil, fmt.Errorf("read chart file %q: %w", e.Name(), err)
		}
		decoder := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(raw), 4096)
		for {
			u := &unstructured.Unstructured{}
			err := decoder.Decode(&u.Object)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return nil, fmt.Errorf("chart file %q: %w", e.Name(), err)
			}
			if len(u.Object) > 0 {
				out = append(out, u)
			}
		}
	}
	return out, nil
}

func namespaceAndAccount(namespace string) []*unstructured.Unstructured {
	return []*unstructured.Unstructured{
		{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": namespace}}},
		{Object: map[string]any{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": map[string]any{"name": serviceAccount, "namespace": namespace}}},
		{Object: map[string]any{
			"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
			"metadata": map[string]any{"name": "waybill-server", "namespace": namespace},
			"rules": []any{map[string]any{
				"apiGroups": []any{""}, "resources": []any{"secrets"},
				"verbs": []any{"get", "list", "watch", "create", "update", "patch", "delete"},
			}},
		}},
		{Object: map[string]any{
			"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
			"metadata": map[string]any{"name": "waybill-server", "namespace": namespace},
			"roleRef":  map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "waybill-server"},
			"subjects": []any{map[string]any{"kind": "ServiceAccount", "name": serviceAccount, "namespace": namespace}},
		}},
	}
}

// inNamespace points the subjects of a binding to the server's account.
func inNamespace(u *unstructured.Unstructured, namespace string) {
	subjects, found, err := unstructured.NestedSlice(u.Object, "subjects")
	if err != nil || !found {
		return
	}
	for _, s := range subjects {
		if m, ok := s.(map[string]any); ok && m["namespace"] == chartNamespace {
			m["namespace"] = namespace
		}
	}
	_ = unstructured.SetNestedSlice(u.Object, subjects, "subjects") // the field was just read
}

// waitForCRDs returns when every CRD is Established.
func waitForCRDs(ctx context.Context, c client.Client) error {
	want, err := read(crds)
	if err != nil {
		return err
	}
	return wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, 30*time.Second, true, func(ctx context.Context) (bool, error) {
		for _, crd := range want {
			live := &unstructured.Unstructured{}
			live.SetGroupVersionKind(crd.GroupVersionKind())
			if err := c.Get(ctx, client.ObjectKeyFromObject(crd), live); err != nil {
				if apierrors.IsNotFound(err) {
					return false, nil
				}
				return false, fmt.Errorf("read CRD %q: %w", crd.GetName(), err)
			}
			if !isEstablished(live) {
				return false, nil
			}
		}
		return true, nil
	})
}

// waitForAdmission returns when the API server can put a Promotion before the
// policies. A mutating policy needs the schema, which the server looks up every
// five seconds; until then it answers 503 to whoever promotes.
func waitForAdmission(ctx context.Context, c client.Client, namespace string) error {
	var last error
	err := wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, 30*time.Second, true, func(ctx context.Context) (bool, error) {
		last = c.Create(ctx, &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "waybill.dev/v1alpha1", "kind": "Promotion",
			"metadata": map[string]any{"namespace": namespace, "name": "probe.1.probe"},
			"spec":     map[string]any{"stage": "probe", "freight": "probe"},
		}}, client.DryRunAll)
		// Any other answer was given by the policies or behind them.
		return !apierrors.IsServiceUnavailable(last) && !apierrors.IsInternalError(last) && !meta.IsNoMatchError(last), ctx.Err()
	})
	if wait.Interrupted(err) && last != nil {
		return fmt.Errorf("the API server does not accept Promotions yet, install again: %w", last)
	}
	return err
}

func isEstablished(crd *unstructured.Unstructured) bool {
	conditions, _, _ := unstructured.NestedSlice(crd.Object, "status", "conditions")
	for _, c := range conditions {
		if m, ok := c.(map[string]any); ok && m["type"] == "Established" && m["status"] == "True" {
			return true
		}
	}
	return false
}
