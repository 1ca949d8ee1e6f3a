package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/api/client"
	"github.com/waybill-dev/waybill/api/rest/model"
)

// failure is an error with everything a person needs: what, why, what to type
// next, and the exit code (see client.ExitDone and following).
type failure struct {
	code int
	what string
	why  []string
	next []string
}

func (f *failure) Error() string { return f.what }

// usage is a mistake in the command line.
func usage(cmd *cobra.Command, what string) *failure {
	return &failure{code: client.ExitUsage, what: strings.TrimSpace(what), next: []string{cmd.CommandPath() + " --help"}}
}

// usagef is usage with a format.
func usagef(cmd *cobra.Command, format string, args ...any) *failure {
	return usage(cmd, fmt.Sprintf(format, args...))
}

// fail prints err and returns its exit code. It is the only place where an
// error becomes text or a code.
func (a *App) fail(err error) int {
	f := a.explain(err)
	if f.what == "" { // said already
		return f.code
	}
	red := a.isColoured(a.Terminal.Stderr)
	a.say("%s %s", paint("Error:", "1;31", red), f.what)
	for _, line := range f.why {
		a.say("  %s", line)
	}
	for i, line := range f.next {
		label := "Try:"
		if i > 0 {
			label = "    "
		}
		a.say("%s %s", label, line)
	}
	return f.code
}

// explain turns any error into a failure.
func (a *App) explain(err error) *failure {
	var f *failure
	if errors.As(err, &f) {
		return f
	}
	f = &failure{code: client.ExitCode(err), what: err.Error()}
	var unreachable *client.UnreachableError
	var problem *client.Problem
	switch {
	case errors.As(err, &problem):
		f.explainProblem(problem.Problem)
	case errors.As(err, &unreachable):
		cause := unreachable.Err
		if dial := new(net.OpError); errors.As(cause, &dial) {
			cause = dial.Err // without the address, which is said already
		}
		f.what = fmt.Sprintf("cannot reach the server %s: %v", unreachable.Server, cause)
		f.next = []string{"waybill context list        # which server is that?"}
		if strings.Contains(unreachable.Server, "//127.0.0.1:") {
			f.next = append(f.next, "waybill local up --demo     # if it is the one on this machine")
		}
	case errors.Is(err, client.ErrGone):
		f.code = client.ExitNotFound
	case errors.Is(err, context.Canceled):
		f.code, f.what = client.ExitInterrupted, ""
	}
	return f
}

// explainProblem says what the server's refusal says.
func (f *failure) explainProblem(p model.Problem) {
	f.what = p.Detail
	for _, e := range p.Errors {
		if e.Detail != p.Detail { // said already
			f.why = append(f.why, fieldError(e))
		}
	}
	if p.Code == model.InvalidManifest && len(p.Errors) > 0 {
		f.what = mistakesIn(len(p.Errors)) // which the lines below name, with their places
		return
	}
	f.why = append(f.why, gateLines(p.BlockedBy)...)
	switch {
	case strings.HasPrefix(p.Hint, "waybill "):
		f.next = append(f.next, p.Hint)
	case p.Hint != "": // a sentence, nothing to type
		f.why = append(f.why, p.Hint)
	}
	if p.Code == model.NotSignedIn && p.Hint == "" {
		f.next = append(f.next, "waybill login URL")
	}
	if p.RequestID != "" && (p.Code == model.Internal || p.Code == model.Timeout) {
		f.why = append(f.why, "request "+p.RequestID+" (the server's log has the details)")
	}
}

// mistakesIn says that manifests were refused.
func mistakesIn(n int) string {
	if n == 1 {
		return "1 mistake in the manifests; nothing was changed"
	}
	return fmt.Sprintf("%d mistakes in the manifests; nothing was changed", n)
}

// fieldError says where a mistake is: FILE: document N, line N: FIELD: what.
func fieldError(e model.FieldError) string {
	file := e.File
	if file == "-" {
		file = "standard input"
	}
	var place []string
	if e.Document > 0 {
		place = append(place, fmt.Sprintf("document %d", e.Document))
	}
	if e.Line > 0 {
		place = append(place, fmt.Sprintf("line %d", e.Line))
	}
	return join(": ", file, strings.Join(place, ", "), firstOf(e.Field, e.Pointer), e.Detail)
}

// gateLines lists every closed gate with what opens it.
func gateLines(gates []model.GateVerdict) []string {
	var t table
	for _, g := range gates {
		if g.Open {
			continue
		}
		t.add(text(string(g.Gate)), text(g.Reason))
		if opener := opensBy(g); opener != "" {
			t.add(blank(), text(opener))
		}
	}
	if len(t.rows) == 0 {
		return nil
	}
	var b strings.Builder
	_ = t.write(&b, false) // a strings.Builder does not fail
	return strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
}

// opensBy says what opens a closed gate, in the server's words.
func opensBy(g model.GateVerdict) string {
	switch {
	case g.Open:
		return ""
	case g.OpensBy != "":
		return "opens by: " + g.OpensBy
	case !g.OpensAt.IsZero():
		return "opens at " + g.OpensAt.UTC().Format("2006-01-02 15:04:05Z")
	default:
		return ""
	}
}
