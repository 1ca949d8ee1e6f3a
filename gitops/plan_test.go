package gitops_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"pgregory.net/rapid"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/gitops"
)

var (
	me    = gitops.Owner{Cluster: "in-cluster", Namespace: "shop", Application: "test", UID: "uid-1"}
	other = gitops.Owner{Cluster: "in-cluster", Namespace: "shop", Application: "other", UID: "uid-2"}
)

func configMap(name string) *unstructured.Unstructured {
	return object("v1", "ConfigMap", name)
}

func object(apiVersion, kind, name string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": apiVersion, "kind": kind, "metadata": map[string]any{"name": name},
	}}
}

// prepare returns objs as they are applied.
func prepare(t interface{ Fatalf(string, ...any) }, objs ...*unstructured.Unstructured) []gitops.Desired {
	desired, errs := gitops.Prepare(objs, gitops.Preparation{Owner: me, Namespace: "shop-test", Scope: func(gvk schema.GroupVersionKind) (bool, bool) {
		return gvk.Kind != "Namespace" && gvk.Kind != "ClusterRole", true
	}})
	if len(errs) > 0 {
		t.Fatalf("prepare: %v", errs)
	}
	return desired
}

// world is a cluster with what was applied before.
type world struct {
	live      map[gitops.Key]gitops.Live
	inventory []v1alpha1.InventoryEntry
}

// apply puts d into the world as our last apply left it.
func (w *world) apply(d gitops.Desired) {
	if w.live == nil {
		w.live = map[gitops.Key]gitops.Live{}
	}
	uid := "uid-of-" + d.Key.Name
	w.live[d.Key] = gitops.Live{UID: uid, Fingerprint: "fp", OwnerLabel: me.Label(), Owner: me.Annotation()}
	w.inventory = append(w.inventory, v1alpha1.InventoryEntry{
		Group: d.Key.Group, Version: d.Version, Kind: d.Key.Kind, Namespace: d.Key.Namespace, Name: d.Key.Name,
		UID: uid, Hash: d.Hash, Fingerprint: "fp",
	})
}

func (w *world) input(desired []gitops.Desired) gitops.PlanInput {
	in := gitops.PlanInput{
		Owner: me, Desired: desired, Inventory: w.inventory, Prune: true, Heal: true,
		Live:        func(k gitops.Key) (gitops.Live, bool) { l, ok := w.live[k]; return l, ok },
		IsOwnerGone: func(string) bool { return false },
	}
	for k, l := range w.live {
		if l.OwnerLabel == me.Label() && l.Fingerprint != "" {
			in.Owned = append(in.Owned, gitops.Deletion{Key: k, Version: "v1", UID: l.UID})
		}
	}
	return in
}

// summary is a plan in words.
func summary(p gitops.Plan) []string {
	var out []string
	for _, wave := range p.Waves {
		for _, a := range wave {
			line := string(a.Kind) + " " + a.Desired.Key.Name
			if a.Drift != gitops.NoDrift {
				line += " (" + string(a.Drift) + ")"
			}
			out = append(out, line)
		}
	}
	for _, wave := range p.Prune {
		for _, d := range wave {
			out = append(out, fmt.Sprintf("Delete %s %s", d.Key.Name, d.UID))
		}
	}
	for _, k := range p.Kept {
		out = append(out, "Keep "+k.Name)
	}
	for _, e := range p.Conflicts {
		out = append(out, e.Reason+" "+e.Key.Name)
	}
	if p.Guard != nil {
		out = append(out, fmt.Sprintf("Guard %d of %d", p.Guard.Deletions, p.Guard.Of))
	}
	return out
}

func TestMakePlan(t *testing.T) {
	a, b := prepare(t, configMap("a"))[0], prepare(t, configMap("b"))[0]
	changed := func() gitops.Desired {
		o := configMap("a")
		o.Object["data"] = map[string]any{"k": "v"}
		return prepare(t, o)[0]
	}()
	for _, c := range []struct {
		name string
		why  string
		set  func(w *world, in *gitops.PlanInput)
		want []string
		// grows: the stored inventory needs a write before anything else
		grows bool
	}{
		{name: "nothing applied yet", why: "both are created, and named in the inventory first",
			set:  func(_ *world, in *gitops.PlanInput) { in.Desired = []gitops.Desired{b, a} },
			want: []string{"Create a", "Create b"}, grows: true},
		{name: "at rest", why: "no request",
			set: func(w *world, in *gitops.PlanInput) { w.apply(a); *in = w.input([]gitops.Desired{a}) }},
		{name: "new content", why: "one PATCH of the object that changed",
			set: func(w *world, in *gitops.PlanInput) {
				w.apply(a)
				w.apply(b)
				*in = w.input([]gitops.Desired{changed, b})
			},
			want: []string{"Patch a"}},
		{name: "somebody changed it", why: "the fingerprint moved",
			set: func(w *world, in *gitops.PlanInput) {
				w.apply(a)
				l := w.live[a.Key]
				l.Fingerprint = "moved"
				w.live[a.Key] = l
				*in = w.input([]gitops.Desired{a})
			}, want: []string{"Heal a (Changed)"}},
		{name: "somebody changed it and healing is off", why: "it is only noted",
			set: func(w *world, in *gitops.PlanInput) {
				w.apply(a)
				delete(w.live, a.Key)
				*in = w.input([]gitops.Desired{a})
				in.Heal = false
			}},
		{name: "deleted by hand", why: "created again",
			set: func(w *world, in *gitops.PlanInput) {
				w.apply(a)
				delete(w.live, a.Key)
				*in = w.input([]gitops.Desired{a})
			}, want: []string{"Heal a (Deleted)"}},
		{name: "being deleted", why: "waited for: an apply now would be lost",
			set: func(w *world, in *gitops.PlanInput) {
				w.apply(a)
				l := w.live[a.Key]
				l.Terminating = true
				w.live[a.Key] = l
				*in = w.input([]gitops.Desired{changed})
			}},
		{name: "another Application's", why: "an error, not a fight",
			set: func(w *world, in *gitops.PlanInput) {
				w.live = map[gitops.Key]gitops.Live{a.Key: {UID: "x", OwnerLabel: other.Label(), Owner: other.Annotation()}}
				*in = w.input([]gitops.Desired{a, b})
			}, want: []string{"Create b", "OwnedByAnother a"}, grows: true},
		{name: "another Application's that is gone", why: "same Project: adopted",
			set: func(w *world, in *gitops.PlanInput) {
				w.live = map[gitops.Key]gitops.Live{a.Key: {UID: "x", OwnerLabel: other.Label(), Owner: other.Annotation()}}
				*in = w.input([]gitops.Desired{a})
				in.IsOwnerGone = func(string) bool { return true }
			}, want: []string{"Adopt a"}, grows: true},
		{name: "of another Project, gone", why: "never adopted",
			set: func(w *world, in *gitops.PlanInput) {
				far := gitops.Owner{Cluster: "in-cluster", Namespace: "bank", Application: "other", UID: "uid-3"}
				w.live = map[gitops.Key]gitops.Live{a.Key: {UID: "x", OwnerLabel: far.Label(), Owner: far.Annotation()}}
				*in = w.input([]gitops.Desired{a})
				in.IsOwnerGone = func(string) bool { return true }
			}, want: []string{"OwnedByAnother a"}},
		{name: "left the source", why: "deleted with its UID",
			set:  func(w *world, in *gitops.PlanInput) { w.apply(a); w.apply(b); *in = w.input([]gitops.Desired{b}) },
			want: []string{"Delete a uid-of-a"}},
		{name: "left the source, prune off", why: "kept and said so",
			set: func(w *world, in *gitops.PlanInput) {
				w.apply(a)
				w.apply(b)
				*in = w.input([]gitops.Desired{b})
				in.Prune = false
			}, want: []string{"Keep a"}},
		{name: "left the source and was taken over", why: "the entry goes, the object stays: no UID, no request",
			set: func(w *world, in *gitops.PlanInput) {
				w.apply(a)
				w.apply(b)
				w.live[a.Key] = gitops.Live{UID: "uid-of-a", Fingerprint: "x", OwnerLabel: other.Label(), Owner: other.Annotation()}
				*in = w.input([]gitops.Desired{b})
			}, want: []string{"Delete a "}},
		{name: "ours and in no inventory", why: "the inventory was lost: still pruned",
			set: func(w *world, in *gitops.PlanInput) {
				w.apply(a)
				w.apply(b)
				w.inventory = w.inventory[1:]
				*in = w.input([]gitops.Desired{b})
			}, want: []string{"Delete a uid-of-a"}},
		{name: "refused", why: "neither applied nor pruned",
			set: func(w *world, in *gitops.PlanInput) {
				w.apply(a)
				w.apply(b)
				*in = w.input([]gitops.Desired{b})
				in.Refused = []gitops.Key{a.Key}
			}},
		{name: "nothing rendered", why: "a person decides, however few there are",
			set:  func(w *world, in *gitops.PlanInput) { w.apply(a); *in = w.input(nil) },
			want: []string{"Guard 1 of 1"}},
		{name: "nothing rendered and that is allowed", why: "allowEmpty",
			set:  func(w *world, in *gitops.PlanInput) { w.apply(a); *in = w.input(nil); in.AllowEmpty = true },
			want: []string{"Delete a uid-of-a"}},
		{name: "a volume claim left the source", why: "its data would go with it: a person decides",
			set: func(w *world, in *gitops.PlanInput) {
				pvc := prepare(t, object("v1", "PersistentVolumeClaim", "data"))[0]
				w.apply(a)
				w.apply(pvc)
				*in = w.input([]gitops.Desired{a})
			}, want: []string{"Guard 1 of 2"}},
		{name: "an intent that was never carried out", why: "a crash between inventory and apply: created now, no second write",
			set: func(w *world, in *gitops.PlanInput) {
				w.inventory = []v1alpha1.InventoryEntry{{Version: "v1", Kind: "ConfigMap", Namespace: "shop-test", Name: "a"}}
				*in = w.input([]gitops.Desired{a})
			}, want: []string{"Create a"}},
		{name: "an intent whose object exists", why: "a crash between apply and status",
			set: func(w *world, in *gitops.PlanInput) {
				w.apply(a)
				w.inventory = []v1alpha1.InventoryEntry{{Version: "v1", Kind: "ConfigMap", Namespace: "shop-test", Name: "a"}}
				*in = w.input([]gitops.Desired{a})
			}, want: []string{"Patch a"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := &world{}
			in := w.input(nil)
			c.set(w, &in)
			p := gitops.MakePlan(in)
			if diff := cmp.Diff(c.want, summary(p)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", c.why, diff)
			}
			if p.Grows != c.grows {
				t.Errorf("grows %t, want %t", p.Grows, c.grows)
			}
		})
	}
}

func TestGuardCountsDeletions(t *testing.T) {
	for _, c := range []struct {
		total, left int
		guarded     bool
	}{
		{20, 10, false}, // half
		{20, 9, true},   // more than half and more than ten
		{12, 2, false},  // ten
		{12, 1, true},
		{100, 60, false},
	} {
		w := &world{}
		var all []gitops.Desired
		for i := range c.total {
			d := prepare(t, configMap(fmt.Sprintf("m%03d", i)))[0]
			w.apply(d)
			all = append(all, d)
		}
		p := gitops.MakePlan(w.input(all[:c.left]))
		if (p.Guard != nil) != c.guarded {
			t.Errorf("%d of %d left: guard %v", c.left, c.total, p.Guard)
		}
	}
}

func TestOrder(t *testing.T) {
	desired := prepare(t, object("apps/v1", "Deployment", "d"), object("v1", "Service", "s"), object("v1", "ConfigMap", "c"),
		object("v1", "Namespace", "n"), object("networking.k8s.io/v1", "Ingress", "i"), object("example.com/v1", "Widget", "w"))
	w := &world{}
	p := gitops.MakePlan(w.input(desired))
	want := []string{"Create n", "Create c", "Create s", "Create d", "Create i", "Create w"}
	if diff := cmp.Diff(want, summary(p)); diff != "" {
		t.Errorf("creation (-want +got):\n%s", diff)
	}
	for _, d := range desired {
		w.apply(d)
	}
	in := w.input(nil)
	in.AllowEmpty, in.PruneConfirmed = true, true
	var got []string
	for _, line := range summary(gitops.MakePlan(in)) {
		got = append(got, line[:len("Delete x")])
	}
	slices.Reverse(want)
	for i := range want {
		want[i] = "Delete " + want[i][len("Create "):]
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("deletion (-want +got):\n%s", diff)
	}
}

// TestPlanConverges carries plans out in a model of the cluster, with crashes
// at every point, and expects exactly the desired objects in the end, an
// inventory that lists them, and an empty plan; at no time does the cluster
// have an object of ours that the stored inventory does not name.
func TestPlanConverges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := []string{"a", "b", "c", "d", "e"}
		w := &world{live: map[gitops.Key]gitops.Live{}}
		stored := map[gitops.Key]v1alpha1.InventoryEntry{}
		foreign := prepare(t, configMap("foreign"))[0]
		w.live[foreign.Key] = gitops.Live{UID: "f", OwnerLabel: other.Label(), Owner: other.Annotation(), Fingerprint: "x"}
		var desired []gitops.Desired
		uid := 0
		run := func(budget int) (done bool) {
			w.inventory = nil
			for _, e := range stored {
				w.inventory = append(w.inventory, e)
			}
			in := w.input(desired)
			in.AllowEmpty = true
			p := gitops.MakePlan(in)
			step := func() bool { budget--; return budget >= 0 }
			if p.Grows {
				if !step() {
					return false
				}
				for _, e := range p.Inventory {
					if _, known := stored[gitops.EntryKey(e)]; !known {
						stored[gitops.EntryKey(e)] = e
					}
				}
			}
			memory := map[gitops.Key]v1alpha1.InventoryEntry{}
			for k, e := range stored {
				memory[k] = e
			}
			for _, wave := range p.Waves {
				for _, a := range wave {
					if !step() {
						return false
					}
					uid++
					l, exists := w.live[a.Desired.Key]
					if !exists {
						l.UID = fmt.Sprint(uid)
					}
					l.Fingerprint, l.OwnerLabel, l.Owner = fmt.Sprint("fp", uid), me.Label(), me.Annotation()
					w.live[a.Desired.Key] = l
					e := memory[a.Desired.Key]
					e.Version, e.Kind, e.Namespace, e.Name = a.Desired.Version, a.Desired.Key.Kind, a.Desired.Key.Namespace, a.Desired.Key.Name
					e.UID, e.Hash, e.Fingerprint = l.UID, a.Desired.Hash, l.Fingerprint
					memory[a.Desired.Key] = e
				}
			}
			for _, wave := range p.Prune {
				for _, d := range wave {
					if !step() {
						return false
					}
					if l, exists := w.live[d.Key]; exists && l.UID == d.UID {
						delete(w.live, d.Key)
					}
					delete(memory, d.Key)
				}
			}
			if !step() {
				return false
			}
			stored = memory
			return p.IsEmpty() && !p.Grows
		}
		check := func() {
			for k, l := range w.live {
				if _, named := stored[k]; l.OwnerLabel == me.Label() && !named {
					t.Fatalf("%s is ours and in no inventory", k)
				}
			}
			if l := w.live[foreign.Key]; l.OwnerLabel != other.Label() {
				t.Fatalf("%s was taken", foreign.Key)
			}
		}
		for range rapid.IntRange(1, 6).Draw(t, "rounds") {
			desired = nil
			for _, n := range rapid.SliceOfDistinct(rapid.SampledFrom(names), rapid.ID[string]).Draw(t, "objects") {
				o := configMap(n)
				o.Object["data"] = map[string]any{"v": rapid.SampledFrom([]string{"1", "2"}).Draw(t, "content")}
				desired = append(desired, prepare(t, o)...)
			}
			if rapid.Bool().Draw(t, "meddle") {
				for k, l := range w.live {
					if k != foreign.Key {
						l.Fingerprint += "!"
						w.live[k] = l
					}
				}
			}
			run(rapid.IntRange(0, 12).Draw(t, "crash after"))
			check()
		}
		for i := 0; !run(1000); i++ {
			check()
			if i > 3 {
				t.Fatalf("no rest after %d passes", i)
			}
		}
		check()
		if len(stored) != len(desired) || len(w.live) != len(desired)+1 {
			t.Fatalf("%d desired, %d in the inventory, %d live", len(desired), len(stored), len(w.live)-1)
		}
	})
}
