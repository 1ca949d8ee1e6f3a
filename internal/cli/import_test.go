package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/internal/importer"
)

// guestbookOfArgo is an Application of Argo CD with something that is not the same
// here, and something that is lost.
const guestbookOfArgo = `apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {name: guestbook, namespace: argocd}
spec:
  project: default
  source: {repoURL: https://git.example.com/guestbook.git, path: guestbook, targetRevision: HEAD}
  destination: {server: https://kubernetes.default.svc, namespace: guestbook}
  revisionHistoryLimit: 3
  syncPolicy: {automated: {prune: true}}
---
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {name: jsonnet, namespace: argocd}
spec:
  project: default
  source: {repoURL: https://git.example.com/guestbook.git, path: jsonnet, directory: {jsonnet: {libs: [vendor]}}}
  destination: {server: https://kubernetes.default.svc, namespace: guestbook}
---
apiVersion: v1
kind: Secret
metadata: {name: repo, namespace: argocd, labels: {argocd.argoproj.io/secret-type: repository}}
stringData: {url: https://git.example.com/guestbook.git, username: me, password: canary}
`

func TestImportArgo(t *testing.T) {
	s := newSession(t)
	s.stdin = guestbookOfArgo
	golden(t, "import-argocd", s.run("import", "argocd", "-f", "-", "-p", "guestbook").String())
	golden(t, "import-argocd-json", s.run("import", "argocd", "-f", "-", "-o", "json").String())
	s.stdin, _, _ = strings.Cut(guestbookOfArgo, "---\n")
	golden(t, "import-argocd-whole", s.run("import", "argocd", "-f", "-", "-p", "guestbook").String())
	s.stdin = "a: [\n---\n"
	golden(t, "import-not-yaml", s.run("import", "argocd", "-f", "-").String())
	golden(t, "import-nothing", s.run("import", "argocd").String())
	golden(t, "help-import", s.run("import", "--help").String())
	golden(t, "help-import-argocd", s.run("import", "argocd", "--help").String())
}

// TestImportKargo: an Application that is given along is what the Stage deploys.
func TestImportKargo(t *testing.T) {
	s := newSession(t)
	s.stdin = `apiVersion: kargo.akuity.io/v1alpha1
kind: Warehouse
metadata: {name: web, namespace: guestbook}
spec: {subscriptions: [{image: {repoURL: registry.example.com/web, semverConstraint: ^1.0.0}}]}
---
apiVersion: kargo.akuity.io/v1alpha1
kind: Stage
metadata: {name: test, namespace: guestbook}
spec:
  requestedFreight: [{origin: {kind: Warehouse, name: web}, sources: {direct: true}}]
  promotionMechanisms:
    gitRepoUpdates: [{repoURL: https://git.example.com/guestbook.git, writeBranch: stage/test, kustomize: {images: [{image: registry.example.com/web, path: test}]}}]
    argoCDAppUpdates: [{appName: guestbook-test}]
---
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {name: guestbook-test, namespace: argocd}
spec:
  project: default
  source: {repoURL: https://git.example.com/guestbook.git, path: test, targetRevision: stage/test}
  destination: {server: https://kubernetes.default.svc, namespace: guestbook-test}
`
	golden(t, "import-kargo", s.run("import", "kargo", "-f", "-").String())
	golden(t, "help-import-kargo", s.run("import", "kargo", "--help").String())
}

// TestImportIntoFiles: a folder for each Project, the report beside it, and nothing
// is overwritten.
func TestImportIntoFiles(t *testing.T) {
	s, dir := newSession(t), t.TempDir()
	s.stdin = guestbookOfArgo
	report := filepath.Join(dir, "report.json")
	out := filepath.Join(dir, "out")
	named := func(r result) string { return strings.ReplaceAll(r.String(), dir+"/", "") }
	golden(t, "import-files", named(s.run("import", "argocd", "-f", "-", "-p", "guestbook", "--out-dir", out, "--report", report)))
	golden(t, "import-files-again", named(s.run("import", "argocd", "-f", "-", "-p", "guestbook", "--out-dir", out)))
	secrets := filepath.Join(out, "waybill-system", "2-credentials.yaml")
	info, err := os.Stat(secrets)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v: others may read what holds secrets", info, err)
	}
	if text, err := os.ReadFile(report); err != nil || strings.Contains(string(text), "canary") {
		t.Errorf("%v: a report with a secret:\n%s", err, text)
	}
	if r := s.run("lint", "-R", out); r.code != 0 {
		t.Error(r)
	}
	r := s.run("import", "argocd", "-f", "-", "--report", "-", "-o", "json")
	var got importer.Report
	if err := json.Unmarshal([]byte(r.stdout), &got); err != nil || len(got.Objects) != 3 || got.Dropped != 1 || r.code != 1 {
		t.Errorf("%v: %+v\n%s", err, got, r)
	}
}
