package step

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/waybill-dev/waybill/git"
)

// Limits of what one step may do to the workspace.
const (
	// MaxFileBytes bounds one file.
	MaxFileBytes = 16 << 20
	// MaxTreeBytes and MaxTreeFiles bound what one step reads or writes.
	MaxTreeBytes = 64 << 20
	MaxTreeFiles = 20_000
)

// ErrTreeTooLarge is returned by steps that would read or write too much.
var ErrTreeTooLarge = fmt.Errorf("more than %d files or %d MiB", MaxTreeFiles, MaxTreeBytes>>20)

// ReadFile returns a file of the workspace.
func (in Input) ReadFile(p string) ([]byte, error) {
	tree, rel, err := in.Workspace.Locate(p)
	if err != nil {
		return nil, Terminal("InvalidConfig", err)
	}
	raw, err := tree.ReadFile(path.Join(".", rel))
	if err != nil {
		return nil, FileError(fmt.Errorf("read %q: %w", p, err))
	}
	if len(raw) > MaxFileBytes {
		return nil, Terminal("FileTooLarge", fmt.Errorf("file %q has %d bytes, more than %d MiB", p, len(raw), MaxFileBytes>>20))
	}
	return raw, nil
}

// WriteFile puts a file into the workspace.
func (in Input) WriteFile(p string, content []byte) error {
	tree, rel, err := in.Workspace.Locate(p)
	if err != nil {
		return Terminal("InvalidConfig", err)
	}
	if len(content) > MaxFileBytes {
		return Terminal("FileTooLarge", fmt.Errorf("file %q would have %d bytes, more than %d MiB", p, len(content), MaxFileBytes>>20))
	}
	if rel == "" {
		return Terminal("InvalidConfig", fmt.Errorf("path %q is a folder", p))
	}
	return FileError(tree.Edit(git.SetFile(rel, content)))
}

// FileError names what is wrong with a file or folder of the workspace. What is
// missing may be there in the next commit, so that is tried again.
func FileError(err error) error {
	var terminal *TerminalError
	switch {
	case err == nil || errors.As(err, &terminal):
		return err
	case errors.Is(err, fs.ErrNotExist):
		return Reasoned("FileMissing", err)
	case errors.Is(err, git.ErrTooLarge), errors.Is(err, ErrTreeTooLarge):
		return Terminal("FileTooLarge", err)
	case errors.Is(err, git.ErrUnsafePath), errors.Is(err, git.ErrSymlink), errors.Is(err, git.ErrSubmodule):
		return Terminal("UnsafePath", err)
	default:
		return err
	}
}

// Ignored reports whether one of the globs matches a path: * matches within one
// name, ** also slashes, ? one character. A glob without a slash matches names
// in every folder.
func Ignored(globs []string, p string) (bool, error) {
	for _, g := range globs {
		re, err := glob(g)
		if err != nil {
			return false, err
		}
		if re.MatchString(p) {
			return true, nil
		}
	}
	return false, nil
}

func glob(pattern string) (*regexp.Regexp, error) {
	if len(pattern) > 1024 || pattern == "" {
		return nil, fmt.Errorf("glob %.40q is empty or longer than 1024 characters", pattern)
	}
	var b strings.Builder
	b.WriteString("^")
	if !strings.Contains(strings.TrimSuffix(pattern, "/"), "/") {
		b.WriteString("(?:.*/)?")
	}
	pattern = strings.Trim(pattern, "/")
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; {
		case strings.HasPrefix(pattern[i:], "**/"):
			b.WriteString("(?:.*/)?")
			i += 2
		case strings.HasPrefix(pattern[i:], "**"):
			b.WriteString(".*")
			i++
		case c == '*':
			b.WriteString("[^/]*")
		case c == '?':
			b.WriteString("[^/]")
		default:
			r, n := utf8.DecodeRuneInString(pattern[i:])
			b.WriteString(regexp.QuoteMeta(string(r)))
			i += n - 1
		}
	}
	b.WriteString("(?:/.*)?$")
	re, err := regexp.Compile(b.String())
	if err != nil {
		return nil, fmt.Errorf("glob %q: %w", pattern, err)
	}
	return re, nil
}
