package rest

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/routers"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/identity"
)

//go:embed openapi.yaml
var openapiYAML []byte

// document is openapi.yaml, read once at start.
type document struct {
	json []byte
	// operations by method and echo path: "GET /api/v1/projects/:project".
	operations map[string]*operation
	// byID holds the same by operationId.
	byID map[string]*operation
}

// operation is one operation with its permission.
type operation struct {
	id         string
	permission permission
	route      *routers.Route
}

// permission is a parsed x-permission.
type permission struct {
	// isPublic: nobody needs to be signed in.
	isPublic bool
	// signedInOnly: any person; items are authorised by the handler.
	signedInOnly bool
	// verb, resource, name and namespace of the question to RBAC; the last
	// three may hold path parameters in braces.
	verb, resource, name, namespace string
}

// isOfProject says that the operation is about a Project or something in one.
func (p permission) isOfProject() bool { return p.namespace != "" || p.name == "{project}" }

// grammar of x-permission: see the description in openapi.yaml.
var permissionGrammar = regexp.MustCompile(`^([a-z]+) ([a-z]+|\{[a-z]+\})(?:/(\{[a-z]+\}))?(?: in (\{[a-z]+\}))?$`)

func parsePermission(text string) (permission, error) {
	switch text {
	case "public":
		return permission{isPublic: true}, nil
	case "signed-in":
		return permission{signedInOnly: true}, nil
	}
	m := permissionGrammar.FindStringSubmatch(text)
	if m == nil {
		return permission{}, fmt.Errorf("x-permission %q is not public, signed-in, or VERB RESOURCE[/{NAME}] [in {PROJECT}]", text)
	}
	return permission{verb: m[1], resource: m[2], name: m[3], namespace: m[4]}, nil
}

// action returns the question for these path parameters.
func (p permission) action(param func(string) string) identity.Action {
	fill := func(s string) string {
		if name, ok := strings.CutPrefix(s, "{"); ok {
			return param(strings.TrimSuffix(name, "}"))
		}
		return s
	}
	return identity.Action{Verb: p.verb, Group: v1alpha1.Group, Resource: fill(p.resource), Name: fill(p.name), Namespace: fill(p.namespace)}
}

// readDocument parses and checks openapi.yaml: an operation without a
// permission, or with one that names an unknown parameter, is an error.
func readDocument() (*document, error) {
	doc, err := openapi3.NewLoader().LoadFromData(openapiYAML)
	if err != nil {
		return nil, fmt.Errorf("read openapi.yaml: %w", err)
	}
	if err := doc.Validate(context.Background()); err != nil {
		return nil, fmt.Errorf("check openapi.yaml: %w", err)
	}
	out := &document{operations: map[string]*operation{}, byID: map[string]*operation{}}
	if out.json, err = json.Marshal(doc); err != nil {
		return nil, fmt.Errorf("encode openapi.yaml: %w", err)
	}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			text, _ := op.Extensions["x-permission"].(string)
			perm, err := parsePermission(text)
			if err != nil {
				return nil, fmt.Errorf("openapi.yaml: %s %s: %w", method, path, err)
			}
			for _, part := range []string{perm.resource, perm.name, perm.namespace} {
				if strings.HasPrefix(part, "{") && !strings.Contains(path, part) {
					return nil, fmt.Errorf("openapi.yaml: %s %s: x-permission names %s, which is not in the path", method, path, part)
				}
			}
			o := &operation{id: op.OperationID, permission: perm, route: &routers.Route{
				Spec: doc, Path: path, PathItem: item, Method: method, Operation: op,
			}}
			if out.byID[o.id] != nil || o.id == "" {
				return nil, fmt.Errorf("openapi.yaml: %s %s: operationId %q is missing or there twice", method, path, o.id)
			}
			out.operations[method+" "+echoPath(path)] = o
			out.byID[o.id] = o
		}
	}
	return out, nil
}

// echoPath turns /projects/{project} into /projects/:project.
func echoPath(path string) string {
	return strings.NewReplacer("{", ":", "}", "").Replace(path)
}
