package credentials

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/waybill-dev/waybill/internal/secret"
)

const (
	maxDockerConfig  = 1 << 20
	maxDockerEntries = 200
)

// dockerConfig is the part of a Docker config.json that holds credentials.
type dockerConfig struct {
	Auths map[string]dockerAuth `json:"auths"`
}

type dockerAuth struct {
	Auth          string `json:"auth"` // base64 of user:password
	Username      string `json:"username"`
	Password      string `json:"password"`
	IdentityToken string `json:"identitytoken"`
}

// parseDocker reads a Secret of type kubernetes.io/dockerconfigjson, as
// imagePullSecrets are: one credential for each registry. Its repoURL, if there
// is one, is not looked at. Errors name the registry, never a value.
func parseDocker(s Source, config []byte) ([]Credential, error) {
	typ := Type(s.Labels[TypeLabel])
	if typ != Image && typ != Chart {
		return nil, fmt.Errorf("a Docker config is only for label %s image or chart", TypeLabel)
	}
	if s.Name == "" || s.Namespace == "" {
		return nil, errors.New("it has no name or namespace")
	}
	var d dockerConfig
	if len(config) > maxDockerConfig || json.Unmarshal(config, &d) != nil {
		return nil, errors.New("key .dockerconfigjson is not the JSON of a Docker config")
	}
	if len(d.Auths) == 0 || len(d.Auths) > maxDockerEntries {
		return nil, fmt.Errorf("key .dockerconfigjson needs 1 to %d entries under auths; credential helpers cannot be used", maxDockerEntries)
	}
	out := make([]Credential, 0, len(d.Auths))
	for _, host := range sortedKeys(d.Auths) {
		c := Credential{Name: s.Name, Namespace: s.Namespace, Type: typ, SharedWith: sharedWith(s), CACert: s.Data[keyCACert]}
		if err := c.setDocker(host, d.Auths[host]); err != nil {
			return nil, fmt.Errorf("auths[%q]: %w", clip(host), err)
		}
		out = append(out, c)
	}
	return out, nil
}

func (c *Credential) setDocker(host string, a dockerAuth) error {
	if err := c.setDockerURL(host); err != nil {
		return err
	}
	if a.Auth != "" {
		raw, err := base64.StdEncoding.DecodeString(a.Auth)
		user, password, found := strings.Cut(strings.TrimRight(string(raw), "\x00"), ":")
		if err != nil || !found {
			return errors.New("auth is not user:password in base64")
		}
		a.Username, a.Password = user, password
	}
	c.Username, c.Password, c.IdentityToken = a.Username, secret.New(a.Password), secret.New(a.IdentityToken)
	switch {
	case !c.IdentityToken.IsEmpty():
		c.Password = secret.Text{} // Docker sends one or the other
	case c.Username == "" || c.Password.IsEmpty():
		return errors.New("it holds no user name and password")
	}
	if strings.Contains(c.Username, ":") || hasControl(c.Username) || hasControl(c.Password.Reveal()) || hasControl(c.IdentityToken.Reveal()) {
		return errors.New("it contains a colon in the user name, or control characters")
	}
	return nil
}

// setDockerURL reads a registry as Docker and the kubelet write it: with or
// without scheme, with the API's version for Docker Hub, with * for one part of
// the host name.
func (c *Credential) setDockerURL(raw string) error {
	host := strings.TrimSpace(raw)
	for _, scheme := range []string{"https://", "http://"} {
		host = strings.TrimPrefix(host, scheme)
	}
	host = strings.TrimRight(host, "/")
	for _, version := range []string{"/v1", "/v2"} {
		host = strings.TrimSuffix(host, version)
	}
	c.URL = host
	if strings.Contains(host, "*") {
		pattern := strings.ReplaceAll(regexp.QuoteMeta(strings.ToLower(host)), `\*`, `[^./]*`)
		if len(pattern) > maxRegexLength {
			return errors.New("it is too long")
		}
		c.IsRegex = true
		c.pattern = regexp.MustCompile(`^(?:[a-z]+://)?` + pattern + `(?:/.*)?$`)
		return nil
	}
	if c.Type == Chart {
		host = "oci://" + host
	}
	n, err := normalize(c.Type, host)
	if err != nil {
		return errors.New("it is not a registry")
	}
	c.normalized = n
	return nil
}

func sortedKeys(m map[string]dockerAuth) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// clip keeps an error short.
func clip(s string) string {
	if len(s) > 100 {
		return strings.ToValidUTF8(s[:100], "") + "…"
	}
	return s
}
