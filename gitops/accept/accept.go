package accept

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/clock"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/gitops"
	"github.com/waybill-dev/waybill/gitops/render"
)

const (
	// attempts is how often a race for the branch is run.
	attempts = 5
	// acceptTime bounds one request.
	acceptTime = time.Minute
	// lookBack is how many commits are searched for what was accepted before.
	lookBack = 200
)

// Options are what an Acceptor needs. All fields but RenderLimits are required.
type Options struct {
	// Live returns an object as the cluster has it; nil when it is not there.
	Live func(ctx context.Context, app *v1alpha1.Application, key gitops.Key) (*unstructured.Unstructured, error)
	// Open returns the mirror of a repository, with the credentials that a
	// Project has for it.
	Open func(ctx context.Context, project, repoURL string) (*git.Mirror, error)
	// Renders is the one the Application controller renders with.
	Renders *render.Cache
	Clock   clock.PassiveClock
	// Author of the commits; who accepted is in a trailer.
	Author       git.Identity
	RenderLimits render.Limits
}

// Acceptor commits drift. It is safe for concurrent use.
type Acceptor struct{ o Options }

// New returns an Acceptor.
func New(o Options) (*Acceptor, error) {
	if o.Live == nil || o.Open == nil || o.Renders == nil || o.Clock == nil || o.Author.Name == "" {
		return nil, errors.New("accept: Live, Open, Renders, Clock and Author are required")
	}
	return &Acceptor{o: o}, nil
}

// Field is one field of one object, as status.drifts names it.
type Field struct {
	Key  gitops.Key
	Path string
	// Seen is the value that the person saw, as status.drifts has it; another single
	// value by now is refused. Empty: whatever it is.
	Seen string
}

func (f Field) String() string { return f.Key.String() + " " + f.Path }

// Request is what somebody accepts.
type Request struct {
	App *v1alpha1.Application
	// Neighbours are the other Applications of the Project: those that follow the
	// same branch must render as before.
	Neighbours []v1alpha1.Application
	Fields     []Field
	// By is who accepts, Reason why; the reason may be empty.
	By, Reason string
}

// Change is one field that was accepted.
type Change struct {
	Key                  gitops.Key
	Field, Before, After string
	// File that was edited, from the root of the repository.
	File string
}

// Result is what became of a Request.
type Result struct {
	RepoURL, Branch string
	// Commit that says what was accepted; empty when the branch said so before and
	// no commit of ours did it.
	Commit string
	// IsNew says that Commit was made now.
	IsNew   bool
	Changes []Change
}

// Refusal says why something cannot be accepted, and what to do.
type Refusal struct{ Reason, Next string }

// Error returns the reason.
func (r *Refusal) Error() string { return r.Reason }

func refuse(next, format string, args ...any) *Refusal {
	return &Refusal{Reason: fmt.Sprintf(format, args...), Next: next}
}

// Accept commits the fields as they live. Errors are *Refusal, or those of Git and
// of the cluster.
func (a *Acceptor) Accept(ctx context.Context, q Request) (Result, error) {
	ctx, cancel := context.WithTimeout(ctx, acceptTime)
	defer cancel()
	if q.App.Spec.Source.TargetRevision == "" {
		return Result{}, refuse("change the file in Git", "Application %q names no branch", q.App.Name)
	}
	if chart := q.App.Spec.Source.Chart; chart != "" {
		return Result{}, refuse("set it in spec.source.helm", "Application %q runs chart %q of a Helm repository, which is not written to", q.App.Name, chart)
	}
	lives, err := a.lives(ctx, q)
	if err != nil {
		return Result{}, err
	}
	mirror, err := a.o.Open(ctx, q.App.Namespace, q.App.Spec.Source.RepoURL)
	if err != nil {
		return Result{}, err //nolint:wrapcheck // names the repository already
	}
	for n := 1; ; n++ {
		result, err := a.attempt(ctx, q, mirror, lives)
		isRace := errors.Is(err, git.ErrMoved) || errors.Is(err, git.ErrUnknownOutcome)
		if !isRace || n == attempts {
			return result, err
		}
	}
}

// lives reads the objects that the fields are of.
func (a *Acceptor) lives(ctx context.Context, q Request) (map[gitops.Key]*unstructured.Unstructured, error) {
	out := map[gitops.Key]*unstructured.Unstructured{}
	for _, f := range q.Fields {
		if err := mayAccept(f); err != nil {
			return nil, err
		}
		if _, known := out[f.Key]; known {
			continue
		}
		obj, err := a.o.Live(ctx, q.App, f.Key)
		if err != nil {
			return nil, err
		}
		if obj == nil {
			return nil, refuse("remove it from the branch, or take the deletion back with waybill drift --revert", "%s is not in the cluster", f.Key)
		}
		out[f.Key] = obj
	}
	return out, nil
}

// mayAccept refuses what is never written into a repository.
func mayAccept(f Field) error {
	byHand := "change the file in Git, or take the change back with waybill drift --revert"
	switch {
	case f.Path == "":
		return refuse("remove it from the branch, or take the deletion back with waybill drift --revert", "%s was deleted or replaced, not changed", f.Key)
	case f.Key.Kind == "Secret" && f.Key.Group == "":
		return refuse(byHand, "%s: what a Secret holds is not written into a repository", f.Key)
	case f.Path == "metadata.managedFields":
		return refuse(byHand, "%s: which field changed is not known", f.Key)
	}
	if _, err := gitops.ParsePath(f.Path); err != nil {
		return refuse(byHand, "%s: %s", f.Key, err.Error())
	}
	return nil
}

// revision is one tree of the repository, and what it renders to.
type revision struct {
	root   git.Hash // commit or tree
	files  fs.FS
	result render.Result
}

func (a *Acceptor) revision(ctx context.Context, mirror *git.Mirror, app *v1alpha1.Application, root git.Hash) (revision, error) {
	r := revision{root: root}
	var err error
	if r.files, err = mirror.FS(root); err != nil {
		return r, err //nolint:wrapcheck // names the commit already
	}
	whole, err := mirror.TreeHash(root, "")
	if err != nil {
		return r, err //nolint:wrapcheck // names the commit already
	}
	within := path.Clean(app.Spec.Source.Path)
	if within == "." {
		within = ""
	}
	tree, err := mirror.TreeHash(root, within)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return r, err //nolint:wrapcheck // names the commit already
	}
	source := render.SourceOf(r.files, app.Spec.Source, app.Name, app.Spec.Destination.Namespace).Encrypted(app.Namespace, app.Spec.Decryption)
	r.result, _, err = a.o.Renders.Render(ctx, source, tree.String(), whole.String(), a.o.RenderLimits)
	return r, err
}

// attempt makes the commit on the head of the branch as it is now.
func (a *Acceptor) attempt(ctx context.Context, q Request, mirror *git.Mirror, lives map[gitops.Key]*unstructured.Unstructured) (Result, error) {
	branch := q.App.Spec.Source.TargetRevision
	out := Result{RepoURL: mirror.URL(), Branch: branch}
	refs, err := mirror.Fetch(ctx, branch)
	if err != nil {
		return out, err //nolint:wrapcheck // names the branch already
	}
	head, exists := refs.Branches[branch]
	if !exists {
		return out, refuse("promote first", "branch %q does not exist yet", branch)
	}
	files, err := mirror.FS(head)
	if err != nil {
		return out, err //nolint:wrapcheck // names the commit already
	}
	if isChart(q.App, files) {
		return out, refuse("set the value in the values file of the chart, or take the change back with waybill drift --revert",
			"Application %q is rendered from a Helm chart: no one place in a file says %s", q.App.Name, q.Fields[0].Path)
	}
	at, err := a.revision(ctx, mirror, q.App, head)
	if err != nil {
		return out, refuse("correct the branch first", "branch %q cannot be rendered: %s", branch, err)
	}
	before := at
	for _, f := range q.Fields {
		next, change, err := a.edit(ctx, q.App, mirror, at, f, lives[f.Key])
		if err != nil {
			return out, err
		}
		if change != nil {
			at = next
			out.Changes = append(out.Changes, *change)
		}
	}
	if len(out.Changes) == 0 {
		return out, a.findEarlier(mirror, head, q, &out)
	}
	if err := a.checkNeighbours(ctx, q, mirror, before, at); err != nil {
		return out, err
	}
	commit, err := mirror.WriteCommit(git.CommitSpec{
		Tree: at.root, Parents: []git.Hash{head}, Author: a.o.Author, Committer: a.o.Author, When: a.o.Clock.Now(),
		Message: message(q, out.Changes), Trailers: trailers(q, out.Changes),
	})
	if err != nil {
		return out, err //nolint:wrapcheck // says what is wrong with the commit
	}
	if err := mirror.Push(ctx, git.Update{Branch: branch, Old: head, New: commit, Bases: []git.Hash{head}}); err != nil {
		return out, err //nolint:wrapcheck // names the branch already
	}
	out.Commit, out.IsNew = commit.String(), true
	return out, nil
}

// findEarlier names the commit that accepted the first field before, if one did.
func (a *Acceptor) findEarlier(mirror *git.Mirror, head git.Hash, q Request, out *Result) error {
	for c, err := range mirror.FirstParents(head, git.Hash{}, lookBack) {
		if errors.Is(err, git.ErrTooLarge) {
			return nil
		}
		if err != nil {
			return err //nolint:wrapcheck // names the commits already
		}
		if r, ok := RecordOf(c, q.App.Namespace); ok && slices.Contains(r.Fields, q.Fields[0].String()) {
			out.Commit = c.Hash.String()
			return nil
		}
	}
	return nil
}

// checkNeighbours refuses an edit that another Application of the branch would
// see.
func (a *Acceptor) checkNeighbours(ctx context.Context, q Request, mirror *git.Mirror, before, after revision) error {
	for i := range q.Neighbours {
		n := &q.Neighbours[i]
		if n.UID == q.App.UID || n.Spec.Source.RepoURL != q.App.Spec.Source.RepoURL || n.Spec.Source.TargetRevision != q.App.Spec.Source.TargetRevision {
			continue
		}
		was, err := a.revision(ctx, mirror, n, before.root)
		if err != nil {
			continue // it is broken without us
		}
		is, err := a.revision(ctx, mirror, n, after.root)
		if err != nil || len(gitops.Compare(was.result.Objects, is.result.Objects)) > 0 {
			return refuse("change the file in Git", "the edit would change Application %q as well", n.Name)
		}
	}
	return nil
}

func message(q Request, changes []Change) string {
	subject := fmt.Sprintf("%s: accept %s of %s/%s", q.App.Name, changes[0].Field, strings.ToLower(changes[0].Key.Kind), changes[0].Key.Name)
	if len(changes) > 1 {
		subject = fmt.Sprintf("%s: accept %d changes made in the cluster", q.App.Name, len(changes))
	}
	var b strings.Builder
	b.WriteString(subject + "\n")
	if q.Reason != "" {
		b.WriteString("\n" + q.Reason + "\n")
	}
	for _, c := range changes {
		fmt.Fprintf(&b, "\n%s %s: %s -> %s", c.Key, c.Field, orNothing(c.Before), orNothing(c.After))
	}
	return b.String()
}

func orNothing(s string) string {
	if s == "" {
		return "(nothing)"
	}
	return s
}
