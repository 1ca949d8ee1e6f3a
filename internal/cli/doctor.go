package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/api/client"
	"github.com/waybill-dev/waybill/api/rest/model"
)

// checkup is one line of doctor.
type checkup struct {
	Name  string             `json:"name"`
	State model.FindingState `json:"state"`
	// Message is what was found, and why.
	Message string `json:"message"`
	// Next is what to do or type next.
	Next string `json:"next,omitempty"`
}

// examination is what doctor found, from outside to inside.
type examination struct {
	Fails    int       `json:"fails"`
	Warnings int       `json:"warnings"`
	Items    []checkup `json:"items"`

	// code is that of a failure that has one of its own.
	code int
}

func (e *examination) add(name string, state model.FindingState, next, format string, args ...any) {
	switch state {
	case model.FindingFail:
		e.Fails++
	case model.FindingWarn:
		e.Warnings++
	}
	e.Items = append(e.Items, checkup{Name: name, State: state, Message: oneLine(fmt.Sprintf(format, args...)), Next: next})
}

// addError adds what could not be found out: to have no right is no fault.
func (e *examination) addError(name string, err error) {
	switch code := client.Code(err); code {
	case model.Forbidden:
		e.add(name, model.FindingUnknown, "", "only an administrator of this installation sees this")
	case model.NotFound:
		e.add(name, model.FindingUnknown, "", "the server does not know this question: it is older than this program")
	default:
		e.add(name, model.FindingFail, "", "%v", err)
	}
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

func (a *App) doctorCommand() *cobra.Command {
	var out *output
	var localOnly bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Look for what is wrong, from this machine to the clusters",
		Long: `Look for what is wrong, from outside to inside: configuration, server and its version, clock,
certificate, session, the server's parts (leader, CRDs, admission policies, history, what waits to be
written or sent, kubeconfigs that end), clusters, and in each Project one may see (or that of -p)
Warehouses, Stages, Promotions that wait for long and webhook receivers. Each line is ok, warn or FAIL
with what to type next; a dash says that it cannot be found out from here. Nothing is changed, and no
secret is printed.

The exit code is 0 when nothing fails, warnings or not; 1 when something does; 2 when the server does
not answer; 4 when nobody is signed in.`,
		Example: `  waybill doctor
  waybill doctor -p guestbook
  waybill doctor -o json
  waybill doctor --local          # this machine only; asks no server`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			e := &examination{Items: []checkup{}}
			err := a.examine(cmd.Context(), e, localOnly)
			if errors.Is(err, context.Canceled) {
				return err
			}
			if err := a.printExamination(e, out); err != nil {
				return err
			}
			if e.Fails > 0 {
				return &failure{code: max(e.code, client.ExitFailed), what: fmt.Sprintf("%d of %s failed", e.Fails, counted(len(e.Items), "check"))}
			}
			return nil
		},
	}
	out = outputFlag(cmd, "table", "json", "yaml")
	cmd.Flags().BoolVar(&localOnly, "local", false, "look at this machine only, and at what waybill local needs")
	return cmd
}

// examine looks at everything, and stops where nothing behind can be reached. Its
// error is that of an interruption.
func (a *App) examine(ctx context.Context, e *examination, localOnly bool) error {
	a.examineConfig(e)
	if localOnly {
		a.examineLocal(e)
		return nil
	}
	x, err := a.context()
	if err != nil {
		f := a.explain(err)
		e.code = f.code
		e.add("context", model.FindingFail, strings.Join(f.next[:min(len(f.next), 1)], ""), "%s", f.what)
		return nil
	}
	c, err := a.clientFor(x)
	if err != nil {
		e.code = client.ExitUsage
		e.add("server", model.FindingFail, "waybill context list", "%v", err)
		return nil
	}
	if !a.examineServer(ctx, e, c) || !a.examineSession(ctx, e, c) {
		return ctx.Err()
	}
	a.examineParts(ctx, e, c)
	a.examineClusters(ctx, e, c)
	a.examineProjects(ctx, e, c)
	return ctx.Err()
}

func (a *App) printExamination(e *examination, out *output) error {
	if out.isMachine() {
		return out.encode(a.Stdout, e)
	}
	t := table{heads: []string{"CHECK", "STATE", "FOUND"}}
	for _, item := range e.Items {
		t.add(text(item.Name), findingCell(item.State), text(item.Message))
		if item.Next != "" {
			t.add(blank(), blank(), cell{text: "Try: " + item.Next, style: bold})
		}
	}
	// Whole lines, also on a terminal: who asks wants to know.
	if err := t.write(a.Stdout, a.isColoured(a.Terminal.Stdout)); err != nil {
		return err
	}
	switch {
	case e.Fails == 0 && e.Warnings == 0:
		a.say("Nothing is wrong.")
	case e.Fails == 0:
		a.say("Nothing fails; %s.", counted(e.Warnings, "warning"))
	}
	return nil
}

func findingCell(s model.FindingState) cell {
	switch s {
	case model.FindingOK:
		return cell{text: "ok", style: green}
	case model.FindingWarn:
		return cell{text: "warn", style: yellow}
	case model.FindingFail:
		return cell{text: "FAIL", style: red}
	default:
		return cell{}
	}
}
