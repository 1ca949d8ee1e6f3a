package chart

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "write the golden files anew")

const (
	chartDir = "../../charts/waybill"
	// releaseNamespace is not the one that the files of the chart name, so that
	// a place where it was not put in its stead shows.
	releaseNamespace = "promotion-system"
)

func load(t *testing.T) *chart.Chart {
	t.Helper()
	c, err := loader.LoadDir(chartDir)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// values parses values as a person would write them; the image is always set.
func values(t *testing.T, text string) map[string]any {
	t.Helper()
	set := map[string]any{}
	if err := yaml.Unmarshal([]byte("image: {repository: registry.example.com/waybilld}\n"+text), &set); err != nil {
		t.Fatal(err)
	}
	return set
}

// render returns each template's output by its name, NOTES.txt included.
// served are API versions that the cluster serves besides Helm's defaults.
func render(c *chart.Chart, set map[string]any, served ...string) (map[string]string, error) {
	caps := common.DefaultCapabilities.Copy()
	caps.APIVersions = append(caps.APIVersions, served...)
	all, err := util.ToRenderValues(c, set, common.ReleaseOptions{
		Name: "waybill", Namespace: releaseNamespace, Revision: 1, IsInstall: true,
	}, caps)
	if err != nil {
		return nil, err
	}
	rendered, err := engine.Engine{Strict: true}.RenderWithContext(context.Background(), c, all)
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for name, content := range rendered {
		if strings.TrimSpace(content) != "" {
			out[strings.TrimPrefix(name, c.Name()+"/templates/")] = content
		}
	}
	return out, nil
}

const mutating = "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy"

func mustRender(t *testing.T, text string, served ...string) map[string]string {
	t.Helper()
	out, err := render(load(t), values(t, text), served...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// decode reads the documents of a YAML stream.
func decode(t *testing.T, manifest string) []*unstructured.Unstructured {
	t.Helper()
	var all []*unstructured.Unstructured
	for d := utilyaml.NewYAMLOrJSONDecoder(strings.NewReader(manifest), 4096); ; {
		u := &unstructured.Unstructured{}
		if err := d.Decode(&u.Object); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatalf("%v in:\n%s", err, manifest)
		}
		if len(u.Object) > 0 {
			all = append(all, u)
		}
	}
}

// objects decodes the whole rendered chart.
func objects(t *testing.T, rendered map[string]string) []*unstructured.Unstructured {
	t.Helper()
	var all []*unstructured.Unstructured
	for _, name := range slices.Sorted(maps.Keys(rendered)) {
		if name != "NOTES.txt" {
			all = append(all, decode(t, rendered[name])...)
		}
	}
	return all
}

// everything sets every value that changes what is rendered.
const everything = `
  digest: sha256:` + "0123456789012345678901234567890123456789012345678901234567890123" + `
  pullPolicy: Always
  pullSecrets: [registry]
server: {shard: true, gitPollInterval: 1m30s, verbose: true, allowHTTP: true, impersonateServiceAccounts: true, argoCD: true, tlsSecretName: waybill-tls, metrics: true, extraArgs: [--allow-loopback]}
data: {persistent: true, size: 20Gi, storageClassName: fast}
history: {dsnSecretName: waybill-history, keepPromotions: 20}
oidc: {issuerURL: "https://login.example.com", clientID: waybill, clientSecretName: waybill-oidc, caSecretName: login-ca, name: Example Inc, scopes: [profile, groups], usernameClaim: preferred_username, groupsClaim: roles, allowedGroups: [dev, ops], noPasswords: true}
service: {type: LoadBalancer, port: 443, annotations: {example.com/lb: internal}}
ingress: {enabled: true, className: nginx, host: waybill.example.com, tlsSecretName: waybill-tls, annotations: {example.com/timeout: "3600"}}
resources: {limits: {memory: 4Gi}}
serviceAccount: {annotations: {example.com/role: waybill}}
podAnnotations: {example.com/scrape: "true"}
nodeSelector: {disk: ssd}
tolerations: [{key: ops, operator: Exists}]
affinity: {nodeAffinity: {preferredDuringSchedulingIgnoredDuringExecution: []}}
priorityClassName: system-cluster-critical
`

// withEverything returns the values of everything, the image's among them.
func withEverything(t *testing.T) map[string]any {
	t.Helper()
	set := map[string]any{}
	if err := yaml.Unmarshal([]byte("image:\n  repository: registry.example.com/waybilld"+everything), &set); err != nil {
		t.Fatal(err)
	}
	return set
}

func TestGolden(t *testing.T) {
	for name, set := range map[string]map[string]any{"default": values(t, ""), "everything": withEverything(t)} {
		t.Run(name, func(t *testing.T) {
			rendered, err := render(load(t), set, mutating)
			if err != nil {
				t.Fatal(err)
			}
			var b bytes.Buffer
			for _, file := range slices.Sorted(maps.Keys(rendered)) {
				// Verbatim copies of files: see TestFilesAreRenderedAsTheyAre.
				if file == "policies.yaml" || file == "rbac.yaml" {
					continue
				}
				fmt.Fprintf(&b, "# ---- %s\n%s\n", file, strings.TrimSpace(rendered[file]))
			}
			golden(t, name+".golden", b.Bytes())
		})
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (write it anew with: go test ./test/chart -update):\n%s", name, diff)
	}
}

// The policies are the files, byte for byte; the roles too, but for the
// namespace of the server's account.
func TestFilesAreRenderedAsTheyAre(t *testing.T) {
	rendered := mustRender(t, "", mutating)
	for dir, into := range map[string]string{"policies": "policies.yaml", "rbac": "rbac.yaml"} {
		files, err := filepath.Glob(filepath.Join(chartDir, "files", dir, "*.yaml"))
		if err != nil || len(files) == 0 {
			t.Fatalf("files of %s: %v, %v", dir, files, err)
		}
		for _, file := range files {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			want := strings.ReplaceAll(string(content), "namespace: waybill-system", "namespace: "+releaseNamespace)
			if !strings.Contains(rendered[into], strings.TrimSpace(want)) {
				t.Errorf("%s is not in %s as it is", file, into)
			}
		}
	}
	for name, content := range rendered {
		if strings.Contains(content, "waybill-system") {
			t.Errorf("%s names waybill-system, but the release is in %s", name, releaseNamespace)
		}
	}
}

// Without MutatingAdmissionPolicy the rest is the same.
func TestOlderClusters(t *testing.T) {
	for _, o := range objects(t, mustRender(t, "")) {
		if strings.HasPrefix(o.GetKind(), "Mutating") {
			t.Errorf("%s %q is rendered for a cluster that does not serve it", o.GetKind(), o.GetName())
		}
	}
	kinds := map[string]int{}
	for _, o := range objects(t, mustRender(t, "", mutating)) {
		kinds[o.GetKind()]++
	}
	if kinds["MutatingAdmissionPolicy"] != 1 || kinds["ValidatingAdmissionPolicy"] < 2 || kinds["Deployment"] != 1 {
		t.Errorf("kinds %v", kinds)
	}
}

func TestValuesAreChecked(t *testing.T) {
	for _, tc := range []struct{ why, text, want string }{
		{"a misspelled value", "sever: {verbose: true}", "sever"},
		{"a misspelled value inside", "server: {verbos: true}", "verbos"},
		{"an interval without unit", `server: {gitPollInterval: "30"}`, "gitPollInterval"},
		{"an Ingress without host", "ingress: {enabled: true}", "host"},
		{"a size that is none", "data: {size: big}", "size"},
		{"an unknown Service", "service: {type: ExternalName}", "type"},
		{"no replica", "server: {replicas: 0}", "replicas"},
		{"replicas with a history each", "server: {replicas: 2}", "needs history.dsnSecretName"},
		{"replicas on one claim", "server: {replicas: 2}\nhistory: {dsnSecretName: h}\ndata: {persistent: true}", "needs data.persistent=false"},
		{"a provider without a client", "server: {publicURL: \"https://w.example.com\"}\noidc: {issuerURL: \"https://login.example.com\"}", "clientID"},
		{"a provider that cannot lead back", "oidc: {issuerURL: \"https://login.example.com\", clientID: w}", "needs server.publicURL"},
		{"nobody can sign in", "oidc: {noPasswords: true}", "issuerURL"},
		{"a flag that is none", "server: {extraArgs: [verbose]}", "extraArgs"},
	} {
		t.Run(tc.why, func(t *testing.T) {
			if _, err := render(load(t), values(t, tc.text)); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v, want an error about %q", err, tc.want)
			}
		})
	}
	_, err := render(load(t), map[string]any{})
	if err == nil || !strings.Contains(err.Error(), "set image.repository to where waybilld was pushed") {
		t.Errorf("no image: %v", err)
	}
}

func TestReplicas(t *testing.T) {
	rendered := mustRender(t, "server: {replicas: 3, shard: true}\nhistory: {dsnSecretName: h}")
	for _, want := range []string{"  replicas: 3\n", "- --shard\n"} {
		if !strings.Contains(rendered["deployment.yaml"], want) {
			t.Errorf("no %q", want)
		}
	}
}

// Every value has a comment or a section that does, and a place in the schema
// (additionalProperties is false, so a value that is only in values.yaml fails).
func TestDefaultsPassTheSchema(t *testing.T) {
	c := load(t)
	if len(c.Schema) == 0 {
		t.Fatal("no values.schema.json")
	}
	if err := util.ValidateAgainstSchema(c, c.Values); err != nil {
		t.Error(err)
	}
}
