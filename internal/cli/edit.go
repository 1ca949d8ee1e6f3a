package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/api/client"
	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/internal/editor"
	"github.com/waybill-dev/waybill/internal/importer"
	"github.com/waybill-dev/waybill/internal/manifest"
)

func (a *App) editCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "edit KIND/NAME",
		Short: "Change a definition in an editor",
		Long: `Change a definition in an editor ($VISUAL, else $EDITOR, else vi): a Project, Warehouse, Stage,
PromotionTask, or an Application that a person made. It is opened as waybill export prints it, checked
when the editor ends, applied with your own rights, and what changed is printed. With a mistake in it
the editor opens again, with the mistakes on top. A file that is empty or not changed cancels.

A field that is taken out goes, unless it has a default or is kept by another tool that applied it.
When somebody else changed the definition meanwhile nothing is applied; what was typed is kept in a file
whenever it could not be applied.`,
		Example: `  waybill edit stage/prod -p guestbook
  waybill edit warehouse guestbook/guestbook
  EDITOR="code --wait" waybill edit project/guestbook`,
		ValidArgsFunction: a.completeKinds,
		RunE: func(cmd *cobra.Command, args []string) error {
			e, err := a.openEdit(cmd, args)
			if err != nil {
				return err
			}
			// A Ctrl-C belongs to the editor.
			ctx, interrupts := context.WithoutCancel(cmd.Context()), make(chan os.Signal, 1)
			signal.Notify(interrupts, os.Interrupt)
			defer signal.Stop(interrupts)
			return e.run(ctx)
		},
	}
}

// edit is one definition in an editor.
type edit struct {
	app    *App
	client *client.Client
	it     definition
	// before is the definition, and text what it is as YAML.
	before map[string]any
	text   string
	path   string // of the file in the editor
	// isTyped: the file holds something that is nowhere else.
	isTyped bool
}

// openEdit reads the definition that the arguments name.
func (a *App) openEdit(cmd *cobra.Command, args []string) (*edit, error) {
	if args = splitPair(args); len(args) != 2 {
		return nil, usagef(cmd, "name one definition: %s", useLine(cmd))
	}
	if _, err := exportKinds(cmd, args[:1]); err != nil {
		return nil, err
	}
	c, x, err := a.client()
	if err != nil {
		return nil, err
	}
	named, err := a.definitionsNamed(cmd, x, args)
	if err != nil {
		return nil, err
	}
	e := &edit{app: a, client: c, it: named[0]}
	o, err := e.read(cmd.Context())
	if err != nil {
		return nil, err
	}
	if !isDefinition(o) {
		return nil, &failure{code: client.ExitConflict, what: fmt.Sprintf("%s %s is made by a Stage, or is being deleted: a change would not stay", e.it.kind.one, e.it.name)}
	}
	e.before = manifest.Definition(o)
	text, err := encodeManifests([]importer.Manifest{{Object: e.before}}, &output{format: "yaml"})
	e.text = string(text)
	return e, err
}

func (e *edit) read(ctx context.Context) (object, error) {
	o, err := e.client.Definition(ctx, e.it.project, e.it.kind.plural, e.it.name)
	return object(o), err
}

// run opens the editor until what it leaves can be applied, and applies it.
func (e *edit) run(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "waybill-edit-")
	if err != nil {
		return fmt.Errorf("make a file to edit: %w", err)
	}
	e.path = filepath.Join(dir, e.it.kind.one+"-"+e.it.name+".yaml")
	err = e.loop(ctx)
	if err == nil || !e.isTyped {
		return errors.Join(err, os.RemoveAll(dir))
	}
	f := e.app.explain(err)
	f.next = append(f.next, "waybill apply -f "+e.path+"   # what was typed is kept there")
	return f
}

func (e *edit) loop(ctx context.Context) error {
	text, refused := e.text, ""
	var mistakes []model.FieldError
	for {
		header := e.header(mistakes)
		if err := os.WriteFile(e.path, []byte(header+text), 0o600); err != nil {
			return fmt.Errorf("write the file to edit: %w", err)
		}
		if err := e.app.runEditor(e.path); err != nil {
			return err
		}
		typed, err := os.ReadFile(e.path)
		if err != nil {
			return fmt.Errorf("read the edited file: %w", err)
		}
		text = withoutHeader(string(typed))
		e.isTyped = true
		switch {
		case strings.TrimSpace(text) == "":
			e.app.say("Cancelled: the file is empty.")
			return nil
		case strings.TrimSpace(text) == strings.TrimSpace(e.text):
			e.app.say("Cancelled: nothing was changed.")
			return nil
		case text == refused:
			f := &failure{code: client.ExitUsage, what: "what was typed is not valid; nothing was changed"}
			for _, m := range inEditedFile(mistakes) {
				f.why = append(f.why, fieldError(m))
			}
			return f
		}
		files := []model.ManifestFile{{Content: text}}
		checked, found, err := e.check(ctx, files)
		if err != nil {
			return err
		}
		if len(found) == 0 {
			return e.apply(ctx, files, checked)
		}
		mistakes, refused = found, text
	}
}

// header is what stands above the definition: comments.
func (e *edit) header(mistakes []model.FieldError) string {
	var b bytes.Buffer
	b.WriteString("# Lines at the top that begin with # are not kept. An empty or unchanged file cancels.\n")
	for _, m := range inEditedFile(mistakes) {
		fmt.Fprintf(&b, "# %s\n", oneLine(fieldError(m)))
	}
	return b.String()
}

// inEditedFile returns mistakes with their lines in the file that has them on top.
func inEditedFile(mistakes []model.FieldError) []model.FieldError {
	out := slices.Clone(mistakes)
	for i := range out {
		if out[i].Line > 0 {
			out[i].Line += 1 + len(mistakes)
		}
	}
	return out
}

// withoutHeader drops the comments at the top.
func withoutHeader(text string) string {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	for strings.HasPrefix(text, "#") {
		_, text, _ = strings.Cut(text, "\n")
	}
	return text
}

// check returns what is wrong with the text, and what applying it would do.
func (e *edit) check(ctx context.Context, files []model.ManifestFile) (*model.ApplyResult, []model.FieldError, error) {
	docs, findings := manifest.Parse([]manifest.File{{Content: []byte(files[0].Content)}}, e.it.project)
	var found []model.FieldError
	for _, m := range manifest.Errors(findings) {
		found = append(found, model.FieldError{Line: m.Line, Field: m.Field, Detail: m.Message})
	}
	if len(found) > 0 {
		return nil, found, nil
	}
	if len(docs) != 1 || !strings.EqualFold(docs[0].Kind, e.it.kind.one) || docs[0].Name != e.it.name || docs[0].Namespace != "" && docs[0].Namespace != e.it.project {
		return nil, []model.FieldError{{Detail: fmt.Sprintf("leave it the one %s %q, with its kind, name and namespace", e.it.kind.one, e.it.name)}}, nil
	}
	result, err := e.client.Apply(ctx, files, client.ApplyOptions{DryRun: true, Diff: true, Force: true, Project: e.it.project})
	var p *client.Problem
	switch {
	case errors.As(err, &p) && p.Code == model.InvalidManifest:
		return nil, problemLines(p.Problem), nil
	case err != nil:
		return nil, nil, err
	}
	for _, d := range result.Items {
		if d.Action != model.DocumentResultActionFailed {
			continue
		}
		switch d.Problem.Code {
		case model.InvalidManifest, model.InvalidRequest:
			found = append(found, problemLines(d.Problem)...)
		default: // typing cannot mend it
			return nil, nil, &client.Problem{Problem: d.Problem}
		}
	}
	return result, found, nil
}

// problemLines are the mistakes a problem names, or the problem itself.
func problemLines(p model.Problem) []model.FieldError {
	if len(p.Errors) == 0 {
		return []model.FieldError{{Detail: p.Detail}}
	}
	out := slices.Clone(p.Errors)
	for i := range out {
		out[i].File, out[i].Document = "", 0
	}
	return out
}

// apply applies the text, unless somebody else changed the definition meanwhile.
func (e *edit) apply(ctx context.Context, files []model.ManifestFile, checked *model.ApplyResult) error {
	now, err := e.read(ctx)
	if err != nil {
		return err
	}
	if !reflect.DeepEqual(manifest.Definition(now), e.before) {
		return &failure{code: client.ExitConflict, what: fmt.Sprintf("somebody else changed %s %s meanwhile; nothing was applied", e.it.kind.one, e.it.name)}
	}
	// A person who changes a field takes it over.
	result, err := e.client.Apply(ctx, files, client.ApplyOptions{Force: true, Project: e.it.project})
	if err != nil {
		return err
	}
	for i := range result.Items {
		if i < len(checked.Items) {
			result.Items[i].Change = checked.Items[i].Change
		}
	}
	if err := e.app.printApplied(result, &output{format: "table"}, client.ApplyOptions{}); err != nil {
		return err
	}
	if failed := applyFailure(result); failed != nil {
		return failed
	}
	if result.Items[0].Action == model.DocumentResultActionUnchanged {
		e.app.say("Nothing changed: what was taken out has a default, or another tool keeps it.")
	}
	return nil
}

// runEditor opens a file in the person's editor and waits for its end.
func (a *App) runEditor(path string) error {
	command := firstOf(a.Getenv("VISUAL"), a.Getenv("EDITOR"))
	if command == "" && !a.Terminal.Stdin {
		return &failure{code: client.ExitUsage, what: "there is no terminal, and neither VISUAL nor EDITOR names an editor"}
	}
	if err := editor.Open(firstOf(command, editor.Default), path, a.Stdin, a.Stdout, a.Stderr); err != nil {
		return &failure{code: client.ExitFailed, what: err.Error()}
	}
	return nil
}
