package chart

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/Masterminds/semver/v3"
	"go.yaml.in/yaml/v3"

	"github.com/waybill-dev/waybill/internal/tarball"
)

const (
	// maxArchiveBytes bounds an archive as it is sent. The other limits are of what
	// it unpacks to; Helm's own are 5 MiB for a file and 100 MiB together.
	maxArchiveBytes  = 16 << 20
	maxUnpackedBytes = 32 << 20
	maxUnpackedFile  = 5 << 20
	maxUnpackedFiles = 5000
	maxMetadataBytes = 1 << 20
)

// ErrArchive marks what is no archive of the chart that was asked for.
var ErrArchive = errors.New("it is not the archive of this chart")

// Archive is one version of a chart, as it was downloaded and checked.
type Archive struct {
	Name, Version string
	// Digest that stands for it where charts are compared: of the archive in an
	// HTTP repository, of the manifest in an OCI registry.
	Digest string
	// Raw is the archive, Files what it holds by path from the chart's folder.
	Raw   []byte
	Files map[string][]byte
}

// open unpacks raw, which has to hold the chart called name in that version.
func open(raw []byte, name, version string) (*Archive, error) {
	files, err := tarball.Read(raw, tarball.Limits{Files: maxUnpackedFiles, FileBytes: maxUnpackedFile, Bytes: maxUnpackedBytes})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrArchive, err)
	}
	a := &Archive{Raw: raw, Files: make(map[string][]byte, len(files))}
	for _, f := range files {
		_, inside, found := strings.Cut(f.Name, "/")
		if !found {
			return nil, fmt.Errorf("%w: file %.200q lies outside of the chart's folder", ErrArchive, f.Name)
		}
		if _, isTwice := a.Files[inside]; isTwice {
			return nil, fmt.Errorf("%w: file %.200q is in it twice", ErrArchive, f.Name)
		}
		a.Files[inside] = f.Content
	}
	a.Name, a.Version, err = Metadata(a.Files["Chart.yaml"])
	switch {
	case err != nil:
		return nil, err
	case a.Name != name:
		return nil, fmt.Errorf("%w: it holds chart %.100q, not %q", ErrArchive, a.Name, name)
	case !isSameVersion(a.Version, version):
		return nil, fmt.Errorf("%w: it holds version %.100q, not %q", ErrArchive, a.Version, version)
	}
	return a, nil
}

// Metadata returns the name and the version that a Chart.yaml says.
func Metadata(chartYAML []byte) (name, version string, err error) {
	var m struct {
		Name    string `yaml:"name"`
		Version string `yaml:"version"`
	}
	if len(chartYAML) == 0 || len(chartYAML) > maxMetadataBytes || yaml.Unmarshal(chartYAML, &m) != nil {
		return "", "", fmt.Errorf("%w: it has no readable Chart.yaml", ErrArchive)
	}
	if m.Name == "" || m.Name != path.Base(m.Name) || m.Name == "." || m.Name == ".." || strings.ContainsAny(m.Name, "\x00\\") {
		return "", "", fmt.Errorf("%w: its Chart.yaml says no proper name", ErrArchive)
	}
	if _, err := semver.NewVersion(m.Version); err != nil {
		return "", "", fmt.Errorf("%w: its Chart.yaml says no proper version", ErrArchive)
	}
	return m.Name, m.Version, nil
}

// isSameVersion compares as Helm does: "v1.0" is 1.0.0.
func isSameVersion(a, b string) bool {
	x, errX := semver.NewVersion(a)
	y, errY := semver.NewVersion(b)
	return a == b || errX == nil && errY == nil && x.Equal(y) && x.Metadata() == y.Metadata()
}

func digestOf(raw []byte) string {
	sum := sha256.Sum256(raw)
	return "sha256:" + hex.EncodeToString(sum[:])
}
