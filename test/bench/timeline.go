package main

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// printTimeline shows what happened when on one version's way.
func (b *bench) printTimeline(l legs) {
	type line struct {
		at   time.Time
		text string
	}
	var lines []line
	last := map[string]client.Object{}
	for _, e := range b.seen.since() {
		text := describe(e)
		if e.Object != nil {
			key := fmt.Sprintf("%T %s/%s", e.Object, e.Object.GetNamespace(), e.Object.GetName())
			if before := last[key]; before != nil {
				text += "\t" + strings.Join(changedFields(before, e.Object), " ")
			}
			last[key] = e.Object
		}
		lines = append(lines, line{e.At, text})
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

// changedFields names what differs between two versions of an object, below
// spec and status.
func changedFields(before, after client.Object) []string {
	fields := func(o client.Object) map[string]any {
		u, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
		if err != nil {
			return nil
		}
		return map[string]any{"spec": u["spec"], "status": u["status"]}
	}
	return differences("", fields(before), fields(after))
}

func differences(path string, a, b any) []string {
	x, isMap := a.(map[string]any)
	y, isMapToo := b.(map[string]any)
	if isMap && isMapToo {
		var out []string
		keys := maps.Clone(x)
		maps.Copy(keys, y)
		for _, k := range slices.Sorted(maps.Keys(keys)) {
			out = append(out, differences(path+"."+k, x[k], y[k])...)
		}
		return out
	}
	v, isList := a.([]any)
	w, isListToo := b.([]any)
	if isList && isListToo && len(v) == len(w) {
		var out []string
		for i := range v {
			out = append(out, differences(fmt.Sprintf("%s[%d]", path, i), v[i], w[i])...)
		}
		return out
	}
	if reflect.DeepEqual(a, b) {
		return nil
	}
	return []string{strings.TrimPrefix(path, ".")}
}
