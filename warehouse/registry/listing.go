package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// firstPageSize is what every registry accepts; a longer list is asked for
	// in one larger page the next time, if the registry plays along.
	firstPageSize = 1000
	maxPageSize   = 100_000
	// Limits of one listing: what no honest repository reaches.
	maxPages     = 1000
	maxTags      = 500_000
	maxPageBytes = 16 << 20
	maxListBytes = 32 << 20
	maxTagBytes  = 128 // the OCI distribution specification's limit
)

// listing is the last list of tags and what is needed to ask whether it changed.
type listing struct {
	tags  []string // as the registry ordered them
	began time.Time
	err   error
	// pages by their URL, with their validators.
	pages    map[string]page
	pageSize int
	isCapped bool // the registry gives no larger pages
}

// page is one answer of the tag list.
type page struct {
	tags []string
	next string // URL, or ""
	etag string
	size int // bytes
}

// Listing is the tags of a repository.
type Listing struct {
	// Tags in the registry's order. Do not modify.
	Tags []string
	// IsChanged is false when the list equals the one before.
	IsChanged bool
	// At is when the registry was asked.
	At time.Time
}

// Tags lists the tags of r. Callers with the same credential share one listing:
// it is enough that it began after notBefore. The zero notBefore means now.
func (c *Client) Tags(ctx context.Context, r Repository, notBefore time.Time) (Listing, error) {
	const verb = "list tags of"
	if notBefore.IsZero() {
		notBefore = c.opts.Now()
	}
	s, repo, err := c.open(verb, r)
	if err != nil {
		return Listing{}, err
	}
	op := operation{verb, r.URL}
	select {
	case repo.turn <- struct{}{}:
		defer func() { <-repo.turn }()
	case <-ctx.Done():
		return Listing{}, s.failNetwork(ctx, op, ctx.Err())
	}
	l := &repo.listing
	if l.began.After(notBefore) {
		c.metrics.shared.Inc()
		return Listing{Tags: l.tags, At: l.began}, l.err
	}
	began := c.opts.Now()
	tags, err := s.list(ctx, op, repo)
	if err != nil {
		if ctx.Err() == nil { // a caller that left says nothing about the registry
			l.began, l.err = began, err
		}
		if isAccessLost(err) {
			repo.prove(false)
		}
		return Listing{}, err
	}
	isChanged := l.tags == nil || !slices.Equal(l.tags, tags)
	l.began, l.err, l.tags = began, nil, tags
	repo.prove(true)
	if isChanged {
		c.cache.forgetExcept(repo.key, tags)
	}
	return Listing{Tags: tags, IsChanged: isChanged, At: began}, nil
}

// list fetches all pages. Called with repo.turn held.
func (s *session) list(ctx context.Context, op operation, repo *repository) ([]string, error) {
	l := &repo.listing
	if l.pageSize == 0 {
		l.pageSize = firstPageSize
	}
	tags, pages, err := s.listPages(ctx, op, repo, l.pageSize)
	if err != nil && l.pageSize > firstPageSize && isRefusedPage(err) {
		l.pageSize, l.isCapped = firstPageSize, true
		tags, pages, err = s.listPages(ctx, op, repo, l.pageSize)
	}
	if err != nil {
		return nil, err
	}
	l.pages = pages
	if first := pages[s.listURL(repo, l.pageSize)]; first.next != "" && !l.isCapped {
		if len(first.tags) < l.pageSize {
			l.isCapped = true // it paged by a size of its own
			l.pageSize = firstPageSize
		} else {
			// Room for a quarter more, in whole thousands.
			l.pageSize = min(maxPageSize, (len(tags)*5/4+999)/1000*1000)
		}
	}
	return tags, nil
}

func (s *session) listURL(repo *repository, n int) string {
	u := url.URL{Scheme: s.scheme, Host: s.host, Path: "/v2/" + repo.path + "/tags/list", RawQuery: "n=" + strconv.Itoa(n)}
	return u.String()
}

func (s *session) listPages(ctx context.Context, op operation, repo *repository, n int) ([]string, map[string]page, error) {
	pages := map[string]page{}
	tags := []string{}
	size := 0
	for at := s.listURL(repo, n); at != ""; {
		if _, isSeen := pages[at]; isSeen {
			return nil, nil, s.fail(op, ErrMalformed, 0, "its pages of tags lead in a circle")
		}
		p, err := s.page(ctx, op, repo, at)
		if err != nil {
			return nil, nil, err
		}
		pages[at] = p
		tags = append(tags, p.tags...)
		size += p.size
		switch {
		case p.next != "" && len(pages) >= maxPages:
			return nil, nil, s.fail(op, ErrMalformed, 0, fmt.Sprintf("more than %d pages of tags", maxPages))
		case len(tags) > maxTags:
			return nil, nil, s.fail(op, ErrMalformed, 0, fmt.Sprintf("more than %d tags", maxTags))
		case size > maxListBytes:
			return nil, nil, s.fail(op, ErrMalformed, 0, fmt.Sprintf("more than %d bytes of tags", maxListBytes))
		}
		at = p.next
	}
	return tags, pages, nil
}

// page fetches one page, or finds out that it did not change.
func (s *session) page(ctx context.Context, op operation, repo *repository, at string) (page, error) {
	before, isKnown := repo.listing.pages[at]
	header := http.Header{"Accept": {"application/json"}}
	if isKnown && before.etag != "" {
		header.Set("If-None-Match", before.etag)
	}
	a, err := s.fetch(ctx, op, repo, request{method: http.MethodGet, url: at, header: header, maxBytes: maxPageBytes})
	if err != nil {
		return page{}, err
	}
	if a.status == http.StatusNotModified && header.Get("If-None-Match") != "" {
		return before, nil
	}
	if a.status != http.StatusOK {
		return page{}, s.failStatus(op, a)
	}
	var list struct {
		Tags json.RawMessage `json:"tags"` // null for a repository without tags
	}
	var tags []string
	if err := json.Unmarshal(a.body, &list); err != nil || len(list.Tags) == 0 {
		return page{}, s.fail(op, ErrMalformed, 0, "the answer is not a list of tags in JSON")
	}
	if err := json.Unmarshal(list.Tags, &tags); err != nil {
		return page{}, s.fail(op, ErrMalformed, 0, "the answer is not a list of tags in JSON")
	}
	for _, t := range tags {
		if len(t) > maxTagBytes {
			return page{}, s.fail(op, ErrMalformed, 0, fmt.Sprintf("a tag is longer than %d bytes", maxTagBytes))
		}
	}
	next, err := nextPage(at, a.header.Get("Link"))
	if err != nil {
		return page{}, s.fail(op, ErrMalformed, 0, err.Error())
	}
	etag := a.header.Get("ETag")
	if len(etag) > 512 {
		etag = ""
	}
	return page{tags: tags, next: next, etag: etag, size: len(a.body)}, nil
}

// isRefusedPage reports whether the registry may have minded the page size.
func isRefusedPage(err error) bool {
	var e *Error
	return errors.As(err, &e) && errors.Is(e, ErrMalformed) && e.Status >= 400 && e.Status < 500
}

// isAccessLost reports whether err says that this account may not read the
// repository, or no longer.
func isAccessLost(err error) bool {
	return errors.Is(err, ErrAuthentication) || errors.Is(err, ErrForbidden) || errors.Is(err, ErrNotFound)
}

// nextPage returns the URL in a Link header (RFC 8288) of the page at current,
// or "". It must stay on the same registry.
func nextPage(current, link string) (string, error) {
	link = strings.TrimSpace(link)
	if link == "" {
		return "", nil
	}
	target, params, ok := strings.Cut(strings.TrimPrefix(link, "<"), ">")
	if !strings.HasPrefix(link, "<") || !ok {
		return "", fmt.Errorf("its Link to the next page is not one")
	}
	if params != "" && strings.Contains(params, "rel=") && !strings.Contains(strings.ReplaceAll(params, `"`, ""), "rel=next") {
		return "", nil
	}
	base, err := url.Parse(current)
	if err != nil {
		return "", fmt.Errorf("its Link to the next page is not one")
	}
	ref, err := url.Parse(target)
	if err != nil || ref.User != nil {
		return "", fmt.Errorf("its Link to the next page is not a URL")
	}
	next := base.ResolveReference(ref)
	next.Fragment = ""
	if !strings.EqualFold(next.Host, base.Host) {
		return "", fmt.Errorf("its Link to the next page leads to another host, %q", next.Host)
	}
	// A registry behind a TLS proxy may believe that it is reached by http.
	next.Scheme = base.Scheme
	return next.String(), nil
}
