package expression

import (
	"errors"
	"fmt"
	"strings"

	"github.com/Masterminds/semver/v3"
	"go.yaml.in/yaml/v3"
)

// Standard returns the functions that need nothing but their arguments:
// quote, unsafeQuote, asYAML, asJSON, semverParse and semverDiff.
func Standard() map[string]Function {
	return map[string]Function{
		"quote":       quote,
		"unsafeQuote": quote,
		"asJSON": func(args ...any) (any, error) {
			if len(args) != 1 {
				return nil, errors.New("asJSON takes one value")
			}
			return encode(args[0])
		},
		"asYAML": func(args ...any) (any, error) {
			if len(args) != 1 {
				return nil, errors.New("asYAML takes one value")
			}
			raw, err := yaml.Marshal(args[0])
			if err != nil {
				return nil, fmt.Errorf("the value cannot be written as YAML: %w", err)
			}
			return strings.TrimSuffix(string(raw), "\n"), nil
		},
		"semverParse": func(args ...any) (any, error) {
			s, err := texts("semverParse", args, 1)
			if err != nil {
				return nil, err
			}
			v, err := semver.NewVersion(s[0])
			if err != nil {
				return nil, fmt.Errorf("%q is no semantic version", shortened(s[0]))
			}
			return v, nil
		},
		"semverDiff": func(args ...any) (any, error) {
			s, err := texts("semverDiff", args, 2)
			if err != nil {
				return nil, err
			}
			return difference(s[0], s[1]), nil
		},
	}
}

// quote makes a value a text for good: it is not read as JSON afterwards.
func quote(args ...any) (any, error) {
	if len(args) != 1 {
		return nil, errors.New("quote takes one value")
	}
	text, err := textOf(args[0])
	if err != nil {
		return nil, err
	}
	return encode(text)
}

// difference names the most significant part in which two versions differ.
func difference(a, b string) string {
	x, errX := semver.NewVersion(a)
	y, errY := semver.NewVersion(b)
	switch {
	case errX != nil || errY != nil:
		return "Incomparable"
	case x.Major() != y.Major():
		return "Major"
	case x.Minor() != y.Minor():
		return "Minor"
	case x.Patch() != y.Patch():
		return "Patch"
	case x.Prerelease() != y.Prerelease() || x.Metadata() != y.Metadata():
		return "Metadata"
	default:
		return "None"
	}
}
