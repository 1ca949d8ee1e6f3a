package rest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/history"
	"github.com/waybill-dev/waybill/internal/credentials"
	"github.com/waybill-dev/waybill/internal/credentials/secretstore"
	"github.com/waybill-dev/waybill/internal/identity"
	"github.com/waybill-dev/waybill/promotion"
	"github.com/waybill-dev/waybill/warehouse/chart"
)

// CredentialStore knows which Secrets are for which repositories.
type CredentialStore interface {
	Known(ctx context.Context, project string) (*secretstore.Known, error)
}

// RemoteTester asks repositories with the credentials of a Project; its errors hold
// nothing that a Secret says.
type RemoteTester interface {
	Try(ctx context.Context, project string, p secretstore.Place) (said string, err error)
}

// ListCredentials returns the credentials of a Project, without what they hold.
func (s *Server) ListCredentials(ctx context.Context, request ListCredentialsRequestObject) (ListCredentialsResponseObject, error) {
	v, err := s.loadProject(ctx, request.Project)
	if err != nil {
		return nil, err
	}
	known, err := s.knownCredentials(ctx, request.Project)
	if err != nil {
		return nil, err
	}
	uses := v.credentialUses(known)
	out := ListCredentials200JSONResponse{Items: []model.Credential{}}
	for i := range known.Secrets {
		c := &known.Secrets[i]
		out.Items = append(out.Items, model.Credential{
			Name: c.Name, Type: model.CredentialType(c.Type), RepoURLs: append([]string{}, c.URLs...), Pattern: c.IsPattern, Means: c.Means,
			Shared: c.Namespace != request.Project, UsedBy: uses[c.Namespace+"/"+c.Name], Problem: c.Problem, CreatedAt: c.CreatedAt,
		})
	}
	return out, nil
}

func (s *Server) knownCredentials(ctx context.Context, project string) (*secretstore.Known, error) {
	if s.opts.Credentials == nil {
		return nil, refuse(model.Unavailable, "this server asks no repositories")
	}
	return s.opts.Credentials.Known(ctx, project)
}

// credentialUses lists what uses each Secret, by its namespace and name.
func (v *projectView) credentialUses(known *secretstore.Known) map[string][]string {
	out := map[string][]string{}
	for _, p := range v.places() {
		if namespace, name, ok := known.For(p.Type, p.RepoURL); ok {
			key := namespace + "/" + name
			for _, who := range p.usedBy {
				if !slices.Contains(out[key], who) {
					out[key] = append(out[key], who)
				}
			}
		}
	}
	return out
}

// place is a repository, and what of the Project uses it.
type place struct {
	secretstore.Place
	usedBy []string
}

// places are the repositories that Warehouses, Stages and Applications name.
func (v *projectView) places() []place {
	var out []place
	use := func(p secretstore.Place, who string) {
		at := slices.IndexFunc(out, func(known place) bool { return known.Place == p })
		if at < 0 {
			at, out = len(out), append(out, place{Place: p})
		}
		if !slices.Contains(out[at].usedBy, who) {
			out[at].usedBy = append(out[at].usedBy, who)
		}
	}
	for i := range v.warehouses {
		who := "Warehouse/" + v.warehouses[i].Name
		for _, sub := range v.warehouses[i].Spec.Subscriptions {
			switch {
			case sub.Image != nil:
				use(secretstore.Place{Type: credentials.Image, RepoURL: sub.Image.RepoURL, IsInsecure: sub.Image.InsecureSkipTLSVerify}, who)
			case sub.Git != nil:
				use(secretstore.Place{Type: credentials.Git, RepoURL: sub.Git.RepoURL}, who)
			case sub.Chart != nil:
				use(secretstore.Place{Type: credentials.Chart, RepoURL: sub.Chart.RepoURL, IsInsecure: sub.Chart.InsecureSkipTLSVerify}, who)
			}
		}
	}
	for i := range v.stages {
		if m := v.stages[i].Spec.PromotionMechanisms; m != nil {
			for _, u := range m.GitRepoUpdates {
				use(secretstore.Place{Type: credentials.Git, RepoURL: u.RepoURL}, "Stage/"+v.stages[i].Name)
			}
		}
	}
	for i := range v.apps {
		p := secretstore.Place{Type: credentials.Git, RepoURL: v.apps[i].Spec.Source.RepoURL}
		if name := v.apps[i].Spec.Source.Chart; name != "" {
			p = secretstore.Place{Type: credentials.Chart, RepoURL: chart.At(p.RepoURL, name).RepoURL}
		}
		use(p, "Application/"+v.apps[i].Name)
	}
	return out
}

const (
	// maxTried is how many repositories one request asks, tryFanOut how many at a
	// time, and tryAllTime how long for all.
	maxTried   = 20
	tryFanOut  = 5
	tryAllTime = 50 * time.Second
)

// TestCredentials asks repositories now, with what the Project has for them.
func (s *Server) TestCredentials(ctx context.Context, request TestCredentialsRequestObject) (TestCredentialsResponseObject, error) {
	if s.opts.Remotes == nil {
		return nil, refuse(model.Unavailable, "this server asks no repositories")
	}
	v, err := s.loadProject(ctx, request.Project)
	if err != nil {
		return nil, err
	}
	known, err := s.knownCredentials(ctx, request.Project)
	if err != nil {
		return nil, err
	}
	isWanted := func(p place) bool { return slices.Contains(request.Body.Types, model.CredentialType(p.Type)) }
	if one := request.Body.RepoURL; one != "" {
		if len(request.Body.Types) != 1 {
			return nil, refuse(model.InvalidRequest, "say of which one type %q is", one)
		}
		isOfType := isWanted
		isWanted = func(p place) bool { return isOfType(p) && p.RepoURL == one }
	}
	places := slices.DeleteFunc(v.places(), func(p place) bool { return !isWanted(p) })
	if len(places) == 0 && request.Body.RepoURL != "" {
		// Whoever may have any address asked may make a Warehouse that asks it.
		action := identity.Action{Verb: "create", Group: v1alpha1.Group, Resource: "warehouses", Namespace: request.Project}
		if allowed, err := s.may(ctx, action); err != nil {
			return nil, err
		} else if !allowed {
			return nil, refuse(model.Forbidden, "nothing of Project %q uses %q, and you may not create Warehouses that would", request.Project, request.Body.RepoURL).
				withHint("without an address, all that the Project uses is asked")
		}
		places = []place{{Place: secretstore.Place{Type: credentials.Type(request.Body.Types[0]), RepoURL: request.Body.RepoURL}}}
	}
	out := TestCredentials200JSONResponse{Items: make([]model.CredentialTest, min(len(places), maxTried)), Cut: len(places) > maxTried}
	ctx, cancel := context.WithTimeout(ctx, tryAllTime)
	defer cancel()
	var group errgroup.Group
	group.SetLimit(tryFanOut)
	for i := range out.Items {
		group.Go(func() error {
			p := places[i]
			item := model.CredentialTest{Type: model.CredentialType(p.Type), RepoURL: p.RepoURL, UsedBy: p.usedBy, Reached: true}
			if namespace, name, ok := known.For(p.Type, p.RepoURL); ok {
				item.Credential, item.Shared = name, namespace != request.Project
			}
			var err error
			if item.Message, err = s.opts.Remotes.Try(ctx, request.Project, p.Place); err != nil {
				item.Reached, item.Message = false, promotion.OneLine(err.Error(), maxTestAnswer)
			}
			out.Items[i] = item
			return nil
		})
	}
	return out, group.Wait()
}

// AddCredential keeps a credential as a Secret, as the person.
func (s *Server) AddCredential(ctx context.Context, request AddCredentialRequestObject) (AddCredentialResponseObject, error) {
	body := request.Body
	for key := range body.Data {
		if !slices.Contains(credentials.Keys(), key) {
			return nil, refuse(model.InvalidRequest, "a credential has no key %q", key).withHint("the keys are %s", strings.Join(credentials.Keys(), ", "))
		}
	}
	name := body.Name
	if name == "" {
		name = credentialName(string(body.Type), body.Data["repoURL"])
	}
	if len(validation.IsDNS1123Subdomain(name)) > 0 {
		return nil, refuse(model.InvalidRequest, "%q is no name for a Secret: it is made of lower-case letters, digits, dashes and dots", name)
	}
	wanted := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: request.Project, Name: name, Labels: map[string]string{v1alpha1.LabelCredentialType: string(body.Type)}},
		Data:       map[string][]byte{},
	}
	for key, value := range body.Data {
		wanted.Data[key] = []byte(value)
	}
	parsed, err := credentials.Parse(secretstore.SourceOf(wanted)) // names keys, repeats no value
	if err != nil {
		return nil, refuse(model.InvalidRequest, "%v", err)
	}
	if parsed[0].IsAmbient() {
		return nil, refuse(model.InvalidRequest, "provider %q without keys is the identity of Waybill itself, which only a Secret of its own Namespace lends", parsed[0].Provider).
			withHint("an administrator makes that Secret, with the annotation %s: %s", credentials.SharedAnnotation, request.Project)
	}
	person, c, err := s.actingAs(ctx)
	if err != nil {
		return nil, err
	}
	err = keepSecret(ctx, c, wanted, fmt.Sprintf("keep credential %q", name), func(there *corev1.Secret) error {
		switch is := there.Labels[v1alpha1.LabelCredentialType]; {
		case is != string(body.Type):
			return refuse(model.Conflict, "there is a Secret %q already, and it is no credential of type %s", name, body.Type).withHint("choose another --name")
		case !body.Replace:
			return refuse(model.Conflict, "there is a credential %q already", name).withHint("add --replace, or choose another --name")
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	e := history.OfDefinition("Secret", wanted)
	e.Key, e.Actor = string(wanted.UID)+"/"+wanted.ResourceVersion, person.User // a Secret has no generation
	s.note(ctx, e)
	return AddCredential201JSONResponse{
		Name: name, Type: body.Type, RepoURLs: []string{parsed[0].URL}, Pattern: parsed[0].IsRegex, Means: parsed[0].Means(), CreatedAt: wanted.CreationTimestamp.UTC(),
	}, nil
}

// notInNames is what a Secret's name is not made of.
var notInNames = regexp.MustCompile(`[^a-z0-9]+`)

// maxCredentialName is how much of an address a name holds.
const maxCredentialName = 50

// credentialName makes a name of a type and an address: equal ones give equal
// names. It does not hold what stands before an @.
func credentialName(kind, address string) string {
	_, place, found := strings.Cut(address, "://")
	if !found {
		place = address
	}
	if _, host, hasUser := strings.Cut(place, "@"); hasUser {
		place = host
	}
	name := strings.Trim(notInNames.ReplaceAllString(strings.ToLower(strings.TrimSuffix(place, ".git")), "-"), "-")
	if len(name) > maxCredentialName || name == "" {
		sum := sha256.Sum256([]byte(address))
		name = strings.Trim(name[:min(len(name), maxCredentialName)]+"-"+hex.EncodeToString(sum[:4]), "-")
	}
	return kind + "-" + name
}

// RemoveCredential deletes a credential of the Project, as the person.
func (s *Server) RemoveCredential(ctx context.Context, request RemoveCredentialRequestObject) (RemoveCredentialResponseObject, error) {
	none := refuse(model.NotFound, "Project %q has no credential %q of its own", request.Project, request.Credential).
		withHint("one that is shared is a Secret of Waybill's own Namespace")
	if len(validation.IsDNS1123Subdomain(request.Credential)) > 0 {
		return nil, none // no Secret has such a name
	}
	person, c, err := s.actingAs(ctx)
	if err != nil {
		return nil, err
	}
	there := &corev1.Secret{}
	err = c.Get(ctx, client.ObjectKey{Namespace: request.Project, Name: request.Credential}, there)
	isCredential := slices.Contains([]credentials.Type{credentials.Git, credentials.Image, credentials.Chart}, credentials.Type(there.Labels[v1alpha1.LabelCredentialType]))
	switch {
	case apierrors.IsNotFound(err) || err == nil && !isCredential:
		return nil, none
	case err != nil:
		return nil, fromKube(fmt.Sprintf("read credential %q", request.Credential), err)
	}
	if !request.Params.Force {
		if err := s.refuseUsed(ctx, request.Project, request.Credential); err != nil {
			return nil, err
		}
	}
	if err := c.Delete(ctx, there, client.Preconditions{UID: &there.UID}); err != nil && !apierrors.IsNotFound(err) {
		return nil, fromKube(fmt.Sprintf("remove credential %q", request.Credential), err)
	}
	s.note(ctx, history.OfDefinition("Secret", there).End(s.opts.Clock.Now(), person.User))
	return RemoveCredential204Response{}, nil
}

// refuseUsed refuses to remove what something uses.
func (s *Server) refuseUsed(ctx context.Context, project, name string) error {
	v, err := s.loadProject(ctx, project)
	if err != nil {
		return err
	}
	known, err := s.knownCredentials(ctx, project)
	var refused *refusal
	if errors.As(err, &refused) {
		return nil // nothing is asked at all
	}
	if err != nil {
		return err
	}
	uses := v.credentialUses(known)[project+"/"+name]
	if len(uses) == 0 {
		return nil
	}
	more := ""
	if len(uses) > 1 {
		more = fmt.Sprintf(" and %d more", len(uses)-1)
	}
	return refuse(model.Conflict, "credential %q is in use: %s%s", name, uses[0], more).
		withHint("add another one first, or use --force: the next that fits is used then, or none")
}
