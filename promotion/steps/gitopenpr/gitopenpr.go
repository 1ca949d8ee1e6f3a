// Package gitopenpr is the step git-open-pr: it asks, by a pull request, that a
// branch be merged into another. What the promotion changes is in its text, the
// same plan that the dashboard shows.
//
// It works with GitHub, GitLab, Gitea, Forgejo, Bitbucket Cloud and Azure DevOps,
// with the token of the credential that the Project has for the repository. A promotion opens one pull
// request, also when the server is stopped in the midst of it; an open one from
// the same branch is used again. When the branches hold the same, the step is
// skipped and pr.id is 0. Output: pr.id and pr.url.
package gitopenpr

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/promotion"
	"github.com/waybill-dev/waybill/promotion/pullrequest"
	"github.com/waybill-dev/waybill/promotion/steps/pulls"
	"github.com/waybill-dev/waybill/promotion/steps/step"
)

// Config of git-open-pr.
type Config struct {
	// RepoURL of the repository.
	RepoURL string `json:"repoURL"`
	// Provider of the repository; default: as its host says.
	Provider string `json:"provider,omitempty" enum:"github,gitlab,gitea,bitbucket,azure"`
	// SourceBranch to merge: the branch that git-push has put out.
	SourceBranch string `json:"sourceBranch"`
	// TargetBranch to merge it into. It has to exist.
	TargetBranch string `json:"targetBranch"`
	// Title of the pull request; default: the first line of the commit.
	Title string `json:"title,omitempty"`
	// Description before the plan.
	Description string `json:"description,omitempty"`
	// Labels to give it. Of Gitea only those that the repository has; Bitbucket has
	// none.
	Labels []string `json:"labels,omitempty"`
}

// Describer tells people what a promotion changes.
type Describer interface {
	// Describe returns the plan of a Promotion in Markdown.
	Describe(ctx context.Context, p *v1alpha1.Promotion) (string, error)
}

// Step is git-open-pr.
type Step struct {
	// Clients speak with providers.
	Clients pulls.Clients
	// Plans describe what is changed; nil: that is left out.
	Plans Describer
}

var _ step.Once = Step{}

// maxTitle bounds the title that a provider is sent, in characters.
const maxTitle = 200

// NewConfig returns an empty configuration.
func (Step) NewConfig() any { return new(Config) }

// NeedsWorkspace is false: the branch has been pushed.
func (Step) NeedsWorkspace() bool { return false }

// Run opens the pull request, if it is not there already.
func (s Step) Run(ctx context.Context, in step.Input) (step.Result, error) {
	var c Config
	if err := step.Decode(in.Config, &c); err != nil {
		return step.Result{}, err
	}
	client, err := s.Clients.Client(ctx, in.Promotion.Namespace, c.RepoURL, pullrequest.Provider(c.Provider))
	if err != nil {
		return step.Result{}, pulls.Failed(err)
	}
	if found, ok, err := s.find(ctx, in, client, c); err != nil || ok {
		return found, err
	}
	title, differs, err := s.compare(ctx, in, c)
	if err != nil {
		return step.Result{}, err
	}
	if !differs {
		return step.Result{
			Skipped: true, Message: fmt.Sprintf("branch %q holds this content already; nothing is to be merged", c.TargetBranch),
			Output: map[string]any{"pr": map[string]any{"id": 0, "url": ""}},
		}, nil
	}
	opened, err := client.Open(ctx, pullrequest.Draft{
		Source: c.SourceBranch, Target: c.TargetBranch, Title: promotion.Shorten(title, maxTitle), Body: s.body(ctx, in, c), Foot: foot(in), Labels: c.Labels,
	})
	if errors.Is(err, pullrequest.ErrExists) { // another replica, or a request whose answer was lost
		if found, ok, findErr := s.find(ctx, in, client, c); findErr == nil && ok {
			return found, nil
		}
	}
	if err != nil {
		return step.Result{}, pulls.Failed(err)
	}
	return done(opened, "opened"), nil
}

// find looks for the promotion's own pull request, in any state, and for an open
// one from the same branch.
func (s Step) find(ctx context.Context, in step.Input, client pullrequest.Client, c Config) (step.Result, bool, error) {
	all, err := client.Find(ctx, c.SourceBranch, c.TargetBranch)
	if err != nil {
		return step.Result{}, false, pulls.Failed(err)
	}
	for _, p := range all {
		if isOwn(p, string(in.Promotion.UID)) {
			return done(p, "is open"), true, nil
		}
	}
	for _, p := range all {
		if p.State == pullrequest.Open {
			return done(p, "from the same branch is used again"), true, nil
		}
	}
	return step.Result{}, false, nil
}

// isOwn reports whether the promotion with this UID opened p.
func isOwn(p pullrequest.PullRequest, uid string) bool {
	for line := range strings.Lines(p.Body) {
		if strings.TrimSpace(line) == promotion.TrailerPromotionUID+": "+uid {
			return true
		}
	}
	return false
}

func done(p pullrequest.PullRequest, how string) step.Result {
	return step.Result{
		Message: fmt.Sprintf("pull request %d %s: %s", p.Number, how, p.URL),
		Output:  map[string]any{"pr": map[string]any{"id": p.Number, "url": p.URL}},
	}
}

// compare reports whether the branches differ, and returns the title.
func (s Step) compare(ctx context.Context, in step.Input, c Config) (title string, differs bool, err error) {
	mirror, err := in.Repositories.Open(ctx, in.Promotion.Namespace, c.RepoURL)
	if err != nil {
		return "", false, err //nolint:wrapcheck // names the repository already
	}
	refs, err := mirror.Fetch(ctx, c.SourceBranch, c.TargetBranch)
	if err != nil {
		return "", false, err //nolint:wrapcheck // names the repository already
	}
	source, isPushed := refs.Branches[c.SourceBranch]
	target, exists := refs.Branches[c.TargetBranch]
	if !exists {
		return "", false, step.Terminal("TargetBranchMissing", fmt.Errorf("branch %q of %s does not exist, so nothing can be merged into it; make it first", c.TargetBranch, c.RepoURL))
	}
	if !isPushed {
		return "", false, nil
	}
	var commits [2]git.Commit
	for i, h := range []git.Hash{source, target} {
		if commits[i], err = mirror.Commit(h); err != nil {
			return "", false, err //nolint:wrapcheck // names the commit already
		}
	}
	subject, _, _ := strings.Cut(commits[0].Message, "\n")
	return cmp.Or(c.Title, subject), commits[0].Tree != commits[1].Tree, nil
}

// body is the description and the plan. A plan that cannot be made is left out:
// the changes themselves are to be seen.
func (s Step) body(ctx context.Context, in step.Input, c Config) string {
	var parts []string
	if c.Description != "" {
		parts = append(parts, defused(c.Description))
	}
	if s.Plans != nil {
		if plan, err := s.Plans.Describe(ctx, in.Promotion); err == nil && plan != "" {
			parts = append(parts, defused(plan))
		}
	}
	return strings.Join(append(parts, ""), "\n\n")
}

// foot is what the pull request is found by.
func foot(in step.Input) string {
	var trailers []string
	for _, t := range promotion.Trailers(in.Promotion, in.Promotion.Status.Plan.Collection) {
		trailers = append(trailers, t.Key+": "+t.Value)
	}
	return strings.Join(trailers, "\n") + "\n"
}

// defused returns text in which no line is one of our trailers.
func defused(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if strings.HasPrefix(strings.ToLower(strings.TrimSpace(line)), "waybill-") {
			lines[i] = "> " + line
		}
	}
	return strings.TrimSpace(strings.Join(lines, "\n"))
}
