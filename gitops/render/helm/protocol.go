package helm

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Request is one chart to render.
type Request struct {
	// Files of the chart by path from its folder.
	Files map[string][]byte `json:"files"`
	// ReleaseName and Namespace are what .Release says.
	ReleaseName string `json:"releaseName"`
	Namespace   string `json:"namespace"`
	// Values, later ones over earlier ones: the files, Values (YAML), ValuesObject
	// (JSON), then Parameters.
	ValueFiles   []ValueFile     `json:"valueFiles,omitempty"`
	Values       string          `json:"values,omitempty"`
	ValuesObject json.RawMessage `json:"valuesObject,omitempty"`
	Parameters   []Parameter     `json:"parameters,omitempty"`
	// KubeVersion and APIVersions are what .Capabilities says; empty: the defaults
	// of the library.
	KubeVersion string   `json:"kubeVersion,omitempty"`
	APIVersions []string `json:"apiVersions,omitempty"`
	// SkipCRDs leaves out the crds folder, SkipSchema the check of the values.
	SkipCRDs   bool `json:"skipCRDs,omitempty"`
	SkipSchema bool `json:"skipSchema,omitempty"`
}

// ValueFile is a file of values.
type ValueFile struct {
	Name    string `json:"name"`
	Content []byte `json:"content"`
}

// Parameter is one value by its path, as helm --set takes it.
type Parameter struct {
	Name        string `json:"name"`
	Value       string `json:"value"`
	ForceString bool   `json:"forceString,omitempty"`
}

// Manifest is what one template rendered to.
type Manifest struct {
	Name    string `json:"name"`
	Content string `json:"content"`
}

// response is the answer to a Request.
type response struct {
	Manifests []Manifest `json:"manifests,omitempty"`
	Error     string     `json:"error,omitempty"`
}

// maxFrame bounds a request and an answer.
const maxFrame = 64 << 20

var errFrame = errors.New("message is larger than 64 MiB")

// send writes one message: its length in four bytes, then JSON.
func send(w io.Writer, message any) error {
	data, err := json.Marshal(message)
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	if len(data) > maxFrame {
		return errFrame
	}
	frame := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(data)), uint32(len(data))) //nolint:gosec // bounded above
	_, err = w.Write(append(frame, data...))
	return err
}

// receive reads one message.
func receive(r io.Reader, message any) error {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > maxFrame {
		return errFrame
	}
	data := make([]byte, n)
	if _, err := io.ReadFull(r, data); err != nil {
		return err
	}
	return json.Unmarshal(data, message)
}
