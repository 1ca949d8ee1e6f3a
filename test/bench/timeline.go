package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	appsv1 "k8s.io/api/apps/v1"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// printTimeline shows what happened when on one version's way.
func (b *bench) printTimeline(l legs) {
	type line struct {
		at   time.Time
		text string
	}
	var lines []line
	for _, e := range b.seen.since() {
		lines = append(lines, line{e.At, describe(e)})
	}
	for _, a := range b.servers.asked(l.pushed) {
		lines = append(lines, line{a.Start, fmt.Sprintf("git\t%s\ttook %d ms", a.What, a.Took.Milliseconds())})
	}
	slices.SortFunc(lines, func(a, b line) int { return cmp.Compare(a.at.UnixNano(), b.at.UnixNano()) })
	w := tabwriter.NewWriter(b.opts.out, 0, 4, 2, ' ', 0)
	for _, x := range lines {
		if x.at.After(l.live.Add(3 * time.Second)) {
			break
		}
		fmt.Fprintf(w, "%6d ms\t%s\n", x.at.Sub(l.pushed).Milliseconds(), x.text)
	}
	_ = w.Flush()
}

// describe says in three columns what an event was.
func describe(e event) string {
	if e.Push != nil {
		return fmt.Sprintf("push\t%s\t%.7s", e.Push.Branch, e.Push.Commit)
	}
	kind := fmt.Sprintf("%T", e.Object)
	kind = kind[strings.LastIndex(kind, ".")+1:]
	detail := ""
	switch o := e.Object.(type) {
	case *v1alpha1.Promotion:
		detail = fmt.Sprintf("%s %s", o.Status.Phase, o.Status.Reason)
		for _, s := range o.Status.Steps {
			detail += " " + s.Uses + "=" + string(s.State)
		}
	case *v1alpha1.Application:
		detail = fmt.Sprintf("%s at %.7s", o.Status.Sync.Status, o.Status.Sync.Revision)
		if o.Status.Health != nil {
			detail += fmt.Sprintf(", %s %s", o.Status.Health.Status, o.Status.Health.Message)
		}
	case *v1alpha1.Stage:
		detail = fmt.Sprintf("synced %v, active %q", o.Status.Synced, o.Status.ActivePromotion)
		if o.Status.Health != nil {
			detail += ", " + string(o.Status.Health.Status)
		}
	case *v1alpha1.Freight:
		for _, s := range stages() {
			if r, ok := o.Status.Stages[s]; ok {
				detail += fmt.Sprintf("%s entered %v verified %v; ", s, r.EnteredAt != nil, r.VerifiedAt != nil)
			}
		}
	case *appsv1.Deployment:
		detail = fmt.Sprintf("generation %d/%d, updated %d, available %d of %d", o.Status.ObservedGeneration, o.Generation,
			o.Status.UpdatedReplicas, o.Status.AvailableReplicas, o.Status.Replicas)
	}
	return fmt.Sprintf("%s\t%s %s/%s\t%s", kind, strings.ToLower(string(e.Type)), e.Object.GetNamespace(), e.Object.GetName(), detail)
}
