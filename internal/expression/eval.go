package expression

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/vm"
)

const (
	// maxNodes bounds the tree of one expression.
	maxNodes = 512
	// maxWork bounds one evaluation: values looked at, and 64 bytes of text.
	maxWork = 500_000
	// maxMemory bounds what lists and maps of one evaluation hold.
	maxMemory = 100_000
	// meterName is the function that the compiler weaves in. It is not a name
	// that people write.
	meterName = "waybillMeter"
)

// Function is what an expression may call.
type Function func(args ...any) (any, error)

// Scope is what an expression may see.
type Scope struct {
	// Variables by name: maps, lists, texts, numbers, booleans.
	Variables map[string]any
	// Functions by name, in addition to those of the language.
	Functions map[string]Function
	// Now is what now() returns: an instant that is the same at every
	// evaluation.
	Now time.Time
}

// Eval evaluates every expression of the text.
func (t Template) Eval(s Scope) (Value, error) {
	var b strings.Builder
	var v Value
	for _, p := range t.parts {
		text := p.text
		if p.isExpression {
			result, err := evaluate(p.text, s)
			if err != nil {
				return Value{}, err
			}
			v.isComputed = true
			if len(t.parts) == 1 {
				v.raw = result
			}
			if text, err = textOf(result); err != nil {
				return Value{}, fmt.Errorf("%q: %w", shortened(p.text), err)
			}
		}
		if b.Len()+len(text) > maxResult {
			return Value{}, fmt.Errorf("%w: the result is larger than %d bytes", ErrTooExpensive, maxResult)
		}
		b.WriteString(text)
	}
	v.text = b.String()
	return v, nil
}

// Bool evaluates text, with or without brackets, as a condition.
func Bool(text string, s Scope) (bool, error) {
	t, err := condition(text)
	if err != nil {
		return false, err
	}
	v, err := t.Eval(s)
	if err != nil {
		return false, err
	}
	switch got := v.JSON().(type) {
	case bool:
		return got, nil
	default:
		return false, fmt.Errorf("%w: %q is no condition, its value is %q; it must be true or false", ErrInvalid, shortened(text), shortened(v.Text()))
	}
}

// condition reads the text of an if: brackets may be left out.
func condition(text string) (Template, error) {
	if Has(text) {
		return Parse(text)
	}
	return Parse("${{ " + text + " }}")
}

func evaluate(source string, s Scope) (any, error) {
	m := &meter{left: maxWork}
	env := environment(s, m)
	program, err := compile(source, env, s.Functions)
	if err != nil {
		return nil, err
	}
	machine := vm.VM{MemoryBudget: maxMemory}
	result, err := machine.Run(program, env)
	switch {
	case m.left <= 0:
		return nil, fmt.Errorf("%w: %q", ErrTooExpensive, shortened(source))
	case err != nil:
		return nil, fmt.Errorf("expression %q: %w", shortened(source), plain(err))
	}
	if err := m.spend(result); err != nil {
		return nil, fmt.Errorf("%w: %q", ErrTooExpensive, shortened(source))
	}
	return result, nil
}

func environment(s Scope, m *meter) map[string]any {
	env := map[string]any{meterName: func(v any) (any, error) { return v, m.spend(v) }}
	for name, v := range s.Variables {
		env[name] = v
	}
	for name, fn := range s.Functions {
		env[name] = (func(...any) (any, error))(fn)
	}
	for name, fn := range bounded(s.Now) {
		env[name] = (func(...any) (any, error))(fn)
	}
	return env
}

// compile reads one expression. Names that are not in env are refused.
func compile(source string, env map[string]any, functions map[string]Function) (*vm.Program, error) {
	options := []expr.Option{expr.Env(env), expr.MaxNodes(maxNodes), expr.Patch(weaver{}), expr.Optimize(false)}
	for name := range bounded(time.Time{}) {
		options = append(options, expr.DisableBuiltin(name))
	}
	for name := range functions {
		options = append(options, expr.DisableBuiltin(name))
	}
	program, err := expr.Compile(source, options...)
	if err != nil {
		return nil, fmt.Errorf("%w: %q: %w", ErrInvalid, shortened(source), plain(err))
	}
	return program, nil
}

// plain keeps the first line of the library's message: the rest draws the
// source with an arrow.
func plain(err error) error {
	first, _, _ := strings.Cut(err.Error(), "\n")
	return errors.New(strings.ReplaceAll(first, meterName, "..."))
}

// weaver puts the meter around everything that repeats or grows.
type weaver struct{}

// Visit implements ast.Visitor.
func (weaver) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.PredicateNode:
		n.Node = metered(n.Node)
	case *ast.VariableDeclaratorNode:
		n.Value = metered(n.Value)
	case *ast.BinaryNode:
		if n.Operator == "+" {
			ast.Patch(node, metered(n))
		}
	case *ast.ArrayNode, *ast.MapNode, *ast.CallNode, *ast.BuiltinNode:
		ast.Patch(node, metered(n))
	}
}

func metered(n ast.Node) ast.Node {
	return &ast.CallNode{Callee: &ast.IdentifierNode{Value: meterName}, Arguments: []ast.Node{n}}
}

// meter counts the work of one evaluation.
type meter struct{ left int }

// spend takes the size of a value from what is left.
func (m *meter) spend(v any) error {
	m.size(v, 0)
	if m.left <= 0 {
		return ErrTooExpensive
	}
	return nil
}

func (m *meter) size(v any, depth int) {
	if m.left--; m.left <= 0 {
		return
	}
	if depth > 100 {
		m.left = 0
		return
	}
	switch v := v.(type) {
	case nil:
	case string:
		m.left -= len(v) / 64
	case []byte:
		m.left -= len(v) / 64
	case map[string]any:
		for k, x := range v {
			m.left -= len(k) / 64
			m.size(x, depth+1)
			if m.left <= 0 {
				return
			}
		}
	default:
		r := reflect.ValueOf(v)
		switch r.Kind() {
		case reflect.Slice, reflect.Array:
			for i := 0; i < r.Len() && m.left > 0; i++ {
				m.size(r.Index(i).Interface(), depth+1)
			}
		case reflect.Map:
			for it := r.MapRange(); it.Next() && m.left > 0; {
				m.size(it.Value().Interface(), depth+1)
			}
		case reflect.String:
			m.left -= r.Len() / 64
		}
	}
}

// bounded are functions of the language that could make much out of little, or
// that read a clock.
func bounded(now time.Time) map[string]Function {
	return map[string]Function{
		"now": func(args ...any) (any, error) {
			if len(args) != 0 {
				return nil, errors.New("now takes no argument")
			}
			return now, nil
		},
		"replace": func(args ...any) (any, error) {
			s, err := texts("replace", args, 3)
			if err != nil {
				return nil, err
			}
			if n := strings.Count(s[0], s[1]); len(s[0])+n*len(s[2]) > maxResult {
				return nil, ErrTooExpensive
			}
			return strings.ReplaceAll(s[0], s[1], s[2]), nil
		},
		"repeat": func(args ...any) (any, error) {
			if len(args) != 2 {
				return nil, errors.New("repeat takes a text and a number")
			}
			s, isText := args[0].(string)
			n, isNumber := args[1].(int)
			switch {
			case !isText || !isNumber || n < 0:
				return nil, errors.New("repeat takes a text and a number")
			case n > maxResult || len(s)*n > maxResult:
				return nil, ErrTooExpensive
			}
			return strings.Repeat(s, n), nil
		},
		"join": func(args ...any) (any, error) {
			if len(args) < 1 || len(args) > 2 {
				return nil, errors.New("join takes a list and a text to put between")
			}
			list := reflect.ValueOf(args[0])
			between := ""
			if len(args) == 2 {
				between, _ = args[1].(string)
			}
			if list.Kind() != reflect.Slice {
				return nil, errors.New("join takes a list and a text to put between")
			}
			var b strings.Builder
			for i := range list.Len() {
				s, err := textOf(list.Index(i).Interface())
				if err != nil {
					return nil, err
				}
				if i > 0 {
					b.WriteString(between)
				}
				b.WriteString(s)
				if b.Len() > maxResult {
					return nil, ErrTooExpensive
				}
			}
			return b.String(), nil
		},
	}
}

// texts returns the arguments of a function that takes n texts.
func texts(name string, args []any, n int) ([]string, error) {
	if len(args) != n {
		return nil, fmt.Errorf("%s takes %d texts", name, n)
	}
	out := make([]string, n)
	for i, a := range args {
		s, ok := a.(string)
		if !ok {
			return nil, fmt.Errorf("%s takes %d texts; argument %d is %T", name, n, i+1, a)
		}
		out[i] = s
	}
	return out, nil
}

// Reference is a member of a variable that an expression reads: vars.image is
// {vars, image}. Member is empty where it is computed.
type Reference struct{ Variable, Member string }

// Check reads every expression of a text against the names that will be there,
// and returns what it refers to: variables with their members, and the functions
// it calls as {name, ""}. Nothing is evaluated.
func Check(text string, variables, functions []string) ([]Reference, error) {
	t, err := Parse(text)
	if err != nil {
		return nil, err
	}
	return t.check(variables, functions)
}

// CheckCondition is Check for the text of an if.
func CheckCondition(text string, variables, functions []string) ([]Reference, error) {
	t, err := condition(text)
	if err != nil {
		return nil, err
	}
	return t.check(variables, functions)
}

// CheckConditionWith is CheckCondition where the kinds of values are known:
// variables are examples.
func CheckConditionWith(text string, variables map[string]any, functions []string) ([]Reference, error) {
	t, err := condition(text)
	if err != nil {
		return nil, err
	}
	return t.checkWith(variables, functions)
}

func (t Template) check(variables, functions []string) ([]Reference, error) {
	examples := map[string]any{}
	for _, v := range variables {
		examples[v] = map[string]any{}
	}
	return t.checkWith(examples, functions)
}

func (t Template) checkWith(variables map[string]any, functions []string) ([]Reference, error) {
	s := Scope{Variables: variables, Functions: map[string]Function{}}
	for _, f := range functions {
		s.Functions[f] = func(...any) (any, error) { return nil, nil }
	}
	env := environment(s, &meter{})
	var refs references
	for _, p := range t.parts {
		if !p.isExpression {
			continue
		}
		program, err := compile(p.text, env, s.Functions)
		if err != nil {
			return nil, err
		}
		node := program.Node()
		ast.Walk(&node, &refs)
	}
	return refs.found, nil
}

// references collects what a tree refers to.
type references struct{ found []Reference }

// Visit implements ast.Visitor.
func (r *references) Visit(node *ast.Node) {
	var ref Reference
	switch n := (*node).(type) {
	case *ast.MemberNode:
		base, ok := n.Node.(*ast.IdentifierNode)
		if !ok {
			return
		}
		ref.Variable = base.Value
		if property, ok := n.Property.(*ast.StringNode); ok {
			ref.Member = property.Value
		}
	case *ast.IdentifierNode:
		ref.Variable = n.Value
	default:
		return
	}
	if ref.Variable != meterName && !slices.Contains(r.found, ref) {
		r.found = append(r.found, ref)
	}
}
