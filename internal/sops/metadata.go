package sops

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// metadata is the part of a file that says how it is encrypted.
type metadata struct {
	Age []struct {
		Recipient string `yaml:"recipient"`
		Enc       string `yaml:"enc"`
	} `yaml:"age"`
	PGP []struct {
		Fingerprint string `yaml:"fp"`
		Enc         string `yaml:"enc"`
	} `yaml:"pgp"`
	KeyGroups []any `yaml:"key_groups"`

	LastModified     string `yaml:"lastmodified"`
	MAC              string `yaml:"mac"`
	MACOnlyEncrypted bool   `yaml:"mac_only_encrypted"`

	UnencryptedSuffix string `yaml:"unencrypted_suffix"`
	EncryptedSuffix   string `yaml:"encrypted_suffix"`
	UnencryptedRegex  string `yaml:"unencrypted_regex"`
	EncryptedRegex    string `yaml:"encrypted_regex"`

	UnencryptedCommentRegex string `yaml:"unencrypted_comment_regex"`
	EncryptedCommentRegex   string `yaml:"encrypted_comment_regex"`

	pattern *regexp.Regexp
}

// defaultUnencryptedSuffix is SOPS' rule when a file names none.
const defaultUnencryptedSuffix = "_unencrypted"

// maxRecipients bounds how often a key is tried.
const maxRecipients = 64

// readMetadata decodes the value of the key sops.
func readMetadata(node *yaml.Node) (*metadata, error) {
	var m metadata
	if err := node.Decode(&m); err != nil {
		return nil, fmt.Errorf("%w: the key sops cannot be read", ErrFormat)
	}
	rules := 0
	for _, rule := range []string{m.UnencryptedSuffix, m.EncryptedSuffix, m.UnencryptedRegex, m.EncryptedRegex} {
		if rule != "" {
			rules++
		}
	}
	switch {
	case m.MAC == "":
		return nil, fmt.Errorf("%w: it has no MAC", ErrDamaged)
	case len(m.Age)+len(m.PGP) > maxRecipients:
		return nil, fmt.Errorf("%w: more than %d recipients", ErrFormat, maxRecipients)
	case len(m.KeyGroups) > 0:
		return nil, fmt.Errorf("%w: several key groups are not supported", ErrFormat)
	case m.UnencryptedCommentRegex != "" || m.EncryptedCommentRegex != "":
		return nil, fmt.Errorf("%w: choosing values by comments is not supported", ErrFormat)
	case rules > 1:
		return nil, fmt.Errorf("%w: more than one rule says which values are encrypted", ErrFormat)
	case rules == 0:
		m.UnencryptedSuffix = defaultUnencryptedSuffix
	}
	if text := m.UnencryptedRegex + m.EncryptedRegex; text != "" {
		var err error
		if m.pattern, err = regexp.Compile(text); err != nil {
			return nil, fmt.Errorf("%w: its regular expression cannot be read", ErrFormat)
		}
	}
	return &m, nil
}

// isEncrypted says whether the value at path is.
func (m *metadata) isEncrypted(path []string) bool {
	matches := func(is func(string) bool) bool {
		for _, step := range path {
			if is(step) {
				return true
			}
		}
		return false
	}
	switch {
	case m.EncryptedSuffix != "":
		return matches(func(s string) bool { return strings.HasSuffix(s, m.EncryptedSuffix) })
	case m.EncryptedRegex != "":
		return matches(m.pattern.MatchString)
	case m.UnencryptedRegex != "":
		return !matches(m.pattern.MatchString)
	default:
		return !matches(func(s string) bool { return strings.HasSuffix(s, m.UnencryptedSuffix) })
	}
}

// macData is the additional data of the MAC.
func (m *metadata) macData() (string, error) {
	at, err := time.Parse(time.RFC3339, m.LastModified)
	if err != nil {
		return "", fmt.Errorf("%w: lastmodified is no time", ErrFormat)
	}
	return at.Format(time.RFC3339), nil
}

// recipients for whom the file is encrypted; they are public.
func (m *metadata) recipients() []string {
	var out []string
	for _, a := range m.Age {
		out = append(out, "age "+short(a.Recipient))
	}
	for _, p := range m.PGP {
		out = append(out, "OpenPGP "+short(p.Fingerprint))
	}
	return out
}

// short bounds a name that a file brings.
func short(s string) string {
	s = strings.ToValidUTF8(s, "?")
	return s[:min(len(s), 80)]
}
