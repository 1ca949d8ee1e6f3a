package controllers_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/gitops/render"
	"github.com/waybill-dev/waybill/internal/credentials/secretstore"
)

// TestEncryptedFiles: a Secret that SOPS encrypted in Git arrives decrypted; until
// its key is there nothing is applied, and what it says is nowhere in a status.
func TestEncryptedFiles(t *testing.T) {
	read := func(name string) string {
		t.Helper()
		content, err := os.ReadFile("../internal/sops/testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return string(content)
	}
	f := newAppFixture(t, func(f *appFixture) {
		f.renders = render.NewCache(16<<20, nil)
		store := &secretstore.Store{Reader: f.client}
		f.renders.DecryptWith(store.DecryptionKeys)
	})
	f.application("test", "stage/test", "app", func(a *v1alpha1.Application) {
		a.Spec.Decryption = &v1alpha1.Decryption{SecretRef: v1alpha1.DecryptionSecret{Name: "sops-keys"}}
	})
	commit := f.commit("stage/test", map[string]string{"app/secret.yaml": read("enc/regex-secret.yaml"), "app/settings.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\n"})
	app, message := f.waitReady("test", "DecryptionFailed")
	if !strings.Contains(message, `no Secret "sops-keys" with the label`) || len(app.Status.Inventory) > 0 {
		t.Errorf("%s; applied %v", message, app.Status.Inventory)
	}
	keys := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: f.project, Name: "sops-keys", Labels: map[string]string{v1alpha1.LabelCredentialType: "sops"}},
		Data:       map[string][]byte{"keys.agekey": []byte(read("test.agekey"))},
	}
	if err := f.client.Create(t.Context(), keys); err != nil {
		t.Fatal(err)
	}
	app = f.waitSynced("test", commit)
	var live corev1.Secret
	f.get(&live, "db")
	if got := string(live.Data["password"]); got != "hunter2-canary: yes" {
		t.Errorf("password %q", got)
	}
	text, err := json.Marshal(app)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "canary") || strings.Contains(string(text), "aHVudGVyMi1") {
		t.Errorf("the Application tells: %s", text)
	}
}
