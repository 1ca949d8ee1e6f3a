package pullrequest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/waybill-dev/waybill/internal/secret"
)

// bitbucketHost is Bitbucket Cloud, and bitbucketAPI where its API is.
const (
	bitbucketHost = "bitbucket.org"
	bitbucketAPI  = "https://api.bitbucket.org/2.0"
	// tokenUser is the user that an access token has in Git.
	tokenUser = "x-token-auth"
	// maxBitbucketKey bounds the key of a build status, in characters.
	maxBitbucketKey = 40
	// maxBitbucketBody bounds a description, in characters.
	maxBitbucketBody = 30_000
)

// bitbucket is Bitbucket Cloud. It has no labels.
type bitbucket struct{ *jsonAPI }

// newBitbucket speaks with the token of a repository or workspace, or with a
// user's name and token.
func newBitbucket(at place, web *http.Client, user string, token secret.Text) (Client, error) {
	if user == tokenUser {
		user = ""
	}
	owner, name := at.owner()
	base := fmt.Sprintf("%s/repositories/%s/%s", bitbucketAPI, url.PathEscape(owner), url.PathEscape(name))
	return &bitbucket{newJSONAPI(at, web, base, user, token)}, nil
}

type bitbucketBranch struct {
	Branch struct {
		Name string `json:"name"`
	} `json:"branch"`
	Commit *bitbucketCommit `json:"commit,omitempty"`
}

type bitbucketCommit struct {
	Hash string `json:"hash"`
}

type bitbucketPull struct {
	ID          int64            `json:"id,omitempty"`
	Title       string           `json:"title"`
	Description string           `json:"description"`
	State       string           `json:"state,omitempty"`
	Source      bitbucketBranch  `json:"source"`
	Destination bitbucketBranch  `json:"destination"`
	MergeCommit *bitbucketCommit `json:"merge_commit,omitempty"`
	Links       *struct {
		HTML struct {
			Href string `json:"href"`
		} `json:"html"`
	} `json:"links,omitempty"`
}

// Find implements Client.
func (b *bitbucket) Find(ctx context.Context, source, target string) ([]PullRequest, error) {
	q := url.Values{
		"q":       {fmt.Sprintf("source.branch.name = %s AND destination.branch.name = %s", quoted(source), quoted(target))},
		"state":   {"OPEN", "MERGED", "DECLINED", "SUPERSEDED"},
		"sort":    {"-created_on"},
		"pagelen": {fmt.Sprint(pageSize)},
	}
	var page struct {
		Values []bitbucketPull `json:"values"`
	}
	if err := b.call(ctx, "list pull requests", http.MethodGet, "/pullrequests?"+q.Encode(), nil, &page, ErrUnavailable); err != nil {
		return nil, err
	}
	var out []PullRequest
	for i := range page.Values {
		p, err := b.pull(ctx, &page.Values[i])
		if err != nil {
			return nil, err
		}
		if p.Source == source && p.Target == target {
			out = append(out, p)
		}
	}
	return out, nil
}

// quoted is a text of Bitbucket's query language.
func quoted(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
}

// Open implements Client.
func (b *bitbucket) Open(ctx context.Context, d Draft) (PullRequest, error) {
	in := bitbucketPull{Title: d.Title, Description: d.text(maxBitbucketBody)}
	in.Source.Branch.Name, in.Destination.Branch.Name = d.Source, d.Target
	var opened bitbucketPull
	if err := b.call(ctx, "open a pull request", http.MethodPost, "/pullrequests", in, &opened, ErrExists); err != nil {
		return PullRequest{}, err
	}
	return b.pull(ctx, &opened)
}

// Get implements Client.
func (b *bitbucket) Get(ctx context.Context, number int64) (PullRequest, error) {
	var p bitbucketPull
	if err := b.call(ctx, fmt.Sprintf("look at pull request %d", number), http.MethodGet, fmt.Sprintf("/pullrequests/%d", number), nil, &p, ErrUnavailable); err != nil {
		return PullRequest{}, err
	}
	return b.pull(ctx, &p)
}

// Merge implements Client. Bitbucket takes no expected commit: it is looked at
// just before.
func (b *bitbucket) Merge(ctx context.Context, number int64, m Merge) error {
	op := fmt.Sprintf("merge pull request %d", number)
	now, err := b.Get(ctx, number)
	if err != nil {
		return err
	}
	if m.Head != "" && now.Head != m.Head {
		return &Error{Op: op + " of " + b.shown, Kind: ErrNotMergeable, Detail: "its branch has moved"}
	}
	in := map[string]any{"type": "pullrequest", "message": strings.TrimSpace(m.Title + "\n\n" + m.Message)}
	switch m.Method {
	case MethodSquash:
		in["merge_strategy"] = "squash"
	case MethodRebase:
		in["merge_strategy"] = "rebase_fast_forward"
	case MethodMerge:
		in["merge_strategy"] = "merge_commit"
	}
	return b.call(ctx, op, http.MethodPost, fmt.Sprintf("/pullrequests/%d/merge", number), in, nil, ErrNotMergeable)
}

// SetStatus implements Client.
func (b *bitbucket) SetStatus(ctx context.Context, s CommitStatus) error {
	state := map[string]string{StatusPending: "INPROGRESS", StatusSuccess: "SUCCESSFUL", StatusFailure: "FAILED"}[s.State]
	link := s.URL
	if link == "" { // Bitbucket asks for one
		link = fmt.Sprintf("https://%s/%s/commits/%s", bitbucketHost, b.path, s.Commit)
	}
	key := s.Context
	if len(key) > maxBitbucketKey {
		sum := sha256.Sum256([]byte(key))
		key = "waybill-" + hex.EncodeToString(sum[:12])
	}
	in := map[string]any{"key": key, "name": s.Context, "state": state, "description": s.Description, "url": link}
	return b.call(ctx, "set the status of a commit", http.MethodPost, "/commit/"+url.PathEscape(s.Commit)+"/statuses/build", in, nil, ErrUnavailable)
}

// pull translates; hashes, which Bitbucket shortens here, are looked up.
func (b *bitbucket) pull(ctx context.Context, p *bitbucketPull) (PullRequest, error) {
	out := PullRequest{Number: p.ID, State: Open, Body: p.Description, Source: p.Source.Branch.Name, Target: p.Destination.Branch.Name}
	if p.Links != nil {
		out.URL = p.Links.HTML.Href
	}
	var err error
	switch p.State {
	case "OPEN":
		out.Head, err = b.full(ctx, p.Source.Commit)
	case "MERGED":
		out.State = Merged
		out.MergeCommit, err = b.full(ctx, p.MergeCommit)
	default:
		out.State = Closed
	}
	return out, err
}

// fullHash is the length of a commit's hash.
const fullHash = 40

// full returns the whole hash of a commit; "" when there is none.
func (b *bitbucket) full(ctx context.Context, c *bitbucketCommit) (string, error) {
	if c == nil || c.Hash == "" || len(c.Hash) >= fullHash {
		if c == nil {
			return "", nil
		}
		return c.Hash, nil
	}
	var whole bitbucketCommit
	err := b.call(ctx, "look up commit "+c.Hash, http.MethodGet, "/commit/"+url.PathEscape(c.Hash), nil, &whole, ErrUnavailable)
	return whole.Hash, err
}
