package render

import (
	"bytes"
	"fmt"
	"path"
	"strconv"
	"strings"
	"sync"

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
	t.noteOpened(name, content, plain)
	return plain, nil
}

// minHidden is the length in bytes from which a decrypted value is looked for in
// what is rendered: shorter ones stand in every manifest by chance.
const minHidden = 6

// noteOpened remembers which values of a file were encrypted; of a Secret's manifest
// those it holds, because others name it. Files that are no YAML or JSON only go
// where a generator puts them, which is into Secrets.
func (t *tree) noteOpened(name string, content, plain []byte) {
	t.opened.mu.Lock()
	defer t.opened.mu.Unlock()
	documents := splitDocuments(plain)
	for i, d := range splitDocuments(content) {
		var before, after any
		if i >= len(documents) || unmarshal(d.text, &before) != nil || unmarshal(documents[i].text, &after) != nil {
			return
		}
		walkOpened(held(before, after), after, func(value string) {
			if len(value) >= minHidden {
				t.opened.files[value] = name
			}
		})
	}
}

func unmarshal(document []byte, into *any) error {
	return yaml.Unmarshal(bytes.TrimPrefix(document, []byte("---")), into) //nolint:wrapcheck // only asked whether
}

// held leaves of a Secret's manifest, whose plain text is after, what it holds.
func held(before, after any) any {
	manifest, isMap := after.(map[string]any)
	if !isMap || manifest["kind"] != "Secret" || manifest["apiVersion"] == nil {
		return before
	}
	all, _ := before.(map[string]any)
	return map[string]any{"data": all["data"], "stringData": all["stringData"]}
}

// opened are the values that were decrypted, with the file of each.
type opened struct {
	mu    sync.Mutex
	files map[string]string
}

// walkOpened calls found with the values of after that are encrypted in before.
func walkOpened(before, after any, found func(value string)) {
	switch b := before.(type) {
	case map[string]any:
		a, _ := after.(map[string]any)
		for k := range b {
			walkOpened(b[k], a[k], found)
		}
	case []any:
		a, _ := after.([]any)
		for i := range min(len(a), len(b)) {
			walkOpened(b[i], a[i], found)
		}
	case string:
		if !strings.HasPrefix(b, "ENC[") || after == nil {
			return
		}
		if number, isNumber := after.(float64); isNumber {
			found(strconv.FormatFloat(number, 'f', -1, 64))
		} else {
			found(fmt.Sprint(after))
		}
	}
}

// rejectShown refuses objects other than Secrets that say what was decrypted, by
// the values of a chart or a patch: plans, differences and drift would show it.
func (t *tree) rejectShown(root string, found []located) error {
	t.opened.mu.Lock()
	defer t.opened.mu.Unlock()
	if len(t.opened.files) == 0 {
		return nil
	}
	for _, o := range found {
		if gvk := o.object.GroupVersionKind(); gvk.Kind == "Secret" && gvk.Group == "" {
			continue
		}
		if file := t.opened.shownBy(o.object.Object); file != "" {
			return &Error{File: root, Err: fmt.Errorf("%w: %s %q says a value that is encrypted in %q, and plans show it; have it in a Secret, or do not encrypt it (encrypted_regex)",
				ErrDecryption, o.object.GetKind(), o.object.GetName(), file)}
		}
	}
	return nil
}

// shownBy returns the file that a text in v was encrypted in, or "". o.mu is held.
func (o *opened) shownBy(v any) string {
	switch v := v.(type) {
	case map[string]any:
		for _, below := range v {
			if file := o.shownBy(below); file != "" {
				return file
			}
		}
	case []any:
		for _, below := range v {
			if file := o.shownBy(below); file != "" {
				return file
			}
		}
	case string:
		for value, file := range o.files {
			if strings.Contains(v, value) {
				return file
			}
		}
	}
	return ""
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
