package demoregistry

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/waybill-dev/waybill/internal/secret"
)

// The annotation of the OCI image specification, and the label by which an image
// says that its containers are meant to crash.
const (
	AnnotationCreated = "org.opencontainers.image.created"
	AnnotationVersion = "org.opencontainers.image.version"
	LabelBroken       = "demo.waybill.dev/broken"
)

// ImageOptions describe an image to make. Equal options and tag give an equal
// digest.
type ImageOptions struct {
	// Created is the build time; the zero time leaves it out everywhere.
	Created time.Time
	// Platforms as os/arch[/variant]. None: linux/amd64. More than one, or
	// IsIndex, makes an index.
	Platforms []string
	IsIndex   bool
	// WithAttestation adds an unknown/unknown manifest to an index, as build
	// tools do for provenance.
	WithAttestation bool
	// WithoutAnnotation leaves the created annotation off, so that only the
	// config blob knows it.
	WithoutAnnotation bool
	// IsBroken marks the image with LabelBroken.
	IsBroken bool
	// User is what its containers run as; empty: it names none.
	User string
	// Salt makes the content differ for the same tag.
	Salt string
}

// PushImage makes an image and stores it as repo:tag. It returns the digest the
// tag points at. It works inside the process: no request is counted, no fault
// is met, and no credential is needed.
func (s *Server) PushImage(ctx context.Context, repo, tag string, opts ImageOptions) (string, error) {
	ref, err := name.NewTag(s.Host()+"/"+repo+":"+tag, name.StrictValidation)
	if err != nil {
		return "", fmt.Errorf("push image: %w", err)
	}
	return push(ctx, ref, opts, remote.WithTransport(inProcess{s.store}))
}

// Push makes an image and pushes reference (host/repo:tag) over rt, with the
// account when username is not empty. It returns the digest.
func Push(ctx context.Context, rt http.RoundTripper, reference, username string, password secret.Text, opts ImageOptions) (string, error) {
	ref, err := name.NewTag(reference, name.StrictValidation)
	if err != nil {
		return "", fmt.Errorf("push image: %w", err)
	}
	auth := authn.Anonymous
	if username != "" {
		auth = &authn.Basic{Username: username, Password: password.Reveal()}
	}
	return push(ctx, ref, opts, remote.WithTransport(rt), remote.WithAuth(auth))
}

func push(ctx context.Context, ref name.Tag, opts ImageOptions, how ...remote.Option) (string, error) {
	how = append(how, remote.WithContext(ctx))
	fail := func(err error) (string, error) { return "", fmt.Errorf("push %q: %w", ref, err) }
	platforms := opts.Platforms
	if len(platforms) == 0 {
		platforms = []string{"linux/amd64"}
	}
	var images []v1.Image
	for _, p := range platforms {
		img, err := build(ref, p, opts)
		if err != nil {
			return fail(err)
		}
		images = append(images, img)
	}
	if len(images) == 1 && !opts.IsIndex {
		d, err := images[0].Digest()
		if err != nil {
			return fail(err)
		}
		if err := remote.Write(ref, images[0], how...); err != nil {
			return fail(err)
		}
		return d.String(), nil
	}
	index, err := indexOf(images, platforms, opts)
	if err != nil {
		return fail(err)
	}
	d, err := index.Digest()
	if err != nil {
		return fail(err)
	}
	if err := remote.WriteIndex(ref, index, how...); err != nil {
		return fail(err)
	}
	return d.String(), nil
}

func build(ref name.Tag, platform string, opts ImageOptions) (v1.Image, error) {
	p, err := v1.ParsePlatform(platform)
	if err != nil {
		return nil, err
	}
	content := fmt.Sprintf("%s %s %s", ref.RepositoryStr(), ref.TagStr(), opts.Salt)
	img, err := mutate.AppendLayers(mutate.MediaType(empty.Image, types.OCIManifestSchema1),
		static.NewLayer([]byte(content), types.OCIUncompressedLayer))
	if err != nil {
		return nil, err
	}
	img = mutate.ConfigMediaType(img, types.OCIConfigJSON)
	cfg, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	cfg = cfg.DeepCopy()
	cfg.OS, cfg.Architecture, cfg.Variant = p.OS, p.Architecture, p.Variant
	cfg.Created = v1.Time{Time: opts.Created.UTC()}
	cfg.Config.Labels = map[string]string{AnnotationVersion: ref.TagStr()}
	cfg.Config.User = opts.User
	if opts.IsBroken {
		cfg.Config.Labels[LabelBroken] = "true"
	}
	if img, err = mutate.ConfigFile(img, cfg); err != nil {
		return nil, err
	}
	if a := annotations(opts); a != nil {
		img = mutate.Annotations(img, a).(v1.Image)
	}
	return img, nil
}

func indexOf(images []v1.Image, platforms []string, opts ImageOptions) (v1.ImageIndex, error) {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for i, img := range images {
		p, err := v1.ParsePlatform(platforms[i])
		if err != nil {
			return nil, err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: p}})
	}
	if opts.WithAttestation {
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: mutate.MediaType(empty.Image, types.OCIManifestSchema1), Descriptor: v1.Descriptor{
			Platform:    &v1.Platform{OS: "unknown", Architecture: "unknown"},
			Annotations: map[string]string{"vnd.docker.reference.type": "attestation-manifest"},
		}})
	}
	if a := annotations(opts); a != nil {
		index = mutate.Annotations(index, a).(v1.ImageIndex)
	}
	return index, nil
}

func annotations(opts ImageOptions) map[string]string {
	if opts.WithoutAnnotation || opts.Created.IsZero() {
		return nil
	}
	return map[string]string{AnnotationCreated: opts.Created.UTC().Format(time.RFC3339)}
}

// AddTags points each of tags at what from points at, without a request.
func (s *Server) AddTags(repo, from string, tags ...string) error {
	get, err := http.NewRequest(http.MethodGet, "/v2/"+repo+"/manifests/"+from, nil)
	if err != nil {
		return fmt.Errorf("tag %s:%s: %w", repo, from, err)
	}
	found := newRecorder()
	s.store.ServeHTTP(found, get)
	if found.status != http.StatusOK {
		return fmt.Errorf("tag %s:%s: status %d", repo, from, found.status)
	}
	for _, tag := range tags {
		w := newRecorder()
		s.store.change(w, change{Method: http.MethodPut, Path: "/v2/" + repo + "/manifests/" + tag, ContentType: found.header.Get("Content-Type"), Body: found.body.Bytes()})
		if w.status >= 300 {
			return fmt.Errorf("tag %s:%s: status %d: %s", repo, tag, w.status, w.body.String())
		}
	}
	return nil
}

// DeleteTag removes a tag, without a request. The manifest stays.
func (s *Server) DeleteTag(repo, tag string) error {
	w := newRecorder()
	s.store.change(w, change{Method: http.MethodDelete, Path: "/v2/" + repo + "/manifests/" + tag})
	if w.status >= 300 {
		return fmt.Errorf("delete %s:%s: status %d: %s", repo, tag, w.status, strings.TrimSpace(w.body.String()))
	}
	return nil
}

// inProcess is a transport that never leaves the process.
type inProcess struct{ handler http.Handler }

func (t inProcess) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body == nil {
		req.Body = http.NoBody
	}
	w := newRecorder()
	t.handler.ServeHTTP(w, req)
	_ = req.Body.Close() // RoundTrip must close it
	return &http.Response{
		Status: http.StatusText(w.status), StatusCode: w.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.header, Body: io.NopCloser(bytes.NewReader(w.body.Bytes())),
		ContentLength: int64(w.body.Len()), Request: req,
	}, nil
}
