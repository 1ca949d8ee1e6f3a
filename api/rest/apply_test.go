package rest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/api/v1alpha1"
)

func files(contents ...string) model.ApplyRequest {
	var out model.ApplyRequest
	for i, c := range contents {
		out.Files = append(out.Files, model.ManifestFile{Name: fmt.Sprintf("%d.yaml", i+1), Content: c})
	}
	return out
}

// summary is "Kind name action" of each document, in the order of the answer.
func summary(r model.ApplyResult) string {
	var out []string
	for _, d := range r.Items {
		out = append(out, fmt.Sprintf("%s %s %s", d.Kind, d.Name, d.Action))
	}
	return strings.Join(out, ", ")
}

func TestApply(t *testing.T) {
	admin := shared.as(t, "admin")
	name := "p-apply"
	manifest := manifestOf(name) + fmt.Sprintf("---\napiVersion: v1\nkind: Secret\nmetadata: {name: git, namespace: %s, labels: {waybill.dev/cred-type: git}}\nstringData: {repoURL: 'https://git.example.com', username: bot, password: canary-in-apply}\n", name)

	t.Run("dry run changes nothing", func(t *testing.T) {
		var out model.ApplyResult
		admin.do(t, "POST", "/api/v1/apply?dryRun=true", files(manifest)).into(t, &out)
		if out.Failed != 0 {
			t.Fatalf("%+v", out)
		}
		err := shared.admin.Get(t.Context(), client.ObjectKey{Name: name}, &v1alpha1.Project{})
		if !apierrors.IsNotFound(err) {
			t.Fatalf("the Project is there: %v", err)
		}
	})

	t.Run("all at once, in the right order", func(t *testing.T) {
		// Stages first in the file, Project last: apply orders them.
		parts := strings.Split(strings.TrimPrefix(manifest, "---\n"), "---\n")
		var reversed []string
		for i := len(parts) - 1; i >= 0; i-- {
			reversed = append(reversed, parts[i])
		}
		var out model.ApplyResult
		admin.do(t, "POST", "/api/v1/apply", files(strings.Join(reversed, "---\n"))).into(t, &out)
		want := "Secret git created, Stage prod created, Stage uat created, Stage test created, Warehouse main created, Namespace p-apply created, Project p-apply created"
		if got := summary(out); got != want {
			t.Fatalf("got  %s\nwant %s\n%+v", got, want, out)
		}
		var ns corev1.Namespace
		if err := shared.admin.Get(t.Context(), client.ObjectKey{Name: name}, &ns); err != nil || len(ns.Annotations) > 0 {
			t.Errorf("a person made the Namespace, and the Project takes it along when it goes: %v %v", ns.Annotations, err)
		}
		var st v1alpha1.Stage
		if err := shared.admin.Get(t.Context(), client.ObjectKey{Namespace: name, Name: "prod"}, &st); err != nil {
			t.Fatal(err)
		}
		if m := st.ManagedFields[0]; m.Manager != fieldManager || m.Operation != "Apply" {
			t.Errorf("managed by %s %s", m.Manager, m.Operation)
		}
	})

	t.Run("again: unchanged; a change: configured", func(t *testing.T) {
		var out model.ApplyResult
		admin.do(t, "POST", "/api/v1/apply", files(manifest)).into(t, &out)
		if got := summary(out); strings.Contains(got, "created") || strings.Contains(got, "configured") {
			t.Fatal(got)
		}
		withDefault := strings.Replace(manifest, "interval: 1m", "interval: 1m\n  freightCreationPolicy: Automatic", 1)
		admin.do(t, "POST", "/api/v1/apply", files(withDefault)).into(t, &out)
		if got := summary(out); strings.Contains(got, "created") || strings.Contains(got, "configured") {
			t.Fatalf("a default that is written out: %s", got)
		}
		changed := strings.Replace(manifest, "interval: 1m", "interval: 2m", 1)
		admin.do(t, "POST", "/api/v1/apply", files(changed)).into(t, &out)
		if got := summary(out); strings.Count(got, "configured") != 1 || !strings.Contains(got, "Warehouse main configured") {
			t.Fatal(got)
		}
	})

	t.Run("a field somebody else manages", func(t *testing.T) {
		var w v1alpha1.Warehouse
		key := client.ObjectKey{Namespace: name, Name: "main"}
		if err := shared.admin.Get(t.Context(), key, &w); err != nil {
			t.Fatal(err)
		}
		before := w.DeepCopy()
		w.Spec.Interval.Duration *= 3
		if err := shared.admin.Patch(t.Context(), &w, client.MergeFrom(before), client.FieldOwner("kubectl-edit")); err != nil {
			t.Fatal(err)
		}
		var out model.ApplyResult
		admin.do(t, "POST", "/api/v1/apply", files(manifest)).into(t, &out)
		if out.Failed != 1 {
			t.Fatalf("%s", summary(out))
		}
		for _, d := range out.Items {
			if d.Kind == "Warehouse" && (d.Problem.Code != model.Conflict || d.Problem.Hint != "--force takes the fields over" || !strings.Contains(d.Problem.Detail, "kubectl-edit")) {
				t.Errorf("%+v", d.Problem)
			}
		}
		admin.do(t, "POST", "/api/v1/apply?force=true", files(manifest)).into(t, &out)
		if out.Failed != 0 {
			t.Fatalf("%s", summary(out))
		}
	})

	t.Run("what Kubernetes refuses names file, document, line and field", func(t *testing.T) {
		bad := strings.Replace(manifest, "interval: 1m", "interval: 1s", 1)
		var out model.ApplyResult
		admin.do(t, "POST", "/api/v1/apply", files("# nothing\n", bad)).into(t, &out)
		for _, d := range out.Items {
			if d.Kind != "Warehouse" {
				continue
			}
			p := d.Problem
			if p.Code != model.InvalidManifest || len(p.Errors) == 0 || p.Errors[0].Line != 14 || p.Errors[0].Field != "spec.interval" ||
				!strings.HasPrefix(p.Detail, "2.yaml: document 3, line 14: spec.interval: ") {
				t.Fatalf("%+v", p)
			}
			return
		}
		t.Fatalf("%+v", out)
	})

	t.Run("nothing is applied when one document cannot be read", func(t *testing.T) {
		two := strings.ReplaceAll(manifestOf("p-apply-two"), "constraint:", "semverConstraint:")
		a := admin.do(t, "POST", "/api/v1/apply", files(manifestOf("p-apply-three"), two))
		p := a.problem(t)
		if a.status != http.StatusUnprocessableEntity || p.Code != model.InvalidManifest || len(p.Errors) != 1 || p.Errors[0].File != "2.yaml" ||
			p.Errors[0].Document != 3 || p.Errors[0].Line == 0 || p.Errors[0].Pointer != "/spec/subscriptions/0/image/semverConstraint" || p.Errors[0].Detail != "semverConstraint is now constraint" {
			t.Fatalf("%d %s", a.status, a.body)
		}
		if err := shared.admin.Get(t.Context(), client.ObjectKey{Name: "p-apply-three"}, &v1alpha1.Project{}); !apierrors.IsNotFound(err) {
			t.Fatalf("the first file was applied: %v", err)
		}
	})

	t.Run("a cycle with what is there already", func(t *testing.T) {
		cycle := fmt.Sprintf("apiVersion: waybill.dev/v1alpha1\nkind: Stage\nmetadata: {name: test, namespace: %s}\nspec:\n  requestedFreight:\n  - {origin: {name: main}, sources: {stages: [prod]}}\n", name)
		eventually(t, func() error {
			a := admin.do(t, "POST", "/api/v1/apply", files(cycle))
			if a.status != http.StatusUnprocessableEntity || !strings.Contains(string(a.body), "Stages wait for each other") {
				return fmt.Errorf("%d %s", a.status, a.body)
			}
			return nil
		})
	})

	t.Run("an unknown Warehouse is a warning", func(t *testing.T) {
		stage := "apiVersion: waybill.dev/v1alpha1\nkind: Stage\nmetadata: {name: lab}\nspec:\n  requestedFreight:\n  - {origin: {name: nowhere}, sources: {direct: true}}\n"
		var out model.ApplyResult
		admin.do(t, "POST", "/api/v1/apply?project="+name, files(stage)).into(t, &out)
		if out.Failed != 0 || len(out.Warnings) != 1 || !strings.Contains(out.Warnings[0].Detail, `no Warehouse "nowhere"`) || out.Items[0].Namespace != name {
			t.Fatalf("%+v", out)
		}
	})

	t.Run("YAML as it is", func(t *testing.T) {
		a := admin.do(t, "POST", "/api/v1/apply", manifest, "Content-Type: application/yaml")
		var out model.ApplyResult
		a.into(t, &out)
		if out.Failed != 0 || out.Items[0].File != "-" {
			t.Fatalf("%+v", out)
		}
	})

	t.Run("diff says how each object changes, and masks what a Secret holds", func(t *testing.T) {
		changed := strings.NewReplacer("interval: 2m", "interval: 7m", "interval: 1m", "interval: 7m", "canary-in-apply", "canary-of-diff").Replace(manifest)
		a := admin.do(t, "POST", "/api/v1/apply?dryRun=true&diff=true", files(changed))
		var out model.ApplyResult
		a.into(t, &out)
		if strings.Contains(string(a.body), "canary") {
			t.Fatalf("a Secret's value is in the answer: %s", a.body)
		}
		changes := map[string]string{}
		for _, d := range out.Items {
			changes[d.Kind+"/"+d.Name] = d.Change.Diff
		}
		if d := changes["Warehouse/main"]; !strings.Contains(d, "-  interval: 1m") || !strings.Contains(d, "+  interval: 7m") || strings.Contains(d, "generation") {
			t.Errorf("Warehouse: %s", d)
		}
		if got := summary(out); strings.Count(got, "configured") != 2 || !strings.Contains(got, "Secret git configured") {
			t.Errorf("a dry run sees what changes: %s", got)
		}
		if changes["Stage/test"] != "" || changes["Project/p-apply"] != "" {
			t.Errorf("%+v", changes)
		}
		admin.do(t, "POST", "/api/v1/apply?dryRun=true&diff=true", files(manifestOf("p-apply-never"))).into(t, &out)
		if d := out.Items[len(out.Items)-1]; !strings.Contains(d.Change.Diff, "+kind: Stage") {
			t.Errorf("of a new Project: %+v", d)
		}
	})

	t.Run("prune deletes what was applied before and is in no file", func(t *testing.T) {
		var out model.ApplyResult
		whole := manifestOf("p-apply-prune")
		admin.do(t, "POST", "/api/v1/apply", files(whole)).into(t, &out)
		if out.Failed != 0 {
			t.Fatalf("%+v", out)
		}
		byKubectl := &v1alpha1.Stage{}
		byKubectl.Name, byKubectl.Namespace = "lab", "p-apply-prune"
		byKubectl.Spec.RequestedFreight = []v1alpha1.FreightRequest{{Origin: v1alpha1.Origin{Kind: "Warehouse", Name: "main"}, Sources: v1alpha1.FreightSources{Direct: true}}}
		if err := shared.admin.Create(t.Context(), byKubectl); err != nil {
			t.Fatal(err)
		}
		parts := strings.Split(whole, "---\n")
		without := strings.Join(parts[:len(parts)-1], "---\n") // the last is Stage prod
		if !strings.Contains(parts[len(parts)-1], "name: prod") {
			t.Fatalf("the last document is %s", parts[len(parts)-1])
		}

		admin.do(t, "POST", "/api/v1/apply?prune=true&dryRun=true&diff=true", files(without)).into(t, &out)
		if last := out.Items[len(out.Items)-1]; last.Action != model.DocumentResultActionPruned || last.Name != "prod" || last.Change.Change != model.ObjectChangeChangeDeleted {
			t.Fatalf("%+v", out.Items)
		}
		key := client.ObjectKey{Namespace: "p-apply-prune", Name: "prod"}
		if err := shared.admin.Get(t.Context(), key, &v1alpha1.Stage{}); err != nil {
			t.Fatalf("after a dry run: %v", err)
		}

		for query, body := range map[string]model.ApplyRequest{"the Project alone": files(parts[1]), "no Project": files(parts[len(parts)-1])} {
			a := admin.do(t, "POST", "/api/v1/apply?prune=true", body)
			if p := a.problem(t); a.status != http.StatusBadRequest || p.Hint == "" {
				t.Errorf("%s: %d %s", query, a.status, a.body)
			}
		}
		// Somebody who may not delete deletes nothing.
		viewer := shared.as(t, "victor")
		if a := viewer.do(t, "POST", "/api/v1/apply?prune=true", files(without)); a.status == http.StatusOK && strings.Contains(string(a.body), "pruned\"") && !strings.Contains(string(a.body), "nothing was pruned") {
			t.Errorf("as victor: %s", a.body)
		}
		if err := shared.admin.Get(t.Context(), key, &v1alpha1.Stage{}); err != nil {
			t.Fatalf("before the prune: %v", err)
		}

		admin.do(t, "POST", "/api/v1/apply?prune=true", files(without)).into(t, &out)
		if got := summary(out); strings.Count(got, "pruned") != 1 || !strings.HasSuffix(got, "Stage prod pruned") {
			t.Fatal(got)
		}
		eventually(t, func() error {
			if err := shared.admin.Get(t.Context(), key, &v1alpha1.Stage{}); !apierrors.IsNotFound(err) {
				return fmt.Errorf("Stage prod: %v", err)
			}
			return nil
		})
		if err := shared.admin.Get(t.Context(), client.ObjectKeyFromObject(byKubectl), &v1alpha1.Stage{}); err != nil {
			t.Errorf("what kubectl made: %v", err)
		}
	})

	t.Run("the Namespace of a new Project is awaited", func(t *testing.T) {
		late := "p-apply-late"
		done := make(chan error, 1)
		go func() { done <- makeNamespaceAfterProject(t, late) }()
		without := strings.Replace(manifestOf(late), fmt.Sprintf("---\napiVersion: v1\nkind: Namespace\nmetadata: {name: %s, labels: {waybill.dev/project: \"true\"}}\n", late), "", 1)
		var out model.ApplyResult
		admin.do(t, "POST", "/api/v1/apply", files(without)).into(t, &out)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if out.Failed != 0 || len(out.Items) != 5 {
			t.Fatalf("%+v", out)
		}
	})
}

// makeNamespaceAfterProject does what the Project controller does.
func makeNamespaceAfterProject(t *testing.T, name string) error {
	w, err := client.NewWithWatch(shared.env.Config, client.Options{Scheme: shared.admin.Scheme()})
	if err != nil {
		return err
	}
	watcher, err := w.Watch(t.Context(), &v1alpha1.ProjectList{})
	if err != nil {
		return err
	}
	defer watcher.Stop()
	for e := range watcher.ResultChan() {
		if p, ok := e.Object.(*v1alpha1.Project); ok && p.Name == name {
			ns := &corev1.Namespace{}
			ns.Name, ns.Labels = name, map[string]string{v1alpha1.LabelProject: "true"}
			return w.Create(t.Context(), ns)
		}
	}
	return fmt.Errorf("no Project %q came", name)
}

// TestApplyGivesNoRights: a document that fails, or a Project that somebody may
// make, gives no rights for the next document.
func TestApplyGivesNoRights(t *testing.T) {
	f := newProject(t)
	secret := fmt.Sprintf("---\napiVersion: v1\nkind: Secret\nmetadata: {name: mine, namespace: %s, labels: {waybill.dev/cred-type: git}}\nstringData: {repoURL: 'https://evil.example', username: u, password: x}\n", f.name)
	for _, who := range []string{"mallory", "victor", "alice"} {
		var out model.ApplyResult
		shared.as(t, who).do(t, "POST", "/api/v1/apply?force=true", files(strings.ReplaceAll(manifestOf(f.name), "stage/", "hijacked/")+secret)).into(t, &out)
		for _, d := range out.Items {
			// Somebody who sees the Project is told that its Namespace needs nothing.
			if d.Action != model.DocumentResultActionFailed && d.Kind != "Namespace" {
				t.Errorf("%s applied %s %s: %s", who, d.Kind, d.Name, d.Action)
			}
			if who == "mallory" && d.Action != model.DocumentResultActionFailed {
				t.Errorf("%s learnt of %s %s", who, d.Kind, d.Name)
			}
		}
	}
	err := shared.admin.Get(t.Context(), client.ObjectKey{Namespace: f.name, Name: "mine"}, &corev1.Secret{})
	if !apierrors.IsNotFound(err) {
		t.Fatalf("the Secret is there: %v", err)
	}
	var st v1alpha1.Stage
	if err := shared.admin.Get(t.Context(), client.ObjectKey{Namespace: f.name, Name: "prod"}, &st); err != nil {
		t.Fatal(err)
	}
	if got := st.Spec.PromotionMechanisms.GitRepoUpdates[0].WriteBranch; got != "stage/prod" {
		t.Fatalf("the Stage was changed: %s", got)
	}
}

// TestApplyToWhatIsBeingDeleted: what is written to it would go with it.
func TestApplyToWhatIsBeingDeleted(t *testing.T) {
	f := newProject(t)
	admin := shared.as(t, "admin")
	w := v1alpha1.Warehouse{ObjectMeta: metav1.ObjectMeta{Namespace: f.name, Name: "going", Finalizers: []string{"example.com/later"}}}
	w.Spec.Interval.Duration, w.Spec.Subscriptions = time.Minute, []v1alpha1.Subscription{{Image: &v1alpha1.ImageSubscription{RepoURL: image}}}
	if err := errors.Join(shared.admin.Create(t.Context(), &w), shared.admin.Delete(t.Context(), &w)); err != nil {
		t.Fatal(err)
	}
	manifest := files(fmt.Sprintf("apiVersion: waybill.dev/v1alpha1\nkind: Warehouse\nmetadata: {name: going, namespace: %s}\nspec: {subscriptions: [{image: {repoURL: %s}}]}\n", f.name, image))
	for _, how := range []string{"?dryRun=true", ""} {
		var out model.ApplyResult
		admin.do(t, "POST", "/api/v1/apply"+how, manifest).into(t, &out)
		if p := out.Items[0].Problem; p.Code != model.Conflict || p.Detail != `Warehouse "going" is being deleted` || p.Hint == "" {
			t.Errorf("%q: %+v", how, p)
		}
	}

	released := make(chan error, 1)
	time.AfterFunc(time.Second, func() {
		released <- shared.admin.Patch(context.Background(), &w, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`)))
	})
	var out model.ApplyResult
	admin.do(t, "POST", "/api/v1/apply", manifest).into(t, &out)
	if err := <-released; err != nil {
		t.Fatal(err)
	}
	if out.Items[0].Action != model.DocumentResultActionCreated {
		t.Errorf("when it is gone: %+v", out.Items[0])
	}
}

func TestDefinitions(t *testing.T) {
	f := newProject(t)
	victor, admin := shared.as(t, "victor"), shared.as(t, "admin")
	var d model.Definition
	a := victor.do(t, "GET", f.path("/definitions/stages/prod"), nil)
	a.into(t, &d)
	meta, _ := d["metadata"].(map[string]any)
	if d["apiVersion"] != "waybill.dev/v1alpha1" || d["kind"] != "Stage" || meta["name"] != "prod" || meta["managedFields"] != nil {
		t.Fatalf("%s", a.body)
	}
	tag := a.header.Get("ETag")
	var list model.DefinitionList
	victor.get(t, f.path("/definitions/freights?limit=2"), &list)
	if len(list.Items) != 2 || list.NextPage == "" {
		t.Fatalf("%+v", list)
	}
	var rest model.DefinitionList
	victor.get(t, f.path("/definitions/freights?limit=2&page="+list.NextPage), &rest)
	if len(rest.Items) != 1 || rest.NextPage != "" || rest.Items[0]["kind"] != "Freight" {
		t.Fatalf("%+v", rest)
	}
	for path, want := range map[string]int{"/definitions/secrets": 400, "/definitions/stages/nope": 404, "/definitions/stages?limit=501": 400, "/definitions/stages?page=garbage": 400, "/definitions/stages/..": 400} {
		if got := victor.do(t, "GET", f.path(path), nil); got.status != want {
			t.Errorf("%s: %d, want %d: %s", path, got.status, want, got.body)
		}
	}
	victor.get(t, "/api/v1/definitions/projects/"+f.name, &d)
	if d["kind"] != "Project" {
		t.Fatalf("%v", d)
	}
	for _, path := range []string{f.path("/definitions/stages/prod"), "/api/v1/definitions/projects/" + f.name} {
		known := victor.do(t, "GET", path, nil).header.Get("ETag")
		for list, want := range map[string]int{known: 304, "W/" + known: 304, `"x", ` + known: 304, "*": 304, `"x"`: 200, strings.Trim(known, `"`): 200} {
			a := victor.do(t, "GET", path, nil, "If-None-Match: "+list)
			if a.status != want || a.header.Get("ETag") != known || (a.status == 304) != (len(a.body) == 0) {
				t.Errorf("%s of what is %q: %d, ETag %q, %d bytes", path, list, a.status, a.header.Get("ETag"), len(a.body))
			}
		}
		if a := admin.do(t, "DELETE", path, nil); a.status != http.StatusPreconditionRequired || a.problem(t).Code != model.PreconditionRequired {
			t.Errorf("blind delete: %d %s", a.status, a.body)
		}
	}
	// Applying what was read changes nothing, although status and uid are in it.
	if a := admin.do(t, "DELETE", f.path("/definitions/stages/prod"), nil, `If-Match: "1"`); a.status != http.StatusPreconditionFailed {
		t.Errorf("delete of another version: %d %s", a.status, a.body)
	}
	if a := admin.do(t, "DELETE", f.path("/definitions/stages/prod"), nil, "If-Match: "+tag); a.status != http.StatusAccepted {
		t.Errorf("delete: %d %s", a.status, a.body)
	}
	if err := shared.admin.Get(t.Context(), client.ObjectKey{Namespace: f.name, Name: "prod"}, &v1alpha1.Stage{}); !apierrors.IsNotFound(err) {
		t.Errorf("still there: %v", err)
	}
	if a := admin.do(t, "DELETE", "/api/v1/definitions/projects/"+f.name, nil, "If-Match: *"); a.status != http.StatusAccepted {
		t.Errorf("delete Project: %d %s", a.status, a.body)
	}
}
