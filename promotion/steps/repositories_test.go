package steps_test

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/credentials"
	"github.com/waybill-dev/waybill/internal/demoregistry"
	"github.com/waybill-dev/waybill/internal/outbound"
	"github.com/waybill-dev/waybill/internal/secret"
	"github.com/waybill-dev/waybill/internal/tarball"
	"github.com/waybill-dev/waybill/promotion/steps/helmupdatechart"
	"github.com/waybill-dev/waybill/promotion/steps/oci"
	"github.com/waybill-dev/waybill/warehouse/chart"
	"github.com/waybill-dev/waybill/warehouse/chart/charttest"
	"github.com/waybill-dev/waybill/warehouse/registry"
	"github.com/waybill-dev/waybill/warehouse/registrytest"
)

// startRepositories starts what examples call charts.example.com and
// registry.example.com.
func (b *bench) startRepositories() {
	b.t.Helper()
	b.charts, b.registry = charttest.New(b.t), registrytest.New(b.t)
	for _, v := range []string{"18.0.0", "18.1.0", "18.1.4", "19.0.0"} {
		b.charts.Add("redis", v, charttest.Pack(b.t, "redis", v, map[string]string{"values.yaml": "replicas: 1\n"}))
		charttest.Push(b.t.Context(), b.t, b.registry.Server, "charts/valkey", v, charttest.Pack(b.t, "valkey", v, nil))
	}
	policies, err := tarball.Write([]tarball.File{{Name: "allow.yaml", Content: []byte("allow: [guestbook]\n")}})
	if err != nil {
		b.t.Fatal(err)
	}
	b.pushFiles("policies", "1.4", policies)
	b.registry.Push("guestbook", "1.27.0", demoregistry.ImageOptions{Platforms: []string{"linux/amd64", "linux/arm64"}, Created: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)})
}

// registryClient speaks with the repositories of the test.
func (b *bench) registryClient() *registry.Client {
	b.t.Helper()
	transport, err := outbound.New(outbound.Policy{AllowLoopback: true, AllowPlainHTTP: true})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(transport.CloseIdleConnections)
	client, err := registry.New(registry.Options{Transport: transport, Now: time.Now, AllowLoopbackHTTP: true})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = client.Close() })
	return client
}

// artifacts are those of the test's registry, by the names of the examples.
func (b *bench) artifacts() oci.Artifacts {
	b.t.Helper()
	return artifacts{b, &registry.Artifacts{Client: b.registryClient(), Credentials: b.account}}
}

type artifacts struct {
	b *bench
	*registry.Artifacts
}

func (a artifacts) Digest(ctx context.Context, project, ref string) (string, error) {
	return a.Artifacts.Digest(ctx, project, a.b.there(ref))
}

func (a artifacts) Download(ctx context.Context, project, ref, digest, mediaType string, maxBytes int64) ([]byte, string, error) {
	return a.Artifacts.Download(ctx, project, a.b.there(ref), digest, mediaType, maxBytes)
}

func (a artifacts) Copy(ctx context.Context, project, src, digest, dest string, annotations map[string]string) (registry.Copied, error) {
	done, err := a.Artifacts.Copy(ctx, project, a.b.there(src), digest, a.b.there(dest), annotations)
	done.Repository = strings.Replace(done.Repository, a.b.registry.Host(), "registry.example.com", 1)
	return done, err
}

// layer is the media type of the files that pushFiles stores.
const layer = "application/vnd.example.policies.v1.tar+gzip"

// pushFiles stores an archive as an artifact with one layer.
func (b *bench) pushFiles(repo, tag string, raw []byte) (digest string) {
	b.t.Helper()
	const config = "{}"
	digest, err := b.registry.PushArtifact(b.t.Context(), repo, tag, demoregistry.Artifact{
		MediaType: "application/vnd.oci.image.manifest.v1+json", Blobs: [][]byte{[]byte(config), raw},
		Manifest: fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":%q,"size":2},"layers":[{"mediaType":%q,"digest":%q,"size":%d}]}`,
			charttest.Digest([]byte(config)), layer, charttest.Digest(raw), len(raw)),
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return digest
}

// account is that of the repository at an address of the test's.
func (b *bench) account(_ context.Context, kind credentials.Type, project, repoURL string) (credentials.Credential, error) {
	c := credentials.Credential{Name: "repository", Namespace: project, Type: kind, URL: repoURL, Username: charttest.Username, Password: secret.New(charttest.Password)}
	if strings.Contains(repoURL, b.registry.Host()) {
		c.Username, c.Password = registrytest.Username, secret.New(registrytest.Password)
	}
	return c, nil
}

func (b *bench) archives() helmupdatechart.Charts {
	b.t.Helper()
	return archives{b, &chart.Fetcher{Source: chart.New(b.registryClient(), time.Now, b.t.TempDir()), Credentials: b.account}}
}

// archives leads what examples name to the test's repositories.
type archives struct {
	b *bench
	*chart.Fetcher
}

func (a archives) Newest(ctx context.Context, project string, c v1alpha1.Chart, constraint string, notBefore time.Time) (v1alpha1.Chart, error) {
	c.RepoURL = a.b.there(c.RepoURL)
	return a.Fetcher.Newest(ctx, project, c, constraint, notBefore)
}

func (a archives) Fetch(ctx context.Context, project string, c v1alpha1.Chart) (*chart.Archive, error) {
	c.RepoURL = a.b.there(c.RepoURL)
	return a.Fetcher.Fetch(ctx, project, c)
}

// there is where something of the examples is in the test.
func (b *bench) there(address string) string {
	return strings.NewReplacer("https://charts.example.com", b.charts.URL, "registry.example.com", b.registry.Host()).Replace(address)
}
