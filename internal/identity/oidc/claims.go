package oidc

import (
	"fmt"
	"slices"
	"strings"

	"github.com/waybill-dev/waybill/internal/identity"
)

// Limits of what claims may say.
const (
	maxGroups = 500
	// maxQuoted bounds what an error repeats of a claim.
	maxQuoted = 80
)

// emailClaim is the claim that the provider has to have verified.
const emailClaim = "email"

// RefusedError says why the provider's answer makes nobody a person of Waybill. Its
// text is for whoever runs Waybill; it holds no token.
type RefusedError struct{ Why string }

// Error is the reason as a sentence.
func (e *RefusedError) Error() string { return e.Why }

func refused(format string, args ...any) error {
	return &RefusedError{Why: fmt.Sprintf(format, args...)}
}

// names says which claims name a person, and who may come in.
type names struct {
	// user and groups are names of claims. One that does not exist as written is a
	// path through objects: realm_access.roles.
	user, groups string
	// allowed are the groups of which a person has to be in one; none: everybody.
	allowed []string
}

// person reads a verified set of claims. skipped are groups that Kubernetes could not
// be told of.
func (n names) person(claims map[string]any) (p identity.Person, skipped []string, err error) {
	name, err := n.userOf(claims)
	if err != nil {
		return identity.Person{}, nil, err
	}
	all, err := n.groupsOf(claims)
	if err != nil {
		return identity.Person{}, nil, err
	}
	if len(n.allowed) > 0 && !slices.ContainsFunc(all, func(g string) bool { return slices.Contains(n.allowed, g) }) {
		return identity.Person{}, nil, refused("%q is in none of the groups that may sign in", short(name))
	}
	var groups []string
	for _, g := range all {
		if _, err := identity.NewPerson("somebody", []string{g}); err != nil {
			skipped = append(skipped, g)
			continue
		}
		groups = append(groups, g)
	}
	p, err = identity.NewPerson(name, groups)
	if err != nil {
		return identity.Person{}, nil, refused("claim %q cannot be a user: %v", n.user, err)
	}
	return p, skipped, nil
}

func (n names) userOf(claims map[string]any) (string, error) {
	value, found := claimAt(claims, n.user)
	if !found {
		return "", refused("the provider sends no claim %q: ask for the scope that brings it, or name another claim", n.user)
	}
	name, isText := value.(string)
	if !isText || name == "" {
		return "", refused("claim %q is empty or no text", n.user)
	}
	if n.user == emailClaim {
		// As Kubernetes does: an address that nobody has verified is no identity.
		if verified, isSaid := claims["email_verified"]; isSaid && !isTrue(verified) {
			return "", refused("the provider has not verified the address %q", short(name))
		}
	}
	return name, nil
}

// isTrue accepts the text as well, which some providers send.
func isTrue(v any) bool { return v == true || v == "true" }

func (n names) groupsOf(claims map[string]any) ([]string, error) {
	value, found := claimAt(claims, n.groups)
	if !found || value == nil {
		return nil, nil
	}
	var out []string
	switch v := value.(type) {
	case string:
		out = []string{v}
	case []any:
		if len(v) > maxGroups {
			return nil, refused("claim %q has more than %d groups: let the provider send only those that Waybill needs", n.groups, maxGroups)
		}
		for _, one := range v {
			g, isText := one.(string)
			if !isText {
				return nil, refused("claim %q is no list of texts", n.groups)
			}
			out = append(out, g)
		}
	default:
		return nil, refused("claim %q is no list of texts", n.groups)
	}
	return slices.DeleteFunc(out, func(g string) bool { return g == "" }), nil
}

// claimAt returns the claim of that name, or what a path with dots leads to.
func claimAt(claims map[string]any, name string) (any, bool) {
	if v, found := claims[name]; found {
		return v, true
	}
	head, rest, isPath := strings.Cut(name, ".")
	if !isPath {
		return nil, false
	}
	inner, isObject := claims[head].(map[string]any)
	if !isObject {
		return nil, false
	}
	return claimAt(inner, rest)
}

func short(s string) string {
	if len(s) <= maxQuoted {
		return s
	}
	return strings.ToValidUTF8(s[:maxQuoted], "") + "..."
}
