package warehouse

import (
	"fmt"
	"regexp"
)

var platformSyntax = regexp.MustCompile(`^([a-z0-9]+)/([a-z0-9_]+)(?:/([a-z0-9]+))?$`)

// Platform is what an image runs on, with the defaults of the container runtimes
// filled in: arm64 means arm64/v8.
type Platform struct{ OS, Architecture, Variant string }

// ParsePlatform reads os/arch or os/arch/variant.
func ParsePlatform(s string) (Platform, error) {
	m := platformSyntax.FindStringSubmatch(s)
	if m == nil {
		return Platform{}, fmt.Errorf("platform %q is not os/arch or os/arch/variant", s)
	}
	return Platform{m[1], m[2], m[3]}, nil
}

// String returns os/arch[/variant].
func (p Platform) String() string {
	s := p.OS + "/" + p.Architecture
	if p.Variant != "" {
		s += "/" + p.Variant
	}
	return s
}

// Matches reports whether an image for have runs where p is wanted. Without a
// variant in p, any variant does.
func (p Platform) Matches(have Platform) bool {
	return p.OS == have.OS && p.Architecture == have.Architecture &&
		(p.Variant == "" || p.defaulted() == have.defaulted())
}

// defaulted names the variant that an image without one has.
func (p Platform) defaulted() string {
	if p.Variant != "" {
		return p.Variant
	}
	switch p.Architecture {
	case "arm64":
		return "v8"
	case "arm":
		return "v7"
	case "amd64":
		return "v1"
	}
	return ""
}
