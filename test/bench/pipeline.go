package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/git/gitserver"
	"github.com/waybill-dev/waybill/internal/demoregistry"
)

// Names of what is set up.
const (
	project    = "guestbook"
	repository = "guestbook"
	firstTag   = "1.25.0"
)

// stages of the pipeline, all automatic, in the order of the flow.
func stages() []string { return []string{"test", "uat", "prod"} }

func (b *bench) image() string { return b.servers.registry.Host() + "/" + repository }

const deployment = `apiVersion: apps/v1
kind: Deployment
metadata: {name: %[1]s, labels: {app: %[1]s}}
spec:
  replicas: 1
  selector: {matchLabels: {app: %[1]s}}
  template:
    metadata: {labels: {app: %[1]s}}
    spec:
      containers:
      - name: app
        image: %[2]s
        ports: [{name: http, containerPort: 8080}]
`

const service = `apiVersion: v1
kind: Service
metadata: {name: %[1]s}
spec:
  selector: {app: %[1]s}
  ports: [{name: http, port: 80, targetPort: http}]
`

// pipeline sets up the Project with a Warehouse and three automatic Stages over
// one kustomize base, and promotes a first version everywhere, so that what is
// measured afterwards is an upgrade.
func (b *bench) pipeline(ctx context.Context) error {
	files := map[string]string{
		"base/deployment.yaml":    fmt.Sprintf(deployment, "guestbook", b.image()),
		"base/service.yaml":       fmt.Sprintf(service, "guestbook"),
		"base/kustomization.yaml": "resources: [deployment.yaml, service.yaml]\n",
	}
	for _, s := range stages() {
		files["stages/"+s+"/kustomization.yaml"] = "resources: [../../base]\nimages:\n- name: " + b.image() + "\n  newTag: " + firstTag + "\n"
	}
	url, err := b.newRepository(ctx, repository, files)
	if err != nil {
		return err
	}
	manifests := []string{projectManifest(project, url) + warehouseManifest(project, "guestbook", b.image())}
	from := "direct: true"
	for _, s := range stages() {
		manifests = append(manifests, strings.NewReplacer("<stage>", s, "<from>", from, "<url>", url, "<image>", b.image(), "<project>", project).Replace(`
apiVersion: waybill.dev/v1alpha1
kind: Stage
metadata: {name: <stage>, namespace: <project>}
spec:
  requestedFreight: [{origin: {kind: Warehouse, name: guestbook}, sources: {<from>}}]
  autoPromotion: {enabled: true}
  promotionMechanisms:
    gitRepoUpdates:
    - repoURL: <url>
      readBranch: main
      writeBranch: stage/<stage>
      kustomize: {images: [{image: <image>, path: stages/<stage>}]}
  deploy:
  - destination: {namespace: <project>-<stage>}
    source: {path: stages/<stage>}
    syncPolicy: {automated: {prune: true, selfHeal: true}, syncOptions: [CreateNamespace=true]}
  rollback: {onUnhealthy: Revert, after: 5s}
`))
		from = "stages: [" + s + "]"
	}
	if _, err := b.env.ApplyContext(ctx, manifests...); err != nil {
		return err
	}
	_, err = b.flow(ctx, "1.26.0")
	return err
}

// projectManifest is a Project with the credential of a repository.
func projectManifest(name, url string) string {
	return strings.NewReplacer("<name>", name, "<url>", url, "<user>", account, "<password>", password).Replace(`
apiVersion: v1
kind: Namespace
metadata: {name: <name>, labels: {waybill.dev/project: "true"}}
---
apiVersion: waybill.dev/v1alpha1
kind: Project
metadata: {name: <name>}
---
apiVersion: v1
kind: Secret
metadata: {name: git, namespace: <name>, labels: {waybill.dev/cred-type: git}}
stringData: {repoURL: "<url>", username: "<user>", password: "<password>"}
`)
}

// warehouseManifest is a Warehouse of one image, with the account of its registry.
func warehouseManifest(project, name, image string) string {
	return `
---
apiVersion: v1
kind: Secret
metadata: {name: registry, namespace: ` + project + `, labels: {waybill.dev/cred-type: image}}
stringData: {repoURL: "` + image + `", username: "` + account + `", password: "` + password + `"}
---
apiVersion: waybill.dev/v1alpha1
kind: Warehouse
metadata: {name: ` + name + `, namespace: ` + project + `}
spec:
  interval: 1h
  subscriptions:
  - image: {repoURL: "` + image + `", constraint: "^1.0.0"}
`
}

// newRepository makes a repository with files on its default branch.
func (b *bench) newRepository(ctx context.Context, name string, files map[string]string) (url string, err error) {
	if err := b.servers.git.CreateRepo(ctx, name); err != nil {
		return "", err
	}
	commit := gitserver.Commit{Branch: gitserver.DefaultBranch, Message: "initial content", When: time.Now(), Files: map[string]gitserver.File{}}
	for path, content := range files {
		commit.Files[path] = gitserver.File{Content: content}
	}
	if _, err := b.servers.git.Commit(ctx, name, commit); err != nil {
		return "", err
	}
	return b.servers.git.URL(name), nil
}

// publish pushes a tag and wakes the Warehouse as `waybill refresh` does. It
// returns when the push began.
func (b *bench) publish(ctx context.Context, tag string) (time.Time, error) {
	start := time.Now()
	if _, err := b.servers.registry.PushImage(ctx, repository, tag, demoregistry.ImageOptions{Salt: tag}); err != nil {
		return start, err
	}
	w := &v1alpha1.Warehouse{}
	w.Namespace, w.Name = project, "guestbook"
	wake := fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, v1alpha1.AnnotationRequestedAt, start.Format(time.RFC3339Nano))
	if err := b.client.Patch(ctx, w, client.RawPatch(types.MergePatchType, []byte(wake))); err != nil {
		return start, fmt.Errorf("wake the Warehouse: %w", err)
	}
	return start, nil
}
