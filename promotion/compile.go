package promotion

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"sort"
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
// one commit on the head of each writeBranch, pushed with the expected parent.
//
// With several updates every commit is made before the first is pushed, so that
// what cannot be made keeps all of them from being written. Pull requests come
// first, as others may refuse them; the first update, from which the Stage runs
// unless its deploy entries say otherwise, is pushed last.
func Compile(stage *v1alpha1.Stage, collection []v1alpha1.StageFreight, src Sources) ([]v1alpha1.PlanStep, error) {
	if stage.Spec.PromotionMechanisms == nil {
		return nil, nil
	}
	updates := stage.Spec.PromotionMechanisms.GitRepoUpdates
	compiled := make([]*compiledUpdate, len(updates))
	var steps []v1alpha1.PlanStep
	for i, u := range updates {
		c := &compiledUpdate{entry: i}
		if err := c.compile(stage.Name, u, collection, src); err != nil {
			return nil, fmt.Errorf("promotionMechanisms.gitRepoUpdates[%d]: %w", i, err)
		}
		compiled[i], steps = c, append(steps, c.makes...)
	}
	last := append(slices.Clone(compiled[1:]), compiled[0])
	var direct []v1alpha1.PlanStep
	for _, c := range last {
		if len(c.awaits) == 0 {
			direct = append(direct, c.pushes...)
			continue
		}
		steps = append(steps, c.pushes...)
	}
	for _, c := range last {
		steps = append(steps, c.awaits...)
	}
	return append(steps, direct...), nil
}

// compiledUpdate is one entry of gitRepoUpdates as steps.
type compiledUpdate struct {
	// entry is its index.
	entry int
	// makes are the steps that end with its commit, pushes those that put it out
	// and awaits those that wait for others to merge it.
	makes, pushes, awaits []v1alpha1.PlanStep
	count                 int
}

// add appends a step to a list and returns its name.
func (c *compiledUpdate) add(list *[]v1alpha1.PlanStep, uses string, config map[string]any) (as string, err error) {
	raw, err := json.Marshal(config)
	if err != nil {
		return "", fmt.Errorf("encode config of step %q: %w", uses, err)
	}
	c.count++
	as = fmt.Sprintf("%s-%d", uses, c.count+c.entry*100)
	*list = append(*list, v1alpha1.PlanStep{Uses: uses, As: as, Config: &runtime.RawExtension{Raw: raw}})
	return as, nil
}

func (c *compiledUpdate) compile(stage string, u v1alpha1.GitRepoUpdate, collection []v1alpha1.StageFreight, src Sources) error {
	out := fmt.Sprintf("out-%d", c.entry)
	makes := func(uses string, config map[string]any) error {
		_, err := c.add(&c.makes, uses, config)
		return err
	}
	errs := []error{c.checkOut(u, src)}
	for _, p := range imagePaths(u) {
		images, err := imagesAt(u, p, collection)
		if err != nil {
			return err
		}
		errs = append(errs, makes("kustomize-set-image", map[string]any{"path": path.Join(out, p), "images": images}))
	}
	for _, file := range valuesFiles(u) {
		updates, err := valuesAt(u, file, collection)
		if err != nil {
			return err
		}
		errs = append(errs, makes("yaml-update", map[string]any{"path": path.Join(out, file), "updates": updates}))
	}
	for _, p := range chartPaths(u) {
		errs = append(errs, makes("helm-update-chart", map[string]any{"path": path.Join(out, p), "charts": chartsAt(u, p)}))
	}
	errs = append(errs, makes("git-commit", map[string]any{"path": out, "message": orText(u.CommitMessage, commitSubject(stage, u, collection))}))
	return errors.Join(append(errs, c.deliver(u, out))...)
}

// checkOut makes the tree of the writeBranch hold what its base holds.
func (c *compiledUpdate) checkOut(u v1alpha1.GitRepoUpdate, src Sources) error {
	base := src.Base[c.entry]
	in, out := fmt.Sprintf("src-%d", c.entry), fmt.Sprintf("out-%d", c.entry)
	_, err := c.add(&c.makes, "git-clone", map[string]any{"repoURL": u.RepoURL, "checkout": []any{
		map[string]any{"commit": base.Commit, "path": in},
		src.checkoutOf(c.entry, u.WriteBranch, out),
	}})
	copied := []string{"."}
	switch {
	case src.Shared[c.entry] && base.Branch == u.WriteBranch:
		copied = nil
	case src.Shared[c.entry]:
		copied = writtenPaths(u)
	}
	errs := []error{err}
	for _, p := range copied {
		_, clearErr := c.add(&c.makes, "git-clear", map[string]any{"path": path.Join(out, p)})
		_, copyErr := c.add(&c.makes, "copy", map[string]any{"inPath": path.Join(in, p), "outPath": path.Join(out, p)})
		errs = append(errs, clearErr, copyErr)
	}
	return errors.Join(errs...)
}

// deliver puts the commit out, by a push or by a pull request.
func (c *compiledUpdate) deliver(u v1alpha1.GitRepoUpdate, out string) error {
	if u.PullRequest == nil {
		_, err := c.add(&c.pushes, "git-push", map[string]any{"path": out, "targetBranch": u.WriteBranch})
		return err
	}
	with := func(more map[string]any) map[string]any {
		more["repoURL"] = u.RepoURL
		if name := u.PullRequest.Provider(); name != "" {
			more["provider"] = name
		}
		return more
	}
	push := map[string]any{"path": out, "generateTargetBranch": true}
	if c.entry > 0 { // a branch of its own, also when two are of one repository
		push = map[string]any{"path": out, "targetBranch": fmt.Sprintf("waybill/${{ ctx.stage }}/${{ ctx.promotion }}.%d", c.entry)}
	}
	pushed, pushErr := c.add(&c.pushes, "git-push", push)
	open := with(map[string]any{"sourceBranch": outputOf(pushed, "branch"), "targetBranch": u.WriteBranch})
	if u.PullRequest.Title != "" {
		open["title"] = u.PullRequest.Title
	}
	if u.PullRequest.Description != "" {
		open["description"] = u.PullRequest.Description
	}
	opened, openErr := c.add(&c.pushes, "git-open-pr", open)
	_, waitErr := c.add(&c.awaits, "git-wait-for-pr", with(map[string]any{"prNumber": outputOf(opened, "pr.id")}))
	return errors.Join(pushErr, openErr, waitErr)
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
