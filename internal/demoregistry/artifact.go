package demoregistry

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
)

// Artifact is anything that is kept beside images: a manifest and what it names.
type Artifact struct {
	MediaType string
	Manifest  []byte
	Blobs     [][]byte
}

// PushArtifact stores a under a tag, or under its digest when tag is empty. Like
// PushImage it works inside the process.
func (s *Server) PushArtifact(ctx context.Context, repo, tag string, a Artifact) (digest string, err error) {
	put := func(method, path, mediaType string, body []byte) error {
		req, err := http.NewRequestWithContext(ctx, method, "http://"+s.Host()+"/v2/"+repo+path, bytes.NewReader(body))
		if err != nil {
			return fmt.Errorf("push to %q: %w", repo, err)
		}
		req.Header.Set("Content-Type", mediaType)
		resp, err := inProcess{s.store}.RoundTrip(req)
		if err != nil {
			return fmt.Errorf("push to %q: %w", repo, err)
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusCreated {
			return fmt.Errorf("push to %q: status %d", repo, resp.StatusCode)
		}
		return nil
	}
	for _, b := range a.Blobs {
		if err := put(http.MethodPost, "/blobs/uploads/?digest="+digestOf(b), "application/octet-stream", b); err != nil {
			return "", err
		}
	}
	digest = digestOf(a.Manifest)
	if tag == "" {
		tag = digest
	}
	return digest, put(http.MethodPut, "/manifests/"+tag, a.MediaType, a.Manifest)
}

func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}
