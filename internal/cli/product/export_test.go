package product

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/internal/local"
)

// application is one that a person made, with a field that is a whole number.
const application = `---
apiVersion: waybill.dev/v1alpha1
kind: Application
metadata: {name: extra, namespace: exported, labels: {team: web}}
spec:
  destination: {namespace: exported-extra}
  source: {repoURL: GIT, targetRevision: main, path: stages/test}
`

// exported prints a Project's definitions, deletes the Project, applies what was
// printed, and prints it again: it is the same.
func (i *instance) exported(t *testing.T) {
	p := pipeline{project: "exported", gitPassword: i.info.Password, registryPassword: i.info.Password,
		image: i.info.Registry + "/" + local.DemoProject, warehouse: "app", repoURL: i.info.GitURL, readBranch: "main",
		path: "stages/test", namespace: "exported", extra: strings.Replace(application, "GIT", i.info.GitURL, 1)}
	must := func(stdin string, args ...string) string {
		t.Helper()
		stdout, stderr, code := i.run(stdin, args...)
		if code != 0 {
			t.Fatalf("waybill %s ended with %d: %s%s", strings.Join(args, " "), code, stdout, stderr)
		}
		return stdout
	}
	must(p.yaml(), "apply", "-f", "-")
	await(t, "the Application is seen", func() bool {
		return strings.Contains(must("", "export", "-p", "exported"), "name: extra")
	})
	before := must("", "export", "-p", "exported")
	for _, kind := range []string{"Project", "Warehouse", "Stage", "Application"} {
		if strings.Count(before, "\nkind: "+kind+"\n") != 1 {
			t.Errorf("not one %s in\n%s", kind, before)
		}
	}
	if strings.Contains(before, i.info.Password) || strings.Contains(before, "managedFields") || strings.Contains(before, "status:") {
		t.Errorf("too much is printed:\n%s", before)
	}
	i.edited(t, before)
	before = must("", "export", "-p", "exported")
	must("", "delete", "stage", "exported/one")
	must("", "delete", "application", "exported/extra")
	must("", "delete", "project", "exported")
	await(t, "the Project is gone", func() bool {
		_, _, code := i.run("", "get", "project", "exported")
		return code == 3
	})
	await(t, "it is taken back", func() bool { // once its Namespace is gone as well
		_, _, code := i.run(before, "apply", "-f", "-")
		return code == 0
	})
	after := ""
	defer func() {
		if diff := cmp.Diff(before, after); diff != "" {
			t.Errorf("what was taken back is another (-before +after):\n%s", diff)
		}
	}()
	await(t, "all of it is there as before", func() bool {
		after, _, _ = i.run("", "export", "-p", "exported")
		return after == before
	})
	if again := must(before, "apply", "-f", "-"); strings.Contains(again, "created") || strings.Contains(again, "configured") {
		t.Errorf("applied again it changes something:\n%s", again)
	}
}

// edited changes a field of the Application in an editor, and takes a label out.
func (i *instance) edited(t *testing.T, before string) {
	t.Helper()
	defer func() { i.editor = "" }()
	i.editor = "sed -i -e s,stages/test,stages/uat, -e /team:.web/d -e /labels:/d"
	stdout, stderr, code := i.run("", "edit", "application/extra", "-p", "exported")
	if code != 0 || !strings.Contains(stdout, "configured") || !strings.Contains(stdout, "+    path: stages/uat") {
		t.Fatalf("edit ended with %d:\n%s%s", code, stdout, stderr)
	}
	want := strings.Replace(before, "  labels:\n    team: web\n", "", 1)
	head, last, _ := strings.Cut(want, "kind: Application\n")
	want = head + "kind: Application\n" + strings.Replace(last, "stages/test", "stages/uat", 1)
	got := ""
	defer func() {
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("after the edit (-want +got):\n%s", diff)
		}
	}()
	await(t, "the edit is seen", func() bool {
		got, _, _ = i.run("", "export", "-p", "exported")
		return got == want
	})
	i.editor = "sed -i s,path:.stages/uat,path:.7,"
	_, stderr, code = i.run("", "edit", "application", "exported/extra")
	if code == 0 || !strings.Contains(stderr, "waybill apply -f ") {
		t.Errorf("an edit that is no text for a path ended with %d:\n%s", code, stderr)
	}
}

// await waits until something is so.
func await(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !is(); {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", patience, what)
		}
		time.Sleep(100 * time.Millisecond) // poll with a deadline
	}
}
