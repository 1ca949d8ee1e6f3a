package pullrequest

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/waybill-dev/waybill/internal/secret"
)

const (
	azureHost    = "dev.azure.com"
	azureVersion = "api-version=7.1"
	// maxAzureBody bounds a description, in characters.
	maxAzureBody = 4000
)

// azure is Azure DevOps, of Microsoft or of a company's own.
type azure struct {
	*jsonAPI
	// page is where people see pull requests.
	page string
}

// newAzure speaks with a personal access token; the user's name does not matter.
func newAzure(at place, web *http.Client, token secret.Text) (Client, error) {
	project, repo, err := at.azure()
	if err != nil {
		return nil, err
	}
	a := &azure{
		jsonAPI: newJSONAPI(at, web, at.origin+project+"/_apis/git/repositories/"+repo, "", token),
		page:    at.origin + project + "/_git/" + repo + "/pullrequest",
	}
	a.isBasic = true
	return a, nil
}

// azure returns the path of the project, and the name of the repository, both as
// they stand in an address.
//
//	https://dev.azure.com/ORGANISATION/PROJECT/_git/REPOSITORY
//	https://dev.azure.com/ORGANISATION/_git/REPOSITORY   (of the project of that name)
//	git@ssh.dev.azure.com:v3/ORGANISATION/PROJECT/REPOSITORY
func (p place) azure() (project, repo string, err error) {
	parts := strings.Split(p.path, "/")
	if len(parts) == 4 && parts[0] == "v3" {
		parts = []string{parts[1], parts[2], "_git", parts[3]}
	}
	at := slices.Index(parts, "_git")
	if at < 1 || at != len(parts)-2 || slices.Contains(parts, "") {
		return "", "", fmt.Errorf("pull requests of %s: %w: the address is not that of a repository of %s: ORGANISATION/PROJECT/_git/REPOSITORY", p.shown, ErrProvider, p.provider)
	}
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	repo, parts = parts[at+1], parts[:at]
	if len(parts) == 1 && p.origin == "https://"+azureHost {
		parts = append(parts, repo)
	}
	return "/" + strings.Join(parts, "/"), repo, nil
}

type azureCommit struct {
	CommitID string `json:"commitId"`
}

type azureLabel struct {
	Name string `json:"name"`
}

type azurePull struct {
	ID          int64        `json:"pullRequestId,omitempty"`
	Status      string       `json:"status,omitempty"`
	Title       string       `json:"title,omitempty"`
	Description string       `json:"description,omitempty"`
	Source      string       `json:"sourceRefName,omitempty"`
	Target      string       `json:"targetRefName,omitempty"`
	Labels      []azureLabel `json:"labels,omitempty"`
	MergeStatus string       `json:"mergeStatus,omitempty"`
	Head        *azureCommit `json:"lastMergeSourceCommit,omitempty"`
	Merged      *azureCommit `json:"lastMergeCommit,omitempty"`
}

const branchRef = "refs/heads/"

// Find implements Client.
func (a *azure) Find(ctx context.Context, source, target string) ([]PullRequest, error) {
	q := url.Values{
		"searchCriteria.sourceRefName": {branchRef + source},
		"searchCriteria.targetRefName": {branchRef + target},
		"searchCriteria.status":        {"all"},
		"$top":                         {fmt.Sprint(pageSize)},
	}
	var page struct {
		Value []azurePull `json:"value"`
	}
	if err := a.call(ctx, "list pull requests", http.MethodGet, "/pullrequests?"+q.Encode()+"&"+azureVersion, nil, &page, ErrUnavailable); err != nil {
		return nil, err
	}
	slices.SortFunc(page.Value, func(x, y azurePull) int { return int(y.ID - x.ID) })
	var out []PullRequest
	for _, p := range page.Value {
		if p.Source != branchRef+source || p.Target != branchRef+target {
			continue
		}
		found, err := a.Get(ctx, p.ID) // the list shows the beginning of a description
		if err != nil {
			return nil, err
		}
		out = append(out, found)
	}
	return out, nil
}

// Open implements Client.
func (a *azure) Open(ctx context.Context, d Draft) (PullRequest, error) {
	in := azurePull{Source: branchRef + d.Source, Target: branchRef + d.Target, Title: d.Title, Description: d.text(maxAzureBody)}
	for _, l := range d.Labels {
		in.Labels = append(in.Labels, azureLabel{l})
	}
	var opened azurePull
	if err := a.call(ctx, "open a pull request", http.MethodPost, "/pullrequests?"+azureVersion, in, &opened, ErrExists); err != nil {
		return PullRequest{}, err
	}
	return a.pull(&opened), nil
}

// Get implements Client.
func (a *azure) Get(ctx context.Context, number int64) (PullRequest, error) {
	var p azurePull
	if err := a.call(ctx, fmt.Sprintf("look at pull request %d", number), http.MethodGet, fmt.Sprintf("/pullrequests/%d?%s", number, azureVersion), nil, &p, ErrUnavailable); err != nil {
		return PullRequest{}, err
	}
	return a.pull(&p), nil
}

// Merge implements Client. Azure DevOps merges by and by: until it has, the pull
// request is open.
func (a *azure) Merge(ctx context.Context, number int64, m Merge) error {
	op := fmt.Sprintf("merge pull request %d", number)
	options := map[string]any{"mergeCommitMessage": strings.TrimSpace(m.Title + "\n\n" + m.Message), "deleteSourceBranch": false}
	switch m.Method {
	case MethodSquash:
		options["mergeStrategy"] = "squash"
	case MethodRebase:
		options["mergeStrategy"] = "rebase"
	case MethodMerge:
		options["mergeStrategy"] = "noFastForward"
	}
	in := map[string]any{"status": "completed", "lastMergeSourceCommit": azureCommit{m.Head}, "completionOptions": options}
	var now azurePull
	if err := a.call(ctx, op, http.MethodPatch, fmt.Sprintf("/pullrequests/%d?%s", number, azureVersion), in, &now, ErrNotMergeable); err != nil {
		return err
	}
	switch now.MergeStatus {
	case "conflicts", "failure", "rejectedByPolicy":
		if now.Status != "completed" {
			return &Error{Op: op + " of " + a.shown, Kind: ErrNotMergeable, Detail: now.MergeStatus}
		}
	}
	return nil
}

// SetStatus implements Client.
func (a *azure) SetStatus(ctx context.Context, s CommitStatus) error {
	state := map[string]string{StatusPending: "pending", StatusSuccess: "succeeded", StatusFailure: "failed"}[s.State]
	genre, name := "", s.Context
	if i := strings.LastIndex(s.Context, "/"); i > 0 {
		genre, name = s.Context[:i], s.Context[i+1:]
	}
	in := map[string]any{"state": state, "description": s.Description, "context": map[string]any{"genre": genre, "name": name}}
	if s.URL != "" {
		in["targetUrl"] = s.URL
	}
	return a.call(ctx, "set the status of a commit", http.MethodPost, "/commits/"+url.PathEscape(s.Commit)+"/statuses?"+azureVersion, in, nil, ErrUnavailable)
}

func (a *azure) pull(p *azurePull) PullRequest {
	out := PullRequest{
		Number: p.ID, URL: fmt.Sprintf("%s/%d", a.page, p.ID), State: Open, Body: p.Description,
		Source: strings.TrimPrefix(p.Source, branchRef), Target: strings.TrimPrefix(p.Target, branchRef),
	}
	if p.Head != nil {
		out.Head = p.Head.CommitID
	}
	switch p.Status {
	case "completed":
		out.State = Merged
		if p.Merged != nil {
			out.MergeCommit = p.Merged.CommitID
		}
	case "abandoned":
		out.State = Closed
	}
	return out
}
