package helmupdatechart

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/Masterminds/semver/v3"
	"sigs.k8s.io/yaml"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/gitops/render/helm"
	"github.com/waybill-dev/waybill/internal/tarball"
	"github.com/waybill-dev/waybill/promotion"
	"github.com/waybill-dev/waybill/promotion/steps/step"
	"github.com/waybill-dev/waybill/promotion/workspace"
	"github.com/waybill-dev/waybill/warehouse"
	"github.com/waybill-dev/waybill/warehouse/chart"
	"github.com/waybill-dev/waybill/warehouse/registry"
)

// Charts downloads what charts depend on; *chart.Fetcher does.
type Charts interface {
	Newest(ctx context.Context, project string, c v1alpha1.Chart, constraint string, notBefore time.Time) (v1alpha1.Chart, error)
	Fetch(ctx context.Context, project string, c v1alpha1.Chart) (*chart.Archive, error)
}

// maxDependencies bounds the dependencies of one chart.
const maxDependencies = 100

// dependency is one entry of a Chart.yaml or Chart.lock. Names and order of the
// fields are Helm's: the digest of a lock is taken of them as JSON.
type dependency struct {
	Name         string   `json:"name"`
	Version      string   `json:"version,omitempty"`
	Repository   string   `json:"repository"`
	Condition    string   `json:"condition,omitempty"`
	Tags         []string `json:"tags,omitempty"`
	Enabled      bool     `json:"enabled,omitempty"`
	ImportValues []any    `json:"import-values,omitempty"`
	Alias        string   `json:"alias,omitempty"`
}

// lockFile is a Chart.lock.
type lockFile struct {
	Generated    time.Time     `json:"generated"`
	Digest       string        `json:"digest"`
	Dependencies []*dependency `json:"dependencies"`
}

// resolved is what a dependency came to; it is recorded, so that a repeated run
// takes the same.
type resolved struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Digest  string `json:"digest,omitempty"`
}

// update does what helm dependency update does for the chart in folder: the
// archives of its dependencies come into charts, those of others go, and
// Chart.lock says which they are.
func (s Step) update(ctx context.Context, in step.Input, folder string, chartYAML []byte) ([]resolved, error) {
	wanted, err := dependenciesIn(path.Join(folder, "Chart.yaml"), chartYAML)
	if err != nil {
		return nil, err
	}
	u, err := s.updater(in, folder)
	if err != nil {
		return nil, err
	}
	var locked []*dependency
	for _, d := range wanted {
		version, err := u.resolve(ctx, d)
		if err != nil {
			return nil, err
		}
		locked = append(locked, &dependency{Name: d.Name, Version: version, Repository: d.Repository})
	}
	edits, err := u.edits()
	if err != nil {
		return nil, err
	}
	lock, err := u.lock(wanted, locked)
	if err != nil {
		return nil, err
	}
	return u.resolved, step.FileError(u.tree.Edit(append(edits, lock...)...))
}

// Build does what helm dependency build does for the chart in folder: its
// dependencies come into charts in the versions that Chart.lock says. Without one
// it is as update. A Chart.lock that does not fit Chart.yaml is an error.
func (s Step) Build(ctx context.Context, in step.Input, folder string) error {
	file := path.Join(folder, "Chart.yaml")
	chartYAML, err := in.ReadFile(file)
	if err != nil {
		return err //nolint:wrapcheck // a step's error already
	}
	wanted, err := dependenciesIn(file, chartYAML)
	if err != nil || len(wanted) == 0 {
		return err
	}
	u, err := s.updater(in, folder)
	if err != nil {
		return err
	}
	raw, err := u.tree.ReadFile(path.Join(".", u.root, "Chart.lock"))
	if errors.Is(err, fs.ErrNotExist) {
		_, err := s.update(ctx, in, folder, chartYAML)
		return err
	}
	if err != nil {
		return err //nolint:wrapcheck // names the path already
	}
	var lock lockFile
	if err := yaml.Unmarshal(raw, &lock); err != nil {
		return step.Reasoned("FileInvalid", fmt.Errorf("file %q: %w", path.Join(folder, "Chart.lock"), err))
	}
	digest, err := lockDigest(wanted, lock.Dependencies)
	if err != nil {
		return err
	}
	if digest != lock.Digest || len(lock.Dependencies) != len(wanted) {
		return step.Terminal("FileInvalid", fmt.Errorf("file %q does not fit %q; commit what helm dependency update writes", path.Join(folder, "Chart.lock"), file))
	}
	for i, d := range wanted {
		pinned := *d
		pinned.Version = lock.Dependencies[i].Version
		if _, err := u.resolve(ctx, &pinned); err != nil {
			return err
		}
	}
	edits, err := u.edits()
	if err != nil {
		return err
	}
	return step.FileError(u.tree.Edit(edits...))
}

// dependenciesIn reads what a Chart.yaml depends on.
func dependenciesIn(file string, chartYAML []byte) ([]*dependency, error) {
	var meta struct {
		Dependencies []*dependency `json:"dependencies"`
	}
	if err := yaml.Unmarshal(chartYAML, &meta); err != nil {
		return nil, step.Reasoned("FileInvalid", fmt.Errorf("file %q: %w", file, err))
	}
	if len(meta.Dependencies) > maxDependencies {
		return nil, step.Terminal("InvalidConfig", fmt.Errorf("file %q has more than %d dependencies", file, maxDependencies))
	}
	for _, d := range meta.Dependencies {
		if d == nil || d.Name == "" {
			return nil, step.Reasoned("FileInvalid", fmt.Errorf("file %q has a dependency without name", file))
		}
	}
	return meta.Dependencies, nil
}

// updater returns one for the chart in folder, which has found nothing yet.
func (s Step) updater(in step.Input, folder string) (*updater, error) {
	tree, root, err := in.Workspace.Locate(folder)
	if err != nil {
		return nil, step.Terminal("InvalidConfig", err)
	}
	return &updater{Step: s, in: in, tree: tree, root: root, archives: map[string][]byte{}, inPlace: map[string]bool{}, before: recorded(in)}, nil
}

// updater collects what one chart depends on.
type updater struct {
	Step
	in   step.Input
	tree *workspace.Tree
	// root is the chart's folder in tree, "" the tree's own.
	root string
	// archives are those of dependencies, by file name in charts. inPlace are the
	// dependencies that lie there as folders.
	archives map[string][]byte
	inPlace  map[string]bool
	size     int
	// before is what an earlier run of this step came to.
	before   []resolved
	resolved []resolved
}

// resolve finds one dependency and returns its version.
func (u *updater) resolve(ctx context.Context, d *dependency) (version string, err error) {
	if _, err := semver.NewConstraint(d.Version); err != nil && d.Version != "" {
		return "", step.Reasoned("FileInvalid", fmt.Errorf("dependency %q: version %q is neither a version nor a range", d.Name, d.Version))
	}
	switch {
	case d.Repository == "":
		u.inPlace[d.Name] = true
		if _, err := u.files(path.Join("charts", d.Name)); err != nil {
			return "", step.FileError(fmt.Errorf("dependency %q without repository: %w", d.Name, err))
		}
		return d.Version, nil
	case strings.HasPrefix(d.Repository, "file://"):
		return u.local(d)
	case strings.HasPrefix(d.Repository, "@"), strings.HasPrefix(d.Repository, "alias:"):
		return "", step.Terminal("InvalidConfig", fmt.Errorf("dependency %q: %q is a name that only a person's Helm knows; write the address of the repository", d.Name, d.Repository))
	case u.Archives == nil:
		return "", step.Terminal("InvalidConfig", fmt.Errorf("dependency %q: charts are not downloaded here", d.Name))
	default:
		return u.remote(ctx, d)
	}
}

// remote downloads a dependency.
func (u *updater) remote(ctx context.Context, d *dependency) (version string, err error) {
	project := u.in.Promotion.Namespace
	want := chart.At(d.Repository, d.Name)
	carried, isCarried := promotion.Chart(u.in.Promotion.Status.Plan.Collection, d.Repository, d.Name)
	before := u.earlier(d.Name)
	switch _, notExact := semver.StrictNewVersion(d.Version); {
	case before != nil:
		want.Version, want.Digest = before.Version, before.Digest
	case isCarried && carried.Version == d.Version:
		want.Version, want.Digest = carried.Version, carried.Digest
	case notExact == nil:
		want.Version = d.Version
	default:
		if want, err = u.Archives.Newest(ctx, project, want, d.Version, time.Time{}); err != nil {
			return "", downloadError(d, err)
		}
	}
	archive, err := u.Archives.Fetch(ctx, project, want)
	if err != nil {
		return "", downloadError(d, err)
	}
	u.resolved = append(u.resolved, resolved{d.Name, archive.Version, archive.Digest})
	return archive.Version, u.add(d, archive.Version, archive.Raw)
}

// earlier is what the dependency at this place came to in an earlier run; nil when
// there was none.
func (u *updater) earlier(name string) *resolved {
	if i := len(u.resolved); i < len(u.before) && u.before[i].Name == name {
		return &u.before[i]
	}
	return nil
}

// local packs a dependency that lies beside the chart.
func (u *updater) local(d *dependency) (version string, err error) {
	at := strings.TrimPrefix(d.Repository, "file://")
	if path.IsAbs(at) {
		return "", step.Terminal("UnsafePath", fmt.Errorf("dependency %q: %q is not a path from the chart", d.Name, d.Repository))
	}
	files, err := u.files(at)
	if err != nil {
		return "", step.FileError(fmt.Errorf("dependency %q at %q: %w", d.Name, d.Repository, err))
	}
	var chartYAML []byte
	for i, f := range files {
		if f.Name == "Chart.yaml" {
			chartYAML = f.Content
		}
		files[i].Name = d.Name + "/" + f.Name
	}
	name, version, err := chart.Metadata(chartYAML)
	switch {
	case err != nil:
		return "", step.Reasoned("FileInvalid", fmt.Errorf("dependency %q at %q: %w", d.Name, d.Repository, err))
	case name != d.Name:
		return "", step.Reasoned("FileInvalid", fmt.Errorf("dependency %q at %q: the chart there is called %q", d.Name, d.Repository, name))
	case !allows(d.Version, version):
		return "", step.Reasoned("ChartMissing", fmt.Errorf("dependency %q at %q has version %s, which is not in %q", d.Name, d.Repository, version, d.Version))
	}
	raw, err := tarball.Write(files)
	if err != nil {
		return "", err //nolint:wrapcheck // names the file already
	}
	u.resolved = append(u.resolved, resolved{Name: d.Name, Version: version})
	return version, u.add(d, version, raw)
}

// allows reports whether a version is in a range.
func allows(constraint, version string) bool {
	v, err := semver.NewVersion(version)
	if err != nil || constraint == "" {
		return err == nil
	}
	c, err := semver.NewConstraint(constraint)
	return err == nil && c.Check(v)
}

// files returns the files of a chart's folder, given from the chart's; what begins
// with a dot is left out, and what its .helmignore names.
func (u *updater) files(folder string) ([]tarball.File, error) {
	at := path.Join(".", u.root, folder)
	if at == ".." || strings.HasPrefix(at, "../") {
		return nil, step.Terminal("UnsafePath", errors.New("it leads out of the repository"))
	}
	all, err := u.tree.FS()
	if err != nil {
		return nil, err //nolint:wrapcheck // names the tree already
	}
	rules, err := fs.ReadFile(all, path.Join(at, helm.IgnoreFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err //nolint:wrapcheck // names the path already
	}
	isIgnored, err := helm.Ignored(rules)
	if err != nil {
		return nil, step.Terminal("FileInvalid", err)
	}
	var out []tarball.File
	size := 0
	err = fs.WalkDir(all, at, func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == at {
			return err
		}
		inside := strings.TrimPrefix(strings.TrimPrefix(name, at), "/")
		info, err := d.Info()
		if err != nil {
			return err //nolint:wrapcheck // names the path already
		}
		switch isLeftOut := strings.HasPrefix(d.Name(), ".") || isIgnored(inside, info); {
		case isLeftOut && d.IsDir():
			return fs.SkipDir
		case isLeftOut || d.IsDir():
			return nil
		}
		raw, err := fs.ReadFile(all, name)
		if err != nil {
			return err //nolint:wrapcheck // names the path already
		}
		if size += len(raw); size > step.MaxFileBytes || len(out) >= step.MaxTreeFiles {
			return step.ErrTreeTooLarge
		}
		out = append(out, tarball.File{Name: inside, Content: raw})
		return nil
	})
	return out, err //nolint:wrapcheck // named by the caller
}

// add takes in an archive for charts.
func (u *updater) add(d *dependency, version string, raw []byte) error {
	if u.size += len(raw); len(raw) > step.MaxFileBytes || u.size > step.MaxTreeBytes {
		return step.Terminal("FileTooLarge", fmt.Errorf("dependency %q: %w", d.Name, step.ErrTreeTooLarge))
	}
	u.archives[fmt.Sprintf("%s-%s.tgz", d.Name, version)] = raw
	return nil
}

// edits puts the archives into charts, and takes those away that nothing depends on.
func (u *updater) edits() ([]git.Edit, error) {
	folder := path.Join(u.root, "charts")
	all, err := u.tree.FS()
	if err != nil {
		return nil, err //nolint:wrapcheck // names the tree already
	}
	entries, err := fs.ReadDir(all, path.Join(".", folder))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err //nolint:wrapcheck // names the path already
	}
	var out []git.Edit
	for _, e := range entries {
		name := e.Name()
		if _, stays := u.archives[name]; stays || e.IsDir() || !strings.HasSuffix(name, ".tgz") {
			continue
		}
		isInPlace := false
		for local := range u.inPlace {
			isInPlace = isInPlace || strings.HasPrefix(name, local+"-")
		}
		if !isInPlace {
			out = append(out, git.Remove(path.Join(folder, name)))
		}
	}
	for name, raw := range u.archives {
		out = append(out, git.SetFile(path.Join(folder, name), raw))
	}
	return out, nil
}

// lock writes Chart.lock. One that says the same stays as it is, with its date.
func (u *updater) lock(wanted, locked []*dependency) ([]git.Edit, error) {
	file := path.Join(u.root, "Chart.lock")
	old, err := u.tree.ReadFile(path.Join(".", file))
	isThere := err == nil
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err //nolint:wrapcheck // names the path already
	}
	if len(wanted) == 0 {
		if isThere {
			return []git.Edit{git.Remove(file)}, nil
		}
		return nil, nil
	}
	digest, err := lockDigest(wanted, locked)
	if err != nil {
		return nil, err
	}
	var before lockFile
	if isThere && yaml.Unmarshal(old, &before) == nil && before.Digest == digest {
		return nil, nil
	}
	raw, err := yaml.Marshal(lockFile{Generated: u.in.Date.UTC().Truncate(time.Second), Digest: digest, Dependencies: locked})
	if err != nil {
		return nil, fmt.Errorf("write %q: %w", file, err)
	}
	return []git.Edit{git.SetFile(file, raw)}, nil
}

// lockDigest is what Helm compares to see whether a Chart.lock still fits its
// Chart.yaml.
func lockDigest(wanted, locked []*dependency) (string, error) {
	raw, err := json.Marshal([2][]*dependency{wanted, locked})
	if err != nil {
		return "", fmt.Errorf("digest of Chart.lock: %w", err)
	}
	sum := sha256.Sum256(raw)
	return "sha256:" + hex.EncodeToString(sum[:]), nil
}

// downloadError gives the failures of repositories their words.
func downloadError(d *dependency, err error) error {
	err = fmt.Errorf("dependency %q: %w", d.Name, err)
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, chart.ErrNoVersion):
		return step.Reasoned("ChartMissing", err)
	case errors.Is(err, chart.ErrCredential):
		return step.Reasoned("CredentialsInvalid", err)
	case errors.Is(err, chart.ErrArchive):
		return step.Terminal("ChartInvalid", err)
	case errors.Is(err, chart.ErrChanged):
		return step.Terminal("ChartChanged", err)
	case errors.Is(err, warehouse.ErrInvalid), errors.Is(err, registry.ErrInvalid):
		return step.Terminal("InvalidConfig", err)
	default:
		return step.Reasoned(registry.Reason(err), err)
	}
}

// recorded is what an earlier run of the step came to.
func recorded(in step.Input) []resolved {
	var out struct {
		Dependencies []resolved `json:"dependencies"`
	}
	if in.Recorded == nil || json.Unmarshal(in.Recorded.Raw, &out) != nil {
		return nil
	}
	return out.Dependencies
}
