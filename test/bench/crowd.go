package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/git/gitserver"
	"github.com/waybill-dev/waybill/internal/demoregistry"
	"github.com/waybill-dev/waybill/promotion"
)

const (
	crowdProject = "crowd"
	crowdStages  = 50
	// outsiderPause is how often somebody else pushes.
	outsiderPause = 100 * time.Millisecond
)

func crowdStage(i int) string { return fmt.Sprintf("s%02d", i) }

// crowd promotes one version into fifty Stages of one repository at once, while
// somebody else pushes to the branch that all of them read. (On a Stage's own branch
// the automatic flow would rightly wait for a person.)
func (b *bench) crowd(ctx context.Context) error {
	image := b.servers.registry.Host() + "/" + crowdProject
	files := map[string]string{}
	for i := range crowdStages {
		files["stages/"+crowdStage(i)+"/kustomization.yaml"] = "resources: []\nimages:\n- name: " + image + "\n  newTag: 1.0.0\n"
	}
	url, err := b.newRepository(ctx, crowdProject, files)
	if err != nil {
		return err
	}
	if _, err := b.env.ApplyContext(ctx, crowdManifests(url, image)...); err != nil {
		return err
	}
	if err := b.crowdVersion(ctx, "1.0.1"); err != nil { // the branches begin
		return fmt.Errorf("the first version: %w", err)
	}
	stop := b.outsider(ctx)
	err = b.costOf(ctx, crowdDone, func(ctx context.Context) error { return b.crowdVersion(ctx, "1.1.0") })
	pushes, pushErr := stop()
	if err := errors.Join(err, pushErr); err != nil {
		return err
	}
	b.report.add(crowdPushes, float64(pushes))
	return b.countCommits(ctx)
}

// crowdVersion publishes a version and waits until all Stages have it.
func (b *bench) crowdVersion(ctx context.Context, tag string) error {
	if _, err := b.servers.registry.PushImage(ctx, crowdProject, tag, demoregistry.ImageOptions{Salt: tag}); err != nil {
		return err
	}
	if err := b.ask(ctx, &v1alpha1.Warehouse{}, crowdProject, "crowd"); err != nil {
		return err
	}
	have := map[string]bool{}
	_, err := b.seen.await(ctx, fmt.Sprintf("%d Stages with %s", crowdStages, tag), func(e event) bool {
		s, ok := e.Object.(*v1alpha1.Stage)
		if ok && s.Namespace == crowdProject && len(s.Status.Current) > 0 && len(s.Status.Current[0].Images) > 0 && s.Status.Current[0].Images[0].Tag == tag {
			have[s.Name] = true
		}
		return len(have) == crowdStages
	})
	if err != nil {
		return fmt.Errorf("%w (%d have)", err, len(have))
	}
	return nil
}

// outsider pushes to the branch that is read until stopped.
func (b *bench) outsider(ctx context.Context) (stop func() (pushes int, err error)) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	pushes := 0
	var failed error
	wg.Go(func() {
		ticks := time.NewTicker(outsiderPause)
		defer ticks.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticks.C:
			}
			_, err := b.servers.git.Commit(ctx, crowdProject, gitserver.Commit{
				Branch: gitserver.DefaultBranch, Message: "somebody else", When: time.Now(),
				Files: map[string]gitserver.File{"notes.txt": {Content: fmt.Sprintf("%d\n", pushes)}},
			})
			if err != nil && ctx.Err() == nil {
				failed = err
				return
			}
			pushes++
		}
	})
	return func() (int, error) {
		cancel()
		wg.Wait()
		return pushes, failed
	}
}

// countCommits counts what did not end as it should: a Promotion that is not
// Succeeded, or that has another number of commits than one.
func (b *bench) countCommits(ctx context.Context) error {
	var all v1alpha1.PromotionList
	if err := b.client.List(ctx, &all); err != nil {
		return err
	}
	out, err := b.servers.git.Git(ctx, crowdProject, "log", "--branches", "--format=%(trailers:key="+promotion.TrailerPromotionUID+",valueonly)")
	if err != nil {
		return err
	}
	commits := map[string]int{}
	for uid := range strings.FieldsSeq(string(out)) {
		commits[uid]++
	}
	wrong := 0
	for _, p := range all.Items {
		if p.Namespace == crowdProject && (p.Status.Phase != v1alpha1.PhaseSucceeded || commits[string(p.UID)] != 1) {
			wrong++
		}
	}
	b.report.add(crowdWrong, float64(wrong))
	return nil
}

// crowdManifests are the Project, its Warehouse and fifty Stages without a cluster.
func crowdManifests(url, image string) []string {
	out := []string{projectManifest(crowdProject, url) + warehouseManifest(crowdProject, "crowd", image)}
	for i := range crowdStages {
		out = append(out, strings.NewReplacer("<stage>", crowdStage(i), "<url>", url, "<image>", image, "<project>", crowdProject).Replace(`
apiVersion: waybill.dev/v1alpha1
kind: Stage
metadata: {name: <stage>, namespace: <project>}
spec:
  requestedFreight: [{origin: {kind: Warehouse, name: crowd}, sources: {direct: true}}]
  autoPromotion: {enabled: true}
  promotionMechanisms:
    gitRepoUpdates:
    - repoURL: <url>
      readBranch: main
      writeBranch: stage/<stage>
      kustomize: {images: [{image: <image>, path: stages/<stage>}]}
`))
	}
	return out
}
