package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/waybill-dev/waybill/api/client"
	"github.com/waybill-dev/waybill/internal/importer"
	"github.com/waybill-dev/waybill/internal/manifest"
)

// importFlags are those of both imports.
type importFlags struct {
	manifests       manifestFlags
	report, outDir  string
	systemNamespace string
	out             *output
}

func (a *App) importCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "import",
		Short: "Translate manifests of Argo CD and Kargo into Waybill's",
		Long: `Translate manifests of Argo CD and Kargo into Waybill's, and say of every field what became of it.
Nothing is applied. waybill observe says beforehand what would be different.`,
		Example: `  kubectl get applications.argoproj.io,appprojects.argoproj.io -A -o yaml | waybill import argocd -f -
  waybill import kargo -f pipeline/ -f argocd/ -R --out-dir waybill`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.importArgoCommand(), a.importKargoCommand())
	return cmd
}

// importRules is what both imports have in common, in their help.
const importRules = `
The manifests go to standard output (or to files below --out-dir), with comments where something is not simply
the same; the loss report goes to standard error (or to --report): what was mapped, approximated and dropped,
object by object, with the field and what to do. No field is passed over in silence.

What would run something else than before comes suspended. Destinations, kinds and roles never become wider
than they were: what cannot be said as narrowly is left out, and what a Project does not limit at all
(repositories, namespaced kinds) is dropped. Credentials are written into the Secrets of the output, nowhere else.

The exit code is 0 when everything was mapped or approximated, 1 when something was dropped, 2 when a file
cannot be read.`

func (a *App) importArgoCommand() *cobra.Command {
	var f importFlags
	cmd := &cobra.Command{
		Use:   "argocd -f FILE|DIR|-",
		Short: "Translate Applications, ApplicationSets, AppProjects and what belongs to them",
		Long: `Translate manifests of Argo CD: Applications, ApplicationSets (list and cluster generators), AppProjects,
Secrets of repositories and clusters, annotations and objects of the Image Updater.

An AppProject becomes a Project. What belongs to the AppProject "default" goes to the Project that -p names
(imported, when it names none).
` + importRules,
		Example: `  kubectl get applications.argoproj.io,applicationsets.argoproj.io,appprojects.argoproj.io -A -o yaml | waybill import argocd -f - > waybill.yaml
  waybill import argocd -f argocd/ -R -p shop --out-dir waybill
  waybill import argocd -f apps.yaml --report - -o json | jq '.objects[] | select(.dropped > 0)'`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.importFiles(cmd, &f, false) },
	}
	f.bind(cmd)
	return cmd
}

func (a *App) importKargoCommand() *cobra.Command {
	var f importFlags
	cmd := &cobra.Command{
		Use:   "kargo -f FILE|DIR|-",
		Short: "Translate Projects, Warehouses, Stages and what belongs to them",
		Long: `Translate manifests of Kargo v0.8 to v1.x: Project, ProjectConfig, Warehouse, Stage (with promotionMechanisms or
promotionTemplate), PromotionTask, ClusterPromotionTask, credentials, and the AnalysisTemplates that Stages name.

Give the Applications of Argo CD along: those that Stages promote to become the deploy entries of these Stages,
and the steps that asked Argo CD for a sync are taken away. Without them such steps stay, and Argo CD has to.

Where something is lost that a promotion did, its first step is fail, until you have looked at it.
` + importRules,
		Example: `  waybill import kargo -f pipeline/ -R --out-dir waybill
  kubectl get stages.kargo.akuity.io,warehouses.kargo.akuity.io,applications.argoproj.io -A -o yaml | waybill import kargo -f - --report - | less`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.importFiles(cmd, &f, true) },
	}
	f.bind(cmd)
	return cmd
}

func (f *importFlags) bind(cmd *cobra.Command) {
	addManifestFlags(cmd, &f.manifests)
	f.out = outputFlag(cmd, "yaml", "json")
	cmd.Flags().StringVar(&f.report, "report", "", "write the report to this file, as JSON with -o json; - is standard output, in place of the manifests")
	cmd.Flags().StringVar(&f.outDir, "out-dir", "", "write the manifests to files below this directory, a folder for each Project; nothing is overwritten")
	cmd.Flags().StringVar(&f.systemNamespace, "waybill-namespace", defaultNamespace, "namespace Waybill runs in: shared credentials and those of clusters go there")
}

func (a *App) importFiles(cmd *cobra.Command, f *importFlags, isKargo bool) error {
	read, err := a.readManifests(cmd, f.manifests)
	if err != nil {
		return err
	}
	files := make([]manifest.File, len(read))
	for i, file := range read {
		files[i] = manifest.File{Name: file.Name, Content: []byte(file.Content)}
	}
	objects, findings := manifest.ParseForeign(files)
	if len(findings) > 0 {
		fail := &failure{code: client.ExitUsage, what: "the files cannot be read; nothing was imported"}
		for _, m := range findings {
			fail.why = append(fail.why, m.String())
		}
		return fail
	}
	result := importer.Import(objects, importer.Options{Kargo: isKargo, Project: a.flags.project, SystemNamespace: f.systemNamespace})
	if err := a.writeImport(f, result); err != nil {
		return err
	}
	if dropped := result.Report.Dropped; dropped > 0 {
		return &failure{code: client.ExitFailed, what: fmt.Sprintf("%s dropped; the report says which, and what to do", was(dropped))}
	}
	return nil
}

func was(n int) string {
	if n == 1 {
		return "1 field was"
	}
	return fmt.Sprintf("%d fields were", n)
}

// writeImport writes manifests and report to where they are wanted.
func (a *App) writeImport(f *importFlags, r *importer.Result) error {
	switch {
	case f.outDir != "":
		if err := a.writeImported(f, r.Manifests); err != nil {
			return err
		}
	case f.report != "-":
		text, err := encodeManifests(r.Manifests, f.out)
		if err != nil {
			return err
		}
		if _, err := a.Stdout.Write(text); err != nil {
			return fmt.Errorf("write the manifests: %w", err)
		}
	}
	switch f.report {
	case "":
		return writeReport(a.Stderr, &r.Report, false)
	case "-":
		return writeReport(a.Stdout, &r.Report, f.out.format == "json")
	}
	var b bytes.Buffer
	if err := writeReport(&b, &r.Report, f.out.format == "json"); err != nil {
		return err
	}
	if err := os.WriteFile(f.report, b.Bytes(), 0o644); err != nil { //nolint:gosec // a report holds no secrets
		return &failure{code: client.ExitUsage, what: fmt.Sprintf("the report cannot be written: %v", err)}
	}
	return nil
}

// encodeManifests writes objects with their comments; as JSON they are a List.
func encodeManifests(all []importer.Manifest, out *output) ([]byte, error) {
	var b bytes.Buffer
	if out.format == "json" {
		items := make([]any, len(all))
		for i := range all {
			items[i] = all[i].Object
		}
		err := out.encode(&b, map[string]any{"apiVersion": "v1", "kind": "List", "items": items})
		return b.Bytes(), err
	}
	for i, m := range all {
		if i > 0 {
			b.WriteString("---\n")
		}
		for _, line := range m.Comments {
			b.WriteString("# " + line + "\n")
		}
		text, err := yaml.Marshal(m.Object)
		if err != nil {
			return nil, fmt.Errorf("encode %s %s: %w", m.Kind, m.Name, err)
		}
		b.Write(text)
	}
	return b.Bytes(), nil
}

// writeImported writes one folder for each Project. What holds secrets may be read
// by its owner only.
func (a *App) writeImported(f *importFlags, all []importer.Manifest) error {
	files := map[string][]importer.Manifest{}
	var names []string
	for _, m := range all {
		name := importedFile(m) + "." + f.out.format
		if files[name] == nil {
			names = append(names, name)
		}
		files[name] = append(files[name], m)
	}
	for _, name := range names {
		text, err := encodeManifests(files[name], f.out)
		if err != nil {
			return err
		}
		path := filepath.Join(f.outDir, filepath.FromSlash(name))
		if err := writeNew(path, text); err != nil {
			return &failure{code: client.ExitUsage, what: fmt.Sprintf("cannot write %s: %v", path, err)}
		}
		a.say("%s: %s", path, counted(len(files[name]), "object"))
	}
	return nil
}

// importedFile is the file of an object, without its ending.
func importedFile(m importer.Manifest) string {
	switch m.Kind {
	case "Namespace", "Project":
		return m.Name + "/1-project"
	case "Cluster":
		return "clusters"
	case "Secret":
		return m.Namespace + "/2-credentials"
	case "Application":
		return m.Namespace + "/4-applications"
	default:
		return m.Namespace + "/3-pipeline"
	}
}

func writeNew(path string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // manifests are no secret; files that are have their own mode
		return err //nolint:wrapcheck // the caller names the file
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // The user names the directory.
	if err != nil {
		return err //nolint:wrapcheck // as above
	}
	if _, err = file.Write(text); err != nil {
		_ = file.Close()
		return err //nolint:wrapcheck // as above
	}
	return file.Close() //nolint:wrapcheck // as above
}

// writeReport prints the loss report.
func writeReport(w io.Writer, r *importer.Report, asJSON bool) error {
	if asJSON {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		return enc.Encode(r) //nolint:wrapcheck // of a plain struct
	}
	t := table{heads: []string{"OBJECT", "MAPPED", "APPROXIMATED", "DROPPED", "BECAME"}}
	for i := range r.Objects {
		o := &r.Objects[i]
		t.add(text(o.String()), text(fmt.Sprint(o.Mapped)), text(fmt.Sprint(o.Approximated)), text(fmt.Sprint(o.Dropped)), text(strings.Join(o.Became, ", ")))
	}
	if err := t.write(w, false); err != nil {
		return err
	}
	var b strings.Builder
	for i := range r.Objects {
		o := &r.Objects[i]
		if len(o.Lines) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n%s\n", o)
		for _, l := range o.Lines {
			fmt.Fprintf(&b, "  %-12s  %s\n", l.Outcome, l)
		}
	}
	fmt.Fprintf(&b, "\n%s mapped, %d approximated, %d dropped\n", counted(r.Mapped, "field"), r.Approximated, r.Dropped)
	_, err := io.WriteString(w, b.String())
	return err //nolint:wrapcheck // of a stream the caller has
}
