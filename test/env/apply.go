package env

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/dynamic"
	sigsyaml "sigs.k8s.io/yaml"
)

// FieldManager is the name under which Apply and InstallCRDs own fields.
const FieldManager = "test-env"

const (
	// applyPatience bounds the wait for the API server to serve a new kind.
	applyPatience = 30 * time.Second
	pollInterval  = 20 * time.Millisecond
)

// Apply creates or changes the objects of the manifests, each a YAML stream of one or more documents, by server-side
// apply as the administrator, in the given order. A namespaced object that names no namespace goes to "default".
// It returns the objects as the server answered; a refused one fails the test.
func (e *Env) Apply(t testing.TB, manifests ...string) []*unstructured.Unstructured {
	t.Helper()
	applied, err := e.ApplyContext(t.Context(), manifests...)
	if err != nil {
		t.Fatal(err)
	}
	return applied
}

// ApplyContext is Apply outside a test. It stops at the first object that is refused.
func (e *Env) ApplyContext(ctx context.Context, manifests ...string) ([]*unstructured.Unstructured, error) {
	var applied []*unstructured.Unstructured
	for _, manifest := range manifests {
		objects, err := decode(strings.NewReader(manifest))
		if err != nil {
			return applied, err
		}
		for _, object := range objects {
			answer, err := e.apply(ctx, object)
			if err != nil {
				return applied, fmt.Errorf("apply %s %q: %w", object.GetKind(), object.GetName(), err)
			}
			applied = append(applied, answer)
		}
	}
	return applied, nil
}

func (e *Env) apply(ctx context.Context, object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	resource, err := e.resource(object)
	if err != nil {
		return nil, err
	}
	return resource.Apply(ctx, object.GetName(), object, metav1.ApplyOptions{FieldManager: FieldManager, Force: true})
}

// resource returns where the object's kind is served. A kind that is unknown is looked up once more, since it may
// have been installed since.
func (e *Env) resource(object *unstructured.Unstructured) (dynamic.ResourceInterface, error) {
	mapping, err := e.mapping(object.GroupVersionKind())
	if err != nil {
		return nil, err
	}
	if mapping.Scope.Name() == meta.RESTScopeNameRoot {
		return e.dynamic.Resource(mapping.Resource), nil
	}
	namespace := object.GetNamespace()
	if namespace == "" {
		namespace = metav1.NamespaceDefault
	}
	return e.dynamic.Resource(mapping.Resource).Namespace(namespace), nil
}

func (e *Env) mapping(kind schema.GroupVersionKind) (*meta.RESTMapping, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	mapping, err := e.mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if meta.IsNoMatchError(err) {
		e.mapper.Reset()
		mapping, err = e.mapper.RESTMapping(kind.GroupKind(), kind.Version)
	}
	return mapping, err
}

// InstallCRDs applies every .yaml file of dir, in the order of their names, and waits until the server serves each
// CustomResourceDefinition among them. A directory without one fails the test.
func (e *Env) InstallCRDs(t testing.TB, dir string) {
	t.Helper()
	if err := e.InstallCRDsContext(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
}

// InstallCRDsContext is InstallCRDs outside a test.
func (e *Env) InstallCRDsContext(ctx context.Context, dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil {
		return fmt.Errorf("install CRDs: %w", err)
	}
	slices.Sort(files)
	var names []string
	for _, file := range files {
		manifest, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("install CRDs: %w", err)
		}
		applied, err := e.ApplyContext(ctx, string(manifest))
		if err != nil {
			return fmt.Errorf("install CRDs: %q: %w", file, err)
		}
		for _, object := range applied {
			if object.GetKind() == "CustomResourceDefinition" {
				names = append(names, object.GetName())
			}
		}
	}
	if len(names) == 0 {
		return fmt.Errorf("install CRDs: no CustomResourceDefinition in %q", dir)
	}
	for _, name := range names {
		if err := e.awaitServed(ctx, name); err != nil {
			return fmt.Errorf("install CRDs: %q: %w", name, err)
		}
	}
	return nil
}

// awaitServed waits until objects of a CustomResourceDefinition can be listed in every version that it serves. The
// condition Established comes first, the endpoint a moment later.
func (e *Env) awaitServed(ctx context.Context, name string) error {
	crds := e.dynamic.Resource(schema.GroupVersionResource{
		Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions",
	})
	var last error
	err := wait.PollUntilContextTimeout(ctx, pollInterval, applyPatience, true, func(ctx context.Context) (bool, error) {
		crd, err := crds.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		last = e.list(ctx, crd)
		return last == nil, nil
	})
	if wait.Interrupted(err) {
		return fmt.Errorf("not served after %s: %w", applyPatience, last)
	}
	return err
}

func (e *Env) list(ctx context.Context, crd *unstructured.Unstructured) error {
	group, _, _ := unstructured.NestedString(crd.Object, "spec", "group")
	plural, _, _ := unstructured.NestedString(crd.Object, "spec", "names", "plural")
	versions, _, err := unstructured.NestedSlice(crd.Object, "spec", "versions")
	if err != nil {
		return err
	}
	for _, v := range versions {
		version, ok := v.(map[string]any)
		if !ok || version["served"] != true {
			continue
		}
		name, _ := version["name"].(string)
		resource := schema.GroupVersionResource{Group: group, Version: name, Resource: plural}
		if _, err := e.dynamic.Resource(resource).List(ctx, metav1.ListOptions{Limit: 1}); err != nil {
			return err
		}
	}
	return nil
}

// Namespace creates a Namespace with a name of its own, starting with "test-", and returns the name. It is left to
// the end of the environment.
func (e *Env) Namespace(t testing.TB) string {
	t.Helper()
	namespaces := e.dynamic.Resource(schema.GroupVersionResource{Version: "v1", Resource: "namespaces"})
	created, err := namespaces.Create(t.Context(), &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"generateName": "test-"},
	}}, metav1.CreateOptions{FieldManager: FieldManager})
	if err != nil {
		t.Fatal(err)
	}
	return created.GetName()
}

// decode reads the documents of a YAML stream; empty ones are left out, duplicate keys are errors.
func decode(r io.Reader) ([]*unstructured.Unstructured, error) {
	documents := yaml.NewYAMLReader(bufio.NewReader(r))
	var objects []*unstructured.Unstructured
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read manifest: %w", err)
		}
		asJSON, err := sigsyaml.YAMLToJSONStrict(bytes.TrimSpace(document))
		if err != nil {
			return nil, fmt.Errorf("read manifest: %w", err)
		}
		u := &unstructured.Unstructured{}
		if err := utiljson.Unmarshal(asJSON, &u.Object); err != nil { // keeps integers integers
			return nil, fmt.Errorf("read manifest: %w", err)
		}
		if len(u.Object) == 0 {
			continue
		}
		if u.GetKind() == "" || u.GetAPIVersion() == "" || u.GetName() == "" {
			return nil, fmt.Errorf("read manifest: a document lacks apiVersion, kind or metadata.name")
		}
		objects = append(objects, u)
	}
}
