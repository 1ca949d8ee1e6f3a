package hook

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/secret"
)

// Sender is who speaks to a receiver.
type Sender string

// The senders, by their keys in a Project's spec.webhookReceivers.
const (
	GitHub      Sender = "github"
	GitLab      Sender = "gitlab"
	Gitea       Sender = "gitea" // and Forgejo
	Bitbucket   Sender = "bitbucket"
	Azure       Sender = "azure" // DevOps and Container Registry
	DockerHub   Sender = "dockerhub"
	Quay        Sender = "quay"
	Harbor      Sender = "harbor"
	ECR         Sender = "ecr" // by EventBridge
	Artifactory Sender = "artifactory"
	Generic     Sender = "generic"
)

// Senders returns all of them, in the order of the documentation.
func Senders() []Sender {
	return []Sender{GitHub, GitLab, Gitea, Bitbucket, Azure, DockerHub, Quay, Harbor, ECR, Artifactory, Generic}
}

// MaxBodyBytes bounds a message.
const MaxBodyBytes = 1 << 20

// minSecretBytes is what a secret needs so that nobody finds it by trying.
const minSecretBytes = 16

// Errors of Read.
var (
	// ErrUnverified: the message is not proven to be the sender's.
	ErrUnverified = errors.New("signature or token is missing or wrong")
	// ErrMalformed: it is proven, and not what that sender sends.
	ErrMalformed = errors.New("not a message of this sender")
)

// Receiver is one entry of a Project's spec.webhookReceivers with its secret.
type Receiver struct {
	Project, Name string
	Sender        Sender

	secret      secret.Text
	virtualRepo string
	generic     *program
	token       string // how a generic sender proves itself
}

// Header returns a header of the request by its name, in any case, or "".
type Header func(name string) string

// Event is what a message says was pushed. Nothing else in it is used.
type Event struct {
	// ID is the sender's for this delivery, for people; may be empty.
	ID string
	// Kind is the sender's word for what happened: push.
	Kind string
	// Repositories were pushed to; empty when the message is about something
	// else, as a ping is.
	Repositories []Repository
}

// Repository is one that was pushed to.
type Repository struct {
	Kind Kind
	URL  string
	// Refs are the full names of the branches and tags that moved; empty when the
	// sender does not say.
	Refs []string
}

// Concerns reports whether somebody who follows a branch (empty: whichever is
// the default) has to look.
func (r Repository) Concerns(branch string) bool {
	if len(r.Refs) == 0 || branch == "" {
		return true
	}
	for _, ref := range r.Refs {
		if ref == "refs/heads/"+branch {
			return true
		}
	}
	return false
}

// ConcernsSubscription reports whether a subscription with the same key has to
// look: to its branch, or to tags.
func (r Repository) ConcernsSubscription(s v1alpha1.Subscription) bool {
	if s.Git == nil {
		return true
	}
	if strategy := s.Git.CommitSelectionStrategy; strategy == "" || strategy == v1alpha1.SelectNewestFromBranch {
		return r.Concerns(s.Git.Branch)
	}
	for _, ref := range r.Refs {
		if strings.HasPrefix(ref, "refs/tags/") {
			return true
		}
	}
	return len(r.Refs) == 0
}

// SenderOf returns whom an entry is for, and the name of its Secret.
func SenderOf(w v1alpha1.WebhookReceiver) (Sender, string, error) {
	var sender Sender
	var ref v1alpha1.SecretReference
	found := 0
	set := func(s Sender, r v1alpha1.SecretReference) { sender, ref, found = s, r, found+1 }
	for s, c := range map[Sender]*v1alpha1.WebhookReceiverConfig{
		GitHub: w.GitHub, GitLab: w.GitLab, Gitea: w.Gitea, Bitbucket: w.Bitbucket, Azure: w.Azure,
		DockerHub: w.DockerHub, Quay: w.Quay, Harbor: w.Harbor, ECR: w.ECR,
	} {
		if c != nil {
			set(s, c.SecretRef)
		}
	}
	if w.Artifactory != nil {
		set(Artifactory, w.Artifactory.SecretRef)
	}
	if w.Generic != nil {
		set(Generic, w.Generic.SecretRef)
	}
	if found != 1 {
		return "", "", fmt.Errorf("webhook receiver %q: set one sender, such as github", w.Name)
	}
	return sender, ref.Name, nil
}

// secretKeys are where the secret is: the first is ours; the others are what
// Kargo calls it for some senders.
func secretKeys() []string { return []string{"secret", "secret-token", "auth-header"} }

// Compile returns the receiver of an entry. data is that of its Secret. Errors
// say what to do and show no value.
func Compile(project string, w v1alpha1.WebhookReceiver, data map[string][]byte) (*Receiver, error) {
	sender, name, err := SenderOf(w)
	if err != nil {
		return nil, err
	}
	r := &Receiver{Project: project, Name: w.Name, Sender: sender}
	for _, key := range secretKeys() {
		if value := strings.TrimRight(string(data[key]), "\r\n"); value != "" {
			r.secret = secret.New(value)
			break
		}
	}
	if len(r.secret.Reveal()) < minSecretBytes {
		return nil, fmt.Errorf("Secret %q needs a key secret of at least %d characters", name, minSecretBytes)
	}
	if w.Artifactory != nil {
		r.virtualRepo = w.Artifactory.VirtualRepoName
	}
	if w.Generic != nil {
		if r.generic, err = compileGeneric(*w.Generic); err != nil {
			return nil, err
		}
		r.token = w.Generic.Authentication
	}
	return r, nil
}

// PathPrefix is where receivers listen.
const PathPrefix = "/hooks/"

// Path returns where the receiver listens. It cannot be guessed without the
// secret, and changes with it.
func (r *Receiver) Path() string { return PathPrefix + r.ID() }

// ID is the last part of Path.
func (r *Receiver) ID() string {
	mac := hmac.New(sha256.New, []byte(r.secret.Reveal()))
	fmt.Fprintf(mac, "waybill webhook receiver\n%s\n%s\n%s", r.Project, r.Name, r.Sender)
	return hex.EncodeToString(mac.Sum(nil))
}

// Read verifies a message and returns what it says. It reads nothing of a body
// that is not proven.
func (r *Receiver) Read(h Header, body []byte) (Event, error) {
	if err := r.verify(h, body); err != nil {
		return Event{}, err
	}
	if len(body) > MaxBodyBytes {
		return Event{}, fmt.Errorf("%w: it is longer than %d bytes", ErrMalformed, MaxBodyBytes)
	}
	e, err := r.parse(h, body)
	if err != nil {
		return Event{}, err
	}
	e.ID, e.Kind = short(e.ID), short(e.Kind)
	e.Repositories = clean(e.Repositories)
	return e, nil
}

// verify checks what this sender can prove.
func (r *Receiver) verify(h Header, body []byte) error {
	var ok bool
	switch r.Sender {
	case GitHub:
		ok = r.signed(h("X-Hub-Signature-256"), "sha256=", body)
	case Bitbucket: // Cloud and Data Center
		ok = r.signed(h("X-Hub-Signature"), "sha256=", body)
	case Gitea:
		for _, name := range []string{"X-Forgejo-Signature", "X-Gitea-Signature"} {
			ok = ok || r.signed(h(name), "", body)
		}
	case Artifactory:
		ok = r.signed(h("X-Jfrog-Event-Auth"), "", body)
	case GitLab:
		ok = r.equal(h("X-Gitlab-Token"))
	case Harbor:
		ok = r.equal(h("Authorization"))
	case ECR:
		ok = r.equal(h("X-Api-Key"))
	case Generic:
		switch r.token {
		case v1alpha1.WebhookAuthHMAC:
			ok = r.signed(h("X-Hub-Signature-256"), "sha256=", body)
		case v1alpha1.WebhookAuthNone:
			ok = true
		default:
			scheme, value, _ := strings.Cut(h("Authorization"), " ")
			ok = strings.EqualFold(scheme, "bearer") && r.equal(value)
		}
	case Azure, DockerHub, Quay: // they cannot sign; who knows the path knows the secret
		ok = true
	}
	if !ok {
		return ErrUnverified
	}
	return nil
}

// signed reports whether text is prefix and the hex HMAC-SHA256 of body.
func (r *Receiver) signed(text, prefix string, body []byte) bool {
	digest, found := strings.CutPrefix(text, prefix)
	if !found || len(digest) != hex.EncodedLen(sha256.Size) {
		return false
	}
	got, err := hex.DecodeString(digest)
	if err != nil {
		return false
	}
	mac := hmac.New(sha256.New, []byte(r.secret.Reveal()))
	mac.Write(body)
	return hmac.Equal(got, mac.Sum(nil))
}

// equal compares a token with the secret; neither content nor length shows in
// the time it takes.
func (r *Receiver) equal(token string) bool {
	a, b := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(r.secret.Reveal()))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// IsSigned reports whether messages of this receiver carry a proof besides the
// path.
func (r *Receiver) IsSigned() bool {
	return r.Sender != Azure && r.Sender != DockerHub && r.Sender != Quay && (r.Sender != Generic || r.token != v1alpha1.WebhookAuthNone)
}

const (
	// maxRepositories and maxRefs bound what one message can wake.
	maxRepositories = 100
	maxRefs         = 100
	maxWordBytes    = 100
)

// clean drops what is no address and what is too much.
func clean(all []Repository) []Repository {
	out := make([]Repository, 0, min(len(all), maxRepositories))
	seen := map[string]int{}
	for _, r := range all {
		key := Key(r.Kind, r.URL)
		if key == "" {
			continue
		}
		if len(r.Refs) > maxRefs {
			r.Refs = nil // too many to tell apart
		}
		if i, known := seen[key]; known {
			if len(r.Refs) == 0 || len(out[i].Refs) == 0 || len(out[i].Refs)+len(r.Refs) > maxRefs {
				out[i].Refs = nil
			} else {
				out[i].Refs = append(out[i].Refs, r.Refs...)
			}
			continue
		}
		if len(out) == maxRepositories {
			break
		}
		seen[key] = len(out)
		out = append(out, r)
	}
	return out
}

// short makes a sender's word fit for a page.
func short(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\uFFFD' {
			return -1
		}
		return r
	}, s)
	if len(s) > maxWordBytes {
		s = strings.ToValidUTF8(s[:maxWordBytes], "")
	}
	return s
}
