package history

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// Promotion is what is kept of a finished Promotion.
type Promotion struct {
	// UID of the object: the key.
	UID string `json:"uid"`
	// Project, Name and Stage as in the object; Seq is the number in the name.
	Project string `json:"project"`
	Name    string `json:"name"`
	Stage   string `json:"stage"`
	Seq     int64  `json:"seq"`
	// Kind is Promote or Rollback.
	Kind string `json:"kind"`
	// Freight that was promoted, or taken back by a Rollback.
	Freight Freight `json:"freight"`
	// To is what a Rollback returned to.
	To Freight `json:"to,omitzero"`
	// Collection is the Freight of every origin the plan wrote; From is what the
	// Stage had before.
	Collection []Freight `json:"collection,omitempty"`
	From       []Freight `json:"from,omitempty"`
	// RequestedBy as Kubernetes knows the user; Reason is what that user said.
	RequestedBy string `json:"requestedBy,omitempty"`
	Reason      string `json:"reason,omitempty"`
	// Automatic is true for what Waybill did by itself.
	Automatic bool `json:"automatic,omitempty"`
	// Bypassed are the gates that the request passed.
	Bypassed []string `json:"bypassed,omitempty"`
	// Approvals that it started with.
	Approvals []Approval `json:"approvals,omitempty"`
	// AbortedBy and AbortReason are set when somebody stopped it.
	AbortedBy   string `json:"abortedBy,omitempty"`
	AbortReason string `json:"abortReason,omitempty"`
	// Phase it ended in, with a word and a sentence for it.
	Phase       string `json:"phase"`
	PhaseReason string `json:"phaseReason,omitempty"`
	Message     string `json:"message,omitempty"`
	// PlanHash is what approvals were for.
	PlanHash string `json:"planHash,omitempty"`
	// Verification is the last run of the Stage's checks, without their logs.
	Verification *v1alpha1.VerificationStatus `json:"verification,omitempty"`
	// Commit on the Stage's branch; zero when nothing was written.
	Commit Commit `json:"commit,omitzero"`
	// Written are the commits on all branches when there were several, in the
	// order of the pushes.
	Written []Commit `json:"written,omitempty"`
	// CreatedAt, StartedAt, PushedAt and FinishedAt; zero for what did not happen.
	CreatedAt  time.Time `json:"createdAt"`
	StartedAt  time.Time `json:"startedAt,omitzero"`
	PushedAt   time.Time `json:"pushedAt,omitzero"`
	FinishedAt time.Time `json:"finishedAt,omitzero"`
	// RetryOf, RolledBackBy, SupersededBy and Undoes name other Promotions of the
	// Stage; RetryOf is the one that this one tried again.
	RetryOf      string `json:"retryOf,omitempty"`
	RolledBackBy string `json:"rolledBackBy,omitempty"`
	SupersededBy string `json:"supersededBy,omitempty"`
	Undoes       string `json:"undoes,omitempty"`
	// Steps in their order. Lists leave them out.
	Steps []Step `json:"steps,omitempty"`
}

// Freight is a Freight as it was when the record was made.
type Freight struct {
	Name   string `json:"name,omitempty"`
	Alias  string `json:"alias,omitempty"`
	Origin string `json:"origin,omitempty"`
	// Images, Commits and Charts are what is in it.
	Images  []v1alpha1.Image  `json:"images,omitempty"`
	Commits []v1alpha1.Commit `json:"commits,omitempty"`
	Charts  []v1alpha1.Chart  `json:"charts,omitempty"`
}

// Artifacts returns what is in the Freight.
func (f *Freight) Artifacts() v1alpha1.Artifacts {
	return v1alpha1.Artifacts{Images: f.Images, Commits: f.Commits, Charts: f.Charts}
}

// freightOf is a Freight by what is known of it.
func freightOf(name, alias, origin string, held v1alpha1.Artifacts) Freight {
	f := Freight{Name: name, Alias: alias, Origin: origin, Images: held.Images, Charts: held.Charts}
	for _, c := range held.Commits {
		c.Message, c.Author = clean(c.Message), clean(c.Author) // as people wrote them
		f.Commits = append(f.Commits, c)
	}
	return f
}

// Approval is one that counted.
type Approval struct {
	Actor  string    `json:"actor"`
	At     time.Time `json:"at"`
	Reason string    `json:"reason,omitempty"`
}

// Commit is where the Promotion's commit stands.
type Commit struct {
	RepoURL   string `json:"repoURL"`
	Branch    string `json:"branch"`
	Commit    string `json:"commit"`
	Parent    string `json:"parent,omitempty"`
	Unchanged bool   `json:"unchanged,omitempty"`
}

// Step is one step with its last attempt.
type Step struct {
	// Name of the step within the Promotion, and the built-in it uses.
	Name string `json:"name"`
	Uses string `json:"uses"`
	// Attempt counts from 1; 0 for a step that never ran.
	Attempt    int       `json:"attempt"`
	State      string    `json:"state"`
	Message    string    `json:"message,omitempty"`
	StartedAt  time.Time `json:"startedAt,omitzero"`
	FinishedAt time.Time `json:"finishedAt,omitzero"`
}

// OfPromotion returns the record of a Promotion. freight finds a Freight by
// name and returns nil for one that is gone; what the plan says of it is used
// then.
func OfPromotion(p *v1alpha1.Promotion, seq int64, freight func(name string) *v1alpha1.Freight) Promotion {
	r := Promotion{
		UID: string(p.UID), Project: p.Namespace, Name: p.Name, Stage: p.Spec.Stage, Seq: seq,
		Kind: string(p.Spec.Kind), RequestedBy: clean(p.Spec.RequestedBy), Reason: clean(p.Spec.Reason), Automatic: p.Spec.Automatic,
		Phase: string(p.Status.Phase), PhaseReason: p.Status.Reason, Message: clean(p.Status.Message),
		CreatedAt: p.CreationTimestamp.UTC(), StartedAt: instant(p.Status.StartedAt), PushedAt: instant(p.Status.PushedAt),
		FinishedAt: instant(p.Status.FinishedAt), RetryOf: p.Spec.RetryOf, RolledBackBy: p.Status.RolledBackBy, SupersededBy: p.Status.SupersededBy,
	}
	if r.Kind == "" {
		r.Kind = string(v1alpha1.KindPromote)
	}
	if p.Spec.Abort != nil {
		r.AbortedBy, r.AbortReason = clean(p.Spec.Abort.By), clean(p.Spec.Abort.Reason)
	}
	for _, g := range p.Spec.Bypass {
		r.Bypassed = append(r.Bypassed, string(g))
	}
	for _, a := range p.Status.Approvals {
		r.Approvals = append(r.Approvals, Approval{Actor: clean(a.Actor), At: a.At.UTC(), Reason: clean(a.Reason)})
	}
	if plan := p.Status.Plan; plan != nil {
		r.PlanHash, r.Undoes = plan.Hash, plan.Undoes
		r.Collection = ofStageFreight(plan.Collection, freight)
		if plan.Before != nil {
			r.From = ofStageFreight(plan.Before.Current, freight)
		}
	}
	if v := p.Status.Verification.DeepCopy(); v != nil {
		v.Message = clean(v.Message)
		for i := range v.Checks {
			c := &v.Checks[i]
			c.Log, c.Message, c.Value = "", clean(c.Message), clean(c.Value)
		}
		r.Verification = v
	}
	from, to := p.Exchange()
	r.Freight, r.To = r.find(from, freight), r.find(to, freight)
	if c := p.Status.Commit; c != nil {
		r.Commit = commitOf(*c)
	}
	for _, c := range p.Status.Commits {
		r.Written = append(r.Written, commitOf(c))
	}
	for _, s := range p.Status.Steps {
		r.Steps = append(r.Steps, Step{
			Name: s.As, Uses: s.Uses, Attempt: int(s.Attempts), State: string(s.State), Message: clean(s.Message),
			StartedAt: instant(s.StartedAt), FinishedAt: instant(s.FinishedAt),
		})
	}
	return r
}

func commitOf(c v1alpha1.PromotionCommit) Commit {
	return Commit{RepoURL: c.RepoURL, Branch: c.Branch, Commit: c.Commit, Parent: c.Parent, Unchanged: c.Unchanged}
}

// find returns a Freight by its object, or as plan or Stage knew it.
func (p *Promotion) find(name string, freight func(string) *v1alpha1.Freight) Freight {
	if name == "" {
		return Freight{}
	}
	if f := freight(name); f != nil {
		return freightOf(name, f.Alias, f.Origin.Name, f.Artifacts())
	}
	for _, known := range [][]Freight{p.Collection, p.From} {
		for _, f := range known {
			if f.Name == name {
				return f
			}
		}
	}
	return Freight{Name: name}
}

func ofStageFreight(fs []v1alpha1.StageFreight, freight func(string) *v1alpha1.Freight) []Freight {
	var out []Freight
	for _, f := range fs {
		alias := ""
		if known := freight(f.Freight); known != nil {
			alias = known.Alias
		}
		out = append(out, freightOf(f.Freight, alias, f.Origin, f.Artifacts()))
	}
	return out
}

// Digest returns a hash of what happened: two records with one digest say the
// same. What is known of a Freight besides its name does not count, because it
// is forgotten when the Freight is gone.
func (p *Promotion) Digest() (string, error) {
	bare := *p
	bare.Freight, bare.To = Freight{Name: p.Freight.Name}, Freight{Name: p.To.Name}
	bare.Collection, bare.From = namesOnly(p.Collection), namesOnly(p.From)
	raw, err := json.Marshal(bare)
	if err != nil {
		return "", fmt.Errorf("encode record of Promotion %q: %w", p.Name, err)
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:]), nil
}

func namesOnly(fs []Freight) []Freight {
	out := make([]Freight, len(fs))
	for i, f := range fs {
		out[i].Name = f.Name
	}
	return out
}

// Cursor is the record's place in lists.
func (p *Promotion) Cursor() Cursor {
	return Cursor{At: p.CreatedAt, Seq: p.Seq, Name: p.Name, ID: p.UID}
}

// instant is a time with what databases keep of it: microseconds, UTC.
func instant(t *metav1.MicroTime) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Microsecond)
}

// clean returns text as every database takes it: UTF-8 without NUL.
func clean(s string) string {
	if strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(s, "\x00", "")
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
