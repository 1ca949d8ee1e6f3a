package render

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/openapi"
	kyaml "sigs.k8s.io/kustomize/kyaml/yaml"
)

// maxAbandoned is how many builds may still run after their caller stopped waiting, before new ones are refused.
const maxAbandoned = 4

// process guards what kustomize keeps per process: the OpenAPI schema. A kustomization that sets openapi changes it
// for every build that runs beside it and after it (kustomize issue 4824), so such builds run alone and leave the
// built-in schema behind; all others share it once it is parsed.
type process struct {
	schema sync.RWMutex
	warm   bool // the built-in schema is parsed; guarded by schema

	mu        sync.Mutex
	abandoned int
}

// kustomizeProcess is a variable of the package because the state it guards is one of kustomize's packages.
var kustomizeProcess process //nolint:gochecknoglobals // see above

// kustomize renders a folder with a kustomization.
func kustomize(t *tree, root string) ([]located, error) {
	p := preflight{tree: t, visits: map[string]int{}}
	if _, err := p.folder(root); err != nil {
		return nil, err
	}
	// The build reads what preflight read; each has the whole budget.
	build := t.over(t.files)
	objects, err := kustomizeProcess.build(build, root, p.customized)
	t.adopt(build)
	if err != nil {
		return nil, err
	}
	out := make([]located, len(objects))
	for i, object := range objects {
		out[i] = located{object: object}
	}
	return out, nil
}

// adopt adds the files another tree read.
func (t *tree) adopt(other *tree) {
	names := other.inputs()
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, name := range names {
		t.names[name] = true
	}
}

// built is what a build came to.
type built struct {
	objects []*unstructured.Unstructured
	err     error
}

// build runs kustomize and waits for it until the tree's context ends. kustomize takes no context; a build nobody
// waits for any more fails at its next read, or runs to its end and is thrown away.
func (p *process) build(t *tree, root string, alone bool) ([]*unstructured.Unstructured, error) {
	p.mu.Lock()
	busy := p.abandoned >= maxAbandoned
	p.mu.Unlock()
	if busy {
		return nil, &Error{File: root, Err: fmt.Errorf("%w: %d builds that took too long are still running", ErrTimeout, maxAbandoned)}
	}
	done := make(chan built, 1)
	go func() {
		defer func() {
			if r := recover(); r != nil {
				done <- built{err: &Error{File: root, Err: fmt.Errorf("%w: panicked: %s", ErrKustomize, oneLine(fmt.Sprint(r)))}}
			}
		}()
		objects, err := p.run(t, root, alone)
		done <- built{objects, err}
	}()
	select {
	case b := <-done:
		return b.objects, b.err
	case <-t.ctx.Done():
		p.mu.Lock()
		p.abandoned++
		p.mu.Unlock()
		go func() {
			<-done
			p.mu.Lock()
			p.abandoned--
			p.mu.Unlock()
		}()
		return nil, t.ctx.Err()
	}
}

// run builds under the lock the kustomization needs.
func (p *process) run(t *tree, root string, alone bool) ([]*unstructured.Unstructured, error) {
	if alone {
		p.schema.Lock()
		defer p.schema.Unlock()
		openapi.ResetOpenAPI()
		p.warm = false
		defer openapi.ResetOpenAPI()
		return krustyRun(t, root)
	}
	p.schema.RLock()
	for !p.warm {
		p.schema.RUnlock()
		p.warmUp()
		p.schema.RLock()
	}
	defer p.schema.RUnlock()
	return krustyRun(t, root)
}

// warmUp parses the built-in schema, which builds read without a lock.
func (p *process) warmUp() {
	p.schema.Lock()
	defer p.schema.Unlock()
	openapi.SchemaForResourceType(kyaml.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"})
	p.warm = true
}

func krustyRun(t *tree, root string) ([]*unstructured.Unstructured, error) {
	options := krusty.MakeDefaultOptions()
	options.LoadRestrictions = types.LoadRestrictionsRootOnly
	options.PluginConfig = types.DisabledPluginConfig()
	result, err := krusty.MakeKustomizer(options).Run(&readOnly{tree: t}, "/"+strings.TrimPrefix(root, "."))
	if err == nil {
		return convert(t, root, result)
	}
	if refusal := t.refused(); refusal != nil {
		return nil, refusal
	}
	if ctxErr := t.ctx.Err(); ctxErr != nil {
		return nil, ctxErr
	}
	return nil, &Error{File: root, Err: fmt.Errorf("%w: %s", ErrKustomize, quoteKustomize(err))}
}

// convert returns the objects of a build in its order.
func convert(t *tree, root string, result resmap.ResMap) ([]*unstructured.Unstructured, error) {
	resources := result.Resources()
	if len(resources) > t.limits.Objects {
		return nil, &Error{File: root, Err: fmt.Errorf("%w: more than %d objects", ErrTooLarge, t.limits.Objects)}
	}
	out := make([]*unstructured.Unstructured, 0, len(resources))
	for _, r := range resources {
		encoded, err := r.MarshalJSON()
		if err != nil {
			return nil, &Error{File: root, Err: fmt.Errorf("%w: %s %q: cannot be written", ErrInvalid, r.GetKind(), r.GetName())}
		}
		d := document{text: encoded}
		value, err := d.decode(root, true, false)
		if err != nil {
			return nil, err
		}
		objects, problem := flatten(value, "")
		if problem != nil {
			problem.File = root
			problem.Field = strings.TrimSpace(fmt.Sprintf("%s %q: %s", r.GetKind(), r.GetName(), problem.Field))
			return nil, problem
		}
		for _, object := range objects {
			nameKustomize(object)
		}
		out = append(out, objects...)
	}
	return out, nil
}

// nameKustomize mends the label that buildMetadata asks for: kustomize names the version of its own program there, which
// a library does not have, and the API server takes no label with the "(devel)" that it says instead.
func nameKustomize(object *unstructured.Unstructured) {
	const label = "app.kubernetes.io/managed-by"
	labels := object.GetLabels()
	if by := labels[label]; strings.HasPrefix(by, "kustomize-(") {
		labels[label] = "kustomize"
		object.SetLabels(labels)
	}
}

// quoteKustomize makes one bounded line of kustomize's text. kustomize repeats whole plugin configurations and the
// literals of secret generators in its errors; those are cut out.
func quoteKustomize(err error) string {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return "interrupted"
	}
	text := oneLine(err.Error())
	for _, cut := range []struct{ pattern, replacement string }{
		{"`[^`]*(`|$)", "`…`"},
		{`literal sources \[.*\]: `, ""},
		{`invalid literal source .*expected key=value`, "invalid literal source, expected key=value"},
		{`has invalid utf8 bytes : .*`, "is not UTF-8"},
		{`object map\[.*`, "object …"},
	} {
		text = regexp.MustCompile(cut.pattern).ReplaceAllString(text, cut.replacement)
	}
	return text
}
