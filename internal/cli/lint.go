package cli

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/api/client"
	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/internal/manifest"
)

// linted is what -o json prints.
type linted struct {
	Errors   int           `json:"errors"`
	Warnings int           `json:"warnings"`
	Findings []lintFinding `json:"findings"`
}

type lintFinding struct {
	Severity string `json:"severity"`
	File     string `json:"file"`
	Document int    `json:"document,omitempty"`
	Line     int    `json:"line,omitempty"`
	Field    string `json:"field,omitempty"`
	Message  string `json:"message"`
}

func (a *App) lintCommand() *cobra.Command {
	var out *output
	var f manifestFlags
	var isLive, isStrict bool
	cmd := &cobra.Command{
		Use:   "lint [FILE...]",
		Short: "Find what would fail at run time, before anything is applied",
		Long: `Find what would fail at run time, before anything is applied: unknown fields, version ranges and
regular expressions that are none, addresses nobody can speak to, Stages that name no Warehouse or wait
for each other, images no Warehouse delivers, places that two Stages write, credential Secrets that
cannot be read. The rules are those of the server.

The files are looked at alone, without a server; with --live, beside what is in their Projects.
The exit code is 1 when there is an error (with --strict, or a warning).`,
		Example: `  waybill lint examples/guestbook
  waybill lint pipeline.yaml --live
  waybill lint -R deploy --strict -o json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			f.names = append(f.names, args...)
			files, err := a.readManifests(cmd, f)
			if err != nil {
				return err
			}
			project := ""
			existing := manifest.Existing{IsComplete: true}
			var c *client.Client
			if isLive {
				var x Context
				if c, x, err = a.client(); err != nil {
					return err
				}
				project = x.Project
			}
			sources := make([]manifest.File, len(files))
			for i, file := range files {
				sources[i] = manifest.File{Name: file.Name, Content: []byte(file.Content)}
			}
			docs, findings := manifest.Parse(sources, project)
			if isLive {
				if existing, err = readExisting(cmd.Context(), c, docs); err != nil {
					return err
				}
			}
			findings = append(findings, manifest.Lint(docs, existing)...)
			return a.printLint(findings, len(docs), out, isStrict)
		},
	}
	addManifestFlags(cmd, &f)
	out = outputFlag(cmd, "table", "json", "yaml")
	cmd.Flags().BoolVar(&isLive, "live", false, "compare with what is in the Projects, too")
	cmd.Flags().BoolVar(&isStrict, "strict", false, "a warning is an error")
	return cmd
}

// readExisting reads what the Projects of the documents hold already.
func readExisting(ctx context.Context, c *client.Client, docs []manifest.Document) (manifest.Existing, error) {
	existing := manifest.Existing{IsComplete: true}
	seen := map[string]bool{}
	for _, d := range docs {
		if d.Kind != "Stage" || seen[d.Namespace] || d.Namespace == "" {
			continue
		}
		seen[d.Namespace] = true
		for _, kind := range []model.Kind{model.Stages, model.Warehouses, model.Promotiontasks} {
			if err := readInto(ctx, c, d.Namespace, kind, &existing); err != nil {
				return existing, err
			}
		}
	}
	return existing, nil
}

// readInto adds the definitions of one kind; a Project that is not there yet has
// none.
func readInto(ctx context.Context, c *client.Client, project string, kind model.Kind, into *manifest.Existing) error {
	all, err := allDefinitions(ctx, c, project, kind)
	if client.ExitCode(err) == client.ExitNotFound {
		return nil
	}
	if err != nil {
		return err
	}
	for _, o := range all {
		raw, err := json.Marshal(o)
		if err == nil {
			err = into.Add(raw)
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", kind, err)
		}
	}
	return nil
}

func (a *App) printLint(findings []manifest.Finding, documents int, out *output, isStrict bool) error {
	report := linted{Findings: []lintFinding{}}
	for _, f := range findings {
		if f.Severity == manifest.Error {
			report.Errors++
		} else {
			report.Warnings++
		}
		report.Findings = append(report.Findings, lintFinding{
			Severity: string(f.Severity), File: f.File, Document: f.Document, Line: f.Line, Field: f.Field, Message: f.Message,
		})
	}
	if out.isMachine() {
		if err := out.encode(a.Stdout, report); err != nil {
			return err
		}
	} else {
		for _, f := range findings {
			if err := a.print("%s: %s", f.Severity, f); err != nil {
				return err
			}
		}
	}
	switch {
	case report.Errors > 0, isStrict && report.Warnings > 0:
		return &failure{code: client.ExitFailed, what: fmt.Sprintf("%s and %s in %s", counted(report.Errors, "error"), counted(report.Warnings, "warning"), counted(documents, "document"))}
	case len(findings) == 0:
		a.say("Nothing is wrong with %s.", counted(documents, "document"))
	}
	return nil
}
