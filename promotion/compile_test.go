package promotion_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/promotion"
)

// TestCompileHelm: helm.images compile to yaml-update, in the four kinds of
// values, file by file.
func TestCompileHelm(t *testing.T) {
	stage := templated(t, `
requestedFreight: []
promotionMechanisms:
  gitRepoUpdates:
  - repoURL: https://git.example.com/app.git
    writeBranch: stage/test
    helm:
      images:
      - {image: r.example.com/app, valuesFilePath: charts/b/values.yaml, key: image, value: ImageAndTag}
      - {image: r.example.com/app, valuesFilePath: ./charts/a/values.yaml, key: image.tag, value: Tag}
      - {image: r.example.com/app, valuesFilePath: charts/a/values.yaml, key: image.digest, value: Digest}
      - {image: r.example.com/app, valuesFilePath: charts/a/values.yaml, key: image.full, value: ImageAndDigest}
`)
	collection := []v1alpha1.StageFreight{{Origin: "app", Freight: "f1", Images: []v1alpha1.Image{{RepoURL: "r.example.com/app", Tag: "1.2", Digest: "sha256:aa"}}}}
	steps, err := promotion.Compile(stage, collection, promotion.Sources{Base: []v1alpha1.PlanBase{{Branch: "main", Commit: "c"}}, Shared: []bool{false}})
	if err != nil {
		t.Fatal(err)
	}
	type update struct{ Key, Value string }
	got := map[string][]update{}
	var uses []string
	for _, s := range steps {
		uses = append(uses, s.Uses)
		var c struct {
			Path    string
			Updates []update
		}
		if s.Uses != "yaml-update" {
			continue
		}
		if err := json.Unmarshal(s.Config.Raw, &c); err != nil {
			t.Fatal(err)
		}
		got[c.Path] = c.Updates
	}
	want := map[string][]update{
		"out-0/charts/a/values.yaml": {{"image.tag", "1.2"}, {"image.digest", "sha256:aa"}, {"image.full", "r.example.com/app@sha256:aa"}},
		"out-0/charts/b/values.yaml": {{"image", "r.example.com/app:1.2"}},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"git-clone", "git-clear", "copy", "yaml-update", "yaml-update", "git-commit", "git-push"}, uses); d != "" {
		t.Error(d)
	}
	collection[0].Images[0].RepoURL = "r.example.com/other"
	var missing *promotion.ImageMissingError
	if _, err := promotion.Compile(stage, collection, promotion.Sources{Base: []v1alpha1.PlanBase{{}}, Shared: []bool{false}}); !errors.As(err, &missing) {
		t.Errorf("an image that nobody delivers: %v", err)
	}
}

// TestCompilePullRequest: with pullRequest the commit goes to a branch of the
// promotion, and the promotion waits for its merge; charts get the versions of
// the Freight.
func TestCompilePullRequest(t *testing.T) {
	stage := templated(t, `
requestedFreight: []
promotionMechanisms:
  gitRepoUpdates:
  - repoURL: https://git.example.com/app.git
    writeBranch: stage/test
    pullRequest: {gitea: {}}
    helm:
      charts:
      - {repository: https://charts.example.com, name: redis, chartPath: charts/b}
      - {repository: oci://r.example.com/charts, name: lib, chartPath: ./charts/a}
      - {repository: https://charts.example.com, name: redis, chartPath: charts/a/}
`)
	collection := []v1alpha1.StageFreight{{Origin: "app", Freight: "f1", Charts: []v1alpha1.Chart{
		{RepoURL: "https://charts.example.com", Name: "redis", Version: "7.1.0"}, {RepoURL: "oci://r.example.com/charts/lib", Version: "2.0.0"},
	}}}
	steps, err := promotion.Compile(stage, collection, promotion.Sources{Base: []v1alpha1.PlanBase{{Branch: "main", Commit: "c"}}, Shared: []bool{false}})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range steps[3:] {
		got = append(got, s.As+" "+string(s.Config.Raw))
	}
	if d := cmp.Diff([]string{
		`helm-update-chart-4 {"charts":[{"name":"lib","repository":"oci://r.example.com/charts"},{"name":"redis","repository":"https://charts.example.com"}],"path":"out-0/charts/a"}`,
		`helm-update-chart-5 {"charts":[{"name":"redis","repository":"https://charts.example.com"}],"path":"out-0/charts/b"}`,
		`git-commit-6 {"message":"test: chart lib 2.0.0, chart redis 7.1.0","path":"out-0"}`,
		`git-push-7 {"generateTargetBranch":true,"path":"out-0"}`,
		`git-open-pr-8 {"provider":"gitea","repoURL":"https://git.example.com/app.git","sourceBranch":"${{ outputs['git-push-7'].branch }}","targetBranch":"stage/test"}`,
		`git-wait-for-pr-9 {"prNumber":"${{ outputs['git-open-pr-8'].pr.id }}","provider":"gitea","repoURL":"https://git.example.com/app.git"}`,
	}, got); d != "" {
		t.Error(d)
	}
}
