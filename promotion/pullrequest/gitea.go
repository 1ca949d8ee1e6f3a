package pullrequest

import (
	"context"
	"fmt"
	"net/http"

	"code.gitea.io/sdk/gitea"

	"github.com/waybill-dev/waybill/internal/secret"
)

// giteaServer makes a client for each call: the SDK takes its context there.
type giteaServer struct {
	place
	web   *http.Client
	token secret.Text
}

func newGitea(at place, web *http.Client, token secret.Text) (Client, error) {
	at.password = token
	return &giteaServer{place: at, web: web, token: token}, nil
}

func (g *giteaServer) client(ctx context.Context) (*gitea.Client, error) {
	c, err := gitea.NewClient(g.origin, gitea.SetHTTPClient(g.web), gitea.SetToken(g.token.Reveal()), gitea.SetGiteaVersion(""), gitea.SetContext(ctx))
	if err != nil {
		return nil, fmt.Errorf("pull requests of %s: %w", g.shown, err)
	}
	return c, nil
}

// Find implements Client. Gitea filters no list by branch: the newest
// maxPages*pageSize are looked through.
func (g *giteaServer) Find(ctx context.Context, source, target string) ([]PullRequest, error) {
	c, err := g.client(ctx)
	if err != nil {
		return nil, err
	}
	owner, name := g.owner()
	var out []PullRequest
	for page := 1; page <= maxPages; page++ {
		list, resp, err := c.ListRepoPullRequests(owner, name, gitea.ListPullRequestsOptions{
			State: gitea.StateAll, Sort: "recentupdate", ListOptions: gitea.ListOptions{Page: page, PageSize: pageSize},
		})
		if err != nil {
			return nil, g.failed("list pull requests", resp, err, ErrUnavailable)
		}
		for _, p := range list {
			if q := giteaPull(p); q.Source == source && q.Target == target {
				out = append(out, q)
			}
		}
		if len(list) < pageSize {
			break
		}
	}
	return out, nil
}

// Open implements Client.
func (g *giteaServer) Open(ctx context.Context, d Draft) (PullRequest, error) {
	c, err := g.client(ctx)
	if err != nil {
		return PullRequest{}, err
	}
	owner, name := g.owner()
	o := gitea.CreatePullRequestOption{Head: d.Source, Base: d.Target, Title: d.Title, Body: d.text(maxBody)}
	if len(d.Labels) > 0 {
		all, resp, err := c.ListRepoLabels(owner, name, gitea.ListLabelsOptions{ListOptions: gitea.ListOptions{PageSize: pageSize}})
		if err != nil {
			return PullRequest{}, g.failed("list labels", resp, err, ErrUnavailable)
		}
		for _, want := range d.Labels {
			for _, l := range all {
				if l.Name == want {
					o.Labels = append(o.Labels, l.ID)
				}
			}
		}
	}
	p, resp, err := c.CreatePullRequest(owner, name, o)
	if err != nil {
		return PullRequest{}, g.failed("open a pull request", resp, err, ErrExists)
	}
	return giteaPull(p), nil
}

// Get implements Client.
func (g *giteaServer) Get(ctx context.Context, number int64) (PullRequest, error) {
	c, err := g.client(ctx)
	if err != nil {
		return PullRequest{}, err
	}
	owner, name := g.owner()
	p, resp, err := c.GetPullRequest(owner, name, number)
	if err != nil {
		return PullRequest{}, g.failed(fmt.Sprintf("look at pull request %d", number), resp, err, ErrUnavailable)
	}
	return giteaPull(p), nil
}

// Merge implements Client.
func (g *giteaServer) Merge(ctx context.Context, number int64, m Merge) error {
	c, err := g.client(ctx)
	if err != nil {
		return err
	}
	owner, name := g.owner()
	style := gitea.MergeStyleMerge
	switch m.Method {
	case MethodSquash:
		style = gitea.MergeStyleSquash
	case MethodRebase:
		style = gitea.MergeStyleRebase
	case MethodMerge:
	}
	op := fmt.Sprintf("merge pull request %d", number)
	isMerged, resp, err := c.MergePullRequest(owner, name, number, gitea.MergePullRequestOption{Style: style, HeadCommitId: m.Head, Title: m.Title, Message: m.Message})
	if err == nil && !isMerged {
		err = fmt.Errorf("the answer is %s", resp.Status)
	}
	if err != nil {
		return g.failed(op, resp, err, ErrNotMergeable)
	}
	return nil
}

// SetStatus implements Client.
func (g *giteaServer) SetStatus(ctx context.Context, s CommitStatus) error {
	c, err := g.client(ctx)
	if err != nil {
		return err
	}
	owner, name := g.owner()
	_, resp, err := c.CreateStatus(owner, name, s.Commit, gitea.CreateStatusOption{State: gitea.StatusState(s.State), TargetURL: s.URL, Description: s.Description, Context: s.Context})
	if err != nil {
		return g.failed("set the status of a commit", resp, err, ErrUnavailable)
	}
	return nil
}

func (g *giteaServer) failed(op string, resp *gitea.Response, err, refused error) error {
	status := 0
	if resp != nil && resp.Response != nil {
		status = resp.StatusCode
	}
	return g.fail(op, status, err, refused)
}

func giteaPull(p *gitea.PullRequest) PullRequest {
	out := PullRequest{Number: p.Index, URL: p.HTMLURL, State: Open, Body: p.Body}
	if p.Head != nil {
		out.Source, out.Head = p.Head.Name, p.Head.Sha // Ref is another once the branch is deleted
	}
	if p.Base != nil {
		out.Target = p.Base.Ref
	}
	switch {
	case p.HasMerged:
		out.State = Merged
		if p.MergedCommitID != nil {
			out.MergeCommit = *p.MergedCommitID
		}
	case p.State != gitea.StateOpen:
		out.State = Closed
	}
	return out
}
