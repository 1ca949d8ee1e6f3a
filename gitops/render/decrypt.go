package render

import (
	"bytes"
	"fmt"
	"path"

	"sigs.k8s.io/yaml"

	"github.com/waybill-dev/waybill/internal/sops"
)

// decrypt returns the plain content of a file that SOPS encrypted.
//
// Of manifests only Secrets may be encrypted: what a ConfigMap or a Deployment says
// is shown in plans and differences, what a Secret holds never is.
func (t *tree) decrypt(name string, content []byte) ([]byte, error) {
	if t.keys == nil {
		return nil, t.refuse(name, fmt.Errorf("%w: SOPS encrypted it, and no decryption.secretRef names its keys", ErrDecryption))
	}
	plain, err := t.keys.Decrypt(name, content)
	if err != nil {
		return nil, t.refuse(name, fmt.Errorf("%w: %w", ErrDecryption, err))
	}
	if isShown(name, plain) {
		return nil, t.refuse(name, fmt.Errorf("%w: it is a manifest of something else than a Secret; only Secrets are decrypted, because plans show what others say", ErrDecryption))
	}
	return plain, nil
}

// isShown says whether the file holds a manifest of something else than a Secret.
func isShown(name string, content []byte) bool {
	switch path.Ext(name) {
	case ".yaml", ".yml", ".json":
	default:
		return false
	}
	for _, d := range splitDocuments(content) {
		var head struct {
			APIVersion string `json:"apiVersion"`
			Kind       string `json:"kind"`
		}
		if yaml.Unmarshal(bytes.TrimPrefix(d.text, []byte("---")), &head) != nil || head.APIVersion == "" || head.Kind == "" {
			continue
		}
		if head.Kind != "Secret" || head.APIVersion != "v1" {
			return true
		}
	}
	return false
}

// isEncrypted says whether SOPS encrypted a file of the tree.
func (t *tree) isEncrypted(name string) bool {
	content, err := t.readRaw(name)
	return err == nil && sops.IsEncrypted(name, content)
}
