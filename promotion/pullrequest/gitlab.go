package pullrequest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"

	gitlab "gitlab.com/gitlab-org/api/client-go/v2"

	"github.com/waybill-dev/waybill/internal/secret"
)

type gitLab struct {
	place
	client *gitlab.Client
}

// unlimited lets the engine's own retries say when to ask again.
type unlimited struct{}

// Wait never waits.
func (unlimited) Wait(context.Context) error { return nil }

func newGitLab(at place, web *http.Client, token secret.Text) (Client, error) {
	at.password = token
	c, err := gitlab.NewClient(token.Reveal(), gitlab.WithBaseURL(at.origin), gitlab.WithHTTPClient(web), gitlab.WithoutRetries(), gitlab.WithCustomLimiter(unlimited{}))
	if err != nil {
		return nil, fmt.Errorf("merge requests of %s: %w", at.shown, err)
	}
	return &gitLab{place: at, client: c}, nil
}

// Find implements Client.
func (g *gitLab) Find(ctx context.Context, source, target string) ([]PullRequest, error) {
	list, resp, err := g.client.MergeRequests.ListProjectMergeRequests(g.path, &gitlab.ListProjectMergeRequestsOptions{
		SourceBranch: &source, TargetBranch: &target, State: gitlab.Ptr("all"), OrderBy: gitlab.Ptr("created_at"), Sort: gitlab.Ptr("desc"),
		ListOptions: gitlab.ListOptions{PerPage: pageSize},
	}, gitlab.WithContext(ctx))
	if err != nil {
		return nil, g.failed("list merge requests", resp, err, ErrUnavailable)
	}
	var out []PullRequest
	for _, m := range list {
		if m.SourceBranch == source && m.TargetBranch == target {
			out = append(out, gitLabPull(m))
		}
	}
	return out, nil
}

// Open implements Client.
func (g *gitLab) Open(ctx context.Context, d Draft) (PullRequest, error) {
	body := d.text(maxBody)
	o := &gitlab.CreateMergeRequestOptions{Title: &d.Title, Description: &body, SourceBranch: &d.Source, TargetBranch: &d.Target}
	if len(d.Labels) > 0 {
		labels := gitlab.LabelOptions(d.Labels)
		o.Labels = &labels
	}
	m, resp, err := g.client.MergeRequests.CreateMergeRequest(g.path, o, gitlab.WithContext(ctx))
	if err != nil {
		return PullRequest{}, g.failed("open a merge request", resp, err, ErrExists)
	}
	return gitLabPull(&m.BasicMergeRequest), nil
}

// Get implements Client.
func (g *gitLab) Get(ctx context.Context, number int64) (PullRequest, error) {
	m, resp, err := g.client.MergeRequests.GetMergeRequest(g.path, number, nil, gitlab.WithContext(ctx))
	if err != nil {
		return PullRequest{}, g.failed(fmt.Sprintf("look at merge request %d", number), resp, err, ErrUnavailable)
	}
	return gitLabPull(&m.BasicMergeRequest), nil
}

// Merge implements Client. How GitLab merges is a setting of the repository;
// only a squash can be asked for.
func (g *gitLab) Merge(ctx context.Context, number int64, m Merge) error {
	o := &gitlab.AcceptMergeRequestOptions{SHA: &m.Head}
	text := m.Title + "\n\n" + m.Message
	if m.Title != "" {
		o.MergeCommitMessage, o.SquashCommitMessage = &text, &text
	}
	if m.Method == MethodSquash {
		o.Squash = gitlab.Ptr(true)
	}
	if _, resp, err := g.client.MergeRequests.AcceptMergeRequest(g.path, number, o, gitlab.WithContext(ctx)); err != nil {
		return g.failed(fmt.Sprintf("merge merge request %d", number), resp, err, ErrNotMergeable)
	}
	return nil
}

// SetStatus implements Client.
func (g *gitLab) SetStatus(ctx context.Context, s CommitStatus) error {
	state := gitlab.BuildStateValue(s.State)
	if s.State == StatusFailure {
		state = gitlab.Failed
	}
	o := &gitlab.SetCommitStatusOptions{State: state, Name: &s.Context, Context: &s.Context, Description: &s.Description}
	if s.URL != "" {
		o.TargetURL = &s.URL
	}
	_, resp, err := g.client.Commits.SetCommitStatus(g.path, s.Commit, o, gitlab.WithContext(ctx))
	if err != nil && resp != nil && resp.Response != nil && resp.StatusCode == http.StatusBadRequest && g.hasStatus(ctx, s.Commit, s.Context, state) {
		return nil // GitLab refuses the state that a commit has
	}
	if err != nil {
		return g.failed("set the status of a commit", resp, err, ErrUnavailable)
	}
	return nil
}

// hasStatus reports whether the commit has this state under a name.
func (g *gitLab) hasStatus(ctx context.Context, commit, name string, state gitlab.BuildStateValue) bool {
	list, _, err := g.client.Commits.GetCommitStatuses(g.path, commit, &gitlab.GetCommitStatusesOptions{Name: &name}, gitlab.WithContext(ctx))
	return err == nil && len(list) > 0 && list[0].Status == string(state)
}

func (g *gitLab) failed(op string, resp *gitlab.Response, err, refused error) error {
	status := 0
	if resp != nil && resp.Response != nil {
		status = resp.StatusCode
	}
	if status == http.StatusUnauthorized && errors.Is(refused, ErrNotMergeable) {
		// GitLab answers 401 also when the token's owner may not merge.
		return g.fail(op, http.StatusForbidden, err, refused)
	}
	return g.fail(op, status, err, refused)
}

func gitLabPull(m *gitlab.BasicMergeRequest) PullRequest {
	out := PullRequest{Number: m.IID, URL: m.WebURL, State: Open, Source: m.SourceBranch, Target: m.TargetBranch, Head: m.SHA, Body: m.Description}
	switch m.State {
	case "merged":
		// A fast-forward has no commit of its own.
		out.State, out.MergeCommit = Merged, cmp.Or(m.MergeCommitSHA, m.SquashCommitSHA, m.SHA)
	case "opened", "locked": // locked: it is being merged
	default:
		out.State = Closed
	}
	return out
}
