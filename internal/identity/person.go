package identity

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"k8s.io/client-go/rest"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// Prefix is in front of every user and group of Waybill in Kubernetes, so that
// none can be mistaken for one of the cluster's own.
const Prefix = "waybill:"

// authenticatedGroup is what Kubernetes gives every signed-in user.
const authenticatedGroup = "system:authenticated"

// maxNameBytes of a user or group, prefix included (v1alpha1 limits by and
// requestedBy to the same).
const maxNameBytes = 253

// Person is somebody who is signed in.
type Person struct {
	// User as Kubernetes sees it: waybill:alice.
	User string
	// Groups as Kubernetes sees them, each with the prefix, sorted.
	Groups []string

	// epoch of a local user (User.Epoch), for the sessions that are made for the person.
	epoch string
}

// NewPerson returns the Person of a name and groups without prefix. It refuses
// names that Impersonate would refuse, and the name of Waybill's own policy.
func NewPerson(name string, groups []string) (Person, error) {
	p := Person{User: Prefix + name}
	for _, g := range groups {
		p.Groups = append(p.Groups, Prefix+g)
	}
	slices.Sort(p.Groups)
	p.Groups = slices.Compact(p.Groups)
	if p.User == v1alpha1.PolicyUser {
		return Person{}, fmt.Errorf("user name %q is reserved for what Waybill does by itself", name)
	}
	return p, p.validate()
}

// Policy returns the identity of what Waybill does by itself.
func Policy() Person { return Person{User: v1alpha1.PolicyUser} }

// Name returns the user without prefix, for people.
func (p Person) Name() string { return strings.TrimPrefix(p.User, Prefix) }

// groupNames returns the groups without prefix.
func (p Person) groupNames() []string {
	out := make([]string, len(p.Groups))
	for i, g := range p.Groups {
		out[i] = strings.TrimPrefix(g, Prefix)
	}
	return out
}

// Key returns a string that is equal exactly for equal persons.
func (p Person) Key() string { return p.User + "\x00" + strings.Join(p.Groups, "\x00") }

func (p Person) validate() error {
	if err := validName(p.User); err != nil {
		return fmt.Errorf("user %q: %w", p.User, err)
	}
	for _, g := range p.Groups {
		if err := validName(g); err != nil {
			return fmt.Errorf("group %q: %w", g, err)
		}
	}
	return nil
}

// validName accepts waybill:NAME where NAME is printable text without spaces at
// its ends and without a prefix of its own.
func validName(full string) error {
	name, ok := strings.CutPrefix(full, Prefix)
	switch {
	case !ok:
		return errors.New("has no prefix " + Prefix)
	case name == "":
		return errors.New("is empty")
	case len(full) > maxNameBytes:
		return fmt.Errorf("is longer than %d bytes", maxNameBytes)
	case !utf8.ValidString(name):
		return errors.New("is not UTF-8")
	case strings.TrimSpace(name) != name:
		return errors.New("begins or ends with a space")
	case strings.Contains(name, ":"):
		return errors.New("holds a colon")
	case strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsGraphic(r) }):
		return errors.New("holds a character that cannot be seen")
	}
	return nil
}

// Proof is something that Waybill vouches for in one request of a person.
// Admission reads it from userInfo.extra, where nobody else can put it: it takes
// the right to impersonate that very key.
type Proof struct{ key, value string }

// FreightProof vouches that every artifact of the Freight of that name, which
// stands for its content, is a candidate of its Warehouse.
func FreightProof(name string) Proof { return Proof{"freight.waybill.dev", name} }

// Impersonate returns a copy of base that acts as p, with p's groups and
// system:authenticated and no other.
//
// It is the one function that makes impersonating clients. It refuses every
// user and group without the prefix waybill:, an empty one, and a base that
// impersonates already.
func Impersonate(base *rest.Config, p Person, proofs ...Proof) (*rest.Config, error) {
	if base == nil {
		return nil, errors.New("impersonate: no client configuration")
	}
	if err := p.validate(); err != nil {
		return nil, fmt.Errorf("impersonate: %w", err)
	}
	if base.Impersonate.UserName != "" || base.Impersonate.UID != "" || len(base.Impersonate.Groups) > 0 || len(base.Impersonate.Extra) > 0 {
		return nil, errors.New("impersonate: the client impersonates somebody already")
	}
	c := rest.CopyConfig(base)
	groups := slices.Clone(p.Groups)
	c.Impersonate = rest.ImpersonationConfig{UserName: p.User, Groups: append(groups, authenticatedGroup)}
	for _, proof := range proofs {
		if c.Impersonate.Extra == nil {
			c.Impersonate.Extra = map[string][]string{}
		}
		c.Impersonate.Extra[proof.key] = []string{proof.value}
	}
	return c, nil
}
