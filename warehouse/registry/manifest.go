package registry

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/waybill-dev/waybill/warehouse"
)

const (
	maxManifestBytes = 4 << 20 // what every registry must accept (OCI distribution specification)
	maxConfigBytes   = 4 << 20
	maxPlatforms     = 256

	// chartConfigType is the config of a Helm chart in a registry (HIP 6).
	chartConfigType = "application/vnd.cncf.helm.config.v1+json"

	annotationPrefix  = "org.opencontainers.image."
	annotationCreated = annotationPrefix + "created"
	maxAnnotations    = 32
	maxAnnotationSize = 1024 // bytes
)

// metadata is what an image says about itself. It belongs to a digest, so it
// never changes; it only becomes complete.
type metadata struct {
	MediaType string            `json:"mediaType"`
	Created   time.Time         `json:"created,omitzero"`
	Platforms []string          `json:"platforms,omitempty"`
	Notes     map[string]string `json:"annotations,omitempty"` // org.opencontainers.image.* only
	// HasCreated and HasPlatforms say that the image was asked for them; without
	// a value it does not say.
	HasCreated   bool `json:"hasCreated,omitempty"`
	HasPlatforms bool `json:"hasPlatforms,omitempty"`
	// User is what its containers run as, as its config says; HasUser says that
	// the config was read for it.
	User    string `json:"user,omitempty"`
	HasUser bool   `json:"hasUser,omitempty"`
	// IsChart: it is a Helm chart, not an image.
	IsChart bool `json:"isChart,omitempty"`

	children []child // of an index, images only; not kept
	config   v1.Hash // of a single image; not kept
}

// lacks reports whether the image has to be asked for something that is wanted.
func (m metadata) lacks(want Want) bool {
	if want.Chart {
		return !m.IsChart
	}
	return want.Created && !m.HasCreated || want.Platforms && !m.HasPlatforms || want.User && !m.HasUser
}

// child is one image of an index.
type child struct {
	platform string
	digest   v1.Hash
}

// allTypes are the manifests we can read.
func allTypes() []string {
	return []string{
		string(types.OCIImageIndex), string(types.DockerManifestList),
		string(types.OCIManifestSchema1), string(types.DockerManifestSchema2),
	}
}

// parseManifest reads an image manifest or an index. contentType is the answer's
// header. It returns what is wrong as text.
func parseManifest(contentType string, body []byte) (metadata, error) {
	contentType, _, _ = strings.Cut(contentType, ";")
	contentType = strings.TrimSpace(contentType)
	var shape struct {
		SchemaVersion int             `json:"schemaVersion"`
		MediaType     string          `json:"mediaType"`
		Manifests     json.RawMessage `json:"manifests"`
		Config        json.RawMessage `json:"config"`
		Layers        json.RawMessage `json:"layers"`
	}
	if err := json.Unmarshal(body, &shape); err != nil {
		return metadata{}, fmt.Errorf("its manifest is not JSON")
	}
	if shape.SchemaVersion != 2 {
		return metadata{}, fmt.Errorf("its manifest has schema version %d, not 2", shape.SchemaVersion)
	}
	// A document that is both, or says to be another than the header, is read
	// differently by different programs (OCI image specification, mediaType).
	isIndex, isImage := len(shape.Manifests) > 0, len(shape.Config) > 0 || len(shape.Layers) > 0
	if isIndex == isImage {
		return metadata{}, fmt.Errorf("its manifest is neither an image nor an index")
	}
	if shape.MediaType != "" && contentType != "" && shape.MediaType != contentType {
		return metadata{}, fmt.Errorf("its manifest says to be %q, the answer says %q", shape.MediaType, contentType)
	}
	mediaType := types.MediaType(shape.MediaType)
	if mediaType == "" {
		mediaType = types.MediaType(contentType)
	}
	if isIndex != mediaType.IsIndex() || isImage != mediaType.IsImage() {
		return metadata{}, fmt.Errorf("its media type %q does not fit its content", mediaType)
	}
	if isIndex {
		return parseIndex(mediaType, body)
	}
	m, err := v1.ParseManifest(bytes.NewReader(body))
	if err != nil {
		return metadata{}, fmt.Errorf("its manifest cannot be read")
	}
	if m.Config.MediaType == chartConfigType {
		return metadata{MediaType: string(mediaType), Notes: notes(m.Annotations), IsChart: true, HasCreated: true, HasPlatforms: true}, nil
	}
	if !m.Config.MediaType.IsConfig() {
		return metadata{}, fmt.Errorf("it is an artifact of type %q, not a container image", m.Config.MediaType)
	}
	md := metadata{MediaType: string(mediaType), Notes: notes(m.Annotations), config: m.Config.Digest}
	md.setCreated(m.Annotations[annotationCreated])
	return md, nil
}

func parseIndex(mediaType types.MediaType, body []byte) (metadata, error) {
	index, err := v1.ParseIndexManifest(bytes.NewReader(body))
	if err != nil {
		return metadata{}, fmt.Errorf("its index cannot be read")
	}
	md := metadata{MediaType: string(mediaType), Notes: notes(index.Annotations), HasPlatforms: true}
	md.setCreated(index.Annotations[annotationCreated])
	for _, d := range index.Manifests {
		if d.Platform == nil || !d.MediaType.IsImage() || len(md.children) == maxPlatforms {
			continue
		}
		p := warehouse.Platform{OS: d.Platform.OS, Architecture: d.Platform.Architecture, Variant: d.Platform.Variant}.String()
		if _, err := warehouse.ParsePlatform(p); err != nil || d.Platform.OS == "unknown" {
			continue // attestations say unknown/unknown
		}
		md.children = append(md.children, child{platform: p, digest: d.Digest})
		md.Platforms = append(md.Platforms, p)
		if !md.HasCreated {
			md.setCreated(d.Annotations[annotationCreated])
		}
	}
	return md, nil
}

// setCreated takes the value of the created annotation (RFC 3339), if it is one.
func (m *metadata) setCreated(value string) {
	if at, err := time.Parse(time.RFC3339, value); err == nil {
		m.Created, m.HasCreated = at.UTC(), true
	}
}

// parseConfig fills in what the config blob of one image says. With
// isWhole false, it is one image of an index and its platform is known.
func (m *metadata) parseConfig(body []byte, isWhole bool) error {
	cfg, err := v1.ParseConfigFile(bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("its config cannot be read")
	}
	if !m.HasCreated {
		m.Created, m.HasCreated = cfg.Created.UTC(), true
	}
	m.User, m.HasUser = cfg.Config.User, true
	if isWhole && !m.HasPlatforms {
		m.HasPlatforms = true
		p := warehouse.Platform{OS: cfg.OS, Architecture: cfg.Architecture, Variant: cfg.Variant}.String()
		if _, err := warehouse.ParsePlatform(p); err == nil {
			m.Platforms = []string{p}
		}
	}
	return nil
}

// notes keeps the annotations people look at, within limits.
func notes(all map[string]string) map[string]string {
	var out map[string]string
	for k, v := range all {
		if strings.HasPrefix(k, annotationPrefix) && len(k)+len(v) <= maxAnnotationSize && len(out) < maxAnnotations {
			if out == nil {
				out = map[string]string{}
			}
			out[k] = v
		}
	}
	return out
}
