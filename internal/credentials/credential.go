package credentials

import (
	"crypto/sha256"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/waybill-dev/waybill/internal/secret"
)

// The label that makes a Secret a credential, and the annotation (or label, for
// a single Project) that shares one in Waybill's namespace: Project names,
// separated by commas, or "*".
const (
	TypeLabel        = "waybill.dev/cred-type"
	SharedAnnotation = "waybill.dev/shared-with"
)

// Type says for which kind of repository a credential is.
type Type string

// The types of credentials.
const (
	Git   Type = "git"
	Image Type = "image"
	Chart Type = "chart"
)

// maxRegexLength bounds the source of a repoURL pattern, in bytes.
const maxRegexLength = 1024

// Credential is what one Secret says. The zero value is the anonymous one.
type Credential struct {
	Name      string // of the Secret
	Namespace string
	Type      Type
	// URL is as written; IsRegex says that it is a pattern.
	URL     string
	IsRegex bool
	// SharedWith are the Projects a Secret in Waybill's namespace serves.
	SharedWith []string

	Username      string
	Password      secret.Text
	SSHPrivateKey secret.Text
	KnownHosts    []byte // OpenSSH known_hosts format
	CACert        []byte // PEM, trusted in addition to the system's

	normalized string         // of URL, unless IsRegex
	pattern    *regexp.Regexp // anchored, if IsRegex
}

// IsAnonymous reports whether there is no Secret behind c.
func (c Credential) IsAnonymous() bool { return c.Name == "" }

// String names the Secret, never its content: `Secret "regcred"`, or
// "anonymous access".
func (c Credential) String() string {
	if c.IsAnonymous() {
		return "anonymous access"
	}
	return fmt.Sprintf("Secret %q", c.Name)
}

// Fingerprint is equal for equal credentials and different when any part of the
// Secret changed. It is for keys in memory; it is not for showing or storing.
func (c Credential) Fingerprint() [sha256.Size]byte {
	h := sha256.New()
	for _, part := range []string{
		c.Namespace, c.Name, string(c.Type), c.Username, c.Password.Reveal(),
		c.SSHPrivateKey.Reveal(), string(c.KnownHosts), string(c.CACert),
	} {
		fmt.Fprintf(h, "%d:%s", len(part), part)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// Secrets returns the values a Redactor must know before any text that might
// repeat them is stored or shown.
func (c Credential) Secrets() []secret.Text {
	out := []secret.Text{c.Password, c.SSHPrivateKey}
	if !c.Password.IsEmpty() {
		out = append(out, secret.New(c.Username+":"+c.Password.Reveal())) // as in a Basic header
	}
	return out
}

// Source is the part of a Secret that Parse reads.
type Source struct {
	Name, Namespace     string
	Labels, Annotations map[string]string
	Data                map[string][]byte
}

// Concerns reports whether s, should it be a credential, could serve r: it is of
// r's type, and the Project's own or shared with it. What does not concern a
// Project is not named to it, whatever is wrong with it.
func (s Source) Concerns(r Request) bool {
	if t := Type(s.Labels[TypeLabel]); t != r.Type && (t == Git || t == Image || t == Chart) {
		return false
	}
	return Credential{Namespace: s.Namespace, SharedWith: sharedWith(s)}.serves(r)
}

// Parse returns the credential in s, or an error that names the Secret and the
// key that is wrong, never a value. Keys: repoURL, repoURLIsRegex, username,
// password, sshPrivateKey, known_hosts, caCert.
func Parse(s Source) (Credential, error) {
	bad := func(format string, args ...any) (Credential, error) {
		return Credential{}, fmt.Errorf("credential Secret %q in %q: %s", s.Name, s.Namespace, fmt.Sprintf(format, args...))
	}
	// Secrets made with echo end in a newline that no password has.
	text := func(key string) string { return strings.TrimRight(string(s.Data[key]), "\r\n") }
	c := Credential{
		Name: s.Name, Namespace: s.Namespace, Type: Type(s.Labels[TypeLabel]),
		URL:           strings.TrimSpace(text("repoURL")),
		Username:      text("username"),
		Password:      secret.New(text("password")),
		SSHPrivateKey: secret.New(string(s.Data["sshPrivateKey"])),
		KnownHosts:    s.Data["known_hosts"],
		CACert:        s.Data["caCert"],
		SharedWith:    sharedWith(s),
	}
	switch c.Type {
	case Git, Image, Chart:
	case "":
		return bad("label %s is missing: set git, image or chart", TypeLabel)
	default:
		return bad("label %s is %q: set git, image or chart", TypeLabel, string(c.Type))
	}
	if c.Name == "" || c.Namespace == "" {
		return bad("it has no name or namespace")
	}
	switch v := text("repoURLIsRegex"); v {
	case "", "false":
	case "true":
		c.IsRegex = true
	default:
		return bad(`repoURLIsRegex must be "true" or "false"`)
	}
	if c.URL == "" {
		return bad("key repoURL is missing")
	}
	if c.IsRegex {
		if len(c.URL) > maxRegexLength {
			return bad("repoURL is longer than %d bytes", maxRegexLength)
		}
		p, err := regexp.Compile(`^(?:` + c.URL + `)$`)
		if err != nil {
			return bad("repoURL is not a regular expression (RE2 syntax)")
		}
		c.pattern = p
	} else {
		n, err := normalize(c.Type, c.URL)
		if err != nil {
			return bad("repoURL: %v", err)
		}
		c.normalized = n
	}
	switch {
	case c.Password.IsEmpty() != (c.Username == ""):
		return bad("set both username and password (for a token, any user name does)")
	case c.Type != Git && !c.SSHPrivateKey.IsEmpty():
		return bad("sshPrivateKey is only for type git")
	case c.Password.IsEmpty() && c.SSHPrivateKey.IsEmpty() && len(c.CACert) == 0:
		return bad("it holds neither username and password nor sshPrivateKey nor caCert")
	case strings.Contains(c.Username, ":"):
		return bad("username must not contain a colon (RFC 7617)")
	case hasControl(c.Username) || hasControl(c.Password.Reveal()):
		return bad("username and password must not contain control characters")
	}
	return c, nil
}

func sharedWith(s Source) []string {
	raw := s.Annotations[SharedAnnotation]
	if raw == "" {
		raw = s.Labels[SharedAnnotation]
	}
	var out []string
	for _, p := range strings.Split(raw, ",") {
		if p = strings.TrimSpace(p); p != "" && !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	slices.Sort(out)
	return out
}

func hasControl(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f }) >= 0
}
