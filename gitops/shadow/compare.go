package shadow

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/gitops"
	"github.com/waybill-dev/waybill/gitops/apply"
	"github.com/waybill-dev/waybill/gitops/cluster"
	"github.com/waybill-dev/waybill/gitops/health"
)

const (
	// fanOut is how many requests an Application has under way.
	fanOut = 8
	// maxFields is how many fields of one object are named.
	maxFields = 10
)

// comparison is one Application beside what lives.
type comparison struct {
	*translated
	cluster *cluster.Cluster
	now     time.Time
	// isNew: Git has a revision that Argo CD did not sync yet.
	isNew   bool
	desired []gitops.Desired
	refused []*gitops.ObjectError
}

// prepare turns rendered objects into those that would be applied. The marks of
// Waybill are left out: that it would add them is no difference.
func (c *comparison) prepare(ctx context.Context, objects []*unstructured.Unstructured, limits gitops.Limits) error {
	ignore, err := gitops.ParseIgnores(c.app.Spec.IgnoreDifferences)
	if err != nil {
		return err //nolint:wrapcheck // names the field
	}
	var unreachable error
	c.desired, c.refused = gitops.Prepare(objects, gitops.Preparation{
		Owner: gitops.OwnerOf(c.app), Namespace: c.app.Spec.Destination.Namespace, SyncOptions: c.app.Spec.SyncPolicy.SyncOptions, Ignore: ignore,
		Scope: func(gvk schema.GroupVersionKind) (bool, bool) {
			kind, served, err := c.cluster.Kind(ctx, gvk)
			if err != nil {
				unreachable = err
			}
			return kind.Namespaced, served
		},
	})
	if unreachable != nil {
		return unreachable
	}
	c.refused = append(c.refused, gitops.CheckLimits(limits, gitops.OwnerOf(c.app).Cluster, c.desired)...)
	for i := range c.desired {
		obj := c.desired[i].Object.DeepCopy()
		unstructured.RemoveNestedField(obj.Object, "metadata", "labels", v1alpha1.LabelManagedBy)
		unstructured.RemoveNestedField(obj.Object, "metadata", "annotations", v1alpha1.AnnotationOwner)
		c.desired[i].Object, c.desired[i].Body = obj, nil
	}
	return nil
}

// marks are what Argo CD writes on objects and takes for its own.
func marks() []string {
	return []string{
		`metadata.annotations["argocd.argoproj.io/tracking-id"]`, `metadata.annotations["argocd.argoproj.io/installation-id"]`,
		`metadata.annotations["kubectl.kubernetes.io/last-applied-configuration"]`, gitops.PathOfLabel("app.kubernetes.io/instance"),
	}
}

// actions reads every object and says what would happen to it.
func (c *comparison) actions(ctx context.Context) ([]Action, error) {
	var (
		mu    sync.Mutex
		out   []Action
		group errgroup.Group
	)
	group.SetLimit(fanOut)
	reader := apply.New(c.cluster, fanOut)
	for _, d := range c.desired {
		if d.Options.IsHook() {
			continue
		}
		group.Go(func() error {
			live, err := reader.ReadWhole(ctx, d.Key, d.Version)
			var named *apply.Error
			isUnserved := errors.As(err, &named) && named.Reason == apply.KindUnknown
			if err != nil && !isUnserved {
				return fmt.Errorf("read %s: %w", d.Key, err)
			}
			found := c.compare(d, live)
			mu.Lock()
			defer mu.Unlock()
			out = append(out, found...)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err //nolint:wrapcheck // names the object
	}
	pruned, err := c.pruned(ctx, reader)
	if err != nil {
		return nil, err
	}
	out = append(out, pruned...)
	slices.SortFunc(out, func(a, b Action) int {
		return gitops.Key{Group: a.Group, Kind: a.Kind, Namespace: a.Namespace, Name: a.Name}.
			Compare(gitops.Key{Group: b.Group, Kind: b.Kind, Namespace: b.Namespace, Name: b.Name})
	})
	return out, nil
}

// compare says what would happen to one object.
func (c *comparison) compare(d gitops.Desired, live *unstructured.Unstructured) []Action {
	if live == nil {
		kind, reason := c.kindOf("it is missing")
		if kind == ActionApply || kind == ActionHeal {
			kind = ActionCreate
		}
		return []Action{action(kind, d.Key, reason)}
	}
	var out []Action
	fields := fieldsOf(d, live)
	if len(fields) > 0 {
		kind, reason := c.kindOf("it differs from Git")
		out = append(out, action(kind, d.Key, reason, fields[:min(len(fields), maxFields)]...))
	}
	if a, differs := c.judge(d.Key, live); differs {
		out = append(out, a)
	}
	return out
}

// kindOf is what Waybill does with an object that is not as Git says.
func (c *comparison) kindOf(what string) (ActionKind, string) {
	switch {
	case c.isNew && c.automated:
		return ActionApply, what + ", and Argo CD has not synced this revision"
	case c.isNew:
		return ActionReport, what + "; syncs are made by hand here"
	case c.heals():
		return ActionHeal, what + " since the last sync"
	default:
		return ActionReport, what + " since the last sync, and selfHeal is off"
	}
}

// judge compares the health that Waybill sees with what Argo CD says.
func (c *comparison) judge(key gitops.Key, live *unstructured.Unstructured) (Action, bool) {
	ours := health.Assess(live, c.now)
	for _, r := range c.resources {
		if r.key() != key {
			continue
		}
		if ours.Status == "" || r.Health.Status == "" || string(ours.Status) == r.Health.Status {
			return Action{}, false
		}
		reason := fmt.Sprintf("Argo CD says %s, Waybill %s", r.Health.Status, ours.Status)
		if ours.Message != "" {
			reason += ": " + ours.Message
		}
		return action(ActionHealth, key, reason), true
	}
	return Action{}, false
}

// fieldsOf names the fields that Git and the cluster say differently, with who wrote
// them, and those that left Git.
func fieldsOf(d gitops.Desired, live *unstructured.Unstructured) []Field {
	wrote := map[string]string{}
	for _, f := range gitops.Changes(d, live, true) {
		wrote[f.Field] = f.Manager
	}
	var out []Field
	for _, f := range gitops.NonConvergent(d, live) {
		out = append(out, Field{Field: f.Field, Want: f.Want, Got: f.Got, Manager: wrote[f.Field]})
	}
	for _, f := range gitops.Leftovers(d, live, argoManager, marks()...) {
		out = append(out, Field{Field: f.Field, Got: f.Got, Manager: f.Manager})
	}
	return out
}

// pruned says what would happen to what Argo CD counts among the Application and Git
// does not have.
func (c *comparison) pruned(ctx context.Context, reader *apply.Applier) ([]Action, error) {
	wanted := map[gitops.Key]bool{}
	for _, d := range c.desired {
		wanted[d.Key] = true
	}
	in := gitops.PlanInput{Desired: c.desired}
	if a := c.app.Spec.SyncPolicy.Automated; a != nil {
		in.Prune, in.AllowEmpty = a.Prune, a.AllowEmpty
	}
	var list []gitops.Deletion
	var out []Action
	for _, r := range c.resources {
		if r.Hook {
			continue
		}
		in.Inventory = append(in.Inventory, v1alpha1.InventoryEntry{Group: r.Group, Version: r.Version, Kind: r.Kind, Namespace: r.Namespace, Name: r.Name})
		if wanted[r.key()] {
			continue
		}
		live, err := reader.ReadWhole(ctx, r.key(), r.Version)
		var named *apply.Error
		switch {
		case errors.As(err, &named) && named.Reason == apply.KindUnknown:
			continue
		case err != nil:
			return nil, fmt.Errorf("read %s: %w", r.key(), err)
		case live == nil:
			continue
		case gitops.OptionsOf(live.GetAnnotations(), c.app.Spec.SyncPolicy.SyncOptions).KeepOnPrune:
			out = append(out, action(ActionKeep, r.key(), "it left the source, and its options keep it"))
		case !in.Prune || !c.automated:
			out = append(out, action(ActionKeep, r.key(), "it left the source, and prune is off"))
		default:
			list = append(list, gitops.Deletion{Key: r.key(), Version: r.Version, UID: string(live.GetUID())})
		}
	}
	guard := gitops.GuardPrune(in, list)
	for _, d := range list {
		if guard != nil {
			out = append(out, action(ActionRefuse, d.Key, "it left the source: "+guard.Message))
			continue
		}
		out = append(out, action(ActionPrune, d.Key, "it left the source"))
	}
	return out, nil
}
