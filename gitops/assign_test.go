package gitops_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/waybill-dev/waybill/gitops"
)

func TestAssignments(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, why, path, base, live, want string
		refused                           bool
	}{
		{name: "value", path: "spec.replicas", base: "spec: {replicas: 1}", live: "spec: {replicas: 4}", want: "spec: {replicas: 4}"},
		{name: "equal", path: "spec.replicas", base: "spec: {replicas: 1}", live: "spec: {replicas: 1, x: 2}", want: "spec: {replicas: 1}"},
		{name: "added label", path: `metadata.labels["a/b"]`, base: "metadata: {name: x}", live: "metadata: {name: x, labels: {a/b: c, d: e}}", want: "metadata: {name: x, labels: {a/b: c}}"},
		{name: "removed", path: "spec.a", base: "spec: {a: 1, b: 2}", live: "spec: {b: 2}", want: "spec: {b: 2}"},
		{
			name: "item by key", path: "c[name=web].image", base: "c: [{name: a}, {name: web, image: x}]", live: "c: [{name: web, image: y}, {name: a}]",
			want: "c: [{name: a}, {name: web, image: y}]",
		},
		{
			name: "into a new item", why: "only what is named comes, with its key", path: "c[name=new].image", base: "c: [{name: a}]",
			live: "c: [{name: a}, {name: new, image: y, defaulted: z}]", want: "c: [{name: a}, {name: new, image: y}]",
		},
		{name: "first item", path: "c[name=new].image", base: "d: 1", live: "c: [{name: new, image: y}]", want: "{d: 1, c: [{name: new, image: y}]}"},
		{name: "map", path: "m", base: "m: {a: 1, b: 2}", live: "m: {a: 2, c: {d: 3}}", want: "m: {a: 2, c: {d: 3}}"},
		{name: "list grows", path: "l", base: "l: [1]", live: "l: [2, 3]", want: "l: [2, 3]"},
		{name: "list shrinks", path: "l", base: "l: [1, 2]", live: "l: [1]", refused: true},
		{name: "value becomes map", path: "l", base: "l: 1", live: "l: {a: 1}", refused: true},
		{name: "map becomes value", path: "l", base: "l: {a: 1}", live: "l: 1", refused: true},
		{name: "every item", path: "l[*].a", base: "l: [{a: 1}, {a: 2}]", live: "l: [{a: 1}, {a: 3}]", refused: true},
		{name: "not there at all", path: "x.y", base: "a: 1", live: "a: 1", want: "a: 1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			path, err := gitops.ParsePath(tc.path)
			if err != nil {
				t.Fatal(err)
			}
			base, live, want := decode(t, tc.base), decode(t, tc.live), decode(t, tc.want)
			list, err := gitops.Assignments(path, base, live)
			if tc.refused {
				if !errors.Is(err, gitops.ErrNotAssignable) {
					t.Fatalf("%v, %v: it is refused", list, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := gitops.Assign(base, list); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, base); diff != "" {
				t.Errorf("%s (-want +got)\n%s", tc.why, diff)
			}
			if again, err := gitops.Assignments(path, base, live); err != nil || len(again) > 0 {
				t.Errorf("%v, %v: done twice changes nothing", again, err)
			}
		})
	}
}

func decode(t *testing.T, text string) map[string]any {
	t.Helper()
	var out map[string]any
	if err := yaml.Unmarshal([]byte(text), &out); err != nil {
		t.Fatal(err)
	}
	return out
}
