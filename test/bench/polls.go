package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/demoregistry"
	"github.com/waybill-dev/waybill/internal/outbound"
	"github.com/waybill-dev/waybill/warehouse"
	"github.com/waybill-dev/waybill/warehouse/registry"
)

// idlePoll is a repository and a way to look at it when nothing is new.
type idlePoll struct {
	name     string
	strategy v1alpha1.ImageSelectionStrategy
	tags     int
	// kargo is what Kargo was measured to send and, with its limit of 20 requests
	// a second, to take.
	kargo, kargoTime string
}

func idlePolls() []idlePoll {
	return []idlePoll{
		{"SemVer, 200 tags", v1alpha1.SelectSemVer, 200, "62", "4.1"},
		{"NewestBuild, 200 tags", v1alpha1.SelectNewestBuild, 200, "602", "40"},
		{"NewestBuild, 1,000 tags", v1alpha1.SelectNewestBuild, 1000, "4003", ""},
		{"NewestBuild, 5,000 tags", v1alpha1.SelectNewestBuild, 5000, "", ""},
	}
}

func (p idlePoll) requests() string { return "poll " + p.name }
func (p idlePoll) seconds() string  { return "poll time " + p.name }

const (
	pollNewTag = "poll new tag"
	pollShared = "poll 50 warehouses"
)

// pollMetrics are the lines of what a look at a registry costs.
func pollMetrics() []metric {
	var out []metric
	for _, p := range idlePolls() {
		out = append(out,
			metric{Key: p.requests(), Name: "idle poll, " + p.name, Unit: "requests", Judge: "max", HasTarget: true, Below: 1, Inclusive: true, Kargo: p.kargo},
			metric{Key: p.seconds(), Name: "  its time", Unit: "s", Kargo: p.kargoTime})
	}
	return append(out,
		metric{Key: pollNewTag, Name: "one new tag, NewestBuild, 5,000 tags", Unit: "requests", Judge: "max", HasTarget: true, Below: 4, Inclusive: true},
		metric{Key: pollShared, Name: "idle poll of 50 subscriptions to one repository", Unit: "requests", Judge: "max", HasTarget: true, Below: 1, Inclusive: true})
}

// idlePollRounds is how often each idle poll is measured.
const idlePollRounds = 10

// polls measures looks at a registry without pages or ETags of its own making:
// what the client asks for, counted by the registry. The first look, which
// resolves every tag, is not among them.
func (b *bench) polls(ctx context.Context) (err error) {
	for _, p := range idlePolls() {
		if err := b.idlePoll(ctx, p); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return nil
}

func (b *bench) idlePoll(ctx context.Context, p idlePoll) (err error) {
	s, err := demoregistry.Start(demoregistry.Options{Now: time.Now})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close(context.WithoutCancel(ctx))) }()
	created := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	if _, err := s.PushImage(ctx, "app", "1.0.0", demoregistry.ImageOptions{Created: created, WithoutAnnotation: true}); err != nil {
		return err
	}
	more := make([]string, 0, p.tags)
	for i := 1; i < p.tags; i++ {
		more = append(more, fmt.Sprintf("1.0.%d", i))
	}
	if err := s.AddTags("app", "1.0.0", more...); err != nil {
		return err
	}
	transport, err := outbound.New(outbound.Policy{AllowLoopback: true})
	if err != nil {
		return err
	}
	defer transport.CloseIdleConnections()
	client, err := registry.New(registry.Options{Transport: transport, Now: time.Now, AllowLoopbackHTTP: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	repo := registry.Repository{URL: s.Host() + "/app"}
	policy, err := warehouse.Compile(v1alpha1.ImageSubscription{RepoURL: repo.URL, ImageSelectionStrategy: p.strategy})
	if err != nil {
		return err
	}
	look := func(notBefore time.Time) (requests int, err error) {
		s.ResetRequests()
		if _, err := client.Poll(ctx, repo, policy, notBefore); err != nil {
			return 0, err
		}
		for _, n := range s.Requests() {
			requests += n
		}
		return requests, nil
	}
	for range 2 { // learns the tags, and that larger pages work
		if _, err := look(time.Time{}); err != nil {
			return err
		}
	}
	for range idlePollRounds {
		began := time.Now()
		n, err := look(time.Time{})
		if err != nil {
			return err
		}
		b.report.add(p.requests(), float64(n))
		b.report.add(p.seconds(), seconds(time.Since(began)))
	}
	if p.tags < 5000 {
		return nil
	}
	if _, err := s.PushImage(ctx, "app", "2.0.0", demoregistry.ImageOptions{Created: created.Add(time.Hour), WithoutAnnotation: true, Salt: "new"}); err != nil {
		return err
	}
	n, err := look(time.Time{})
	if err != nil {
		return err
	}
	b.report.add(pollNewTag, float64(n))
	return b.sharedPoll(ctx, s, client, repo, policy)
}

// sharedPoll measures 50 subscriptions of one credential that are due together.
func (b *bench) sharedPoll(ctx context.Context, s *demoregistry.Server, client *registry.Client, repo registry.Repository, policy *warehouse.Policy) error {
	for range 3 {
		s.ResetRequests()
		began := time.Now()
		errs := make([]error, 50)
		var wg sync.WaitGroup
		for i := range errs {
			wg.Go(func() { _, errs[i] = client.Poll(ctx, repo, policy, began) })
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			return err
		}
		total := 0
		for _, n := range s.Requests() {
			total += n
		}
		b.report.add(pollShared, float64(total))
	}
	return nil
}
