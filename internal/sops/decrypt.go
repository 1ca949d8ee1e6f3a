package sops

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"hash"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// dataKeyBytes is the length of the key of AES-256.
const dataKeyBytes = 32

// encrypted is how a value is written.
var encrypted = regexp.MustCompile(`^ENC\[AES256_GCM,data:([A-Za-z0-9+/=]+),iv:([A-Za-z0-9+/=]+),tag:([A-Za-z0-9+/=]+),type:([a-z]+)\]$`)

// opener decrypts the values of one file and computes its MAC on the way.
type opener struct {
	key  []byte
	meta *metadata
	mac  hash.Hash
}

// macOnlyEncrypted begins the MAC of files of which it covers the encrypted values
// only (SOPS, MACOnlyEncryptedInitialization).
var macOnlyEncrypted = [32]byte{
	0x8a, 0x3f, 0xd2, 0xad, 0x54, 0xce, 0x66, 0x52, 0x7b, 0x10, 0x34, 0xf3, 0xd1, 0x47, 0xbe, 0x0b,
	0x0b, 0x97, 0x5b, 0x3b, 0xf4, 0x4f, 0x72, 0xc6, 0xfd, 0xad, 0xec, 0x81, 0x76, 0xf2, 0x7d, 0x69,
}

func newOpener(k *Keys, m *metadata) (*opener, error) {
	key, err := k.dataKey(m)
	if err != nil {
		return nil, err
	}
	o := &opener{key: key, meta: m, mac: sha512.New()}
	if m.MACOnlyEncrypted {
		o.mac.Write(macOnlyEncrypted[:])
	}
	return o, nil
}

// value decrypts one value; kind is its type as SOPS names it.
func (o *opener) value(text, additional string) (plain, kind string, err error) {
	if text == "" {
		return "", "str", nil // SOPS leaves empty texts as they are
	}
	m := encrypted.FindStringSubmatch(text)
	if m == nil {
		return "", "", fmt.Errorf("%w: a value is not encrypted", ErrDamaged)
	}
	var parts [3][]byte
	for i := range parts {
		if parts[i], err = base64.StdEncoding.DecodeString(m[i+1]); err != nil {
			return "", "", fmt.Errorf("%w: a value is no base64", ErrFormat)
		}
	}
	data, iv, tag := parts[0], parts[1], parts[2]
	block, err := aes.NewCipher(o.key)
	if err != nil {
		return "", "", fmt.Errorf("%w: its data key has another length", ErrFormat)
	}
	if len(iv) < 12 || len(iv) > 64 || len(tag) != block.BlockSize() {
		return "", "", fmt.Errorf("%w: a value has another layout", ErrFormat)
	}
	gcm, err := cipher.NewGCMWithNonceSize(block, len(iv))
	if err != nil {
		return "", "", fmt.Errorf("%w: a value has another layout", ErrFormat)
	}
	opened, err := gcm.Open(nil, iv, append(data, tag...), []byte(additional))
	if err != nil {
		return "", "", ErrDamaged
	}
	return string(opened), m[4], nil
}

// leaf decrypts the scalar at path, in place, if it is encrypted, and adds it to
// the MAC.
func (o *opener) leaf(n *yaml.Node, path []string) error {
	if n.ShortTag() == "!!null" {
		return nil
	}
	isEncrypted := o.meta.isEncrypted(path)
	var plain string
	var err error
	if isEncrypted {
		plain, err = o.open(n, path)
	} else {
		plain, err = spelled(n)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", short(strings.Join(path, ".")), err)
	}
	if isEncrypted || !o.meta.MACOnlyEncrypted {
		o.mac.Write([]byte(plain))
	}
	return nil
}

// open decrypts a scalar, and returns it as the MAC has it.
func (o *opener) open(n *yaml.Node, path []string) (string, error) {
	if n.ShortTag() != "!!str" {
		return "", fmt.Errorf("%w: a value is not encrypted", ErrDamaged)
	}
	plain, kind, err := o.value(n.Value, strings.Join(path, ":")+":")
	if err != nil {
		return "", err
	}
	*n = yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: plain}
	switch kind {
	case "str", "bytes":
	case "time":
		n.Tag = "!!timestamp"
	case "int":
		n.Tag = "!!int"
	case "float":
		n.Tag = "!!float"
		if !strings.ContainsAny(plain, ".eEnN") {
			n.Tag = "!!int" // 1e3 is written 1000
		}
	case "bool":
		b, err := strconv.ParseBool(plain)
		if err != nil {
			return "", ErrFormat
		}
		n.Tag, n.Value = "!!bool", strconv.FormatBool(b)
	default:
		return "", fmt.Errorf("%w: values of type %q are not supported", ErrFormat, kind)
	}
	if kind == "int" || kind == "float" || kind == "bool" {
		return spelled(n)
	}
	return plain, nil
}

// spelled returns a scalar as the MAC has it.
func spelled(n *yaml.Node) (string, error) {
	var v any
	if err := n.Decode(&v); err != nil {
		return "", fmt.Errorf("%w: a value cannot be read", ErrFormat)
	}
	switch v := v.(type) {
	case string:
		return v, nil
	case int:
		return strconv.Itoa(v), nil
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), nil
	case bool:
		if v {
			return "True", nil
		}
		return "False", nil
	case time.Time:
		text, err := v.MarshalText()
		if err != nil {
			return "", fmt.Errorf("%w: a time cannot be read", ErrFormat)
		}
		return string(text), nil
	default:
		return "", fmt.Errorf("%w: a value of type %s is not supported", ErrFormat, n.ShortTag())
	}
}

// tree decrypts what is below n, in place.
func (o *opener) tree(n *yaml.Node, path []string) error {
	switch n.Kind {
	case yaml.ScalarNode:
		return o.leaf(n, path)
	case yaml.SequenceNode:
		for _, item := range n.Content {
			if err := o.tree(item, path); err != nil {
				return err
			}
		}
		return nil
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Kind != yaml.ScalarNode || n.Content[i].ShortTag() != "!!str" {
				return fmt.Errorf("%w: a key is no text", ErrFormat)
			}
			if err := o.tree(n.Content[i+1], append(path[:len(path):len(path)], n.Content[i].Value)); err != nil {
				return err
			}
		}
		return nil
	default:
		return fmt.Errorf("%w: anchors and aliases are not supported", ErrFormat)
	}
}

// check compares the MAC.
func (o *opener) check() error {
	additional, err := o.meta.macData()
	if err != nil {
		return err
	}
	want, _, err := o.value(o.meta.MAC, additional)
	if err != nil {
		return fmt.Errorf("its MAC: %w", err)
	}
	got := fmt.Sprintf("%X", o.mac.Sum(nil))
	if want == "" || subtle.ConstantTimeCompare([]byte(want), []byte(got)) != 1 {
		return fmt.Errorf("%w: the MAC is another", ErrDamaged)
	}
	return nil
}
