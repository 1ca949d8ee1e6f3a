package controllers

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/history"
	"github.com/waybill-dev/waybill/promotion/notify"
)

// knownFor is how long it is known that something was told: longer than anything is
// new.
const knownFor = 72 * time.Hour

// tell gives to the outbox what is found of a Project, and returns when time alone
// makes something of it worth telling.
func (r *NotificationReconciler) tell(ctx context.Context, p *v1alpha1.Project, now time.Time) (next time.Time, err error) {
	if err := r.load(ctx, p.Name); err != nil {
		return next, err
	}
	r.mu.Lock()
	delete(r.idle, p.Name)
	t := r.of(p.Name)
	found, topics := slices.Collect(maps.Values(t.found)), maps.Clone(t.topics)
	r.mu.Unlock()

	sinces, err := r.sinces(ctx, t, p, now)
	if err != nil {
		return next, err
	}
	var rows []history.Notice
	for i := range p.Spec.Notifications {
		n := &p.Spec.Notifications[i]
		for j := range found {
			if o := &found[j]; o.IsSince(sinces[i]) && !isKnown(t, n, o) {
				if event, isWanted := notify.Wants(n, o); isWanted {
					rows = append(rows, notify.Compose(n, o, event, r.PublicURL))
				}
			}
		}
		more, at := r.turned(t, n, topics, sinces[i], now)
		rows, next = append(rows, more...), sooner(next, at)
	}
	slices.SortStableFunc(rows, func(a, b history.Notice) int { return a.At.Compare(b.At) })
	if len(rows) > 0 {
		if err := r.delivery.Put(ctx, rows); err != nil {
			return next, err //nolint:wrapcheck // one of history's own
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range rows {
		remember(t, &rows[i])
	}
	for i := range found {
		if t.found[found[i].Key].At.Equal(found[i].At) {
			delete(t.found, found[i].Key)
		}
	}
	for topic, o := range topics { // what is not bad has nothing to wait for
		if o.State != notify.StateBad && t.topics[topic].Key == o.Key {
			delete(t.topics, topic)
		}
	}
	maps.DeleteFunc(t.rows, func(_ string, at time.Time) bool { return !at.IsZero() && now.Sub(at) > knownFor })
	return next, nil
}

// sinces returns from when on each notification tells what happens: since it has
// these events and Stages. What is not asked for any more begins anew when it is
// asked for again.
func (r *NotificationReconciler) sinces(ctx context.Context, t *told, p *v1alpha1.Project, now time.Time) ([]time.Time, error) {
	out := make([]time.Time, len(p.Spec.Notifications))
	current := map[string]time.Time{}
	for i := range p.Spec.Notifications {
		n := &p.Spec.Notifications[i]
		id := notify.MarkID(p.Name, n)
		since, isThere := t.marks[id]
		if !isThere {
			since = history.OfDefinition("Project", p).At
			if earliest := now.Add(-definedWithin); since.Before(earliest) {
				since = earliest
			}
			mark := history.Notice{ID: id, Project: p.Name, Notification: n.Name, At: since, Outcome: history.NoticeMark}
			if err := r.Store.AddNotices(ctx, []history.Notice{mark}); err != nil {
				return nil, err //nolint:wrapcheck // one of history's own
			}
			if err := r.Store.SetNotices(ctx, []string{id}, since.UTC().Format(time.RFC3339Nano), history.NoticeMark); err != nil {
				return nil, err //nolint:wrapcheck // as above
			}
		}
		out[i], current[id] = since, since
	}
	return out, r.retire(ctx, t, current)
}

// retire writes down that marks do not hold any more, all but those in current.
func (r *NotificationReconciler) retire(ctx context.Context, t *told, current map[string]time.Time) error {
	var stale []string
	for id := range t.marks {
		if _, isCurrent := current[id]; !isCurrent {
			stale = append(stale, id)
		}
	}
	if len(stale) > 0 {
		if err := r.Store.SetNotices(ctx, stale, "", history.NoticeSent); err != nil {
			return err //nolint:wrapcheck // one of history's own
		}
	}
	t.marks = current
	return nil
}

func isKnown(t *told, n *v1alpha1.Notification, o *notify.Occurrence) bool {
	_, isThere := t.rows[notify.ID(o.Project, n.Name, o.Key)]
	return isThere
}

// turned returns rows for the topics that have turned bad, and stayed so for long
// enough, and for those that are well again; and when to look at the others.
func (r *NotificationReconciler) turned(t *told, n *v1alpha1.Notification, topics map[string]notify.Occurrence, since, now time.Time) (rows []history.Notice, next time.Time) {
	for _, o := range topics {
		was := t.states[n.Name][o.Topic]
		if o.End != nil && o.State == notify.StateBad {
			if now.Before(o.End.At) {
				next = sooner(next, o.End.At)
			} else if was == notify.StateBad {
				o = *o.End
			}
		}
		switch {
		case isKnown(t, n, &o):
			continue
		case o.State == notify.StateWell && was == notify.StateBad:
		case !notify.Follows(n, &o), o.State != notify.StateBad || was == notify.StateBad || !o.IsSince(since) || notify.IsTooOld(o.At, now):
			continue
		case now.Before(o.At.Add(o.Patience)):
			next = sooner(next, o.At.Add(o.Patience))
			continue
		}
		event, isWanted := notify.Wants(n, &o)
		row := notify.Compose(n, &o, event, r.PublicURL)
		if !isWanted {
			row.Outcome = history.NoticeSent // it is known, though nobody wants to be told
		}
		rows = append(rows, row)
	}
	return rows, next
}

// load reads what the outbox knows of a Project, once, and finds out which Freezes
// are gone since.
func (r *NotificationReconciler) load(ctx context.Context, project string) error {
	r.mu.Lock()
	t := r.of(project)
	isLoaded := t.isLoaded
	r.mu.Unlock()
	if isLoaded {
		return nil
	}
	rows, err := r.Store.Notices(ctx, history.NoticeFilter{Project: project})
	if err != nil {
		return err //nolint:wrapcheck // one of history's own
	}
	var freezes v1alpha1.FreezeList
	if err := r.Client.List(ctx, &freezes, client.InNamespace(project), client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("list Freezes of %q: %w", project, err)
	}
	exists := map[string]bool{}
	for i := range freezes.Items {
		exists["Freeze/"+string(freezes.Items[i].UID)] = true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range rows {
		remember(t, &rows[i])
	}
	for i := range rows {
		row := &rows[i]
		if !strings.HasPrefix(row.Topic, "Freeze/") || exists[row.Topic] || t.states[row.Notification][row.Topic] != notify.StateBad {
			continue
		}
		var f notify.Fact
		if json.Unmarshal(row.Body, &f) == nil && f.Project != "" {
			t.topics[row.Topic] = notify.FreezeGone(&f, row.Topic, r.Clock.Now())
		}
	}
	t.isLoaded = true
	return nil
}

// remember notes that a row is in the outbox.
func remember(t *told, row *history.Notice) {
	t.rows[row.ID] = row.At // of marks too: nothing else has their ID
	if t.states[row.Notification] == nil {
		t.states[row.Notification] = map[string]notify.State{}
	}
	if row.Outcome == history.NoticeMark {
		since, err := time.Parse(time.RFC3339Nano, row.Batch)
		if err != nil {
			since = row.At
		}
		t.marks[row.ID] = since
	}
	if row.Topic != "" {
		t.states[row.Notification][row.Topic] = notify.State(row.State)
	}
}

// standing is the status of a notification that was shown as was.
func (r *NotificationReconciler) standing(project, name string, was v1alpha1.NotificationStatus) v1alpha1.NotificationStatus {
	s, isThere := r.delivery.Standing(project, name)
	if !isThere {
		return was // of a process before; it holds until something is sent
	}
	is := v1alpha1.NotificationStatus{Name: name, LastSentAt: was.LastSentAt}
	if !s.LastSent.IsZero() {
		at := metav1.NewTime(s.LastSent.Truncate(time.Minute))
		is.LastSentAt = &at
	}
	if s.Reason != "" || s.GivenUp > 0 {
		is.Failure = &v1alpha1.NotificationFailure{
			Reason: s.Reason, Message: truncate(s.Message, maxReceiverError), Since: metav1.NewTime(s.Since.Truncate(time.Second)), Waiting: s.Waiting, GivenUp: s.GivenUp,
		}
		if s.Reason == "" {
			is.Failure.Reason, is.Failure.Message = reasonTooMany, "more happened than may wait to be told"
		}
	}
	return is
}

// reasonTooMany: more messages wait than may.
const reasonTooMany = "TooManyWaiting"
