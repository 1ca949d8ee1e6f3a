package cli

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/api/rest/model"
)

// TestCredentialTranscripts prints what repo and registry print.
func TestCredentialTranscripts(t *testing.T) {
	git := model.Credential{Name: "git-git-example-com-team", Type: model.CredentialTypeGit, RepoURLs: []string{"https://git.example.com/team"}, Means: "password",
		UsedBy: []string{"Stage/test", "Stage/prod", "Application/test", "Application/prod"}, CreatedAt: at(90)}
	pattern := model.Credential{Name: "hosts", Type: model.CredentialTypeGit, RepoURLs: []string{"https://.*\\.example\\.com/.*"}, Pattern: true, Means: "SSH key", Shared: true, CreatedAt: at(90)}
	broken := model.Credential{Name: "old", Type: model.CredentialTypeGit, RepoURLs: []string{}, Problem: `credential Secret "old" in "guestbook": key repoURL is missing`, CreatedAt: at(90)}
	image := model.Credential{Name: "image-registry-example-com", Type: model.CredentialTypeImage, RepoURLs: []string{"registry.example.com"}, Means: "password", UsedBy: []string{"Warehouse/main"}, CreatedAt: at(90)}
	const path = " " + api + "/credentials"
	all := map[string]answer{"GET" + path: ok(model.CredentialList{Items: []model.Credential{git, broken, pattern, image}})}
	for _, c := range []struct {
		name, args string
		answers    map[string]answer
	}{
		{"repo-list", "repo list -p guestbook", all},
		{"repo-list-name", "repo list -p guestbook -o name", all},
		{"repo-list-no-project", "repo list", nil},
		{"registry-list", "registry list -p guestbook", all},
		{"registry-list-none", "registry list -p guestbook", map[string]answer{"GET" + path: ok(model.CredentialList{Items: []model.Credential{git}})}},
		{"repo-add", "repo add https://git.example.com/team -p guestbook --username bot --password-stdin", map[string]answer{"POST" + path: {status: http.StatusCreated, body: git}}},
		{"repo-add-no-terminal", "repo add https://git.example.com/team -p guestbook --username bot", nil},
		{"repo-add-no-file", "repo add git@git.example.com:team/ -p guestbook --ssh-key-file /nowhere/key", nil},
		{"repo-add-taken", "repo add https://git.example.com/team -p guestbook --username bot --password-stdin", map[string]answer{"POST" + path: problem(model.Problem{
			Status: http.StatusConflict, Code: model.Conflict, Detail: `there is a credential "git-git-example-com-team" already`, Hint: "add --replace, or choose another --name"})}},
		{"repo-remove", "repo remove git-git-example-com-team -p guestbook", map[string]answer{"DELETE" + path + "/git-git-example-com-team": {status: http.StatusNoContent}}},
		{"repo-remove-used", "repo remove git-git-example-com-team -p guestbook", map[string]answer{"DELETE" + path + "/git-git-example-com-team": problem(model.Problem{
			Status: http.StatusConflict, Code: model.Conflict, Detail: `credential "git-git-example-com-team" is in use: Stage/test and 2 more`, Hint: "add another one first, or use --force: the next that fits is used then, or none"})}},
		{"registry-remove-forced", "registry remove image-registry-example-com -p guestbook --force", map[string]answer{"DELETE" + path + "/image-registry-example-com?force=true": {status: http.StatusNoContent}}},
		{"repo-test", "repo test -p guestbook", map[string]answer{"POST" + path + "/test": ok(model.CredentialTestList{Items: []model.CredentialTest{
			{Type: model.CredentialTypeGit, RepoURL: "https://git.example.com/team/deploy", Credential: "git-git-example-com-team", Reached: true, Message: "branches: 4, tags: 2, default branch: main", UsedBy: []string{"Stage/test", "Stage/prod"}},
			{Type: model.CredentialTypeGit, RepoURL: "https://git.example.com/other/app", Message: "list branches of https://git.example.com/other/app: anonymous access was refused (401)", UsedBy: []string{"Warehouse/main"}},
		}})}},
		{"registry-test", "registry test oci://registry.example.com/charts/web -p guestbook", map[string]answer{"POST" + path + "/test": ok(model.CredentialTestList{Items: []model.CredentialTest{
			{Type: model.CredentialTypeChart, RepoURL: "oci://registry.example.com/charts/web", Reached: true, Message: "tags: 12"}}})}},
		{"repo-test-none", "repo test -p guestbook", map[string]answer{"POST" + path + "/test": ok(model.CredentialTestList{Items: []model.CredentialTest{}})}},
		{"help-repo-test", "repo test --help", nil},
		{"help-repo", "repo --help", nil},
		{"help-repo-add", "repo add --help", nil},
		{"help-registry-add", "registry add --help", nil},
		{"help-repo-list", "repo list --help", nil},
		{"help-repo-remove", "repo remove --help", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := signedIn(t, serve(t, c.answers).URL)
			s.stdin = "canary-password\n"
			r := s.run(strings.Fields(c.args)...)
			if strings.Contains(r.String(), "canary") {
				t.Errorf("the password is printed: %s", r)
			}
			golden(t, c.name, r.String())
		})
	}
}

// TestWhatACredentialIsMadeOf: files and standard input become keys of the Secret, as
// they are but for the line break behind a password.
func TestWhatACredentialIsMadeOf(t *testing.T) {
	var got model.AddCredentialRequest
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = model.AddCredentialRequest{}
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(model.Credential{Name: "n", Type: got.Type, RepoURLs: []string{}})
	}))
	t.Cleanup(server.Close)
	s := signedIn(t, server.URL)
	file := filepath.Join(s.home, "file")
	if err := os.WriteFile(file, []byte("content\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]model.AddCredentialRequest{
		"repo add https://git.example.com --username bot --password-stdin --name own --replace": {Name: "own", Type: model.CredentialTypeGit, Replace: true,
			Data: map[string]string{"repoURL": "https://git.example.com", "username": "bot", "password": "typed"}},
		"repo add git@git.example.com:team/ --ssh-key-file FILE --known-hosts-file FILE": {Type: model.CredentialTypeGit,
			Data: map[string]string{"repoURL": "git@git.example.com:team/", "sshPrivateKey": "content\n", "known_hosts": "content\n"}},
		"repo add https://.*[.]example[.]com --pattern --github-app-id 1 --github-app-installation 2 --github-app-key-file FILE": {Type: model.CredentialTypeGit,
			Data: map[string]string{"repoURL": "https://.*[.]example[.]com", "repoURLIsRegex": "true", "githubAppID": "1", "githubAppInstallationID": "2", "githubAppPrivateKey": "content\n"}},
		"registry add registry.example.com --username bot --password-file FILE --ca-file FILE": {Type: model.CredentialTypeImage,
			Data: map[string]string{"repoURL": "registry.example.com", "username": "bot", "password": "content", "caCert": "content\n"}},
		"registry add 1.dkr.ecr.eu-west-1.amazonaws.com --charts --provider ecr --aws-access-key-id AKIA --aws-secret-key-file FILE": {Type: model.CredentialTypeChart,
			Data: map[string]string{"repoURL": "1.dkr.ecr.eu-west-1.amazonaws.com", "provider": "ecr", "awsAccessKeyID": "AKIA", "awsSecretAccessKey": "content\n"}},
	} {
		s.stdin = "typed\n"
		if r := s.run(strings.Fields(strings.ReplaceAll(args, "FILE", file) + " -p guestbook")...); r.code != 0 {
			t.Errorf("%s", r)
		}
		if a, b := asJSON(t, got), asJSON(t, want); a != b {
			t.Errorf("%s:\n%s, want\n%s", args, a, b)
		}
	}
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
