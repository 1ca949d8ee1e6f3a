package credentials

import (
	"crypto/sha256"
	"errors"
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
	// Generic is no credential of a repository: expressions read it.
	Generic Type = "generic"
)

// Webhook marks the Secret of a webhook receiver, and Message that of a channel
// for messages, which are no credentials.
const (
	Webhook = "webhook"
	Message = "message"
)

// ErrNoChannel says that a Project has no channel of a name.
var ErrNoChannel = errors.New("no such channel for messages")

// SOPS marks the Secret of keys for encrypted files, which is no credential.
const SOPS = "sops"

// Provider is a cloud whose registries take short-lived passwords.
type Provider string

// The providers.
const (
	ECR Provider = "ecr" // Amazon Elastic Container Registry
	GAR Provider = "gar" // Google Artifact Registry
	ACR Provider = "acr" // Azure Container Registry
)

// GitHubApp is how an app proves itself to GitHub.
type GitHubApp struct {
	// ID is the app's number, or its client ID.
	ID string
	// InstallationID is the number of the installation on one organisation.
	InstallationID string
	PrivateKey     secret.Text // PEM
}

// AWSKeys are the keys of one AWS user.
type AWSKeys struct {
	AccessKeyID     string
	SecretAccessKey secret.Text
}

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

	Username string
	Password secret.Text
	// IdentityToken is a registry's refresh token, from a Docker config.
	IdentityToken secret.Text
	SSHPrivateKey secret.Text
	// App is a GitHub App whose installation token becomes the password.
	App *GitHubApp
	// Provider names the cloud whose identity becomes the password; with AWS set
	// it is the one of these keys, otherwise the one this server runs with.
	Provider   Provider
	AWS        *AWSKeys
	KnownHosts []byte // OpenSSH known_hosts format
	CACert     []byte // PEM, trusted in addition to the system's

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
		c.SSHPrivateKey.Reveal(), string(c.KnownHosts), string(c.CACert), c.IdentityToken.Reveal(),
		string(c.Provider), c.app().ID, c.app().InstallationID, c.app().PrivateKey.Reveal(),
		c.aws().AccessKeyID, c.aws().SecretAccessKey.Reveal(),
	} {
		fmt.Fprintf(h, "%d:%s", len(part), part)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

func (c Credential) app() GitHubApp {
	if c.App == nil {
		return GitHubApp{}
	}
	return *c.App
}

func (c Credential) aws() AWSKeys {
	if c.AWS == nil {
		return AWSKeys{}
	}
	return *c.AWS
}

// NeedsExchange reports whether what the Secret holds must first be exchanged
// for a password: a GitHub App, or a cloud's identity.
func (c Credential) NeedsExchange() bool { return c.App != nil || c.Provider != "" }

// Means says in a word or two what c proves itself with.
func (c Credential) Means() string {
	switch {
	case c.App != nil:
		return "GitHub App"
	case c.AWS != nil:
		return string(c.Provider) + " keys"
	case c.Provider != "":
		return string(c.Provider) + " identity"
	case !c.SSHPrivateKey.IsEmpty():
		return "SSH key"
	case !c.IdentityToken.IsEmpty():
		return "identity token"
	case !c.Password.IsEmpty():
		return "password"
	default:
		return "certificate"
	}
}

// Secrets returns the values a Redactor must know before any text that might
// repeat them is stored or shown.
func (c Credential) Secrets() []secret.Text {
	out := []secret.Text{c.Password, c.SSHPrivateKey, c.IdentityToken, c.app().PrivateKey, c.aws().SecretAccessKey}
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
	if t := Type(s.Labels[TypeLabel]); t != r.Type && (t == Git || t == Image || t == Chart || t == Generic || t == Webhook || t == SOPS) {
		return false
	}
	return Credential{Namespace: s.Namespace, SharedWith: sharedWith(s)}.serves(r)
}

// Keys returns the keys of a credential Secret, but for DockerConfigKey.
func Keys() []string {
	return []string{
		keyURL, keyIsRegex, keyUsername, keyPassword, keySSHPrivateKey, keyKnownHosts, keyCACert,
		keyAppID, keyAppInstall, keyAppPrivateKey, keyProvider, keyAWSKeyID, keyAWSSecretKey,
	}
}

// The keys of a credential Secret. A Secret of type
// kubernetes.io/dockerconfigjson has one other, DockerConfigKey, instead.
const (
	keyURL           = "repoURL"
	keyIsRegex       = "repoURLIsRegex"
	keyUsername      = "username"
	keyPassword      = "password"
	keySSHPrivateKey = "sshPrivateKey"
	keyKnownHosts    = "known_hosts"
	keyCACert        = "caCert"
	keyAppID         = "githubAppID"
	keyAppInstall    = "githubAppInstallationID"
	keyAppPrivateKey = "githubAppPrivateKey"
	keyProvider      = "provider"
	keyAWSKeyID      = "awsAccessKeyID"
	keyAWSSecretKey  = "awsSecretAccessKey"
	DockerConfigKey  = ".dockerconfigjson"
)

// Parse returns the credentials in s, or an error that names the Secret and the
// key that is wrong, never a value. There is one, except in a Docker config,
// which holds one for each registry.
func Parse(s Source) ([]Credential, error) {
	if config, isDocker := s.Data[DockerConfigKey]; isDocker {
		all, err := parseDocker(s, config)
		if err != nil {
			return nil, fmt.Errorf("credential Secret %q in %q: %w", s.Name, s.Namespace, err)
		}
		return all, nil
	}
	c, err := parseOne(s)
	if err != nil {
		return nil, err
	}
	return []Credential{c}, nil
}

// parseOne reads a Secret of our own keys.
func parseOne(s Source) (Credential, error) {
	bad := func(format string, args ...any) (Credential, error) {
		return Credential{}, fmt.Errorf("credential Secret %q in %q: %s", s.Name, s.Namespace, fmt.Sprintf(format, args...))
	}
	// Secrets made with echo end in a newline that no password has.
	text := func(key string) string { return strings.TrimRight(string(s.Data[key]), "\r\n") }
	c := Credential{
		Name: s.Name, Namespace: s.Namespace, Type: Type(s.Labels[TypeLabel]),
		URL:           strings.TrimSpace(text(keyURL)),
		Username:      text(keyUsername),
		Password:      secret.New(text(keyPassword)),
		SSHPrivateKey: secret.New(string(s.Data[keySSHPrivateKey])),
		KnownHosts:    s.Data[keyKnownHosts],
		CACert:        s.Data[keyCACert],
		SharedWith:    sharedWith(s),
		Provider:      Provider(text(keyProvider)),
	}
	if app := (GitHubApp{ID: text(keyAppID), InstallationID: text(keyAppInstall), PrivateKey: secret.New(text(keyAppPrivateKey))}); app != (GitHubApp{}) {
		c.App = &app
	}
	if keys := (AWSKeys{AccessKeyID: text(keyAWSKeyID), SecretAccessKey: secret.New(text(keyAWSSecretKey))}); keys != (AWSKeys{}) {
		c.AWS = &keys
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
	switch v := text(keyIsRegex); v {
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
	case c.Password.IsEmpty() && c.SSHPrivateKey.IsEmpty() && len(c.CACert) == 0 && !c.NeedsExchange():
		return bad("it holds neither username and password nor sshPrivateKey nor caCert nor a GitHub App nor a provider")
	case strings.Contains(c.Username, ":"):
		return bad("username must not contain a colon (RFC 7617)")
	case hasControl(c.Username) || hasControl(c.Password.Reveal()):
		return bad("username and password must not contain control characters")
	}
	if err := c.checkExchange(); err != nil {
		return bad("%v", err)
	}
	return c, nil
}

// checkExchange says what is wrong with what must be exchanged for a password.
func (c Credential) checkExchange() error {
	if !c.NeedsExchange() {
		if c.AWS != nil {
			return errors.New("awsAccessKeyID is only for provider ecr")
		}
		return nil
	}
	switch {
	case !c.Password.IsEmpty():
		return errors.New("set username and password, or a GitHub App, or a provider")
	case c.App != nil && c.Provider != "":
		return errors.New("set a GitHub App or a provider, not both")
	case c.App != nil && c.Type != Git:
		return errors.New("a GitHub App is only for type git")
	case c.App != nil && (!isDigits(c.App.InstallationID) || c.App.ID == "" || c.App.PrivateKey.IsEmpty()):
		return errors.New("a GitHub App needs githubAppID, githubAppInstallationID (a number) and githubAppPrivateKey")
	case c.App != nil:
		return nil
	case c.Type == Git:
		return errors.New("provider is only for types image and chart")
	case c.Provider != ECR && c.Provider != GAR && c.Provider != ACR:
		return errors.New("provider must be ecr, gar or acr")
	case c.AWS != nil && (c.Provider != ECR || c.AWS.AccessKeyID == "" || c.AWS.SecretAccessKey.IsEmpty()):
		return errors.New("awsAccessKeyID and awsSecretAccessKey go together, with provider ecr")
	}
	return nil
}

// IsAmbient reports whether c stands for the identity this server runs with,
// which nobody but the owner of Waybill's namespace may lend.
func (c Credential) IsAmbient() bool { return c.Provider != "" && c.AWS == nil }

func isDigits(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' }) < 0
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
