package accept

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/gitops"
	"github.com/waybill-dev/waybill/gitops/render"
)

// edit returns the revision in which one field is as it lives; change is nil when
// it is so already.
func (a *Acceptor) edit(ctx context.Context, app *v1alpha1.Application, mirror *git.Mirror, at revision, f Field, live *unstructured.Unstructured) (revision, *Change, error) {
	byHand := "change the file in Git, or take the change back with waybill drift --revert"
	index, base := findObject(at.result.Objects, f.Key, app.Spec.Destination.Namespace)
	if base == nil {
		return at, nil, refuse(byHand, "branch %q has no %s", app.Spec.Source.TargetRevision, f.Key)
	}
	place, err := gitops.ParsePath(f.Path)
	if err != nil {
		return at, nil, refuse(byHand, "%s: %s", f.Key, err.Error())
	}
	list, err := gitops.Assignments(place, base.Object, live.Object)
	if err != nil {
		return at, nil, refuse(byHand, "%s: %s", f.Key, err.Error())
	}
	if len(list) == 0 {
		return at, nil, nil
	}
	if now := gitops.ShownValue(list[0].Value); f.Seen != "" && len(list) == 1 && now != f.Seen {
		return at, nil, refuse("look again: waybill drift, then accept what it is now", "%s is %s by now, and no longer %s", f, now, f.Seen)
	}
	if slices.ContainsFunc(list, func(a gitops.Assignment) bool { return a.At[len(a.At)-1] == "image" }) {
		return at, nil, refuse("promote the version, or take the change back with waybill drift --revert", "%s: images come by promotion, through the gates of the Stage", f)
	}
	wanted := base.DeepCopy()
	if err := gitops.Assign(wanted.Object, list); err != nil {
		return at, nil, refuse(byHand, "%s: %s", f.Key, err.Error())
	}
	change, err := describe(f, base, wanted)
	if err != nil {
		return at, nil, err
	}
	expected := append([]*unstructured.Unstructured(nil), at.result.Objects...)
	expected[index] = wanted
	tried := candidates(app, at, target{f, place, base, live})
	for _, edits := range tried {
		next, isRight, err := a.proven(ctx, app, mirror, at, edits, expected)
		if err != nil {
			return at, nil, err
		}
		if isRight {
			change.File = edits[0].file
			return next, change, nil
		}
	}
	why := fmt.Sprintf("no file under %q declares it in a way that can be edited", app.Spec.Source.Path)
	if len(tried) > 0 {
		why = fmt.Sprintf("written into %s it would not render to that value, or change something else", tried[0][0].file)
	}
	return at, nil, refuse(byHand, "%s %s: %s", f.Key, f.Path, why)
}

// describe says what changes, and refuses what may be a secret.
func describe(f Field, base, wanted *unstructured.Unstructured) (*Change, error) {
	out := &Change{Key: f.Key, Field: f.Path}
	for _, c := range gitops.Compare([]*unstructured.Unstructured{base}, []*unstructured.Unstructured{wanted}) {
		for i, v := range c.Fields {
			if strings.HasPrefix(v.Before, "***") || strings.HasPrefix(v.After, "***") {
				return nil, refuse("change the file in Git, or take the change back with waybill drift --revert", "%s %s: by its name this holds a secret, which is not written into a repository", f.Key, f.Path)
			}
			if i == 0 {
				out.Before, out.After = v.Before, v.After
			}
		}
	}
	return out, nil
}

// findObject returns the object that key names and its number. Rendered objects
// may leave the Application's own namespace out.
func findObject(objects []*unstructured.Unstructured, key gitops.Key, namespace string) (int, *unstructured.Unstructured) {
	for i, o := range objects {
		k := gitops.KeyOf(o)
		if k == key {
			return i, o
		}
		if k.Namespace == "" && key.Namespace == namespace {
			k.Namespace = namespace
			if k == key {
				return i, o
			}
		}
	}
	return -1, nil
}

// isChart says whether the Application renders a Helm chart.
func isChart(app *v1alpha1.Application, files fs.FS) bool {
	source := app.Spec.Source
	if source.Helm != nil || source.Kustomize != nil || source.Directory != nil {
		return source.Helm != nil
	}
	_, err := fs.Stat(files, path.Join(path.Clean(source.Path), "Chart.yaml"))
	return err == nil
}

// proven makes the edits and says whether the tree renders to what is expected.
func (a *Acceptor) proven(ctx context.Context, app *v1alpha1.Application, mirror *git.Mirror, at revision, edits []fileEdit, expected []*unstructured.Unstructured) (revision, bool, error) {
	written := make([]git.Edit, 0, len(edits))
	for _, e := range edits {
		written = append(written, git.SetFile(e.file, e.content))
	}
	tree, err := mirror.WriteTree(at.root, written)
	if err != nil {
		return at, false, err //nolint:wrapcheck // names the file already
	}
	next, err := a.revision(ctx, mirror, app, tree)
	var broken *render.Error
	if errors.As(err, &broken) {
		return at, false, nil
	}
	if err != nil {
		return at, false, err
	}
	return next, len(gitops.Compare(expected, next.result.Objects)) == 0, nil
}
