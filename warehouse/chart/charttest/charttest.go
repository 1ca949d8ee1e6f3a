// Package charttest starts the chart repository that tests talk to: a real one
// over HTTP on a loopback port, which asks for a password, and knows how to store
// charts in a registry as Helm does.
package charttest

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/waybill-dev/waybill/internal/demoregistry"
	"github.com/waybill-dev/waybill/internal/tarball"
)

// The account of every test repository.
const (
	Username = "tester"
	Password = "chart-password-canary"
)

// Pack returns the archive of a chart with these files beside its Chart.yaml; a
// Chart.yaml in files is taken instead of one with name and version only.
func Pack(t testing.TB, name, version string, files map[string]string) []byte {
	t.Helper()
	all := map[string]string{"Chart.yaml": fmt.Sprintf("apiVersion: v2\nname: %s\nversion: %s\n", name, version)}
	for n, content := range files {
		all[n] = content
	}
	var list []tarball.File
	for n, content := range all {
		list = append(list, tarball.File{Name: name + "/" + n, Content: []byte(content)})
	}
	slices.SortFunc(list, func(a, b tarball.File) int { return strings.Compare(a.Name, b.Name) })
	raw, err := tarball.Write(list)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// Digest is how digests are written.
func Digest(raw []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(raw)) }

// Server is an HTTP chart repository.
type Server struct {
	*httptest.Server
	mu       sync.Mutex
	entries  map[string][]entry
	files    map[string][]byte
	requests []string
	// isOpen: no password is asked for.
	isOpen bool
}

type entry struct{ version, digest, url string }

// New starts an empty repository and closes it when the test ends.
func New(t testing.TB) *Server {
	t.Helper()
	s := &Server{entries: map[string][]entry{}, files: map[string][]byte{}}
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.Close)
	return s
}

// Open asks for no password from now on.
func (s *Server) Open() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.isOpen = true
}

// Add publishes an archive; its digest is in the index unless hideDigest.
func (s *Server) Add(name, version string, raw []byte, hideDigest ...bool) (digest string) {
	digest = Digest(raw)
	said := digest
	if slices.Contains(hideDigest, true) {
		said = ""
	}
	s.AddAs(name, version, said, fmt.Sprintf("%s-%s.tgz", name, version), raw)
	return digest
}

// AddAs publishes a version whose entry says what it likes.
func (s *Server) AddAs(name, version, digest, url string, raw []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.entries[name] = slices.DeleteFunc(s.entries[name], func(e entry) bool { return e.version == version })
	s.entries[name] = append(s.entries[name], entry{version, strings.TrimPrefix(digest, "sha256:"), url})
	if raw != nil {
		s.files["/"+url] = raw
	}
}

// Requests returns the paths that were asked for since the last call.
func (s *Server) Requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.requests
	s.requests = nil
	return out
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, r.URL.Path)
	if user, password, _ := r.BasicAuth(); !s.isOpen && (user != Username || password != Password) {
		w.Header().Set("WWW-Authenticate", `Basic realm="charts"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	body, isThere := s.files[r.URL.Path]
	if r.URL.Path == "/index.yaml" {
		body, isThere = s.index(), true
	}
	if !isThere {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	etag := fmt.Sprintf("%q", Digest(body))
	w.Header().Set("ETag", etag)
	if r.Header.Get("If-None-Match") == etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	_, _ = w.Write(body)
}

func (s *Server) index() []byte {
	var b strings.Builder
	b.WriteString("apiVersion: v1\nentries:\n")
	names := make([]string, 0, len(s.entries))
	for name := range s.entries {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(&b, "  %s:\n", name)
		for _, e := range s.entries[name] {
			fmt.Fprintf(&b, "  - name: %s\n    version: %s\n", name, e.version)
			if e.digest != "" {
				fmt.Fprintf(&b, "    digest: %s\n", e.digest)
			}
			fmt.Fprintf(&b, "    urls:\n    - %s\n", e.url)
		}
	}
	return []byte(b.String())
}

// Push stores a chart in a registry as Helm does, and returns the digest of its
// manifest.
func Push(ctx context.Context, t testing.TB, to *demoregistry.Server, repo, version string, raw []byte) (digest string) {
	t.Helper()
	const (
		manifest = "application/vnd.oci.image.manifest.v1+json"
		config   = `{"apiVersion":"v2"}`
	)
	digest, err := to.PushArtifact(ctx, repo, strings.ReplaceAll(version, "+", "_"), demoregistry.Artifact{
		MediaType: manifest, Blobs: [][]byte{[]byte(config), raw},
		Manifest: fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/vnd.cncf.helm.config.v1+json","digest":%q,"size":%d},"layers":[{"mediaType":"application/vnd.cncf.helm.chart.content.v1.tar+gzip","digest":%q,"size":%d}]}`,
			manifest, Digest([]byte(config)), len(config), Digest(raw), len(raw)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return digest
}
