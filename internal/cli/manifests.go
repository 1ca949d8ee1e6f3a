package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/api/client"
	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/internal/manifest"
)

// manifestFlags are -f and -R.
type manifestFlags struct {
	names     []string
	recursive bool
}

func addManifestFlags(cmd *cobra.Command, f *manifestFlags) {
	cmd.Flags().StringArrayVarP(&f.names, "filename", "f", nil, "file or directory of manifests; - is standard input (may be repeated)")
	cmd.Flags().BoolVarP(&f.recursive, "recursive", "R", false, "directories with what is below them")
}

// readManifests reads the files that -f names. A directory stands for the YAML
// and JSON files in it, in the order of their names.
func (a *App) readManifests(cmd *cobra.Command, f manifestFlags) ([]model.ManifestFile, error) {
	var files []model.ManifestFile
	budget := int64(manifest.MaxBytes)
	for _, name := range f.names {
		if name == "-" {
			file, err := readManifest("-", a.Stdin, &budget)
			if err != nil {
				return nil, err
			}
			files = append(files, file)
			continue
		}
		paths, err := manifestPaths(name, f.recursive)
		if err != nil {
			return nil, err
		}
		for _, path := range paths {
			file, err := openManifest(path, &budget)
			if err != nil {
				return nil, err
			}
			files = append(files, file)
		}
	}
	if len(files) == 0 {
		return nil, usage(cmd, "there are no manifests: name files or directories with -f")
	}
	return files, nil
}

// manifestPaths returns the file itself, or the manifests in the directory.
func manifestPaths(name string, recursive bool) ([]string, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, fileFailure(err)
	}
	if !info.IsDir() {
		return []string{name}, nil
	}
	var paths []string
	err = filepath.WalkDir(name, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != name && !recursive:
			return fs.SkipDir
		case !entry.IsDir() && slices.Contains([]string{".yaml", ".yml", ".json"}, strings.ToLower(filepath.Ext(path))):
			paths = append(paths, path)
		}
		return nil
	})
	if err != nil {
		return nil, fileFailure(err)
	}
	if len(paths) == 0 {
		return nil, &failure{code: client.ExitUsage, what: fmt.Sprintf("there are no .yaml, .yml or .json files in %s", name),
			next: []string{"-R also looks into the directories below it"}}
	}
	return paths, nil
}

func openManifest(path string, budget *int64) (_ model.ManifestFile, err error) {
	f, err := os.Open(path) //nolint:gosec // The user names the file.
	if err != nil {
		return model.ManifestFile{}, fileFailure(err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return readManifest(path, f, budget)
}

func readManifest(name string, r io.Reader, budget *int64) (model.ManifestFile, error) {
	data, err := io.ReadAll(io.LimitReader(r, *budget+1))
	if err != nil {
		return model.ManifestFile{}, fileFailure(err)
	}
	if *budget -= int64(len(data)); *budget < 0 {
		return model.ManifestFile{}, &failure{code: client.ExitUsage, what: fmt.Sprintf("the manifests are larger than %d MiB together", manifest.MaxBytes>>20)}
	}
	return model.ManifestFile{Name: name, Content: string(data)}, nil
}

// fileFailure says which file cannot be read, and why.
func fileFailure(err error) error {
	what := err.Error()
	if path := new(fs.PathError); errors.As(err, &path) {
		what = fmt.Sprintf("cannot read %s: %v", path.Path, path.Err)
	}
	return &failure{code: client.ExitUsage, what: what}
}

// parse reads the documents of the files, with the same rules and words as the
// server, which checks them again. It is a failure that lists every mistake
// with file, document, line and field when there is one.
func parse(files []model.ManifestFile, project string) ([]manifest.Document, error) {
	sources := make([]manifest.File, len(files))
	for i, f := range files {
		sources[i] = manifest.File{Name: f.Name, Content: []byte(f.Content)}
	}
	docs, findings := manifest.Parse(sources, project)
	mistakes := manifest.Errors(findings)
	if len(mistakes) == 0 {
		return docs, nil
	}
	f := &failure{code: client.ExitUsage, what: mistakesIn(len(mistakes))}
	for _, m := range mistakes {
		f.why = append(f.why, fieldError(model.FieldError{File: m.File, Document: m.Document, Line: m.Line, Field: m.Field, Detail: m.Message}))
	}
	return nil, f
}
