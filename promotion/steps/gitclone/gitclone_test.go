package gitclone_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"testing"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/git/gitserver"
	"github.com/waybill-dev/waybill/git/gittest"
	"github.com/waybill-dev/waybill/internal/secret"
	"github.com/waybill-dev/waybill/promotion/steps/gitclone"
	"github.com/waybill-dev/waybill/promotion/steps/step"
	"github.com/waybill-dev/waybill/promotion/workspace"
)

// repositories opens the test's server.
type repositories struct{ mirrors *git.Mirrors }

func (r repositories) Open(_ context.Context, _, repoURL string) (*git.Mirror, error) {
	return r.mirrors.Open(git.Remote{URL: repoURL, CredentialName: "git", Username: gittest.Username, Password: secret.New(gittest.Password)})
}

// TestPlannedHead: a branch that others moved makes the plan stale; where the
// promotion itself moved it, in a run that was interrupted after the push, the
// replay goes on.
func TestPlannedHead(t *testing.T) {
	server := gittest.NewServer(t)
	url := server.CreateRepo("app", map[string]string{"a.yaml": "x\n"})
	mirrors, err := git.NewMirrors(git.Options{Dir: t.TempDir(), Transport: http.DefaultTransport, AllowPlainHTTP: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := mirrors.Close(); err != nil {
			t.Error(err)
		}
	})
	planned := server.Branch("app", "main")
	clone := func(head string) error {
		config, err := json.Marshal(gitclone.Config{RepoURL: url, Checkout: []gitclone.Checkout{{Branch: "main", Head: &head, Path: "out"}}})
		if err != nil {
			t.Fatal(err)
		}
		p := &v1alpha1.Promotion{}
		p.UID = "uid-1"
		_, err = gitclone.Step{}.Run(t.Context(), step.Input{
			Promotion: p, Config: config, Workspace: workspace.New(), Repositories: repositories{mirrors},
		})
		return err
	}
	move := func(message string) {
		server.CommitFiles("app", gitserver.Commit{Branch: "main", Message: message, Files: map[string]gitserver.File{"a.yaml": {Content: message}}})
	}
	if err := clone(planned); err != nil {
		t.Errorf("where it was planned: %v", err)
	}
	if err := clone(""); !errors.Is(err, step.ErrStale) {
		t.Errorf("planned where there was no branch: %v", err)
	}
	move("test: 1.28.0\n\nWaybill-Promotion-UID: uid-2")
	if err := clone(planned); !errors.Is(err, step.ErrStale) {
		t.Errorf("moved by another promotion: %v", err)
	}
	planned = server.Branch("app", "main")
	move("test: 1.27.0\n\nWaybill-Promotion-UID: uid-1")
	if err := clone(planned); err != nil {
		t.Errorf("moved by the promotion itself: %v", err)
	}
	move("a fix on top of what the promotion has pushed")
	if err := clone(planned); err != nil {
		t.Errorf("moved by the promotion itself, and by others since: %v", err)
	}
}
