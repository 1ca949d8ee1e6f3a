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
)

// CredentialStore knows which Secrets are for which repositories.
type CredentialStore interface {
	Known(ctx context.Context, project string) (*secretstore.Known, error)
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
	use := func(kind credentials.Type, repoURL, who string) {
		if namespace, name, ok := known.For(kind, repoURL); ok {
			if key := namespace + "/" + name; !slices.Contains(out[key], who) {
				out[key] = append(out[key], who)
			}
		}
	}
	for i := range v.warehouses {
		who := "Warehouse/" + v.warehouses[i].Name
		for _, sub := range v.warehouses[i].Spec.Subscriptions {
			switch {
			case sub.Image != nil:
				use(credentials.Image, sub.Image.RepoURL, who)
			case sub.Git != nil:
				use(credentials.Git, sub.Git.RepoURL, who)
			case sub.Chart != nil:
				use(credentials.Chart, sub.Chart.RepoURL, who)
			}
		}
	}
	for i := range v.stages {
		if m := v.stages[i].Spec.PromotionMechanisms; m != nil {
			for _, u := range m.GitRepoUpdates {
				use(credentials.Git, u.RepoURL, "Stage/"+v.stages[i].Name)
			}
		}
	}
	for i := range v.apps {
		kind := credentials.Git
		if v.apps[i].Spec.Source.Chart != "" {
			kind = credentials.Chart
		}
		use(kind, v.apps[i].Spec.Source.RepoURL, "Application/"+v.apps[i].Name)
	}
	return out
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
