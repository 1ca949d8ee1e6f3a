package product

import (
	"fmt"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/internal/local"
)

// pipeline is one Project with one Warehouse and one Stage; each field is what a
// case breaks.
type pipeline struct {
	project, gitPassword, registryPassword      string
	image, warehouse, repoURL, readBranch, path string
	namespace, extra                            string
}

// yaml writes the pipeline as manifests.
func (p pipeline) yaml() string {
	return fmt.Sprintf(`apiVersion: v1
kind: Namespace
metadata: {name: %[1]s, labels: {waybill.dev/project: "true"}}
---
apiVersion: waybill.dev/v1alpha1
kind: Project
metadata: {name: %[1]s}
---
apiVersion: v1
kind: Secret
metadata: {name: git, namespace: %[1]s, labels: {waybill.dev/cred-type: git}}
stringData: {repoURL: %[6]q, username: admin, password: %[2]q}
---
apiVersion: v1
kind: Secret
metadata: {name: registry, namespace: %[1]s, labels: {waybill.dev/cred-type: image}}
stringData: {repoURL: %[4]q, username: admin, password: %[3]q}
---
apiVersion: waybill.dev/v1alpha1
kind: Warehouse
metadata: {name: app, namespace: %[1]s}
spec: {interval: 1h, subscriptions: [{image: {repoURL: %[4]q}}]}
---
apiVersion: waybill.dev/v1alpha1
kind: Stage
metadata: {name: one, namespace: %[1]s}
spec:
  requestedFreight:
  - {origin: {name: %[5]s}, sources: {direct: true}}
  autoPromotion: {enabled: true}
  promotionMechanisms:
    gitRepoUpdates:
    - repoURL: %[6]q
      readBranch: %[7]s
      writeBranch: stage/%[1]s
      kustomize: {images: [{image: %[4]q, path: stages/test}]}
  deploy:
  - destination: {namespace: %[9]s}
    source: {path: %[8]s}
    syncPolicy: {automated: {prune: true, selfHeal: true}}
%[10]s`, p.project, p.gitPassword, p.registryPassword, p.image, p.warehouse, p.repoURL, p.readBranch, p.path, p.namespace, p.extra)
}

// TestProduct is what the command line does with one running product.
func TestProduct(t *testing.T) {
	i := start(t)
	t.Run("BadInput", i.badInput)
	t.Run("Export", i.exported)
}

// badInput breaks one thing at a time: what the command line says about it,
// what it exits with, and that everything recovers by itself once the cause is
// gone.
func (i *instance) badInput(t *testing.T) {
	for _, c := range []struct {
		name string
		// spoil breaks the pipeline.
		spoil func(*pipeline)
		// expected is in `waybill status` while it is broken; empty when apply
		// refuses it. reason is then in `waybill get kind`.
		expected, kind, reason string
	}{
		{"not-yaml", func(p *pipeline) { p.extra = "---\nkind: [Stage\n" }, "", "", ""},
		{"unknown-field", func(p *pipeline) { p.extra = "  rolback: {onUnhealthy: Revert}\n" }, "", "", ""},
		{"kargo-field", func(p *pipeline) {
			p.extra = fmt.Sprintf("---\napiVersion: waybill.dev/v1alpha1\nkind: Warehouse\nmetadata: {name: more, namespace: %s}\nspec:\n  subscriptions:\n  - image:\n      repoURL: a/b\n      semverConstraint: ^1.0.0\n", p.project)
		}, "", "", ""},
		{"cycle", func(p *pipeline) {
			for _, s := range [][2]string{{"two", "three"}, {"three", "two"}} {
				p.extra += fmt.Sprintf("---\napiVersion: waybill.dev/v1alpha1\nkind: Stage\nmetadata: {name: %s, namespace: %s}\nspec:\n  requestedFreight:\n  - {origin: {name: app}, sources: {stages: [%s]}}\n", s[0], p.project, s[1])
			}
		}, "", "", ""},
		{"unknown-warehouse", func(p *pipeline) { p.warehouse = "ghost" }, `no Warehouse "ghost"`, "stages", "UnknownWarehouse"},
		{"missing-branch", func(p *pipeline) { p.readBranch = "nope" }, `no branch "nope"`, "promotions", "BranchNotFound"},
		{"wrong-git-password", func(p *pipeline) { p.gitPassword = "not-the-password" }, "status 401", "promotions", "AuthenticationFailed"},
		{"wrong-registry-password", func(p *pipeline) { p.registryPassword = "not-the-password" }, "not ready: REGISTRY", "warehouses", "no (AuthenticationFailed)"},
		{"unreachable-registry", func(p *pipeline) { p.image = "127.0.0.1:1/guestbook" }, "is unreachable", "warehouses", "no (RegistryUnreachable)"},
		{"unreachable-git", func(p *pipeline) { p.repoURL = "http://127.0.0.1:1/guestbook.git" }, "connection refused", "promotions", "GitUnreachable"},
		{"nothing-rendered", func(p *pipeline) { p.path = "nothing" }, `path "nothing"`, "applications", "PathMissing"},
		{"forbidden-destination", func(p *pipeline) { p.namespace = "kube-system" }, "never a destination", "applications", "DestinationForbidden"},
	} {
		t.Run(c.name, func(t *testing.T) {
			good := pipeline{project: c.name, gitPassword: i.info.Password, registryPassword: i.info.Password,
				image: i.info.Registry + "/" + local.DemoProject, warehouse: "app", repoURL: i.info.GitURL, readBranch: "main",
				path: "stages/test", namespace: c.name}
			bad := good
			c.spoil(&bad)
			s := i.story(t, c.name)
			s.tell(bad.yaml(), "apply", "-f", "-")
			if c.expected != "" {
				s.tellOnce(c.expected, "status", c.name)
				s.tellOnce(c.reason, "get", c.kind, "-p", c.name)
			}
			if strings.Contains(strings.Join(s.told, ""), i.info.Password) || strings.Contains(strings.Join(s.told, ""), bad.gitPassword) {
				t.Error("a password is shown")
			}

			// The cause goes away, and nothing else is done.
			if _, stderr, code := i.run(good.yaml(), "apply", "-f", "-"); code != 0 {
				t.Fatalf("apply without the mistake: exit code %d: %s", code, stderr)
			}
			s.tellOnce("one  1.26.1  ALIAS  Healthy", "status", c.name)
			s.end(t)
		})
	}
}
