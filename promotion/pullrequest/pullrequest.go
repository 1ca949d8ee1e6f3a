// Package pullrequest speaks of pull requests with GitHub, GitLab, Gitea and
// Forgejo, each by the SDK of its makers, and with Bitbucket Cloud and Azure
// DevOps, of whose APIs a few calls are enough.
//
// A merge request of GitLab is a pull request here. What a provider answers is
// classified once, at this edge.
package pullrequest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/internal/credentials"
	"github.com/waybill-dev/waybill/internal/outbound"
	"github.com/waybill-dev/waybill/internal/repourl"
	"github.com/waybill-dev/waybill/internal/secret"
)

// Kinds of errors; errors of this package match one of them.
var (
	// ErrProvider: which provider serves the repository is not known.
	ErrProvider = errors.New("the provider is not known")
	// ErrNoToken: the Project has no token for the provider's API.
	ErrNoToken = errors.New("there is no token")
	// ErrAuthentication: the provider refuses the token, or what it may do.
	ErrAuthentication = errors.New("access denied")
	// ErrNotFound: there is no such repository or pull request.
	ErrNotFound = errors.New("not found")
	// ErrExists: there is a pull request of the branch already, or none can be
	// made of it.
	ErrExists = errors.New("not accepted")
	// ErrNotMergeable: it cannot be merged now.
	ErrNotMergeable = errors.New("not mergeable")
	// ErrUnavailable: the provider did not answer, or asks to wait.
	ErrUnavailable = errors.New("the provider is not available")
)

// State of a pull request.
type State string

// The states.
const (
	Open   State = "open"
	Merged State = "merged"
	Closed State = "closed"
)

// PullRequest is one pull request.
type PullRequest struct {
	Number int64
	URL    string
	State  State
	// Source and Target branch; Head is the commit of the source.
	Source, Target, Head string
	Body                 string
	// MergeCommit is what the target branch got; only of a merged one.
	MergeCommit string
}

// Draft is a pull request to open.
type Draft struct {
	Source, Target, Title string
	// Body for people, and Foot below it, which is kept whole when there is no
	// room for both: by it the pull request is found again.
	Body, Foot string
	// Labels by name; what the repository does not have, some providers make.
	Labels []string
}

// text returns body and foot within limit characters.
func (d Draft) text(limit int) string {
	const cut = " ...\n\n"
	body, foot := []rune(d.Body), []rune(d.Foot)
	if len(body)+len(foot) <= limit {
		return d.Body + d.Foot
	}
	foot = foot[:min(len(foot), limit)]
	if room := limit - len(foot) - len(cut); room > 0 {
		return string(body[:room]) + cut + string(foot)
	}
	return string(foot)
}

// Method is how a pull request is merged.
type Method string

// The methods.
const (
	MethodMerge  Method = "merge"
	MethodSquash Method = "squash"
	MethodRebase Method = "rebase"
)

// Merge says how to merge.
type Merge struct {
	// Method; empty: the provider's default.
	Method Method
	// Head is the commit that was looked at: of another one nothing is merged.
	Head string
	// Title and Message of the commit that merges or squashes.
	Title, Message string
}

// Client speaks with one repository's provider.
type Client interface {
	// Find returns the pull requests from source to target in every state, the
	// newest first, as far as the provider lists them.
	Find(ctx context.Context, source, target string) ([]PullRequest, error)
	// Open makes one. ErrExists means to look with Find.
	Open(ctx context.Context, d Draft) (PullRequest, error)
	// Get returns one.
	Get(ctx context.Context, number int64) (PullRequest, error)
	// Merge merges one, or returns ErrNotMergeable.
	Merge(ctx context.Context, number int64, m Merge) error
	// SetStatus tells what becomes of a commit.
	SetStatus(ctx context.Context, s CommitStatus) error
}

// CommitStatus is shown beside a commit.
type CommitStatus struct {
	Commit string
	// State is one of StatusPending, StatusSuccess and StatusFailure.
	State string
	// Context names who says it; Description in one sentence; URL leads to more.
	Context, Description, URL string
}

// The states of a commit.
const (
	StatusPending = "pending"
	StatusSuccess = "success"
	StatusFailure = "failure"
)

// Provider is who serves a repository.
type Provider string

// The providers.
const (
	GitHub Provider = "github"
	GitLab Provider = "gitlab"
	// Gitea is Forgejo as well.
	Gitea Provider = "gitea"
	// Bitbucket is Bitbucket Cloud.
	Bitbucket Provider = "bitbucket"
	// Azure is Azure DevOps.
	Azure Provider = "azure"
)

// Credentials finds the credentials of Projects.
type Credentials interface {
	// Lookup returns the credential of a Project for a repository.
	Lookup(ctx context.Context, kind credentials.Type, project, repoURL string) (credentials.Credential, error)
}

// Providers makes Clients. It is safe for concurrent use.
type Providers struct {
	Credentials Credentials
	// Transport is the way out; TransportWithCA one that also trusts a bundle.
	Transport       http.RoundTripper
	TransportWithCA func(pem []byte) (http.RoundTripper, error)
}

const (
	// timeout bounds one request.
	timeout = 30 * time.Second
	// maxAnswerBytes bounds an answer.
	maxAnswerBytes = 8 << 20
	// maxPages and pageSize bound a list.
	maxPages, pageSize = 4, 50
	// maxBody bounds the text of a pull request where the provider takes that much,
	// in characters.
	maxBody = 60_000
	// maxDetail bounds what is repeated of an error, in characters.
	maxDetail = 300
)

// Client returns who to speak with about a repository, with the Project's
// credential for it. It makes no request. provider may be empty where the host
// tells.
func (p *Providers) Client(ctx context.Context, project, repoURL string, provider Provider) (Client, error) {
	at, err := locate(repoURL, provider)
	if err != nil {
		return nil, err
	}
	c, err := p.Credentials.Lookup(ctx, credentials.Git, project, repoURL)
	if err != nil {
		return nil, fmt.Errorf("pull requests of %s: %w", at.shown, err)
	}
	if c.Password.IsEmpty() {
		return nil, fmt.Errorf("pull requests of %s: %w: give the Project a credential of type git for it with a password that is a token of %s (found: %s)", at.shown, ErrNoToken, at.provider, c)
	}
	transport := p.Transport
	if len(c.CACert) > 0 && p.TransportWithCA != nil {
		if transport, err = p.TransportWithCA(c.CACert); err != nil {
			return nil, fmt.Errorf("pull requests of %s: caCert of %s: %w", at.shown, c, err)
		}
	}
	web := &http.Client{Transport: capped{transport}, Timeout: timeout}
	if t, ok := transport.(*outbound.Transport); ok {
		web.CheckRedirect = t.CheckRedirect
	}
	switch at.provider {
	case GitHub:
		return newGitHub(at, web, c.Password)
	case GitLab:
		return newGitLab(at, web, c.Password)
	case Bitbucket:
		return newBitbucket(at, web, c.Username, c.Password)
	case Azure:
		return newAzure(at, web, c.Password)
	default:
		return newGitea(at, web, c.Password)
	}
}

// place is where a repository's pull requests are.
type place struct {
	provider Provider
	// origin is scheme and host; path is owner/repository, of GitLab with groups.
	origin, path string
	shown        string
	password     secret.Text
}

// owner returns the two parts of a path.
func (p place) owner() (owner, name string) {
	owner, name, _ = strings.Cut(p.path, "/")
	return owner, name
}

// locate finds the provider of a repository.
func locate(repoURL string, provider Provider) (place, error) {
	a, err := repourl.ParseGit(repoURL)
	if err != nil {
		return place{}, fmt.Errorf("pull requests: repository: %w: %w", ErrProvider, err)
	}
	p := place{provider: provider, shown: a.Normalized}
	host := ""
	if a.SSH != nil {
		p.path = a.SSH.Path
		if host, _, err = net.SplitHostPort(a.SSH.Address); err != nil {
			return p, fmt.Errorf("pull requests of %s: %w", p.shown, ErrProvider)
		}
		p.origin = "https://" + host
		if host == "ssh."+azureHost {
			p.origin = "https://" + azureHost
		}
	} else {
		host, p.path = a.URL.Host, a.URL.Path
		p.origin = a.URL.Scheme + "://" + host
	}
	p.path = strings.TrimSuffix(strings.Trim(p.path, "/"), ".git")
	if p.provider == "" {
		p.provider = guess(host)
	}
	return p, p.check(host)
}

// check reports whether the address is one of the provider's repositories.
func (p place) check(host string) error {
	parts := strings.Split(p.path, "/")
	switch p.provider {
	case "":
		return fmt.Errorf("pull requests of %s: %w: set provider to github, gitlab, gitea (which is Forgejo too), bitbucket or azure", p.shown, ErrProvider)
	case Azure:
		_, _, err := p.azure()
		return err
	case Bitbucket:
		if host != bitbucketHost {
			return fmt.Errorf("pull requests of %s: %w: bitbucket is Bitbucket Cloud at %s; Bitbucket Data Center is not supported", p.shown, ErrProvider, bitbucketHost)
		}
	case GitHub, GitLab, Gitea:
	default:
		return fmt.Errorf("pull requests of %s: %w: %q; there are github, gitlab, gitea, bitbucket and azure", p.shown, ErrProvider, p.provider)
	}
	if len(parts) < 2 || p.provider != GitLab && len(parts) != 2 {
		return fmt.Errorf("pull requests of %s: %w: the address is not that of a repository of %s", p.shown, ErrProvider, p.provider)
	}
	return nil
}

// guess names the provider by its host; "" where that does not tell.
func guess(host string) Provider {
	host = strings.ToLower(host)
	for _, k := range []struct {
		part     string
		provider Provider
	}{{"github", GitHub}, {"ghe.com", GitHub}, {"gitlab", GitLab}, {"gitea", Gitea}, {"forgejo", Gitea}, {"codeberg.org", Gitea}, {bitbucketHost, Bitbucket}, {azureHost, Azure}, {"visualstudio.com", Azure}} {
		if strings.Contains(host, k.part) {
			return k.provider
		}
	}
	return ""
}

// capped bounds the bodies of answers.
type capped struct{ next http.RoundTripper }

// RoundTrip sends r.
func (c capped) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := c.next.RoundTrip(r)
	if err == nil {
		outbound.LimitBody(resp, maxAnswerBytes)
	}
	return resp, err //nolint:wrapcheck // a transport is transparent
}

// Error is a failed call.
type Error struct {
	// Op says what was tried; Kind is one of the errors of this package.
	Op     string
	Kind   error
	Detail string
}

// Error names the operation, the kind and what the provider said.
func (e *Error) Error() string {
	if e.Detail == "" {
		return e.Op + ": " + e.Kind.Error()
	}
	return e.Op + ": " + e.Kind.Error() + ": " + e.Detail
}

// Unwrap returns the kind.
func (e *Error) Unwrap() error { return e.Kind }

// fail makes an Error of what an SDK returned. status is 0 when there was no
// answer; refused is the kind of an answer that says no.
func (p place) fail(op string, status int, err, refused error) error {
	kind := refused
	switch {
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("%s of %s: %w", op, p.shown, err)
	case status == 0 || status >= 500 || status == http.StatusTooManyRequests:
		kind = ErrUnavailable
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		kind = ErrAuthentication
	case status == http.StatusNotFound:
		kind = ErrNotFound
	}
	detail := strings.Join(strings.Fields(secret.Redact(err.Error(), p.password)), " ")
	if r := []rune(detail); len(r) > maxDetail {
		detail = string(r[:maxDetail]) + " ..."
	}
	return &Error{Op: op + " of " + p.shown, Kind: cmp.Or(kind, ErrUnavailable), Detail: detail}
}
