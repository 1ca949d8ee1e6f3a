package safety

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/credentials"
	"github.com/waybill-dev/waybill/internal/credentials/secretstore"
)

// TestCredentialsOfOthers: a Project uses its own credentials and those shared
// with it; nobody else's mistake is its problem, or its business.
func TestCredentialsOfOthers(t *testing.T) {
	admin := clientFor(t, shared.Config)
	store := &secretstore.Store{Reader: admin, SystemNamespace: systemNamespace}
	for _, ns := range []string{"cred-a", "cred-b"} {
		if err := admin.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}); err != nil {
			t.Fatal(err)
		}
	}
	put := func(namespace, name, kind, sharedWith string, data map[string]string) {
		t.Helper()
		s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{v1alpha1.LabelCredentialType: kind}}, StringData: data}
		if sharedWith != "" {
			s.Annotations = map[string]string{v1alpha1.AnnotationSharedWith: sharedWith}
		}
		if err := admin.Create(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = admin.Delete(t.Context(), s) })
	}
	good := func(url string) map[string]string {
		return map[string]string{"repoURL": url, "username": "u", "password": "p4ssw0rd-of-" + url}
	}
	put("cred-b", "theirs", "git", "*", good("https://git.example/.*")) // sharing is for Waybill's namespace
	put("cred-b", "regex", "git", "", map[string]string{"repoURL": ".*", "repoURLIsRegex": "true", "username": "u", "password": "p"})
	put(systemNamespace, "unshared", "git", "", good("https://git.example/a"))
	put(systemNamespace, "for-b", "git", "cred-b", good("https://git.example/a"))
	put(systemNamespace, "broken-unshared", "git", "", map[string]string{"repoURL": "https://git.example/a"})
	put(systemNamespace, "broken-for-b", "git", "cred-b", map[string]string{"repoURL": "https://git.example/a"})
	put("cred-a", "broken-image", "image", "", map[string]string{"repoURL": "registry.example"})

	c, err := store.Lookup(t.Context(), credentials.Git, "cred-a", "https://git.example/a")
	if err != nil || !c.IsAnonymous() {
		t.Errorf("Project cred-a gets %v, %v; want anonymous access", c, err)
	}
	put("cred-a", "broken-git", "git", "", map[string]string{"repoURL": "https://git.example/a", "password": "hunter2-alone"})
	_, err = store.Lookup(t.Context(), credentials.Git, "cred-a", "https://git.example/a")
	if err == nil || !strings.Contains(err.Error(), "broken-git") || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), systemNamespace) {
		t.Errorf("its own broken Secret: %v", err)
	}
	// A Project cannot write itself the identity that Waybill runs with.
	put("cred-a", "cloud", "image", "", map[string]string{"repoURL": "eu-docker.pkg.dev", "provider": "gar"})
	c, err = store.Lookup(t.Context(), credentials.Image, "cred-a", "eu-docker.pkg.dev/a/b")
	if err == nil || !c.IsAnonymous() || !strings.Contains(err.Error(), "only a Secret in") {
		t.Errorf("its own ambient identity: %v, %v", c, err)
	}
	// The registries of a Docker config are its Project's alone, too.
	put("cred-b", "pull", "image", "", map[string]string{".dockerconfigjson": `{"auths":{"registry.example":{"username":"u","password":"p"}}}`})
	if c, err := store.Lookup(t.Context(), credentials.Image, "cred-b", "registry.example/app"); err != nil || c.Name != "pull" {
		t.Errorf("Project cred-b gets %v, %v", c, err)
	}
	if c, err := store.Lookup(t.Context(), credentials.Image, "cred-c", "registry.example/app"); err != nil || !c.IsAnonymous() {
		t.Errorf("Project cred-c gets %v, %v", c, err)
	}
	remote, err := store.Remote(t.Context(), "cred-b", "https://git.example/a")
	if err != nil || remote.CredentialName != "cred-b/regex" {
		t.Errorf("Project cred-b gets %q, %v", remote.CredentialName, err)
	}
}
