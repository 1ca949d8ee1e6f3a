package safety

import (
	"os"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/waybill-dev/waybill/api/v1alpha1"
)

// TestShapeOfSubscriptions: what makes no sense is refused when it is applied,
// with what to do.
func TestShapeOfSubscriptions(t *testing.T) {
	type (
		subs  = []v1alpha1.Subscription
		image = v1alpha1.ImageSubscription
		git   = v1alpha1.GitSubscription
		chart = v1alpha1.ChartSubscription

		signature = v1alpha1.ImageSignature
		key       = v1alpha1.SignatureKey
		identity  = v1alpha1.SignatureIdentity
	)
	interval := metav1.Duration{Duration: time.Minute}
	api := clientFor(t, shared.Config)
	const app, repo = "registry.example.com/app", "https://git.example.com/app.git"
	const pem = "-----BEGIN PUBLIC KEY-----\n...\n-----END PUBLIC KEY-----\n"
	for _, c := range []struct {
		why  string
		subs subs
		says string // empty: accepted
	}{
		{"an image", subs{{Image: &image{RepoURL: app, Constraint: "^1.0.0", MutableTags: "-edge$"}}}, ""},
		{"all three", subs{{Image: &image{RepoURL: app}}, {Git: &git{RepoURL: repo}}, {Chart: &chart{RepoURL: "oci://registry.example.com/charts/app"}}}, ""},
		{"signed by a key", subs{{Image: &image{RepoURL: app, Signature: &signature{Key: &key{PublicKey: pem}}}}}, ""},
		{"signed by an identity", subs{{Image: &image{RepoURL: app, Signature: &signature{Keyless: &identity{Issuer: "https://i", Subject: "s", TrustedRoot: "{}"}}}}}, ""},
		{"signed by nobody", subs{{Image: &image{RepoURL: app, Signature: &signature{}}}}, "set one of key and keyless"},
		{"signed by both", subs{{Image: &image{RepoURL: app, Signature: &signature{Key: &key{PublicKey: pem}, Keyless: &identity{Issuer: "https://i", Subject: "s", TrustedRoot: "{}"}}}}}, "set one of key and keyless"},
		{"a private key", subs{{Image: &image{RepoURL: app, Signature: &signature{Key: &key{PublicKey: strings.ReplaceAll(pem, "PUBLIC", "PRIVATE")}}}}}, "publicKey is what cosign.pub holds"},
		{"an issuer without https", subs{{Image: &image{RepoURL: app, Signature: &signature{Keyless: &identity{Issuer: "http://i", Subject: "s", TrustedRoot: "{}"}}}}}, "issuer is the https:// address"},
		{"no subject", subs{{Image: &image{RepoURL: app, Signature: &signature{Keyless: &identity{Issuer: "https://i", TrustedRoot: "{}"}}}}}, "set one of subject and subjectRegex"},
		{"none", subs{{}}, "set one of image, git and chart"},
		{"two in one", subs{{Image: &image{RepoURL: app}, Git: &git{RepoURL: repo}}}, "set one of image, git and chart"},
		{"extract without an order of texts", subs{{Image: &image{RepoURL: app, ImageSelectionStrategy: v1alpha1.SelectNewestBuild, Extract: "(x)"}}}, "extract orders tags by a part of them"},
		{"Numerical with extract", subs{{Image: &image{RepoURL: app, ImageSelectionStrategy: v1alpha1.SelectNumerical, Extract: "-([0-9]+)$"}}}, ""},
		{"mutable and Digest", subs{{Image: &image{RepoURL: app, ImageSelectionStrategy: v1alpha1.SelectDigest, Constraint: "latest", MutableTags: "x"}}}, "leave mutableTags out"},
		{"an unknown strategy", subs{{Image: &image{RepoURL: app, ImageSelectionStrategy: "Oldest"}}}, "Unsupported value"},
		{"a branch and tags", subs{{Git: &git{RepoURL: repo, CommitSelectionStrategy: v1alpha1.SelectNewestTag, Branch: "main"}}}, "branch belongs to"},
		{"a constraint without versions", subs{{Git: &git{RepoURL: repo, Constraint: "^1"}}}, "constraint belongs to"},
		{"tag rules on a branch", subs{{Git: &git{RepoURL: repo, AllowTagsRegexes: []string{"x"}}}}, "belong to the strategies that watch tags"},
		{"tags by version", subs{{Git: &git{RepoURL: repo, CommitSelectionStrategy: v1alpha1.SelectTagSemVer, Constraint: "^1", IgnoreTagsRegexes: []string{"rc"}}}}, ""},
		{"a chart without its name", subs{{Chart: &chart{RepoURL: "https://charts.example.com"}}}, "needs the name of the chart"},
		{"a chart named twice", subs{{Chart: &chart{RepoURL: "oci://registry.example.com/app", Name: "app"}}}, "leave name out"},
		{"a chart from nowhere", subs{{Chart: &chart{RepoURL: "ftp://x", Name: "app"}}}, "begins with https://"},
	} {
		w := &v1alpha1.Warehouse{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "shape"}, Spec: v1alpha1.WarehouseSpec{Interval: interval, Subscriptions: c.subs}}
		err := api.Create(t.Context(), w, client.DryRunAll)
		switch {
		case c.says == "" && err != nil:
			t.Errorf("%s: %v", c.why, err)
		case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
			t.Errorf("%s: %v, want it to say %q", c.why, err, c.says)
		}
	}
	w := &v1alpha1.Warehouse{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "shape"}, Spec: v1alpha1.WarehouseSpec{
		Interval: interval, Subscriptions: subs{{Git: &git{RepoURL: repo}}},
	}}
	if err := api.Create(t.Context(), w, client.DryRunAll); err != nil {
		t.Fatal(err)
	}
	if w.Spec.FreightCreationPolicy != v1alpha1.FreightAutomatic || w.Spec.Subscriptions[0].Git.CommitSelectionStrategy != v1alpha1.SelectNewestFromBranch ||
		w.Spec.Subscriptions[0].Git.DiscoveryLimit != 20 {
		t.Errorf("defaults: %+v", w.Spec)
	}
}

// TestSignedExampleIsAccepted by a real API server, as people copy it.
func TestSignedExampleIsAccepted(t *testing.T) {
	text, err := os.ReadFile("../../examples/signed-images/warehouse.yaml")
	if err != nil {
		t.Fatal(err)
	}
	docs := strings.Split(string(text), "\n---\n")
	var w v1alpha1.Warehouse
	if err := yaml.UnmarshalStrict([]byte(docs[len(docs)-1]), &w); err != nil {
		t.Fatal(err)
	}
	w.Namespace = "default"
	if err := clientFor(t, shared.Config).Create(t.Context(), &w, client.DryRunAll); err != nil || w.Spec.Subscriptions[0].Image.Signature.Key == nil {
		t.Errorf("%+v: %v", w.Spec, err)
	}
}
