package message

import (
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/url"
	"strings"

	"github.com/waybill-dev/waybill/internal/secret"
)

// The kinds of channels.
const (
	kindSlack   = "slack"
	kindWebhook = "webhook"
	kindSMTP    = "smtp"
)

// How an SMTP connection is encrypted.
const (
	tlsStart    = "starttls"
	tlsImplicit = "implicit"
	tlsNone     = "none"
)

// maxRecipients bounds who gets one e-mail.
const maxRecipients = 50

// Channel is what a Secret says of where messages go.
type Channel struct {
	name, kind string
	// url and authorization of Slack and webhooks. path is that of url: a server
	// that repeats what it was asked says it alone.
	url, path, authorization secret.Text
	// signingKey, if any, is what a webhook's body is signed with.
	signingKey secret.Text
	// host with port, and the rest, of SMTP.
	host, tls string
	from      *mail.Address
	to        []*mail.Address
	username  string
	password  secret.Text
	caCert    []byte
}

// minSigningKey is the length of a key that cannot be guessed.
const minSigningKey = 16

// Parse reads the data of the Secret of that name. Errors name keys, never values.
func Parse(name string, data map[string][]byte) (*Channel, error) {
	text := func(key string) string { return strings.TrimSpace(string(data[key])) }
	c := &Channel{name: name, kind: text("type")}
	wrong := func(format string, args ...any) (*Channel, error) {
		return nil, fmt.Errorf("Secret %q: %w", name, fmt.Errorf(format, args...))
	}
	var known []string
	switch c.kind {
	case kindSlack, kindWebhook:
		known = []string{"type", "url", "authorization"}
		c.url, c.authorization = secret.New(text("url")), secret.New(text("authorization"))
		u, err := url.Parse(text("url"))
		if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil {
			return wrong("key url has to be an http or https URL without user information")
		}
		c.path = secret.New(u.RequestURI())
		if strings.ContainsAny(text("authorization"), "\r\n") {
			return wrong("key authorization has more than one line")
		}
		if c.kind == kindSlack {
			break
		}
		known = append(known, "signingKey")
		if c.signingKey = secret.New(text("signingKey")); data["signingKey"] != nil && len(c.signingKey.Reveal()) < minSigningKey {
			return wrong("key signingKey has fewer than %d characters", minSigningKey)
		}
	case kindSMTP:
		known = []string{"type", "host", "tls", "from", "to", "username", "password", "caCert"}
		if err := c.readSMTP(text, data); err != nil {
			return wrong("%w", err)
		}
	default:
		return wrong("key type has to be slack, webhook or smtp")
	}
	for key := range data {
		isKnown := false
		for _, k := range known {
			isKnown = isKnown || k == key
		}
		if !isKnown {
			return wrong("there is no key %q for type %s; known are %s", key, c.kind, strings.Join(known, ", "))
		}
	}
	return c, nil
}

func (c *Channel) readSMTP(text func(string) string, data map[string][]byte) error {
	c.host, c.tls = text("host"), text("tls")
	if c.tls == "" {
		c.tls = tlsStart
	}
	switch c.tls {
	case tlsStart, tlsImplicit, tlsNone:
	default:
		return errors.New("key tls has to be starttls, implicit or none")
	}
	if _, _, err := net.SplitHostPort(c.host); err != nil {
		port := map[string]string{tlsStart: "587", tlsImplicit: "465", tlsNone: "25"}[c.tls]
		c.host = net.JoinHostPort(c.host, port)
	}
	if strings.HasPrefix(c.host, ":") {
		return errors.New("key host is missing")
	}
	var err error
	if c.from, err = mail.ParseAddress(text("from")); err != nil {
		return errors.New("key from is no e-mail address")
	}
	if c.to, err = mail.ParseAddressList(text("to")); err != nil {
		return errors.New("key to is no list of e-mail addresses")
	}
	if len(c.to) > maxRecipients {
		return fmt.Errorf("key to has more than %d addresses", maxRecipients)
	}
	c.username, c.password, c.caCert = text("username"), secret.New(text("password")), data["caCert"]
	if c.tls == tlsNone && (c.username != "" || c.password.Reveal() != "") {
		return errors.New("a password is not sent without encryption; set tls to starttls or implicit")
	}
	return nil
}
