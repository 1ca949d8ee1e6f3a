package warehouse

import (
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// Resolved is what a registry says about one tag.
type Resolved struct {
	Tag    string
	Digest string // of what the tag points at: of the index, for several platforms
	// Created is needed by NewestBuild; zero when the image does not say.
	Created time.Time
	// Platforms is needed when the subscription names one.
	Platforms []Platform
}

// Fits reports whether r has the platform that the subscription wants.
func (p *Policy) Fits(r Resolved) bool {
	return !p.NeedsPlatforms() || slices.ContainsFunc(r.Platforms, p.platform.Matches)
}

// Sort returns the resolved tags that fit, newest first. resolved is in the order
// of Order; NewestBuild orders it by creation time, and an image without one is
// older than all others.
func (p *Policy) Sort(resolved []Resolved) []Resolved {
	kept := slices.DeleteFunc(slices.Clone(resolved), func(r Resolved) bool { return !p.Fits(r) })
	if p.strategy == v1alpha1.SelectNewestBuild {
		slices.SortFunc(kept, func(a, b Resolved) int {
			if c := b.Created.Compare(a.Created); c != 0 {
				return c
			}
			return strings.Compare(b.Tag, a.Tag)
		})
	}
	return kept
}

// Images returns resolved tags as candidates.
func (p *Policy) Images(resolved []Resolved) []v1alpha1.Image {
	var out []v1alpha1.Image
	for _, r := range resolved {
		out = append(out, v1alpha1.Image{RepoURL: p.repoURL, Tag: r.Tag, Digest: r.Digest})
	}
	return out
}

// Reasons of a poll that succeeded and still needs attention.
const (
	// ReasonNoMatchingTag: no tag passes the filters of the subscription.
	ReasonNoMatchingTag = "NoMatchingTag"
	// ReasonNoMatchingCommit: no commit passes the filters of the subscription.
	ReasonNoMatchingCommit = "NoMatchingCommit"
	// ReasonNoMatchingVersion: no version of the chart is in the constraint.
	ReasonNoMatchingVersion = "NoMatchingVersion"
	// ReasonTagPassedOver: the newest tag cannot be read, an older one is used.
	ReasonTagPassedOver = "TagPassedOver"
)

// Poll is the result of asking for one subscription.
type Poll struct {
	At         metav1.Time // when the repository was asked
	Requests   int         // sent to the registry and its token service
	Tags       int         // the repository has, before any filter
	Candidates []v1alpha1.Image
	Refused    []v1alpha1.RefusedCandidate // images, newest first
	Commits    []v1alpha1.Commit
	Charts     []v1alpha1.Chart
	Observed   string // of a git subscription; of an image, SignatureDigest
	// Stretch is by how much the registry wants polls spread; at least 1.
	Stretch int
	// RetryAt is when the registry may be asked again; zero when it did not say.
	RetryAt time.Time
	// IsFailed means that nothing was learned: the old candidates stay.
	IsFailed bool
	// Reason and Error say what failed, or what needs attention all the same.
	Reason, Error string
}

// Bounds of the wait after a failed poll.
const (
	minRetry = 5 * time.Second
	maxRetry = 5 * time.Minute
)

// NextPoll returns when a subscription with status s is due after poll, on whole
// seconds: an interval after it was asked, times Stretch; after a failure, as long
// as it has failed already, from 5 s to 5 min and at most the interval. Never
// before RetryAt. created is when the Warehouse was made.
func NextPoll(s v1alpha1.SubscriptionStatus, poll Poll, interval time.Duration, created time.Time) metav1.Time {
	wait := interval * time.Duration(max(1, poll.Stretch))
	if poll.IsFailed {
		since := created
		if s.LastSuccess != nil {
			since = s.LastSuccess.Time
		}
		wait = min(max(poll.At.Sub(since), minRetry), maxRetry, interval)
	}
	next := poll.At.Add(wait)
	if poll.RetryAt.After(next) {
		next = poll.RetryAt
	}
	if whole := next.Truncate(time.Second); !whole.Equal(next) {
		next = whole.Add(time.Second)
	}
	return metav1.NewTime(next)
}

// Identity tells the subscriptions of a Warehouse apart.
type Identity struct{ Type, RepoURL, Chart string }

// The types of subscriptions.
const (
	TypeImage = "image"
	TypeGit   = "git"
	TypeChart = "chart"
)

// Identity returns what tells the subscription of p from others.
func (p *Policy) Identity() Identity { return Identity{TypeImage, p.repoURL, ""} }

// Identity returns what tells the subscription of p from others.
func (p *CommitPolicy) Identity() Identity { return Identity{TypeGit, p.sub.RepoURL, ""} }

// Identity returns what tells the subscription of p from others.
func (p *ChartPolicy) Identity() Identity { return Identity{TypeChart, p.sub.RepoURL, p.sub.Name} }

// String names the subscription for people.
func (i Identity) String() string { return strings.TrimSuffix(i.RepoURL+" "+i.Chart, " ") }

// Find returns the status of the subscription among all, or an empty one.
func (i Identity) Find(all []v1alpha1.SubscriptionStatus) v1alpha1.SubscriptionStatus {
	for _, s := range all {
		if s.RepoURL == i.RepoURL && s.Chart == i.Chart && (s.Type == i.Type || s.Type == "" && i.Type == TypeImage) {
			return s
		}
	}
	return v1alpha1.SubscriptionStatus{Type: i.Type, RepoURL: i.RepoURL, Chart: i.Chart}
}

// merge returns old after poll; candidates are the caller's business.
func (i Identity) merge(old v1alpha1.SubscriptionStatus, poll Poll) v1alpha1.SubscriptionStatus {
	s := i.Find([]v1alpha1.SubscriptionStatus{old}) // another subscription may have stood at this place
	s.Type, s.LastPoll = i.Type, poll.At.DeepCopy()
	s.Requests, s.Reason, s.Error = int32(poll.Requests), poll.Reason, poll.Error //nolint:gosec // thousands at most
	if !poll.IsFailed {
		s.LastSuccess, s.Tags = poll.At.DeepCopy(), int32(poll.Tags) //nolint:gosec // limited by the listing
	}
	return s
}

// Merge returns the status of the subscription of p after poll. A failed poll
// keeps the old candidates that the policy still accepts, none if another
// signature was asked for when they were found.
func (p *Policy) Merge(old v1alpha1.SubscriptionStatus, poll Poll) v1alpha1.SubscriptionStatus {
	s := p.Identity().merge(old, poll)
	switch {
	case !poll.IsFailed:
		s.Candidates, s.Refused = poll.Candidates, poll.Refused[:min(len(poll.Refused), maxRefused)]
	case s.Observed != p.SignatureDigest() && p.signature != nil:
		s.Candidates, s.Refused = nil, nil
	default:
		s.Candidates = p.stillAccepted(s.Candidates)
	}
	s.Observed = p.SignatureDigest()
	return s
}

// Merge returns the status of the subscription of p after poll. A failed poll
// keeps the old candidates if the policy has not changed.
func (p *CommitPolicy) Merge(old v1alpha1.SubscriptionStatus, poll Poll) v1alpha1.SubscriptionStatus {
	s := p.Identity().merge(old, poll)
	switch {
	case !poll.IsFailed:
		s.Commits, s.Observed = poll.Commits, poll.Observed
	case !strings.HasPrefix(s.Observed, p.digest):
		s.Commits, s.Observed = nil, ""
	}
	return s
}

// Merge returns the status of the subscription of p after poll. A failed poll
// keeps the old candidates that the policy still accepts.
func (p *ChartPolicy) Merge(old v1alpha1.SubscriptionStatus, poll Poll) v1alpha1.SubscriptionStatus {
	s := p.Identity().merge(old, poll)
	if !poll.IsFailed {
		s.Charts = poll.Charts
		return s
	}
	var versions []string
	for _, c := range s.Charts {
		versions = append(versions, c.Version)
	}
	accepted := p.Order(versions)
	s.Charts = slices.DeleteFunc(slices.Clone(s.Charts), func(c v1alpha1.Chart) bool { return !slices.Contains(accepted, c.Version) })
	s.Charts = s.Charts[:min(len(s.Charts), p.Limit())]
	return s
}

// stillAccepted filters candidates found under an older spec.
func (p *Policy) stillAccepted(candidates []v1alpha1.Image) []v1alpha1.Image {
	var tags []string
	for _, c := range candidates {
		tags = append(tags, c.Tag)
	}
	accepted := p.Order(tags)
	var out []v1alpha1.Image
	for _, c := range candidates {
		if len(out) < p.limit && slices.Contains(accepted, c.Tag) {
			out = append(out, c)
		}
	}
	return out
}
