package rest

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/waybill-dev/waybill/api/rest/model"
	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/git"
	"github.com/waybill-dev/waybill/git/gittest"
	"github.com/waybill-dev/waybill/internal/credentials/secretstore"
	"github.com/waybill-dev/waybill/internal/demoregistry"
	"github.com/waybill-dev/waybill/internal/outbound"
	"github.com/waybill-dev/waybill/warehouse/chart"
	"github.com/waybill-dev/waybill/warehouse/registry"
	"github.com/waybill-dev/waybill/warehouse/registrytest"
)

// TestCredentials: what is added is a Secret that serves the Project, no answer and no
// log holds what it holds, and Kubernetes decides who may write it.
func TestCredentials(t *testing.T) {
	f := newProject(t)
	admin, alice, mallory := shared.as(t, "admin"), shared.as(t, "alice"), shared.as(t, "mallory")
	path := f.path("/credentials")
	add := func(kind model.CredentialType, data map[string]string) model.AddCredentialRequest {
		return model.AddCredentialRequest{Type: kind, Data: data}
	}
	repo := add(model.CredentialTypeGit, map[string]string{"repoURL": "https://git.example.com", "username": "bot", "password": "credcanary-git-1"})
	var answers []string
	send := func(who person, method, at string, body any) answer {
		t.Helper()
		a := who.do(t, method, at, body)
		answers = append(answers, string(a.body))
		return a
	}
	if a := send(alice, "POST", path, repo); a.status != http.StatusForbidden {
		t.Errorf("a promoter: %d %s", a.status, a.body)
	}
	if a := send(mallory, "POST", path, repo); a.status != http.StatusNotFound {
		t.Errorf("a stranger: %d %s", a.status, a.body)
	}
	var made model.Credential
	if a := send(admin, "POST", path, repo); a.status != http.StatusCreated {
		t.Fatalf("%d %s", a.status, a.body)
	} else {
		a.into(t, &made)
	}
	if made.Name != "git-git-example-com" || made.Type != model.CredentialTypeGit || made.Means != "password" {
		t.Errorf("%+v", made)
	}
	stored := &corev1.Secret{}
	read := func(name string) error {
		return shared.admin.Get(t.Context(), client.ObjectKey{Namespace: f.name, Name: name}, stored)
	}
	if err := read(made.Name); err != nil || string(stored.Data["password"]) != "credcanary-git-1" || stored.Labels[v1alpha1.LabelCredentialType] != "git" {
		t.Errorf("%v: %v", err, stored.Labels)
	}
	registry := add(model.CredentialTypeImage, map[string]string{"repoURL": "registry.example.com", "username": "bot", "password": "credcanary-image-1"})
	registry.Name = "pull"
	if a := send(admin, "POST", path, registry); a.status != http.StatusCreated {
		t.Fatalf("%d %s", a.status, a.body)
	}
	// A Secret of the application, one that is shared, and one that is shared with others.
	create(t, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: f.name, Name: "app"}, Data: map[string][]byte{"k": []byte("credcanary-app")}})
	secretOf := func(name, with string) *corev1.Secret {
		return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: systemNamespace, Name: f.name + name, Labels: map[string]string{v1alpha1.LabelCredentialType: "git"},
			Annotations: map[string]string{"waybill.dev/shared-with": with}}, Data: map[string][]byte{"repoURL": []byte("https://other.example.com"), "username": []byte("u"), "password": []byte("credcanary-shared")}}
	}
	create(t, secretOf("-shared", f.name))
	create(t, secretOf("-others", "somebody-else"))
	create(t, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: f.name, Name: "broken", Labels: map[string]string{v1alpha1.LabelCredentialType: "chart"}}, Data: map[string][]byte{"password": []byte("credcanary-broken")}})

	var list model.CredentialList
	eventually(t, func() error {
		a := send(shared.as(t, "victor"), "GET", path, nil)
		if a.status != http.StatusOK {
			return errors.New(string(a.body))
		}
		list = model.CredentialList{}
		a.into(t, &list)
		if len(list.Items) != 4 {
			return fmt.Errorf("%d credentials: %s", len(list.Items), a.body)
		}
		return nil
	})
	byName := map[string]model.Credential{}
	for _, c := range list.Items {
		byName[c.Name] = c
	}
	if c := byName[made.Name]; c.Shared || c.Problem != "" || c.CreatedAt.IsZero() || !slices.Equal(c.UsedBy, []string{"Stage/test", "Stage/uat", "Stage/prod"}) {
		t.Errorf("%+v", c)
	}
	if c := byName["pull"]; !slices.Equal(c.UsedBy, []string{"Warehouse/main"}) {
		t.Errorf("%+v", c)
	}
	if c := byName[f.name+"-shared"]; !c.Shared || len(c.UsedBy) > 0 {
		t.Errorf("%+v", c)
	}
	if c := byName["broken"]; !strings.Contains(c.Problem, "repoURL is missing") {
		t.Errorf("%+v", c)
	}

	for why, c := range map[string]struct {
		body   model.AddCredentialRequest
		status int
		want   string
	}{
		"there already":      {repo, http.StatusConflict, "already"},
		"another's Secret":   {model.AddCredentialRequest{Name: "app", Type: model.CredentialTypeGit, Data: repo.Data, Replace: true}, http.StatusConflict, "no credential of type git"},
		"of another type":    {model.AddCredentialRequest{Name: "pull", Type: model.CredentialTypeGit, Data: repo.Data, Replace: true}, http.StatusConflict, "no credential of type git"},
		"no such key":        {add(model.CredentialTypeGit, map[string]string{"repoURL": "https://git.example.com", "pasword": "credcanary-2"}), http.StatusBadRequest, `no key "pasword"`},
		"half a login":       {add(model.CredentialTypeGit, map[string]string{"repoURL": "https://git.example.com/x", "password": "credcanary-3"}), http.StatusBadRequest, "username and password"},
		"nothing":            {add(model.CredentialTypeGit, map[string]string{"repoURL": "https://git.example.com/x"}), http.StatusBadRequest, "neither"},
		"no address":         {add(model.CredentialTypeGit, map[string]string{"username": "u", "password": "credcanary-4"}), http.StatusBadRequest, "repoURL is missing"},
		"Waybill's identity": {add(model.CredentialTypeImage, map[string]string{"repoURL": "1.dkr.ecr.eu-west-1.amazonaws.com", "provider": "ecr"}), http.StatusBadRequest, "identity of Waybill itself"},
		"no name":            {model.AddCredentialRequest{Name: "No Name", Type: model.CredentialTypeGit, Data: repo.Data}, http.StatusBadRequest, "no name for a Secret"},
	} {
		if a := send(admin, "POST", path, c.body); a.status != c.status || !strings.Contains(a.problem(t).Detail, c.want) {
			t.Errorf("%s: %d %s, want %d: %s", why, a.status, a.body, c.status, c.want)
		}
	}
	if err := read("app"); err != nil || string(stored.Data["k"]) != "credcanary-app" || len(stored.Data) != 1 {
		t.Errorf("%v: a Secret of somebody else was changed", err)
	}
	repo.Replace, repo.Data = true, map[string]string{"repoURL": "https://git.example.com", "username": "bot", "password": "credcanary-git-5"}
	if a := send(admin, "POST", path, repo); a.status != http.StatusCreated {
		t.Errorf("replace: %d %s", a.status, a.body)
	}
	if err := read(made.Name); err != nil || string(stored.Data["password"]) != "credcanary-git-5" {
		t.Errorf("%v: not replaced", err)
	}

	for _, c := range []struct {
		why    string
		who    person
		name   string
		status int
	}{
		{"a promoter", alice, "pull", http.StatusForbidden},
		{"a stranger", mallory, "pull", http.StatusNotFound},
		{"it is used", admin, "pull", http.StatusConflict},
		{"no credential", admin, "app", http.StatusNotFound},
		{"not there", admin, "nothing", http.StatusNotFound},
		{"no name of a Secret", admin, "..%2Fapp", http.StatusNotFound},
		{"of the installation", admin, f.name + "-shared", http.StatusNotFound},
		{"used, and forced", admin, "pull?force=true", http.StatusNoContent},
		{"not used", admin, "broken", http.StatusNoContent},
	} {
		if a := send(c.who, "DELETE", path+"/"+c.name, nil); a.status != c.status {
			t.Errorf("remove: %s: %d %s, want %d", c.why, a.status, a.body, c.status)
		}
	}
	if err := read("pull"); !apierrors.IsNotFound(err) {
		t.Errorf("it is still there: %v", err)
	}
	if err := read("app"); err != nil {
		t.Errorf("the application's Secret is gone: %v", err)
	}
	for _, text := range append(answers, shared.log.String()) {
		if at := strings.Index(text, "credcanary-"); at >= 0 {
			t.Errorf("a value came out: %.60s", text[max(0, at-40):])
		}
	}
}

// TestTryCredentials asks a real Git server and a real registry, with and without the
// credential, and with one that is wrong.
func TestTryCredentials(t *testing.T) {
	f := newProject(t)
	gitServer, images := gittest.NewServer(t), registrytest.New(t)
	repoURL := gitServer.CreateRepo("app", map[string]string{"README": "x"})
	images.Push("team/app", "1.0.0", demoregistry.ImageOptions{})
	transport, err := outbound.New(outbound.Policy{AllowLoopback: true, AllowPlainHTTP: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(transport.CloseIdleConnections)
	mirrors, err := git.NewMirrors(git.Options{Dir: t.TempDir(), Transport: transport, AllowPlainHTTP: true})
	if err != nil {
		t.Fatal(err)
	}
	registryClient, err := registry.New(registry.Options{Transport: transport, Now: time.Now, AllowLoopbackHTTP: true})
	if err != nil {
		t.Fatal(err)
	}
	store := &secretstore.Store{Reader: shared.admin, SystemNamespace: systemNamespace}
	shared.remotes.Store(&secretstore.Remotes{Store: store, Mirrors: mirrors, Registry: registryClient, Charts: chart.New(registryClient, time.Now, t.TempDir())})
	t.Cleanup(func() {
		shared.remotes.Store(nil)
		_ = mirrors.Close()
		_ = registryClient.Close()
	})
	admin, alice := shared.as(t, "admin"), shared.as(t, "alice")
	try := func(kind model.CredentialType, address string) model.CredentialTest {
		t.Helper()
		a := admin.do(t, "POST", f.path("/credentials/test"), model.TestCredentialsRequest{Types: []model.CredentialType{kind}, RepoURL: address})
		if a.status != http.StatusOK || strings.Contains(string(a.body), "credcanary") {
			t.Fatalf("%d %s", a.status, a.body)
		}
		var list model.CredentialTestList
		a.into(t, &list)
		if len(list.Items) != 1 {
			t.Fatalf("%+v", list)
		}
		return list.Items[0]
	}
	keep := func(kind model.CredentialType, address, username, password string) {
		t.Helper()
		body := model.AddCredentialRequest{Name: "own-" + string(kind), Type: kind, Replace: true, Data: map[string]string{"repoURL": address, "username": username, "password": password}}
		if a := admin.do(t, "POST", f.path("/credentials"), body); a.status != http.StatusCreated {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	for _, c := range []struct {
		kind                        model.CredentialType
		address, username, password string
		says                        string
	}{
		{model.CredentialTypeGit, repoURL, gittest.Username, gittest.Password, "branches: 1, tags: 0, default branch: main"},
		{model.CredentialTypeImage, images.Name("team/app"), registrytest.Username, registrytest.Password, "tags: 1"},
		{model.CredentialTypeChart, "oci://" + images.Name("team/app"), registrytest.Username, registrytest.Password, "tags: 1"},
	} {
		if got := try(c.kind, c.address); got.Reached || got.Credential != "" || got.Message == "" {
			t.Errorf("%s without a credential: %+v", c.kind, got)
		}
		keep(c.kind, c.address, c.username, "credcanary-wrong")
		if got := try(c.kind, c.address); got.Reached || got.Credential != "own-"+string(c.kind) || got.Message == "" {
			t.Errorf("%s with a wrong one: %+v", c.kind, got)
		}
		keep(c.kind, c.address, c.username, c.password)
		if got := try(c.kind, c.address); !got.Reached || got.Credential != "own-"+string(c.kind) || got.Message != c.says {
			t.Errorf("%s: %+v", c.kind, got)
		}
	}
	if got := try(model.CredentialTypeChart, "https://127.0.0.1:1/charts"); got.Reached {
		t.Errorf("nobody listens there: %+v", got)
	}
	// A promoter may ask what the Project uses, and no other address.
	elsewhere := alice.do(t, "POST", f.path("/credentials/test"), model.TestCredentialsRequest{Types: []model.CredentialType{model.CredentialTypeGit}, RepoURL: repoURL})
	if elsewhere.status != http.StatusForbidden {
		t.Errorf("an address of their own: %d %s", elsewhere.status, elsewhere.body)
	}
	used := alice.do(t, "POST", f.path("/credentials/test"), model.TestCredentialsRequest{Types: []model.CredentialType{model.CredentialTypeImage}, RepoURL: image})
	if used.status != http.StatusOK {
		t.Errorf("what the Project uses: %d %s", used.status, used.body)
	}
	// Without an address, what the Project uses: one image and one repository.
	var all model.CredentialTestList
	a := alice.do(t, "POST", f.path("/credentials/test"), model.TestCredentialsRequest{Types: []model.CredentialType{model.CredentialTypeGit, model.CredentialTypeImage, model.CredentialTypeChart}})
	a.into(t, &all)
	if a.status != http.StatusOK || len(all.Items) != 2 || all.Items[0].RepoURL != image || len(all.Items[1].UsedBy) != 3 || all.Items[0].Reached {
		t.Errorf("%d %s", a.status, a.body)
	}
	for why, body := range map[string]model.TestCredentialsRequest{
		"of no type": {}, "of two types": {Types: []model.CredentialType{"git", "image"}, RepoURL: repoURL}, "of another type": {Types: []model.CredentialType{"sops"}},
	} {
		if a := alice.do(t, "POST", f.path("/credentials/test"), body); a.status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", why, a.status, a.body)
		}
	}
	if log := shared.log.String(); strings.Contains(log, "credcanary") {
		t.Error("a value is in the log")
	}
}

func TestCredentialName(t *testing.T) {
	for address, want := range map[string]string{
		"https://git.example.com/team/app.git": "git-git-example-com-team-app",
		"https://git.example.com/Team/App":     "git-git-example-com-team-app",
		"git@git.example.com:team/":            "git-git-example-com-team",
		"ssh://git@git.example.com:22/x":       "git-git-example-com-22-x",
		"https://bot:pass@git.example.com":     "git-git-example-com",
		"registry.example.com":                 "git-registry-example-com",
		"":                                     "git-e3b0c442",
	} {
		if got := credentialName("git", address); got != want {
			t.Errorf("%q: %q, want %q", address, got, want)
		}
	}
	long := credentialName("git", "https://git.example.com/"+strings.Repeat("team/", 30))
	if other := credentialName("git", "https://git.example.com/"+strings.Repeat("team/", 31)); len(long) > 63 || long == other {
		t.Errorf("%q and %q", long, other)
	}
}
