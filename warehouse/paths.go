package warehouse

import (
	"fmt"
	"regexp"
	"strings"
)

// pathRules say which files of a repository matter.
type pathRules struct{ include, exclude []*regexp.Regexp }

// compilePath reads a file or folder, glob:PATTERN or regex:PATTERN.
func compilePath(source string) (*regexp.Regexp, error) {
	if len(source) > maxPatternLength {
		return nil, fmt.Errorf("a path is longer than %d bytes", maxPatternLength)
	}
	kind, rest, found := strings.Cut(source, ":")
	switch {
	case found && (kind == "regex" || kind == "regexp"):
		return pattern(rest)
	case found && kind == "glob":
		re, err := regexp.Compile(globToRegexp(strings.TrimPrefix(rest, "/")))
		if err != nil {
			return nil, fmt.Errorf("%q is not a glob pattern", rest)
		}
		return re, nil
	}
	folder := strings.Trim(strings.TrimPrefix(source, "./"), "/")
	if folder == "" || folder == "." {
		return regexp.MustCompile(""), nil
	}
	re, err := regexp.Compile("^" + regexp.QuoteMeta(folder) + "(/|$)")
	if err != nil { // it is no text
		return nil, fmt.Errorf("%q is not a path", source)
	}
	return re, nil
}

// globToRegexp translates ** (anything), * and ? (not a slash) and [...]; all
// else stands for itself.
func globToRegexp(glob string) string {
	var b strings.Builder
	b.WriteString("^")
	for i := 0; i < len(glob); i++ {
		switch c := glob[i]; {
		case strings.HasPrefix(glob[i:], "**/"):
			b.WriteString("(?:.*/)?")
			i += 2
		case strings.HasPrefix(glob[i:], "**"):
			b.WriteString(".*")
			i++
		case c == '*':
			b.WriteString("[^/]*")
		case c == '?':
			b.WriteString("[^/]")
		case c == '[' && strings.Contains(glob[i+1:], "]"):
			end := i + 1 + strings.Index(glob[i+1:], "]")
			class := strings.ReplaceAll(glob[i+1:end], `\`, `\\`)
			if rest, isNegated := strings.CutPrefix(class, "!"); isNegated {
				class = "^" + rest
			}
			b.WriteString("[" + class + "]")
			i = end
		default:
			b.WriteString(regexp.QuoteMeta(glob[i : i+1]))
		}
	}
	b.WriteString("$")
	return b.String()
}

func (r pathRules) isEmpty() bool { return len(r.include)+len(r.exclude) == 0 }

// matches reports whether a change of one of the files matters.
func (r pathRules) matches(paths []string) bool {
	for _, p := range paths {
		if (len(r.include) == 0 || matchesAny(r.include, p)) && !matchesAny(r.exclude, p) {
			return true
		}
	}
	return false
}

func matchesAny(rules []*regexp.Regexp, path string) bool {
	for _, re := range rules {
		if re.MatchString(path) {
			return true
		}
	}
	return false
}
