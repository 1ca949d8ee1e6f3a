package render

import (
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/waybill-dev/waybill/internal/yamledit"
)

// plain renders a folder without a kustomization: every .yaml, .yml and .json file in it that the globs select, by
// name. Names that begin with a dot are left out.
func plain(t *tree, root string, options Directory) ([]located, error) {
	include, err := glob(options.Include)
	if err != nil {
		return nil, &Error{File: root, Field: "directory.include", Err: err}
	}
	exclude, err := glob(options.Exclude)
	if err != nil {
		return nil, &Error{File: root, Field: "directory.exclude", Err: err}
	}
	names, err := manifests(t, root, options.Recurse)
	if err != nil {
		return nil, err
	}
	var out []located
	for _, name := range names {
		relative := strings.TrimPrefix(name, root+"/")
		if include != nil && !include.MatchString(relative) || exclude != nil && exclude.MatchString(relative) {
			continue
		}
		if slices.Contains(yamledit.KustomizationFileNames(), path.Base(name)) {
			return nil, &Error{File: name, Err: fmt.Errorf("%w: a kustomization below a folder of plain YAML; make its folder the path, or exclude it", ErrUnsupported)}
		}
		content, err := t.read(name)
		if err != nil {
			return nil, err
		}
		objects, err := decodeFile(t, name, content)
		if err != nil {
			return nil, err
		}
		if out = append(out, objects...); len(out) > t.limits.Objects {
			return nil, &Error{File: name, Err: fmt.Errorf("%w: more than %d objects", ErrTooLarge, t.limits.Objects)}
		}
	}
	return out, nil
}

// manifests returns the paths of all manifest files of a folder, in order.
func manifests(t *tree, folder string, recurse bool) ([]string, error) {
	entries, err := t.list(folder)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, entry := range entries {
		name := path.Join(folder, entry.Name())
		switch {
		case strings.HasPrefix(entry.Name(), "."):
		case entry.IsDir():
			if !recurse {
				continue
			}
			below, err := manifests(t, name, recurse)
			if err != nil {
				return nil, err
			}
			out = append(out, below...)
		case isManifest(entry):
			out = append(out, name)
		}
		if len(out) > t.limits.Files {
			return nil, &Error{File: folder, Err: fmt.Errorf("%w: more than %d files", ErrTooLarge, t.limits.Files)}
		}
	}
	return out, nil
}

func isManifest(entry fs.DirEntry) bool {
	switch path.Ext(entry.Name()) {
	case ".yaml", ".yml", ".json":
		return true
	default:
		return entry.Name() == "Kustomization"
	}
}

// glob compiles a pattern, or returns nil for the empty one. It becomes a regular expression, whose time is linear in
// the path.
func glob(pattern string) (*regexp.Regexp, error) {
	if pattern == "" {
		return nil, nil
	}
	var b strings.Builder
	b.WriteString(`^(?s:`)
	braces := 0
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; {
		case c == '*':
			b.WriteString(`.*`)
		case c == '?':
			b.WriteString(`.`)
		case c == '[':
			end := strings.IndexByte(pattern[i+1:], ']')
			if end < 1 {
				return nil, fmt.Errorf("%w: glob %q has an unclosed [", ErrInvalid, pattern)
			}
			set := pattern[i+1 : i+1+end]
			if set[0] == '!' {
				set = "^" + set[1:]
			}
			b.WriteString("[" + strings.NewReplacer(`\`, `\\`, `[`, `\[`, `&`, `\&`).Replace(set) + "]")
			i += end + 1
		case c == '{':
			braces++
			b.WriteString(`(?:`)
		case c == '}' && braces > 0:
			braces--
			b.WriteString(`)`)
		case c == ',' && braces > 0:
			b.WriteString(`|`)
		case c == '\\' && i+1 < len(pattern):
			i++
			b.WriteString(regexp.QuoteMeta(string(pattern[i])))
		default:
			b.WriteString(regexp.QuoteMeta(string(c)))
		}
	}
	if braces > 0 {
		return nil, fmt.Errorf("%w: glob %q has an unclosed {", ErrInvalid, pattern)
	}
	b.WriteString(`)$`)
	compiled, err := regexp.Compile(b.String())
	if err != nil {
		return nil, fmt.Errorf("%w: glob %q cannot be read", ErrInvalid, pattern)
	}
	return compiled, nil
}
