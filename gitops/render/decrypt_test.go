package render_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/gitops/render"
	"github.com/waybill-dev/waybill/internal/sops"
)

// sopsFile returns a test file of the package that reads them.
func sopsFile(t *testing.T, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("..", "..", "internal", "sops", "testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// TestEncrypted: what SOPS encrypted is decrypted wherever it is read, and only
// where it comes to a Secret.
func TestEncrypted(t *testing.T) {
	t.Parallel()
	secret, env := sopsFile(t, "enc/age-secret.yaml"), sopsFile(t, "enc/age-app.env")
	withKeys := render.Source{Path: "app", Project: "guestbook", Decryption: &v1alpha1.Decryption{SecretRef: v1alpha1.DecryptionSecret{Name: "keys"}}}
	for _, c := range []struct {
		name    string
		files   map[string]string
		noKeys  bool
		refused string
		field   []string
		want    string
	}{
		{name: "plain", files: map[string]string{"app/s.yaml": string(secret)}, field: []string{"stringData", "password"}, want: "hunter2-canary: yes"},
		{name: "kustomize", files: map[string]string{"app/kustomization.yaml": "resources: [s.yaml]\nnamePrefix: x-\n", "app/s.yaml": string(secret)}, field: []string{"stringData", "port"}, want: "5432"},
		{name: "secretGenerator", files: map[string]string{"app/kustomization.yaml": "secretGenerator: [{name: e, envs: [app.env]}]\n", "app/app.env": string(env)}, field: []string{"data", "USER"}, want: "YWRtaW4="},
		{name: "no keys", files: map[string]string{"app/s.yaml": string(secret)}, noKeys: true, refused: "no decryption.secretRef"},
		{name: "configMapGenerator", files: map[string]string{"app/kustomization.yaml": "configMapGenerator: [{name: e, envs: [app.env]}]\n", "app/app.env": string(env)}, refused: "use secretGenerator"},
		{name: "a ConfigMap", files: map[string]string{"app/s.yaml": string(sopsFile(t, "enc/refused-configmap.yaml"))}, refused: "only Secrets"},
		{name: "copied into a ConfigMap", files: map[string]string{"app/s.yaml": string(secret), "app/cm.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: shown}\ndata: {url: unset}\n",
			"app/kustomization.yaml": "resources: [s.yaml, cm.yaml]\nreplacements:\n- source: {kind: Secret, fieldPath: stringData.password}\n  targets: [{select: {kind: ConfigMap}, fieldPaths: [data.url]}]\n"},
			refused: `ConfigMap "shown" says a value that is encrypted in "app/s.yaml"`},
		{name: "damaged", files: map[string]string{"app/s.yaml": strings.Replace(string(secret), "    name: ENC", "    title: ENC", 1)}, refused: "changed after it was encrypted"},
		{name: "for another key", files: map[string]string{"app/s.yaml": string(sopsFile(t, "enc/pgp-secret.yaml"))}, refused: "no key for it"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cache := render.NewCache(1<<20, nil)
			cache.DecryptWith(func(_ context.Context, project string, d *v1alpha1.Decryption) (*sops.Keys, error) {
				if project != "guestbook" || d.SecretRef.Name != "keys" {
					t.Errorf("%s %s", project, d.SecretRef.Name)
				}
				return sops.ParseKeys(map[string][]byte{"a.agekey": sopsFile(t, "test.agekey")})
			})
			files := fstest.MapFS{}
			for name, content := range c.files {
				files[name] = &fstest.MapFile{Data: []byte(content)}
			}
			source := withKeys
			source.FS = files
			if c.noKeys {
				source.Decryption = nil
			}
			got, _, err := cache.Render(t.Context(), source, "p-"+c.name, "r-"+c.name, render.Limits{})
			if c.refused != "" {
				if !errors.Is(err, render.ErrDecryption) || !strings.Contains(err.Error(), c.refused) || strings.Contains(err.Error(), "canary") || len(got.Objects) > 0 {
					t.Errorf("%v, %v", got.Objects, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if value, _, _ := unstructured.NestedString(got.Objects[0].Object, c.field...); value != c.want || len(got.Objects) != 1 {
				t.Errorf("%q, want %q", value, c.want)
			}
		})
	}
}

// TestKeysAreAskedForAnew: a rendering belongs to its keys; without them, what was
// decrypted before is not given out.
func TestKeysAreAskedForAnew(t *testing.T) {
	t.Parallel()
	cache := render.NewCache(1<<20, nil)
	var failure error
	cache.DecryptWith(func(context.Context, string, *v1alpha1.Decryption) (*sops.Keys, error) {
		if failure != nil {
			return nil, failure
		}
		return sops.ParseKeys(map[string][]byte{"a.agekey": sopsFile(t, "test.agekey")})
	})
	source := render.Source{
		FS: fstest.MapFS{"s.yaml": &fstest.MapFile{Data: sopsFile(t, "enc/age-secret.yaml")}}, Path: ".",
		Decryption: &v1alpha1.Decryption{SecretRef: v1alpha1.DecryptionSecret{Name: "keys"}},
	}
	for _, want := range []error{nil, errors.New("the Secret is gone"), nil} {
		failure = want
		if _, _, err := cache.Render(t.Context(), source, "p", "r", render.Limits{}); (err == nil) != (want == nil) {
			t.Errorf("%v, want %v", err, want)
		}
	}
	source.Decryption = nil
	if _, _, err := cache.Render(t.Context(), source, "p", "r", render.Limits{}); !errors.Is(err, render.ErrDecryption) {
		t.Errorf("without decryption: %v", err)
	}
}
