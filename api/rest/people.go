package rest

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/internal/identity"
)

// people makes clients that act as a person.
type people struct {
	config *rest.Config
	scheme *runtime.Scheme
	mapper meta.RESTMapper
}

// as returns a client whose every request is the person's own: RBAC and
// admission see the person, not the server.
func (p *people) as(person identity.Person, proofs ...identity.Proof) (client.Client, error) {
	config, err := p.configOf(person, proofs...)
	if err != nil {
		return nil, err
	}
	hc, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("make client for %q: %w", person.User, err)
	}
	c, err := client.New(config, client.Options{HTTPClient: hc, Scheme: p.scheme, Mapper: p.mapper})
	if err != nil {
		return nil, fmt.Errorf("make client for %q: %w", person.User, err)
	}
	return c, nil
}

// kube is as, for code that wants client-go's own client.
func (p *people) kube(person identity.Person) (kubernetes.Interface, error) {
	config, err := p.configOf(person)
	if err != nil {
		return nil, err
	}
	c, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make client for %q: %w", person.User, err)
	}
	return c, nil
}

func (p *people) configOf(person identity.Person, proofs ...identity.Proof) (*rest.Config, error) {
	config, err := identity.Impersonate(p.config, person, proofs...)
	if err != nil {
		return nil, err
	}
	config.QPS = -1 // the API server has its own fairness; this client lives for one request
	return config, nil
}

// signedIn is who makes a request, and with what.
type signedIn struct {
	person  identity.Person
	session identity.Session
	kind    identity.Kind
	// value is the session or token itself, for logout and for streams that
	// check it again.
	value string
}

type signedInKey struct{}

func withSignedIn(ctx context.Context, who signedIn) context.Context {
	return context.WithValue(ctx, signedInKey{}, who)
}

// whoIs returns who is signed in. The middleware has put it there for every
// operation that is not public.
func whoIs(ctx context.Context) (signedIn, error) {
	who, ok := ctx.Value(signedInKey{}).(signedIn)
	if !ok {
		return signedIn{}, errors.New("nobody is signed in behind the middleware that requires it")
	}
	return who, nil
}

// actingAs returns the person of the request and a client that acts as them.
func (s *Server) actingAs(ctx context.Context) (identity.Person, client.Client, error) {
	who, err := whoIs(ctx)
	if err != nil {
		return identity.Person{}, nil, err
	}
	c, err := s.people.as(who.person)
	return who.person, c, err
}

// may asks whether the person of the request may do a.
func (s *Server) may(ctx context.Context, a identity.Action) (bool, error) {
	who, err := whoIs(ctx)
	if err != nil {
		return false, err
	}
	return s.reviewer.May(ctx, who.person, a)
}
