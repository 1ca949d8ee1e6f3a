package pullrequest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/google/go-github/v88/github"

	"github.com/waybill-dev/waybill/internal/secret"
)

type gitHub struct {
	place
	client *github.Client
}

func newGitHub(at place, web *http.Client, token secret.Text) (Client, error) {
	at.password = token
	api := at.origin + "/api/v3/" // GitHub Enterprise Server
	switch host := strings.TrimPrefix(strings.TrimPrefix(at.origin, "https://"), "http://"); {
	case host == "github.com":
		api = "https://api.github.com/"
	case strings.HasSuffix(host, ".ghe.com"):
		api = "https://api." + host + "/"
	}
	c, err := github.NewClient(github.WithHTTPClient(web), github.WithURLs(&api, &api), github.WithAuthToken(token.Reveal()), github.WithDisableRateLimitCheck())
	if err != nil {
		return nil, fmt.Errorf("pull requests of %s: %w", at.shown, err)
	}
	return &gitHub{place: at, client: c}, nil
}

// Find implements Client.
func (g *gitHub) Find(ctx context.Context, source, target string) ([]PullRequest, error) {
	owner, name := g.owner()
	list, resp, err := g.client.PullRequests.List(ctx, owner, name, &github.PullRequestListOptions{
		State: "all", Head: owner + ":" + source, Base: target, Sort: "created", Direction: "desc",
		ListOptions: github.ListOptions{PerPage: pageSize},
	})
	if err != nil {
		return nil, g.failed("list pull requests", resp, err, ErrUnavailable)
	}
	var out []PullRequest
	for _, p := range list {
		if p.GetHead().GetRef() == source && p.GetBase().GetRef() == target {
			out = append(out, gitHubPull(p))
		}
	}
	return out, nil
}

// Open implements Client.
func (g *gitHub) Open(ctx context.Context, d Draft) (PullRequest, error) {
	owner, name := g.owner()
	body := d.text(maxBody)
	p, resp, err := g.client.PullRequests.Create(ctx, owner, name, &github.NewPullRequest{Title: &d.Title, Head: &d.Source, Base: &d.Target, Body: &body})
	if err != nil {
		return PullRequest{}, g.failed("open a pull request", resp, err, ErrExists)
	}
	if len(d.Labels) > 0 { // of a crash before this only the labels are lost
		if _, resp, err := g.client.Issues.AddLabelsToIssue(ctx, owner, name, p.GetNumber(), d.Labels); err != nil {
			return gitHubPull(p), g.failed("label a pull request", resp, err, ErrExists)
		}
	}
	return gitHubPull(p), nil
}

// Get implements Client.
func (g *gitHub) Get(ctx context.Context, number int64) (PullRequest, error) {
	owner, name := g.owner()
	p, resp, err := g.client.PullRequests.Get(ctx, owner, name, int(number))
	if err != nil {
		return PullRequest{}, g.failed(fmt.Sprintf("look at pull request %d", number), resp, err, ErrUnavailable)
	}
	return gitHubPull(p), nil
}

// Merge implements Client.
func (g *gitHub) Merge(ctx context.Context, number int64, m Merge) error {
	owner, name := g.owner()
	_, resp, err := g.client.PullRequests.Merge(ctx, owner, name, int(number), m.Message, &github.PullRequestOptions{
		CommitTitle: m.Title, SHA: m.Head, MergeMethod: string(m.Method),
	})
	if err != nil {
		return g.failed(fmt.Sprintf("merge pull request %d", number), resp, err, ErrNotMergeable)
	}
	return nil
}

// SetStatus implements Client.
func (g *gitHub) SetStatus(ctx context.Context, s CommitStatus) error {
	owner, name := g.owner()
	status := github.RepoStatus{State: &s.State, Context: &s.Context, Description: &s.Description}
	if s.URL != "" {
		status.TargetURL = &s.URL
	}
	if _, resp, err := g.client.Repositories.CreateStatus(ctx, owner, name, s.Commit, status); err != nil {
		return g.failed("set the status of a commit", resp, err, ErrUnavailable)
	}
	return nil
}

func (g *gitHub) failed(op string, resp *github.Response, err, refused error) error {
	status := 0
	if resp != nil && resp.Response != nil {
		status = resp.StatusCode
	}
	var limited *github.RateLimitError
	var abuse *github.AbuseRateLimitError
	if errors.As(err, &limited) || errors.As(err, &abuse) {
		status = http.StatusTooManyRequests
	}
	return g.fail(op, status, err, refused)
}

func gitHubPull(p *github.PullRequest) PullRequest {
	out := PullRequest{
		Number: int64(p.GetNumber()), URL: p.GetHTMLURL(), State: Open, Body: p.GetBody(),
		Source: p.GetHead().GetRef(), Target: p.GetBase().GetRef(), Head: p.GetHead().GetSHA(),
	}
	switch {
	case p.GetMerged() || p.MergedAt != nil:
		out.State, out.MergeCommit = Merged, p.GetMergeCommitSHA()
	case p.GetState() != "open":
		out.State = Closed
	}
	return out
}
