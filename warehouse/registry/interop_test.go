package registry_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/demoregistry"
	"github.com/waybill-dev/waybill/warehouse/registry"
	"github.com/waybill-dev/waybill/warehouse/registrytest"
)

// TestCosignIsUnderstood: what the real cosign pushes is found and verified, in
// both of its forms, at registries with and without a list of referrers. It runs
// where cosign is installed.
func TestCosignIsUnderstood(t *testing.T) {
	cosign, err := exec.LookPath("cosign")
	if err != nil {
		t.Skip("cosign is not installed: go install github.com/sigstore/cosign/v3/cmd/cosign@v3.1.3")
	}
	dir := t.TempDir()
	run := func(args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), cosign, args...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "COSIGN_PASSWORD=", "HOME="+dir)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("cosign %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	run("generate-key-pair")
	public, err := os.ReadFile(filepath.Join(dir, "cosign.pub"))
	if err != nil {
		t.Fatal(err)
	}
	for _, withoutReferrers := range []bool{false, true} {
		for _, form := range []string{"--new-bundle-format=false", "--new-bundle-format=true"} {
			r := registrytest.New(t, func(o *demoregistry.Options) {
				o.WithoutReferrers, o.Auth = withoutReferrers, demoregistry.AuthNone
			})
			digest := r.Push("app", "1.0.0", demoregistry.ImageOptions{})
			run("sign", "--key", "cosign.key", "--tlog-upload=false", "--use-signing-config=false", form,
				"--allow-insecure-registry", "--allow-http-registry", "-y", r.Name("app")+"@"+digest)
			policy := compile(t, v1alpha1.ImageSubscription{
				RepoURL: r.Name("app"), Signature: &v1alpha1.ImageSignature{Key: &v1alpha1.SignatureKey{PublicKey: string(public)}},
			})
			poll, err := newClient(t).Poll(t.Context(), registry.Repository{URL: r.Name("app")}, policy, time.Time{})
			if err != nil || len(poll.Candidates) != 1 {
				t.Errorf("%s, without referrers %t: %+v, %v", form, withoutReferrers, poll, err)
			}
		}
	}
}
