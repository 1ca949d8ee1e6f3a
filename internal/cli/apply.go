package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/api/client"
	"github.com/waybill-dev/waybill/api/rest/model"
)

func (a *App) applyCommand() *cobra.Command {
	var out *output
	var w *waitFlags
	var f manifestFlags
	var opts client.ApplyOptions
	cmd := &cobra.Command{
		Use:   "apply -f FILE",
		Short: "Create or change definitions",
		Long: `Create or change definitions by server-side apply, each with your own rights, in an order that
works: Project, Namespace, Secret, Warehouse, Stage, others. Nothing is applied when any document
cannot be read; the error names file, document, line and field.

With --diff nothing is changed, and what would change is printed; exit codes: 0 nothing, 1 something,
above 1 it could not be worked out. With --prune what you or others applied before, and what is in none
of the files any more, is deleted: Stages, Warehouses, PromotionTasks and Applications of the Projects
that are in the files. What kubectl made stays, Secrets stay, and what Stages deployed stays unless their
deletionPolicy says otherwise. Look first: --diff --prune.`,
		Example: `  waybill apply -f examples/guestbook
  waybill apply -f pipeline.yaml --dry-run
  waybill apply -f examples/guestbook --diff --prune
  cat pipeline.yaml | waybill apply -f - --wait`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			files, err := a.readManifests(cmd, f)
			if err != nil {
				return err
			}
			c, x, err := a.client()
			if err != nil {
				return err
			}
			opts.Project = x.Project
			opts.DryRun = opts.DryRun || opts.Diff
			if _, err := parse(files, x.Project); err != nil {
				return err
			}
			result, err := c.Apply(cmd.Context(), files, opts)
			if err != nil {
				return err
			}
			if err := a.printApplied(result, out, opts); err != nil {
				return err
			}
			failed := applyFailure(result)
			if opts.Diff {
				return diffOutcome(result, failed)
			}
			if failed != nil || !w.wait || opts.DryRun {
				return failed
			}
			return a.awaitReady(cmd.Context(), c, result, w.timeout)
		},
	}
	addManifestFlags(cmd, &f)
	out = outputFlag(cmd, "table", "json", "yaml", "name")
	w = addWaitFlags(cmd, "until everything applied is Ready")
	cmd.Flags().BoolVar(&opts.DryRun, "dry-run", false, "check everything and change nothing")
	cmd.Flags().BoolVar(&opts.Diff, "diff", false, "change nothing and print what would change")
	cmd.Flags().BoolVar(&opts.Prune, "prune", false, "also delete what was applied before and is in none of the files")
	cmd.Flags().BoolVar(&opts.Force, "force", false, "take over fields that somebody else manages")
	return cmd
}

// printApplied prints a line per document to standard output, and the mistakes
// to standard error. Among differences what stays as it is is left out.
func (a *App) printApplied(result *model.ApplyResult, out *output, opts client.ApplyOptions) error {
	if out.isMachine() {
		return out.encode(a.Stdout, result)
	}
	for _, w := range result.Warnings {
		a.say("Warning: %s", fieldError(w))
	}
	for _, d := range result.Items {
		name := strings.ToLower(d.Kind) + "/" + d.Name
		if d.Action == model.DocumentResultActionFailed {
			a.sayDocument(d, name)
			continue
		}
		if opts.Diff && d.Action == model.DocumentResultActionUnchanged {
			continue
		}
		line := name
		if out.format != "name" {
			if d.Namespace != "" {
				line += " in " + d.Namespace
			}
			line += " " + string(d.Action)
			if opts.DryRun {
				line += " (dry run)"
			}
			line = join(": ", line, d.Note)
			for _, more := range a.changeOf(&d) {
				line += "\n" + more
			}
		}
		if err := a.print("%s", line); err != nil {
			return err
		}
	}
	return nil
}

// changeOf returns the lines that show how a document changes its object; none when that was not asked for.
func (a *App) changeOf(d *model.DocumentResult) []string {
	if d.Change.Kind == "" {
		return nil
	}
	lines := diffLines(d.Change.Diff, a.isColoured(a.Terminal.Stdout))
	if d.Change.Cut {
		lines = append(lines, "  (not all of it is shown)")
	}
	return append(lines, "")
}

// diffOutcome is nil when nothing would change. Exit code 1 is kept for "something would".
func diffOutcome(result *model.ApplyResult, failed error) error {
	var f *failure
	if errors.As(failed, &f) {
		return aboveOne(f)
	}
	for _, d := range result.Items {
		if d.Action != model.DocumentResultActionUnchanged {
			return &failure{code: client.ExitFailed} // the answer, not a failure: nothing is said
		}
	}
	return nil
}

// sayDocument says what is wrong with a document and where it is.
func (a *App) sayDocument(d model.DocumentResult, name string) {
	at := model.FieldError{File: d.File, Document: d.Document, Line: d.Line}
	for _, e := range d.Problem.Errors {
		// A mistake in a field says where the field is; the rest the document.
		e.File, e.Document = firstOf(e.File, at.File), max(e.Document, at.Document)
		if e.Line == 0 {
			e.Line = at.Line
		}
		a.say("%s: %s", name, fieldError(e))
	}
	if len(d.Problem.Errors) == 0 {
		at.Detail = d.Problem.Detail
		a.say("%s: %s", name, fieldError(at))
	}
	if d.Problem.Hint != "" {
		a.say("  Try: %s", d.Problem.Hint)
	}
}

// applyFailure is nil when every document was applied; its exit code is that of
// the first problem.
func applyFailure(result *model.ApplyResult) error {
	for _, d := range result.Items {
		if d.Action == model.DocumentResultActionFailed {
			code := client.ExitCode(&client.Problem{Problem: d.Problem})
			return &failure{code: max(code, client.ExitFailed), what: fmt.Sprintf("%d of %d documents could not be applied", result.Failed, len(result.Items))}
		}
	}
	return nil
}

// awaitReady waits until the controllers took up what was applied and found it
// good. A definition that only a person can mend ends the wait.
func (a *App) awaitReady(ctx context.Context, c *client.Client, result *model.ApplyResult, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	tick := time.NewTicker(readyInterval)
	defer tick.Stop()
	for _, d := range result.Items {
		plural, name := awaited(d)
		if plural == "" {
			continue
		}
		for said := ""; ; {
			o, err := c.Definition(ctx, firstOf(d.Namespace, d.Name), plural, d.Name)
			if err != nil && ctx.Err() == nil {
				return err
			}
			found := object(o)
			ready, stalled := found.condition("Ready"), found.condition("Stalled")
			isCurrent := ready.text("observedGeneration") == found.text("metadata", "generation")
			if err == nil && isCurrent && ready.text("status") == "True" {
				break
			}
			message := firstOf(ready.text("message"), ready.text("reason"), "nothing is known yet")
			if stalled.text("status") == "True" && stalled.text("observedGeneration") == found.text("metadata", "generation") {
				return &failure{code: client.ExitFailed, what: fmt.Sprintf("%s: %s", name, firstOf(stalled.text("message"), message))}
			}
			if message != said {
				said = message
				a.say("  waiting for %s: %s", name, message)
			}
			select {
			case <-tick.C:
				continue
			case <-ctx.Done():
			}
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return &failure{code: client.ExitTimeout, what: fmt.Sprintf("%s is not Ready after %s: %s", name, timeout, message)}
			}
			return &failure{code: client.ExitInterrupted}
		}
	}
	return nil
}

// readyInterval is how often a definition that is not Ready is looked at.
const readyInterval = 250 * time.Millisecond

// awaited returns the plural and name of a document that becomes Ready; kinds
// without conditions have an empty plural.
func awaited(d model.DocumentResult) (model.Kind, string) {
	switch d.Kind {
	case "Project":
		return client.KindProjects, "project/" + d.Name
	case "Warehouse":
		return model.Warehouses, "warehouse/" + d.Name
	case "Stage":
		return model.Stages, "stage/" + d.Name
	case "Application":
		return model.Applications, "application/" + d.Name
	default:
		return "", ""
	}
}
