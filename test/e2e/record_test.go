package e2e

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// TestGitAloneRestoresTheRecord: etcd and history are gone, the definitions are
// applied again. Every Stage shows the Freight it runs, the Freight has its name
// and number, nothing is promoted and no commit is made; what comes next is
// numbered after what was.
func TestGitAloneRestoresTheRecord(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "restore")
	w.guestbook()
	w.startServer()
	stages := []string{"test", "prod"}
	w.pipeline(stages)
	for _, tag := range []string{"1.26.0", "1.26.1", "1.26.2"} {
		w.push(tag)
		w.runs("test", tag)
		if tag == "1.26.1" {
			w.ends(w.promote("prod", tag), v1alpha1.PhaseSucceeded)
		}
	}
	w.runs("prod", "1.26.1")
	w.settled()
	before, commits := w.record(stages), w.git.Git("guestbook", "for-each-ref")

	w.server.stop()
	w.wipe()
	w.startServer()
	w.pipeline(stages)
	w.eventually("every Stage shows its Freight", func() error {
		if d := cmp.Diff(before, w.record(stages)); d != "" {
			return fmt.Errorf("the record differs:\n%s", d)
		}
		return nil
	})
	w.runs("test", "1.26.2")
	w.runs("prod", "1.26.1")
	w.eventually("Freight is verified again", func() error {
		if f := w.freight("1.26.2"); f.Status.Stages["test"].VerifiedAt == nil {
			return fmt.Errorf("not yet: %+v", f.Status.Stages)
		}
		return nil
	})
	if all := w.promotions(""); len(all) > 0 {
		t.Errorf("%d promotions, the first is %s", len(all), all[0].Name)
	}
	if d := cmp.Diff(commits, w.git.Git("guestbook", "for-each-ref")); d != "" {
		t.Errorf("the branches moved:\n%s", d)
	}

	// Life goes on after it.
	w.push("1.26.3")
	w.runs("test", "1.26.3")
	if got, old := w.freight("1.26.3").Order, w.freight("1.26.2").Order; got != old+1 {
		t.Errorf("the next Freight has number %d, after %d", got, old)
	}
	w.ends(w.promote("prod", "1.26.3"), v1alpha1.PhaseSucceeded)
	w.ends(w.rollback("prod"), v1alpha1.PhaseSucceeded)
	w.runs("prod", "1.26.1")
}

// record is what the Stages run, with name and number.
func (w *world) record(stages []string) map[string]string {
	w.t.Helper()
	out := map[string]string{}
	for _, name := range stages {
		s := &v1alpha1.Stage{}
		w.get(name, s)
		for _, c := range s.Status.Current {
			out[name] = fmt.Sprintf("%s %d %s", c.Freight, c.Order, c.Images[0].Tag)
			var f v1alpha1.Freight
			if err := w.client.Get(w.t.Context(), client.ObjectKey{Namespace: w.project, Name: c.Freight}, &f); err != nil {
				out[name] += " " + err.Error()
			} else {
				out[name] += fmt.Sprintf(" %d %s", f.Order, f.Alias)
			}
		}
	}
	return out
}

// wipe takes every object of Waybill away, as if etcd were new. What runs stays.
func (w *world) wipe() {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	in := client.InNamespace(w.project)
	for _, list := range []client.ObjectList{
		&v1alpha1.StageList{}, &v1alpha1.WarehouseList{}, &v1alpha1.PromotionList{}, &v1alpha1.FreightList{}, &v1alpha1.ApplicationList{},
	} {
		if err := w.client.List(ctx, list, in); err != nil {
			w.t.Fatal(err)
		}
		for _, o := range items(list) {
			w.discard(ctx, o)
		}
	}
}
