package objects_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/promotion/objects"
	"github.com/waybill-dev/waybill/test/env"
	"github.com/waybill-dev/waybill/warehouse"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestStore: what steps record is merged, stays within its limits, and is what
// expressions read, on a real API server.
func TestStore(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a control plane")
	}
	e := env.Start(t, env.Options{})
	must(t, e.InstallCRDsContext(t.Context(), "../../charts/waybill/crds"))
	scheme := runtime.NewScheme()
	must(t, errors.Join(v1alpha1.AddToScheme(scheme), corev1.AddToScheme(scheme)))
	c, err := client.New(e.Config, client.Options{Scheme: scheme})
	must(t, err)
	ctx := t.Context()
	must(t, c.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "guestbook"}}))
	stage := &v1alpha1.Stage{ObjectMeta: metav1.ObjectMeta{Namespace: "guestbook", Name: "test"}}
	stage.Spec.RequestedFreight = []v1alpha1.FreightRequest{{Origin: v1alpha1.Origin{Kind: "Warehouse", Name: "guestbook"}, Sources: v1alpha1.FreightSources{Direct: true}}}
	must(t, c.Create(ctx, stage))
	for i, name := range []string{"f1", "f2"} {
		f := &v1alpha1.Freight{
			ObjectMeta: metav1.ObjectMeta{Namespace: "guestbook", Name: name, Labels: map[string]string{v1alpha1.LabelAlias: "amber-" + name}},
			Alias:      "amber-" + name, Origin: v1alpha1.Origin{Kind: "Warehouse", Name: "guestbook"}, Order: int64(i + 1),
			Images: []v1alpha1.Image{{RepoURL: "registry.example.com/guestbook", Tag: "1.27.0", Digest: "sha256:" + strings.Repeat("a", 64)}},
		}
		must(t, c.Create(ctx, f))
	}
	s := &objects.Store{Client: c, Status: c, Live: c}
	p := &v1alpha1.Promotion{ObjectMeta: metav1.ObjectMeta{Namespace: "guestbook", Name: "test.1.f1"}}
	call := func(function string, args ...any) any {
		t.Helper()
		v, err := s.Functions(ctx, p, nil)[function](args...)
		must(t, err)
		return v
	}

	must(t, s.SetMetadata(ctx, "guestbook", "Stage", "test", map[string]any{"a": map[string]any{"x": 1.0}, "b": "text"}))
	must(t, s.SetMetadata(ctx, "guestbook", "Stage", "test", map[string]any{"a": map[string]any{"y": true}, "b": nil, "c": []any{"d"}}))
	want := map[string]any{"a": map[string]any{"y": true}, "c": []any{"d"}}
	if d := cmp.Diff(any(want), call("stageMetadata", "test")); d != "" {
		t.Errorf("metadata of the Stage: %s", d)
	}
	if got := call("stageMetadata", "test", "none"); got != nil {
		t.Errorf("a name that is not there gives %v", got)
	}
	must(t, s.SetMetadata(ctx, "guestbook", "Freight", "f1", map[string]any{"tested": true}))
	if got := call("freightMetadata", "f1", "tested"); got != true {
		t.Errorf("metadata of the Freight: %v", got)
	}
	status, _ := call("freightStatus", "f1").(map[string]any)
	if d := cmp.Diff(map[string]any{"currentlyIn": map[string]any{}, "verifiedIn": map[string]any{}, "metadata": map[string]any{"tested": true}}, status); d != "" {
		t.Errorf("status of the Freight: %s", d)
	}

	must(t, s.SetAlias(ctx, "guestbook", "f1", "release-7"))
	must(t, s.SetAlias(ctx, "guestbook", "f1", "release-7"))
	var f v1alpha1.Freight
	must(t, c.Get(ctx, client.ObjectKey{Namespace: "guestbook", Name: "f1"}, &f))
	if f.Alias != "release-7" || f.Labels[v1alpha1.LabelAlias] != "release-7" {
		t.Errorf("alias %q, labelled %q", f.Alias, f.Labels[v1alpha1.LabelAlias])
	}

	for why, c := range map[string]struct {
		err  error
		want error
	}{
		"another Freight's alias": {s.SetAlias(ctx, "guestbook", "f2", "release-7"), warehouse.ErrAliasTaken},
		"an alias that is none":   {s.SetAlias(ctx, "guestbook", "f2", "Release 7"), warehouse.ErrAliasInvalid},
		"no such Freight":         {s.SetAlias(ctx, "guestbook", "f3", "new"), objects.ErrNotFound},
		"another Project's":       {s.SetMetadata(ctx, "other", "Stage", "test", map[string]any{"a": 1}), objects.ErrNotFound},
		"too much":                {s.SetMetadata(ctx, "guestbook", "Stage", "test", map[string]any{"a": strings.Repeat("x", 40<<10)}), objects.ErrTooLarge},
	} {
		if !errors.Is(c.err, c.want) {
			t.Errorf("%s: %v, want %v", why, c.err, c.want)
		}
	}
}
