package yamledit

import (
	"fmt"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Pin says which parts of an image reference are written, and so what a re-pushed tag can change.
type Pin string

// The pins of a Stage (promotionMechanisms, kustomize-set-image).
const (
	// TagAndDigest writes newTag and digest; kustomize renders name:tag@digest.
	TagAndDigest Pin = "TagAndDigest"
	// TagOnly writes newTag and removes digest: whoever re-pushes the tag changes what runs.
	TagOnly Pin = "Tag"
	// DigestOnly writes digest and removes newTag.
	DigestOnly Pin = "Digest"
)

// ImageUpdate is one image to set in a kustomization.
type ImageUpdate struct {
	// Name is the image without tag and digest: the name in the manifests, or the newName of an entry.
	Name string
	// NewName, when not empty, is written as newName of the entries whose name is Name.
	NewName string
	// NewTag and Digest ("sha256:<64 hex>") are the version. Which of them are needed is said by Pin.
	NewTag, Digest string
	// Pin is TagAndDigest when empty.
	Pin Pin
}

// KustomizationFileNames returns the names under which kustomize looks for its file, in its order.
// A directory holds at most one of them.
func KustomizationFileNames() []string {
	return []string{"kustomization.yaml", "kustomization.yml", "Kustomization"}
}

// SetKustomizeImage returns doc, a kustomization file, with the version of one image set, and whether that
// changed anything.
//
// Every entry of images: that renders the image is set: those whose name is update.Name and those whose newName
// is. When there is none, one is added at the end, and the list with it when it is missing. The pin decides which
// of newTag and digest are present afterwards; other keys stay. kustomize reads keys without regard to case, and
// so are they found here. Errors are *Error.
func SetKustomizeImage(doc []byte, update ImageUpdate) (edited []byte, changed bool, err error) {
	set, drop, err := update.keys()
	if err != nil {
		return nil, false, &Error{Path: Path{"images"}, Err: err}
	}
	d, err := parse(doc)
	if err != nil {
		return nil, false, err
	}
	found, err := findImages(d, update.Name)
	if err != nil {
		return nil, false, err
	}
	edited = doc
	for _, entry := range found.entries {
		if edited, err = setEntry(edited, entry, update, set, drop); err != nil {
			return nil, false, err
		}
	}
	if len(found.entries) == 0 {
		if edited, err = addEntry(d, found, update, set); err != nil {
			return nil, false, err
		}
	}
	return edited, string(edited) != string(doc), nil
}

// keys returns what to write, in order, and which keys to remove.
func (u ImageUpdate) keys() (set mapping, drop []string, err error) {
	if u.Name == "" || strings.ContainsAny(u.Name+u.NewName, " \t\r\n@") {
		return nil, nil, fmt.Errorf("%w: %q is not an image name", ErrInvalidValue, u.Name)
	}
	tag, digest := true, true
	switch u.Pin {
	case TagAndDigest, "":
	case TagOnly:
		digest, drop = false, []string{"digest"}
	case DigestOnly:
		tag, drop = false, []string{"newTag"}
	default:
		return nil, nil, fmt.Errorf("%w: pin %q of image %q is not one of TagAndDigest, Tag, Digest", ErrInvalidValue, u.Pin, u.Name)
	}
	if tag {
		// Grammar of tags and digests: OCI distribution specification, "Pulling manifests", and image specification, descriptor.
		if !regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`).MatchString(u.NewTag) {
			return nil, nil, fmt.Errorf("%w: %q is not a tag of image %q", ErrInvalidValue, u.NewTag, u.Name)
		}
		set = append(set, entry{"newTag", u.NewTag})
	}
	if digest {
		if !regexp.MustCompile(`^[a-z0-9]+([+._-][a-z0-9]+)*:[A-Za-z0-9=_-]{32,}$`).MatchString(u.Digest) {
			return nil, nil, fmt.Errorf("%w: %q is not a digest of image %q", ErrInvalidValue, u.Digest, u.Name)
		}
		set = append(set, entry{"digest", u.Digest})
	}
	return set, drop, nil
}

// images is what a kustomization says about one image.
type images struct {
	key     string // how the file spells "images"
	exists  bool   // whether that key is there
	count   int    // items of the list
	entries []Path // those of the image
}

// findImages looks for the entries of name.
func findImages(d *document, name string) (images, error) {
	found := images{key: "images"}
	root := d.root
	if root == nil || root.Kind != yaml.MappingNode {
		return found, fail(root, Path{"images"}, fmt.Errorf("%w: a kustomization is a mapping", ErrUnsupported))
	}
	if key, _, err := lookupFold(root, "imageTags"); key != nil || err != nil {
		return found, fail(key, Path{"images"}, fmt.Errorf("%w: imageTags is read after images; move its entries to images", ErrUnsupported))
	}
	if _, kind, err := lookupFold(root, "kind"); err != nil {
		return found, err
	} else if kind != nil && kind.Value != "Kustomization" && kind.Value != "Component" {
		return found, fail(kind, Path{"kind"}, fmt.Errorf("%w: %q is not a Kustomization", ErrUnsupported, kind.Value))
	}
	key, list, err := lookupFold(root, "images")
	if err != nil || key == nil {
		return found, err
	}
	found.key, found.exists = key.Value, true
	if list.Kind == yaml.ScalarNode && list.ShortTag() == "!!null" {
		return found, nil
	}
	if list.Kind != yaml.SequenceNode {
		return found, fail(list, Path{found.key}, fmt.Errorf("%w: images is not a list", ErrUnsupported))
	}
	found.count = len(list.Content)
	for i, item := range list.Content {
		path := Path{found.key, fmt.Sprint(i)}
		resolved := item
		if item.Kind == yaml.AliasNode {
			resolved = item.Alias
		}
		if resolved.Kind != yaml.MappingNode {
			return found, fail(item, path, fmt.Errorf("%w: image is not a mapping", ErrUnsupported))
		}
		for _, field := range []string{"name", "newName"} {
			_, value, err := lookupFold(resolved, field)
			if err != nil {
				return found, err
			}
			if value != nil && value.Kind == yaml.AliasNode {
				value = value.Alias
			}
			if value != nil && value.Value == name {
				found.entries = append(found.entries, path)
				break
			}
		}
	}
	return found, nil
}

// lookupFold returns the key that equals name without regard to case, and its value. Two such keys are an error, and
// so is one whose written text is not what it decodes to: an alias, or a tag such as !!binary.
func lookupFold(node *yaml.Node, name string) (key, value *yaml.Node, err error) {
	for i := 0; i+1 < len(node.Content); i += 2 {
		if !strings.EqualFold(node.Content[i].Value, name) {
			continue
		}
		if node.Content[i].Kind != yaml.ScalarNode || node.Content[i].ShortTag() != "!!str" {
			return nil, nil, fail(node.Content[i], Path{name}, fmt.Errorf("%w: key is an alias or has a tag", ErrUnsupported))
		}
		if key != nil {
			return nil, nil, fail(node.Content[i], Path{name}, fmt.Errorf("%w: key is written twice", ErrUnsupported))
		}
		key, value = node.Content[i], node.Content[i+1]
	}
	return key, value, nil
}

// setEntry writes one existing entry.
func setEntry(doc []byte, path Path, update ImageUpdate, set mapping, drop []string) ([]byte, error) {
	_, target, err := find(doc, path)
	if err != nil {
		return nil, err
	}
	if target.node.Kind != yaml.MappingNode {
		return nil, fail(target.node, path, fmt.Errorf("%w: entry is an alias", ErrShared))
	}
	spelled := func(name string) (Path, error) {
		key, _, err := lookupFold(target.node, name)
		if key != nil {
			name = key.Value
		}
		return append(append(Path(nil), path...), name), err
	}
	// Set before drop, so that an entry never runs out of keys; each is refused when the key is written twice.
	if _, name, _ := lookupFold(target.node, "name"); update.NewName != "" && name != nil && name.Value == update.Name {
		set = append(mapping{{"newName", update.NewName}}, set...)
	}
	for _, e := range set {
		at, err := spelled(e.key)
		if err != nil {
			return nil, err
		}
		if doc, err = Set(doc, at, e.value); err != nil {
			return nil, err
		}
	}
	for _, key := range drop {
		at, err := spelled(key)
		if err != nil {
			return nil, err
		}
		if doc, err = Delete(doc, at); err != nil {
			return nil, err
		}
	}
	return doc, nil
}

// addEntry appends an entry for an image the file does not name yet.
func addEntry(d *document, found images, update ImageUpdate, set mapping) ([]byte, error) {
	added := mapping{{"name", update.Name}}
	if update.NewName != "" {
		added = append(added, entry{"newName", update.NewName})
	}
	added = append(added, set...)
	path := Path{found.key, fmt.Sprint(found.count)}
	t, err := d.walk(path)
	if err != nil {
		return nil, err
	}
	if !found.exists {
		return d.insert(t, path, list{added})
	}
	return d.insert(t, path, added)
}
