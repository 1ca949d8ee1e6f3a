package promotion

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"sort"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// ErrNothingToRestore is returned when a Stage has no earlier good version.
var ErrNothingToRestore = errors.New("nothing to restore")

// ImageMissingError says that a mechanism sets an image that the Freight does
// not carry.
type ImageMissingError struct {
	// Image named by the mechanism; Have are the images of the collection.
	Image string
	Have  []string
}

// Error names the image and what there is instead.
func (e *ImageMissingError) Error() string {
	return fmt.Sprintf("no Freight of this Stage carries image %q; it has %s", e.Image, quoteList(e.Have))
}

// Sources are the commits a plan reads and writes, resolved once.
type Sources struct {
	// Base of each gitRepoUpdates entry, in order.
	Base []v1alpha1.PlanBase
	// Shared says of each entry that only this Stage's paths may change:
	// readBranch is writeBranch, or another Stage writes the same branch.
	Shared []bool
	// Heads says where each writeBranch has to be found: at a commit, or with
	// an empty text nowhere. nil, or no entry: anywhere, as nothing on it is
	// replaced unseen.
	Heads []*string
}

// checkoutOf returns what git-clone checks out for the branch of entry i.
func (s Sources) checkoutOf(i int, branch, path string) map[string]any {
	out := map[string]any{"branch": branch, "create": true, "path": path}
	if i < len(s.Heads) && s.Heads[i] != nil {
		out["head"] = *s.Heads[i]
	}
	return out
}

// Compile turns the short form into the steps of the one engine
// (02, What a Promotion writes): base tree, images of the whole collection set,
// one commit on the head of writeBranch, pushed with the expected parent.
func Compile(stage *v1alpha1.Stage, collection []v1alpha1.StageFreight, src Sources) ([]v1alpha1.PlanStep, error) {
	if stage.Spec.PromotionMechanisms == nil {
		return nil, nil
	}
	var steps []v1alpha1.PlanStep
	for i, u := range stage.Spec.PromotionMechanisms.GitRepoUpdates {
		s, err := compileUpdate(stage.Name, i, u, collection, src)
		if err != nil {
			return nil, fmt.Errorf("promotionMechanisms.gitRepoUpdates[%d]: %w", i, err)
		}
		steps = append(steps, s...)
	}
	return steps, nil
}

func compileUpdate(stage string, i int, u v1alpha1.GitRepoUpdate, collection []v1alpha1.StageFreight, src Sources) ([]v1alpha1.PlanStep, error) {
	base := src.Base[i]
	in, out := fmt.Sprintf("src-%d", i), fmt.Sprintf("out-%d", i)
	var steps []v1alpha1.PlanStep
	add := func(uses string, config map[string]any) error {
		raw, err := json.Marshal(config)
		if err != nil {
			return fmt.Errorf("encode config of step %q: %w", uses, err)
		}
		steps = append(steps, v1alpha1.PlanStep{
			Uses: uses, As: fmt.Sprintf("%s-%d", uses, len(steps)+1+i*100), Config: &runtime.RawExtension{Raw: raw},
		})
		return nil
	}
	errs := []error{
		add("git-clone", map[string]any{"repoURL": u.RepoURL, "checkout": []any{
			map[string]any{"commit": base.Commit, "path": in},
			src.checkoutOf(i, u.WriteBranch, out),
		}}),
	}
	if src.Shared[i] {
		if base.Branch != u.WriteBranch {
			for _, p := range writtenPaths(u) {
				errs = append(errs,
					add("git-clear", map[string]any{"path": path.Join(out, p)}),
					add("copy", map[string]any{"inPath": path.Join(in, p), "outPath": path.Join(out, p)}))
			}
		}
	} else {
		errs = append(errs,
			add("git-clear", map[string]any{"path": out}),
			add("copy", map[string]any{"inPath": in, "outPath": out}))
	}
	for _, p := range imagePaths(u) {
		images, err := imagesAt(u, p, collection)
		if err != nil {
			return nil, err
		}
		errs = append(errs, add("kustomize-set-image", map[string]any{"path": path.Join(out, p), "images": images}))
	}
	for _, file := range valuesFiles(u) {
		updates, err := valuesAt(u, file, collection)
		if err != nil {
			return nil, err
		}
		errs = append(errs, add("yaml-update", map[string]any{"path": path.Join(out, file), "updates": updates}))
	}
	for _, p := range chartPaths(u) {
		errs = append(errs, add("helm-update-chart", map[string]any{"path": path.Join(out, p), "charts": chartsAt(u, p)}))
	}
	errs = append(errs, add("git-commit", map[string]any{"path": out, "message": commitSubject(stage, u, collection)}))
	if u.PullRequest == nil {
		return steps, errors.Join(append(errs, add("git-push", map[string]any{"path": out, "targetBranch": u.WriteBranch}))...)
	}
	ask := map[string]any{"repoURL": u.RepoURL}
	if name := u.PullRequest.Provider(); name != "" {
		ask["provider"] = name
	}
	with := func(more map[string]any) map[string]any {
		maps.Copy(more, ask)
		return more
	}
	errs = append(errs, add("git-push", map[string]any{"path": out, "generateTargetBranch": true}))
	pushed := steps[len(steps)-1].As
	errs = append(errs, add("git-open-pr", with(map[string]any{"sourceBranch": outputOf(pushed, "branch"), "targetBranch": u.WriteBranch})))
	opened := steps[len(steps)-1].As
	errs = append(errs, add("git-wait-for-pr", with(map[string]any{"prNumber": outputOf(opened, "pr.id")})))
	return steps, errors.Join(errs...)
}

// outputOf is the expression for what a step found out.
func outputOf(as, field string) string { return fmt.Sprintf("${{ outputs['%s'].%s }}", as, field) }

// chartPaths returns the folders whose Chart.yaml an update edits, each once, in
// byte order.
func chartPaths(u v1alpha1.GitRepoUpdate) []string {
	seen := map[string]struct{}{}
	for _, c := range u.Helm.Charts {
		seen[path.Clean(c.ChartPath)] = struct{}{}
	}
	return sortedKeys(seen)
}

// chartsAt returns what helm-update-chart sets in a folder: versions are those of
// the Freight.
func chartsAt(u v1alpha1.GitRepoUpdate, folder string) []any {
	var out []any
	for _, c := range u.Helm.Charts {
		if path.Clean(c.ChartPath) == folder {
			out = append(out, map[string]any{"repository": c.Repository, "name": c.Name})
		}
	}
	return out
}

// imagePaths returns the folders an update edits, each once, in byte order.
func imagePaths(u v1alpha1.GitRepoUpdate) []string {
	seen := map[string]struct{}{}
	for _, img := range u.Kustomize.Images {
		seen[path.Clean(img.Path)] = struct{}{}
	}
	return sortedKeys(seen)
}

// valuesFiles returns the values files an update edits, each once, in byte order.
func valuesFiles(u v1alpha1.GitRepoUpdate) []string {
	seen := map[string]struct{}{}
	for _, img := range u.Helm.Images {
		seen[path.Clean(img.ValuesFilePath)] = struct{}{}
	}
	return sortedKeys(seen)
}

// writtenPaths returns the folders and files that an update writes.
func writtenPaths(u v1alpha1.GitRepoUpdate) []string {
	return slices.Concat(imagePaths(u), valuesFiles(u), chartPaths(u))
}

// UpdatedImages returns the repositories of all images that an update sets, each
// once, in byte order.
func UpdatedImages(u v1alpha1.GitRepoUpdate) []string {
	seen := map[string]struct{}{}
	for _, img := range u.Kustomize.Images {
		seen[img.Image] = struct{}{}
	}
	for _, img := range u.Helm.Images {
		seen[img.Image] = struct{}{}
	}
	return sortedKeys(seen)
}

// HelmValueOf returns what is written for an image.
func HelmValueOf(kind v1alpha1.HelmValue, img v1alpha1.Image) string {
	switch kind {
	case v1alpha1.HelmTag:
		return img.Tag
	case v1alpha1.HelmImageAndDigest:
		return img.RepoURL + "@" + img.Digest
	case v1alpha1.HelmDigest:
		return img.Digest
	default:
		return img.RepoURL + ":" + img.Tag
	}
}

func valuesAt(u v1alpha1.GitRepoUpdate, file string, collection []v1alpha1.StageFreight) ([]any, error) {
	var out []any
	for _, img := range u.Helm.Images {
		if path.Clean(img.ValuesFilePath) != file {
			continue
		}
		found, err := FindImage(collection, img.Image)
		if err != nil {
			return nil, err
		}
		out = append(out, map[string]any{"key": img.Key, "value": HelmValueOf(img.Value, found)})
	}
	return out, nil
}

// StagePaths returns the folders that belong to the Stage in a repository and
// branch it writes: what a revert on a shared branch may touch.
func StagePaths(stage *v1alpha1.Stage, repoURL, branch string) []string {
	seen := map[string]struct{}{}
	if stage.Spec.PromotionMechanisms != nil {
		for _, u := range stage.Spec.PromotionMechanisms.GitRepoUpdates {
			if u.WriteBranch == branch && IsSameRepository(u.RepoURL, repoURL) {
				for _, p := range writtenPaths(u) {
					seen[p] = struct{}{}
				}
			}
		}
	}
	return sortedKeys(seen)
}

func imagesAt(u v1alpha1.GitRepoUpdate, p string, collection []v1alpha1.StageFreight) ([]any, error) {
	var out []any
	for _, img := range u.Kustomize.Images {
		if path.Clean(img.Path) != p {
			continue
		}
		found, ok := findImage(collection, img.Image)
		if !ok {
			return nil, &ImageMissingError{Image: img.Image, Have: imageNames(collection)}
		}
		out = append(out, map[string]any{"image": img.Image, "tag": found.Tag, "digest": found.Digest, "pin": string(img.PinMode())})
	}
	return out, nil
}

func findImage(collection []v1alpha1.StageFreight, repoURL string) (v1alpha1.Image, bool) {
	for _, f := range collection {
		for _, img := range f.Images {
			if img.RepoURL == repoURL {
				return img, true
			}
		}
	}
	return v1alpha1.Image{}, false
}

// FindImage returns the version of an image in a collection, or an
// *ImageMissingError.
func FindImage(collection []v1alpha1.StageFreight, repoURL string) (v1alpha1.Image, error) {
	found, ok := findImage(collection, repoURL)
	if !ok {
		return v1alpha1.Image{}, &ImageMissingError{Image: repoURL, Have: imageNames(collection)}
	}
	return found, nil
}

func imageNames(collection []v1alpha1.StageFreight) []string {
	var names []string
	for _, f := range collection {
		for _, img := range f.Images {
			names = append(names, img.RepoURL)
		}
	}
	sort.Strings(names)
	return names
}

// commitSubject says what a promotion brings: "test: guestbook 1.27.0", or the
// commit it builds on when there is no image to set.
func commitSubject(stage string, u v1alpha1.GitRepoUpdate, collection []v1alpha1.StageFreight) string {
	seen := map[string]struct{}{}
	for _, name := range UpdatedImages(u) {
		if found, ok := findImage(collection, name); ok {
			seen[path.Base(found.RepoURL)+" "+found.Version()] = struct{}{}
		}
	}
	for _, c := range u.Helm.Charts {
		if found, ok := Chart(collection, c.Repository, c.Name); ok {
			seen["chart "+c.Name+" "+found.Version] = struct{}{}
		}
	}
	if base, ok := BaseCommit(collection, u.RepoURL); ok && len(seen) == 0 {
		seen[strings.TrimSuffix(path.Base(base.RepoURL), ".git")+" "+base.Version()] = struct{}{}
	}
	if len(seen) == 0 {
		return stage + ": what " + orText(u.ReadBranch, "the default branch") + " holds"
	}
	return stage + ": " + strings.Join(sortedKeys(seen), ", ")
}

// Collection returns what the Stage will run: freight, and what is current for
// its other requested origins, in the order of the requests.
func Collection(stage *v1alpha1.Stage, freight *v1alpha1.Freight) []v1alpha1.StageFreight {
	var out []v1alpha1.StageFreight
	for _, r := range stage.Spec.RequestedFreight {
		if r.Origin.Name == freight.Origin.Name {
			out = append(out, v1alpha1.StageFreight{
				Origin: freight.Origin.Name, Freight: freight.Name, Order: freight.Order,
				Images: freight.Images, Commits: freight.Commits, Charts: freight.Charts,
			})
			continue
		}
		if cur := Current(stage, r.Origin.Name); cur != nil {
			out = append(out, content(*cur))
		}
	}
	return out
}

// content is f without how it came into the Stage.
func content(f v1alpha1.StageFreight) v1alpha1.StageFreight {
	return v1alpha1.StageFreight{
		Origin: f.Origin, Freight: f.Freight, Order: f.Order, Images: f.Images, Commits: f.Commits, Charts: f.Charts,
	}
}

// Chart returns a chart of a collection. An oci:// repository of a subscription
// names the chart as well.
func Chart(collection []v1alpha1.StageFreight, repository, name string) (v1alpha1.Chart, bool) {
	for _, f := range collection {
		for _, c := range f.Charts {
			if IsSameRepository(c.RepoURL, repository) && cmp.Or(c.Name, name) == name ||
				c.Name == "" && IsSameRepository(c.RepoURL, strings.TrimSuffix(repository, "/")+"/"+name) {
				return c, true
			}
		}
	}
	return v1alpha1.Chart{}, false
}

// BaseCommit returns the commit of a repository in a collection: what a
// promotion builds on when there is one.
func BaseCommit(collection []v1alpha1.StageFreight, repoURL string) (v1alpha1.Commit, bool) {
	for _, f := range collection {
		for _, c := range f.Commits {
			if IsSameRepository(c.RepoURL, repoURL) {
				return c, true
			}
		}
	}
	return v1alpha1.Commit{}, false
}

// Trailer is one line at the end of a commit message.
type Trailer struct{ Key, Value string }

// Keys of the trailers every commit of Waybill carries (01, identity).
const (
	TrailerPromotion    = "Waybill-Promotion"
	TrailerPromotionUID = "Waybill-Promotion-UID"
	TrailerStage        = "Waybill-Stage"
	TrailerFreight      = "Waybill-Freight"
	TrailerOrder        = "Waybill-Freight-Order"
	TrailerArtifact     = "Waybill-Artifact"
	TrailerReverts      = "Waybill-Reverts"
)

// Trailers returns the trailers of a Promotion's commit: enough to find it
// again and to make its Freight again from Git alone.
func Trailers(p *v1alpha1.Promotion, collection []v1alpha1.StageFreight) []Trailer {
	t := []Trailer{
		{TrailerPromotion, p.Namespace + "/" + p.Name},
		{TrailerPromotionUID, string(p.UID)},
		{TrailerStage, p.Spec.Stage},
	}
	for _, f := range collection {
		t = append(t, Trailer{TrailerFreight, f.Origin + "=" + f.Freight})
		if f.Order > 0 {
			t = append(t, Trailer{TrailerOrder, f.Origin + "=" + strconv.FormatInt(f.Order, 10)})
		}
	}
	for _, f := range collection {
		for _, line := range ArtifactLines(f.Artifacts()) {
			t = append(t, Trailer{TrailerArtifact, line})
		}
	}
	return t
}
