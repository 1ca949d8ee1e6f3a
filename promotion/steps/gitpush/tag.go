package gitpush

import (
	"context"
	"errors"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/promotion/steps/step"
	"github.com/waybill-dev/waybill/promotion/workspace"
)

// tagRef begins what an intent to push a tag names as its branch.
const tagRef = "refs/tags/"

// tagOf returns the tag that is to be pushed, which git-tag has made.
func (c Config) tagOf(tree *workspace.Tree) (workspace.Tag, error) {
	t, ok := tree.Tags[c.Tag]
	if !ok {
		return t, step.Terminal("InvalidConfig", fmt.Errorf("no git-tag step has made tag %q of %q", c.Tag, c.Path))
	}
	return t, nil
}

// prepareTag returns the push of a tag that is about to happen. parent and commit
// are the commit and the tag itself: they say what has to be found again.
func (c Config) prepareTag(in step.Input, tree *workspace.Tree) (*v1alpha1.CommitIntent, error) {
	t, err := c.tagOf(tree)
	if err != nil {
		return nil, err
	}
	return &v1alpha1.CommitIntent{
		RepoURL: tree.RepoURL, Branch: tagRef + c.Tag, Parent: t.Commit.String(), Commit: t.Object.String(), Tree: tree.Root.String(),
		Date: metav1.Time{Time: in.Date}, Message: t.Message,
	}, nil
}

// probeTag looks whether the tag of an intent is there.
func probeTag(ctx context.Context, in step.Input) (step.Result, bool, error) {
	mirror, err := in.Repositories.Open(ctx, in.Promotion.Namespace, in.Intent.RepoURL)
	if err != nil {
		return step.Result{}, false, err //nolint:wrapcheck // names the repository already
	}
	refs, err := mirror.Fetch(ctx)
	if err != nil {
		return step.Result{}, false, err //nolint:wrapcheck // names the repository already
	}
	name := strings.TrimPrefix(in.Intent.Branch, tagRef)
	at, exists := refs.Tags[name]
	if !exists || at.Object.String() != in.Intent.Commit {
		return step.Result{}, false, nil
	}
	return tagged(name, in.Intent.Parent), true, nil
}

// runTag pushes the tag.
func (c Config) runTag(ctx context.Context, tree *workspace.Tree) (step.Result, error) {
	t, err := c.tagOf(tree)
	if err != nil {
		return step.Result{}, err
	}
	err = tree.Mirror.PushTag(ctx, c.Tag, t.Object, t.Commit, bases(tree.Head)...)
	switch {
	case errors.Is(err, git.ErrMoved):
		return step.Result{}, step.Terminal("TagExists", fmt.Errorf("%w; a tag is never moved", err))
	case errors.Is(err, git.ErrRejected):
		return step.Result{}, step.Terminal("PushRejected", err)
	case err != nil:
		return step.Result{}, err //nolint:wrapcheck // names tag and repository already
	}
	return tagged(c.Tag, t.Commit.String()), nil
}

func tagged(name, commit string) step.Result {
	return step.Result{Message: fmt.Sprintf("pushed tag %q", name), Output: map[string]any{"tag": name, "commit": commit}}
}
