package expression_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/internal/expression"
)

func scope() expression.Scope {
	return expression.Scope{
		Variables: map[string]any{
			"ctx":     map[string]any{"stage": "test", "targetFreight": map[string]any{"name": "f1"}},
			"vars":    map[string]any{"count": "3", "flag": "true", "tag": "1.10", "json": `{"a": [1]}`},
			"outputs": map[string]any{"commit": map[string]any{"commit": "abc"}, "step-1": map[string]any{"n": 7}},
		},
		Functions: expression.Standard(),
		Now:       time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC),
	}
}

func TestEval(t *testing.T) {
	for text, want := range map[string]struct {
		text string
		json any
		why  string
	}{
		"plain":                                    {"plain", "plain", "no expression, no change"},
		"42":                                       {"42", "42", "text that was not computed stays text"},
		"${{ ctx.stage }}":                         {"test", "test", ""},
		"stage/${{ ctx.stage }}/x":                 {"stage/test/x", "stage/test/x", ""},
		"${% ctx.stage %}":                         {"test", "test", "the other spelling"},
		"${{ vars.count }}":                        {"3", int64(3), "a computed text is read as JSON"},
		"${{ vars.flag }}":                         {"true", true, ""},
		"${{ vars.tag }}":                          {"1.10", "1.10", "1.10 is not 1.1"},
		"${{ quote(vars.count) }}":                 {"3", "3", "quote keeps text"},
		"${{ vars.json }}":                         {`{"a": [1]}`, map[string]any{"a": []any{json.Number("1")}}, ""},
		"${{ outputs.commit.commit }}":             {"abc", "abc", ""},
		"${{ outputs['step-1'].n + 1 }}":           {"8", 8, ""},
		`${{ {"a": {"b": 1}}.a.b }}`:               {"1", 1, "braces inside"},
		`${{ "}}" }}`:                              {"}}", "}}", "the end inside quotes"},
		`${{ semverParse("v1.2.3").Minor() }}`:     {"2", uint64(2), ""},
		`${{ semverDiff("1.2.3", "1.3.0") }}`:      {"Minor", "Minor", ""},
		`${{ asJSON({"a": "<b>"}) }}`:              {`{"a":"<b>"}`, map[string]any{"a": "<b>"}, ""},
		`${{ asYAML({"a": 1}) }}`:                  {"a: 1", "a: 1", ""},
		`${{ now().Format("2006-01-02") }}`:        {"2026-11-21", "2026-11-21", "the instant of the scope"},
		`${{ replace("a-b", "-", "_") }}`:          {"a_b", "a_b", ""},
		`${{ filter([1,2,3], # > 1) }}`:            {"[2,3]", []any{2, 3}, ""},
		`${{ vars.missing ?? "none" }}`:            {"none", "none", "a variable that is not set is nil"},
		`${{ true ? 'x' : 'y' }} and ${{ 1 + 1 }}`: {"x and 2", "x and 2", "several"},
	} {
		tmpl, err := expression.Parse(text)
		if err != nil {
			t.Errorf("parse %q: %v", text, err)
			continue
		}
		v, err := tmpl.Eval(scope())
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if v.Text() != want.text {
			t.Errorf("%q: text %q, want %q %s", text, v.Text(), want.text, want.why)
		}
		if d := cmp.Diff(want.json, v.JSON()); d != "" {
			t.Errorf("%q: JSON differs (%s):\n%s", text, want.why, d)
		}
	}
}

func TestRefused(t *testing.T) {
	for _, text := range []string{
		"${{ ctx.stage", "${{ }}", "${{ unknown }}", "${{ 1 + }}", "${{ nosuch(1) }}", `${{ os.Getenv("HOME") }}`,
		"${{ " + strings.Repeat("(", 2000) + strings.Repeat(")", 2000) + " }}",
		"${{ '" + strings.Repeat("x", 5000) + "' }}",
		strings.Repeat("${{ 1 }}", 65),
	} {
		tmpl, err := expression.Parse(text)
		if err == nil {
			_, err = tmpl.Eval(scope())
		}
		if !errors.Is(err, expression.ErrInvalid) {
			t.Errorf("%.40q: %v, want ErrInvalid", text, err)
		} else if strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "Meter") {
			t.Errorf("%.40q: message %q", text, err)
		}
	}
}

// TestBounded: little text must not make much work.
func TestBounded(t *testing.T) {
	doubling := "let a0 = 'xxxxxxxx'; "
	nested := "let a0 = [1,1]; "
	for i := 1; i < 60; i++ {
		n, p := "a"+string(rune('0'+i/10))+string(rune('0'+i%10)), "a"+string(rune('0'+(i-1)/10))+string(rune('0'+(i-1)%10))
		if i == 1 {
			p = "a0"
		}
		doubling += "let " + n + " = " + p + " + " + p + "; "
		nested += "let " + n + " = [" + p + "," + p + "]; "
	}
	for why, source := range map[string]string{
		"a large range":       "len(1..100000000)",
		"ranges in ranges":    "count(1..10000, count(1..10000, count(1..10000, true) > 0) > 0)",
		"one list many times": "let a = 1..1000; count(a, count(a, count(a, true) > 0) > 0)",
		"text that doubles":   doubling + "a59",
		"lists that double":   nested + "toJSON(a59)",
		"reduce that doubles": "len(reduce(1..1000, #acc + #acc, 'xxxxxxxx'))",
		"replace by much":     "len(replace(repeat('a', 100000), 'a', repeat('b', 100000)))",
		"join with much":      "len(join(map(1..1000, 'a'), repeat('b', 100000)))",
		"repeat of repeat":    "len(repeat(repeat('a', 100000), 100000))",
	} {
		tmpl, err := expression.Parse("${{ " + source + " }}")
		if err != nil {
			t.Errorf("%s: %v", why, err)
			continue
		}
		if v, err := tmpl.Eval(scope()); err == nil {
			t.Errorf("%s: went through, %.40q", why, v.Text())
		}
	}
}

func TestBool(t *testing.T) {
	s := scope()
	s.Functions["always"] = func(...any) (any, error) { return true, nil }
	for text, want := range map[string]bool{
		"${{ always() }}": true, "always()": true, "ctx.stage == 'prod'": false, "${{ vars.flag }}": true,
	} {
		if got, err := expression.Bool(text, s); err != nil || got != want {
			t.Errorf("%q: %t, %v", text, got, err)
		}
	}
	if _, err := expression.Bool("ctx.stage", s); !errors.Is(err, expression.ErrInvalid) {
		t.Errorf("a text as condition: %v", err)
	}
}

func TestCheck(t *testing.T) {
	got, err := expression.Check("a ${{ vars.image + imageFrom(vars.image).Tag }} ${{ outputs['x-1'].n }}", []string{"vars", "outputs"}, []string{"imageFrom"})
	want := []expression.Reference{{Variable: "vars"}, {Variable: "vars", Member: "image"}, {Variable: "imageFrom"}, {Variable: "outputs"}, {Variable: "outputs", Member: "x-1"}}
	if err != nil || cmp.Diff(want, got) != "" {
		t.Errorf("references %v, %v", got, err)
	}
	if _, err := expression.Check("${{ imageform('x') }}", []string{"vars"}, []string{"imageFrom"}); !errors.Is(err, expression.ErrInvalid) {
		t.Errorf("a misspelt function: %v", err)
	}
}

// FuzzExpression: whatever a Stage's author writes ends soon, and twice the same.
func FuzzExpression(f *testing.F) {
	for _, s := range []string{
		"${{ ctx.stage }}", "${{ 1..10 }}", `${{ map(1..3, # * 2) }}`, "${{ quote(vars.count) }}", "${% vars %}", "${{ reduce(1..9, #acc + #, 0) }}",
		"${{ let a = [1]; a[0] }}", "${{ {'a': 1}['a'] }}", "}}${{", `${{ "a" matches "(a+)+$" }}`, "${{ groupBy([1,2], # % 2) }}", "${{ -9223372036854775808 / -1 }}",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		tmpl, err := expression.Parse(text)
		if err != nil {
			return
		}
		a, errA := tmpl.Eval(scope())
		b, errB := tmpl.Eval(scope())
		if (errA == nil) != (errB == nil) {
			t.Fatalf("%q: %v, then %v", text, errA, errB)
		}
		if errA == nil && len(a.Text()) != len(b.Text()) {
			t.Fatalf("%q: two values", text)
		}
	})
}
