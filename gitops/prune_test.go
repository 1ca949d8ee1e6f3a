package gitops_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/gitops"
)

// What an object says about its end counts before what its Application says, and
// what is to go last goes last, whatever its wave.
func TestPruneOptionsOfTheObjectCount(t *testing.T) {
	options := func(text string) *gitops.ObjectOptions {
		o := gitops.OptionsOf(map[string]string{"waybill.dev/sync-options": text, "waybill.dev/sync-wave": "9"}, nil)
		return &o
	}
	for _, c := range []struct {
		why    string
		app    []string
		object *gitops.ObjectOptions
		prune  []string
		asks   bool
	}{
		{why: "nothing said", prune: []string{"web"}},
		{why: "the Application keeps", app: []string{"Prune=false"}},
		{why: "the Application keeps, the object does not", app: []string{"Prune=false"}, object: options("Prune=true"), prune: []string{"web"}},
		{why: "the Application asks, the object does not", app: []string{"Prune=confirm"}, object: options("Prune=true"), prune: []string{"web"}},
		{why: "the Application asks, the object keeps", app: []string{"Prune=confirm"}, object: options("Prune=false")},
		{why: "the Application asks, the object says something else", app: []string{"Prune=confirm"}, object: options("Force=true"), asks: true},
		{why: "last", object: options("PruneLast=true"), prune: []string{"web last"}},
		{why: "last by the Application", app: []string{"PruneLast=true"}, prune: []string{"web last"}},
	} {
		w := &world{}
		d := prepare(t, configMap("web"))[0]
		w.apply(d)
		live := w.live[d.Key]
		live.Options = c.object
		w.live[d.Key] = live
		in := w.input(prepare(t, configMap("other")))
		in.Options = gitops.OptionsOf(nil, c.app)
		p := gitops.MakePlan(in)
		var got []string
		for _, wave := range p.Prune {
			for _, deletion := range wave {
				name := deletion.Key.Name
				if deletion.Last {
					name += " last"
				}
				got = append(got, name)
			}
		}
		if diff := cmp.Diff(c.prune, got); diff != "" || (p.Guard != nil) != c.asks || p.PrunesLast() != (len(c.prune) == 1 && c.prune[0] == "web last") {
			t.Errorf("%s: guard %v (-want +got):\n%s", c.why, p.Guard, diff)
		}
	}
}
