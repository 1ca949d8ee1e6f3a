package hook

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/vm"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

const (
	// maxExpressionBytes and maxNodes bound an expression, memoryBudget what it
	// may make, maxGenericBytes what it is given.
	maxExpressionBytes = 1024
	maxNodes           = 200
	memoryBudget       = 100_000
	maxGenericBytes    = 256 << 10
)

// program finds repositories in the JSON of any sender.
type program struct {
	when *vm.Program // nil: always
	urls *vm.Program
}

// env is what expressions see.
type env struct {
	// Body is the message.
	Body any `expr:"body"`
	// Header returns a header of the request, or "".
	Header func(name string) string `expr:"header"`
}

// compileGeneric checks the expressions; errors name the field.
func compileGeneric(g v1alpha1.GenericReceiver) (*program, error) {
	compile := func(field, source string, options ...expr.Option) (*vm.Program, error) {
		if len(source) > maxExpressionBytes {
			return nil, fmt.Errorf("%s is longer than %d bytes", field, maxExpressionBytes)
		}
		p, err := expr.Compile(source, append(options, expr.Env(env{}), expr.MaxNodes(maxNodes))...)
		if err != nil {
			what, _, _ := strings.Cut(err.Error(), "\n") // a drawing follows
			return nil, fmt.Errorf("%s: %s", field, what)
		}
		return p, nil
	}
	p := &program{}
	var err error
	if g.When != "" {
		if p.when, err = compile("generic.when", g.When, expr.AsBool()); err != nil {
			return nil, err
		}
	}
	p.urls, err = compile("generic.repoURLs", g.RepoURLs)
	return p, err
}

// read runs the expressions on a message.
func (p *program) read(h Header, body []byte) (Event, error) {
	e := Event{Kind: "generic"}
	if len(body) > maxGenericBytes {
		return e, fmt.Errorf("%w: it is longer than %d bytes", ErrMalformed, maxGenericBytes)
	}
	in := env{Header: h}
	if err := json.Unmarshal(body, &in.Body); err != nil {
		return e, fmt.Errorf("%w: it is not JSON", ErrMalformed)
	}
	if p.when != nil {
		is, err := run(p.when, in)
		if err != nil {
			return e, fmt.Errorf("%w: generic.when cannot be evaluated for it", ErrMalformed)
		}
		if is != true {
			return e, nil
		}
	}
	found, err := run(p.urls, in)
	if err != nil {
		return e, fmt.Errorf("%w: generic.repoURLs cannot be evaluated for it", ErrMalformed)
	}
	for _, u := range texts(found) {
		e.Repositories = append(e.Repositories, guess(u)...)
	}
	if len(e.Repositories) == 0 {
		return e, fmt.Errorf("%w: generic.repoURLs gives no text and no list of texts", ErrMalformed)
	}
	return e, nil
}

func run(p *vm.Program, in env) (any, error) {
	machine := vm.VM{MemoryBudget: memoryBudget}
	return machine.Run(p, in) //nolint:wrapcheck // its text may quote the message; the caller words it
}

// texts returns the result of an expression as a list.
func texts(v any) []string {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []string:
		return v[:min(len(v), maxRepositories)]
	case []any:
		var out []string
		for _, one := range v[:min(len(v), maxRepositories)] {
			if s, isText := one.(string); isText {
				out = append(out, s)
			}
		}
		return out
	default:
		return nil
	}
}

// guess returns what an address without a kind can be: http is Git or charts,
// SSH is Git, and without a scheme it is an image.
func guess(u string) []Repository {
	switch scheme, _, found := strings.Cut(u, "://"); {
	case !found && strings.Contains(u, "@") && strings.Contains(u, ":"), strings.EqualFold(scheme, "ssh") && found:
		return git(nil, u)
	case !found, strings.EqualFold(scheme, "oci"):
		return []Repository{{Kind: Image, URL: withoutTag(u)}}
	default:
		return []Repository{{Kind: Git, URL: u}, {Kind: Chart, URL: u}}
	}
}
