// Package sendmessage is the step send-message: it sends a message to Slack, to a
// webhook or by e-mail.
//
// Where to, and with which secrets, is said by a Secret of the Project with the
// label waybill.dev/cred-type: message, or one of Waybill's own Namespace that is
// shared with the Project: guides/messages. The step names it and never sees what
// is in it. The server connects to public addresses, and to hosts that the
// Project names in spec.allowedHosts.
//
// A message is sent at least once: when the server was killed between the sending
// and its record it is sent again, with the same Message-ID or Idempotency-Key,
// by which mail servers and webhooks tell that it is the same. What fails is
// tried again; what the other side refuses fails the step: continueOnError lets
// the promotion go on without its message.
package sendmessage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/waybill-dev/waybill/internal/credentials"
	"github.com/waybill-dev/waybill/internal/secret"
	"github.com/waybill-dev/waybill/promotion"
	"github.com/waybill-dev/waybill/promotion/steps/step"
	"github.com/waybill-dev/waybill/promotion/steps/web"
)

const (
	// maxAnswer bounds the answer of a webhook, maxShown what is shown of it.
	maxAnswer, maxShown = 64 << 10, 200
)

// Config of send-message.
type Config struct {
	// Channel is the name of the Secret that says where messages go.
	Channel string `json:"channel"`
	// Message to send.
	Message string `json:"message"`
	// Subject of an e-mail; default: the Project, the Stage and the Freight.
	Subject string `json:"subject,omitempty"`
	// Fields are added to what a webhook gets.
	Fields map[string]any `json:"fields,omitempty"`
}

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

// Step is send-message.
type Step struct {
	// Channels of the Projects.
	Channels Channels
	// Outbound returns the way out of a Project.
	Outbound func(ctx context.Context, project string) (Outbound, error)
}

var _ step.Once = Step{}

// NewConfig returns an empty configuration.
func (Step) NewConfig() any { return new(Config) }

// NeedsWorkspace is false.
func (Step) NeedsWorkspace() bool { return false }

// message is what is sent.
type message struct {
	// ID is the same when it is sent again.
	ID            string
	Subject, Text string
	// Body of a webhook.
	Body map[string]any
}

// Run sends the message.
func (s Step) Run(ctx context.Context, in step.Input) (step.Result, error) {
	var c Config
	if err := step.Decode(in.Config, &c); err != nil {
		return step.Result{}, err
	}
	if len(c.Message) > promotion.MaxMessage {
		return step.Result{}, step.Terminal(promotion.ReasonInvalidConfig, fmt.Errorf("message has %d bytes, more than %d", len(c.Message), promotion.MaxMessage))
	}
	if s.Channels == nil || s.Outbound == nil {
		return step.Result{}, step.Terminal("DestinationRefused", errors.New("this server sends no messages"))
	}
	p := in.Promotion
	data, err := s.Channels.Channel(ctx, p.Namespace, c.Channel)
	switch {
	case errors.Is(err, credentials.ErrNoChannel):
		return step.Result{}, step.Reasoned("ChannelMissing", err) // it may be made meanwhile
	case err != nil:
		return step.Result{}, err //nolint:wrapcheck // names the Secret already
	}
	to, err := parse(c.Channel, data)
	if err != nil {
		return step.Result{}, step.Terminal("ChannelInvalid", err)
	}
	out, err := s.Outbound(ctx, p.Namespace)
	if err != nil {
		return step.Result{}, err
	}
	m := messageOf(in, c)
	if to.kind == kindSMTP {
		err = to.mail(ctx, out, m, in.Date)
	} else {
		err = to.post(ctx, out, m)
	}
	if err != nil {
		return step.Result{}, err
	}
	return step.Result{Message: fmt.Sprintf("sent by %q", c.Channel), Output: map[string]any{"id": m.ID}}, nil
}

func messageOf(in step.Input, c Config) message {
	p := in.Promotion
	alias := p.Status.Plan.FreightAlias
	if alias == "" {
		alias = p.Spec.Freight
	}
	m := message{ID: string(p.UID) + "." + in.As, Subject: c.Subject, Text: c.Message}
	if m.Subject == "" {
		m.Subject = strings.TrimSpace(fmt.Sprintf("%s/%s: %s", p.Namespace, p.Spec.Stage, alias))
	}
	m.Body = map[string]any{
		"id": m.ID, "text": m.Text, "subject": m.Subject, "project": p.Namespace, "stage": p.Spec.Stage, "promotion": p.Name,
		"freight": p.Spec.Freight, "alias": alias, "requestedBy": promotion.Person(p.Spec.RequestedBy),
	}
	if len(c.Fields) > 0 {
		m.Body["fields"] = c.Fields
	}
	return m
}

// post sends to Slack or to a webhook.
func (c *channel) post(ctx context.Context, out Outbound, m message) error {
	body := m.Body
	if c.kind == kindSlack {
		body = map[string]any{"text": m.Text}
	}
	raw, err := json.Marshal(body)
	if err != nil {
		return step.Terminal(promotion.ReasonInvalidConfig, fmt.Errorf("fields: %w", err))
	}
	headers := map[string]string{"Content-Type": "application/json", "Idempotency-Key": m.ID}
	if c.authorization.Reveal() != "" {
		headers["Authorization"] = c.authorization.Reveal()
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

func (c *channel) answerError(a *web.Response) error {
	text := strings.Join(strings.Fields(string(a.Body)), " ")
	err := fmt.Errorf("channel %q: the answer is %d %s", c.name, a.Status, http.StatusText(a.Status))
	if text != "" {
		err = fmt.Errorf("%w: %s", err, promotion.Shorten(strings.ToValidUTF8(text, "?"), maxShown))
	}
	return c.masked(err)
}

// masked returns an error without what the Secret says, and as final as it was.
func (c *channel) masked(err error) error {
	text := errors.New(secret.Redact(err.Error(), c.url, c.path, c.authorization, c.password))
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
