package chart

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/credentials"
	"github.com/waybill-dev/waybill/warehouse"
	"github.com/waybill-dev/waybill/warehouse/registry"
)

const (
	indexFile = "index.yaml"
	// maxIndexes bounds how many indexes are remembered, and maxNames how many
	// charts of one.
	maxIndexes  = 1000
	maxNames    = 500
	pollTimeout = 2 * time.Minute
)

// Source asks chart repositories. It is safe for concurrent use.
type Source struct {
	registry *registry.Client
	now      func() time.Time
	kept     kept

	mu      sync.Mutex
	indexes map[indexKey]*index
}

type indexKey struct {
	url        string
	credential [32]byte
	isInsecure bool
}

// index is what one credential last saw of one index.
type index struct {
	turn chan struct{} // held while asking; guards what follows

	at   time.Time
	etag string
	err  error
	// charts are the versions by name, of all names ever asked for; a name
	// without versions is not in the index.
	charts map[string][]Version
}

// New returns a Source that asks through the registry client: charts share its
// connections, limits and back-off. Archives that were downloaded are kept in dir,
// which belongs to one process at a time; empty: they are not kept.
func New(r *registry.Client, now func() time.Time, dir string) *Source {
	return &Source{registry: r, now: now, kept: kept{dir: dir, maxBytes: maxKeptBytes}, indexes: map[indexKey]*index{}}
}

// Poll asks for the candidates of one subscription. What was asked after notBefore
// with the same credential is shared; the zero time means now.
//
// The result is complete also on error: it then has the reason and the text for
// the status, and no candidates.
func (s *Source) Poll(ctx context.Context, c credentials.Credential, p *warehouse.ChartPolicy, isInsecure bool, notBefore time.Time) (warehouse.Poll, error) {
	if tags, isOCI := p.OCI(); isOCI {
		poll, err := s.registry.Poll(ctx, registry.Repository{
			URL: strings.TrimPrefix(p.RepoURL(), "oci://"), Credential: c, InsecureSkipTLSVerify: isInsecure,
		}, tags, notBefore)
		poll.Charts, poll.Candidates = p.Charts(poll.Candidates), nil
		if poll.Reason == warehouse.ReasonNoMatchingTag {
			poll.Reason, poll.Error = warehouse.ReasonNoMatchingVersion, p.NoMatch(poll.Tags)
		}
		return poll, err //nolint:wrapcheck // names the repository already
	}
	ctx, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	ctx, requests := registry.Count(ctx)
	r := registry.Repository{URL: p.RepoURL(), Credential: c, InsecureSkipTLSVerify: isInsecure}
	now := s.now()
	if notBefore.IsZero() {
		notBefore = now
	}
	poll := warehouse.Poll{At: metav1.NewTime(now)}
	list, at, err := s.versions(ctx, r, p.Name(), notBefore)
	poll.Requests = requests()
	poll.Stretch = s.registry.Account(r, poll.Requests, err)
	if err != nil {
		poll.IsFailed, poll.Reason, poll.Error = true, registry.Reason(err), err.Error()
		poll.RetryAt, _ = registry.RetryAt(err)
		return poll, err
	}
	poll.At, poll.Tags = metav1.NewTime(at), len(list)
	digests := make(map[string]string, len(list))
	names := make([]string, 0, len(list))
	for _, v := range list {
		names = append(names, v.Version)
		if _, isTwice := digests[v.Version]; !isTwice {
			digests[v.Version] = v.Digest
		}
	}
	ordered := p.Order(names)
	for _, v := range ordered[:min(len(ordered), p.Limit())] {
		poll.Charts = append(poll.Charts, v1alpha1.Chart{RepoURL: p.RepoURL(), Name: p.Name(), Version: v, Digest: digests[v]})
	}
	if len(poll.Charts) == 0 {
		poll.Reason, poll.Error = warehouse.ReasonNoMatchingVersion, p.NoMatch(len(list))
	}
	return poll, nil
}

// Index asks a Helm repository for its index, and returns how large it is, in bytes.
func (s *Source) Index(ctx context.Context, c credentials.Credential, repoURL string, isInsecure bool) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	f, err := s.registry.File(ctx, registry.Repository{URL: repoURL, Credential: c, InsecureSkipTLSVerify: isInsecure}, indexFile, "", maxIndexBytes)
	return len(f.Body), err //nolint:wrapcheck // names the repository already
}

// versions returns what the index says about the chart, and when it was asked.
func (s *Source) versions(ctx context.Context, r registry.Repository, name string, notBefore time.Time) ([]Version, time.Time, error) {
	x := s.index(r)
	select {
	case x.turn <- struct{}{}:
		defer func() { <-x.turn }()
	case <-ctx.Done():
		return nil, time.Time{}, ctx.Err() //nolint:wrapcheck // the caller's own
	}
	list, isKnown := x.charts[name]
	if x.at.After(notBefore) && (isKnown || x.err != nil) {
		return list, x.at, x.err
	}
	etag := x.etag
	if !isKnown {
		etag = "" // the whole is needed
	}
	began := s.now()
	f, err := s.registry.File(ctx, r, indexFile, etag, maxIndexBytes)
	if err == nil && !f.IsUnchanged {
		err = x.read(f, r, name)
	}
	if err != nil && (ctx.Err() != nil || errors.Is(err, context.Canceled)) {
		return nil, time.Time{}, err // says nothing about the repository
	}
	x.at, x.err = began, err
	if err != nil {
		return nil, began, err
	}
	return x.charts[name], began, nil
}

// read takes in a new index: the versions of name, and of all that were asked for
// before.
func (x *index) read(f registry.File, r registry.Repository, name string) error {
	names := slices.Collect(maps.Keys(x.charts))
	if len(names) >= maxNames {
		names = nil
	}
	names = append(names, name)
	found, err := parseIndex(f.Body, names)
	if err != nil {
		return registry.Malformed(r, indexFile, err.Error())
	}
	x.charts = map[string][]Version{}
	for _, n := range names {
		x.charts[n] = found[n]
	}
	x.etag = f.ETag
	return nil
}

func (s *Source) index(r registry.Repository) *index {
	key := keyOf(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.indexes[key]
	if x == nil {
		if len(s.indexes) >= maxIndexes {
			clear(s.indexes)
		}
		x = &index{turn: make(chan struct{}, 1), charts: map[string][]Version{}}
		s.indexes[key] = x
	}
	return x
}

func keyOf(r registry.Repository) indexKey {
	return indexKey{strings.TrimRight(r.URL, "/"), r.Credential.Fingerprint(), r.InsecureSkipTLSVerify}
}
