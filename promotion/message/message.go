// Package message sends messages to people and programs: to Slack, to a webhook or
// by e-mail. The step send-message and notifications both send by it.
//
// Where to, and with which secrets, is said by a channel: a Secret of the Project
// with the label waybill.dev/cred-type: message, or one of Waybill's own Namespace
// that is shared with the Project (guides/messages). Who names a channel never
// sees what is in it, and no error says it. The server connects to public
// addresses, and to hosts that the Project names in spec.allowedHosts.
package message

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/internal/credentials"
	"github.com/waybill-dev/waybill/internal/secret"
	"github.com/waybill-dev/waybill/promotion"
	"github.com/waybill-dev/waybill/promotion/steps/step"
	"github.com/waybill-dev/waybill/promotion/steps/web"
)

const (
	// maxAnswer bounds the answer of a webhook, maxShown what is shown of it.
	maxAnswer, maxShown = 64 << 10, 200
	// SignatureHeader holds the Signature of a webhook's body when the channel has
	// a signingKey.
	SignatureHeader = "Waybill-Signature"
)

// Channels are Secrets that say where messages go.
type Channels interface {
	// Channel returns the data of the Secret of that name which the Project may
	// use, or credentials.ErrNoChannel.
	Channel(ctx context.Context, project, name string) (map[string][]byte, error)
}

// Outbound is a guarded way out.
type Outbound interface {
	http.RoundTripper
	// DialContext connects by TCP.
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
}

// Message is what is sent.
type Message struct {
	// ID is the same when it is sent again: letters, digits, dots and dashes.
	ID string
	// Subject of an e-mail, and the Text for people.
	Subject, Text string
	// Body of a webhook, written as JSON, and its type; default: application/json.
	Body        any
	ContentType string
	// Date is the same when it is sent again.
	Date time.Time
}

// Sender sends messages by the channels of Projects.
type Sender struct {
	// Channels of the Projects.
	Channels Channels
	// Outbound returns the way out of a Project.
	Outbound func(ctx context.Context, project string) (Outbound, error)
}

// Send sends m by a channel that the Project may use. What no repetition mends is a
// terminal error of package step; each error has one of its reasons, and holds
// nothing that the Secret says.
func (s Sender) Send(ctx context.Context, project, channel string, m Message) error {
	if s.Channels == nil || s.Outbound == nil {
		return step.Terminal("DestinationRefused", errors.New("this server sends no messages"))
	}
	data, err := s.Channels.Channel(ctx, project, channel)
	switch {
	case errors.Is(err, credentials.ErrNoChannel):
		return step.Reasoned("ChannelMissing", err) // it may be made meanwhile
	case err != nil:
		return err //nolint:wrapcheck // names the Secret already
	}
	to, err := Parse(channel, data)
	if err != nil {
		return step.Terminal("ChannelInvalid", err)
	}
	out, err := s.Outbound(ctx, project)
	if err != nil {
		return err
	}
	if to.kind == kindSMTP {
		return to.mail(ctx, out, m)
	}
	return to.post(ctx, out, m)
}

// Signature is what a webhook's body is signed with, as its receiver works it out:
// sha256= and the HMAC-SHA-256 of the body in hexadecimal.
func Signature(key string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write(body)
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

// post sends to Slack or to a webhook.
func (c *Channel) post(ctx context.Context, out Outbound, m Message) error {
	body, contentType := m.Body, cmp.Or(m.ContentType, "application/json")
	if c.kind == kindSlack {
		body, contentType = map[string]any{"text": m.Text}, "application/json"
	}
	raw, err := json.Marshal(body)
	if err != nil {
		return step.Terminal(promotion.ReasonInvalidConfig, fmt.Errorf("fields: %w", err))
	}
	headers := map[string]string{"Content-Type": contentType, "Idempotency-Key": m.ID}
	if c.authorization.Reveal() != "" {
		headers["Authorization"] = c.authorization.Reveal()
	}
	if key := c.signingKey.Reveal(); key != "" {
		headers[SignatureHeader] = Signature(key, raw)
	}
	answer, err := web.Do(ctx, out, web.Request{Method: http.MethodPost, URL: c.url.Reveal(), Headers: headers, Body: string(raw), MaxBytes: maxAnswer})
	if err != nil {
		return c.masked(err)
	}
	switch {
	case answer.Status >= 200 && answer.Status <= 299:
		return nil
	case answer.Status == http.StatusTooManyRequests || answer.Status >= 500:
		return step.Reasoned("RequestFailed", c.answerError(answer))
	default:
		return step.Terminal("MessageRefused", c.answerError(answer))
	}
}

func (c *Channel) answerError(a *web.Response) error {
	text := strings.Join(strings.Fields(string(a.Body)), " ")
	err := fmt.Errorf("channel %q: the answer is %d %s", c.name, a.Status, http.StatusText(a.Status))
	if text != "" {
		err = fmt.Errorf("%w: %s", err, promotion.Shorten(strings.ToValidUTF8(text, "?"), maxShown))
	}
	return c.masked(err)
}

// masked returns an error without what the Secret says, and as final as it was.
func (c *Channel) masked(err error) error {
	text := errors.New(secret.Redact(err.Error(), c.url, c.path, c.authorization, c.password, c.signingKey))
	var terminal *step.TerminalError
	var reasoned *step.ReasonedError
	switch {
	case errors.As(err, &terminal):
		return step.Terminal(terminal.Reason, text)
	case errors.As(err, &reasoned):
		return step.Reasoned(reasoned.Reason, text)
	default:
		return text
	}
}
