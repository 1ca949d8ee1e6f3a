// Package sendmessage is the step send-message: it sends a message to Slack, to a
// webhook or by e-mail.
//
// Where to, and with which secrets, is said by a channel, a Secret of the Project
// with the label waybill.dev/cred-type: message, or one of Waybill's own Namespace
// that is shared with the Project: guides/messages. The step names it and never
// sees what is in it. The server connects to public addresses, and to hosts that
// the Project names in spec.allowedHosts.
//
// A message is sent at least once: when the server was killed between the sending
// and its record it is sent again, with the same Message-ID or Idempotency-Key,
// by which mail servers and webhooks tell that it is the same. What fails is
// tried again; what the other side refuses fails the step: continueOnError lets
// the promotion go on without its message.
package sendmessage

import (
	"context"
	"fmt"
	"strings"

	"github.com/waybill-dev/waybill/promotion"
	"github.com/waybill-dev/waybill/promotion/message"
	"github.com/waybill-dev/waybill/promotion/steps/step"
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

// Step is send-message.
type Step struct{ message.Sender }

var _ step.Once = Step{}

// NewConfig returns an empty configuration.
func (Step) NewConfig() any { return new(Config) }

// NeedsWorkspace is false.
func (Step) NeedsWorkspace() bool { return false }

// Run sends the message.
func (s Step) Run(ctx context.Context, in step.Input) (step.Result, error) {
	var c Config
	if err := step.Decode(in.Config, &c); err != nil {
		return step.Result{}, err
	}
	if len(c.Message) > promotion.MaxMessage {
		return step.Result{}, step.Terminal(promotion.ReasonInvalidConfig, fmt.Errorf("message has %d bytes, more than %d", len(c.Message), promotion.MaxMessage))
	}
	m := messageOf(in, c)
	if err := s.Send(ctx, in.Promotion.Namespace, c.Channel, m); err != nil {
		return step.Result{}, err //nolint:wrapcheck // names the channel already
	}
	return step.Result{Message: fmt.Sprintf("sent by %q", c.Channel), Output: map[string]any{"id": m.ID}}, nil
}

func messageOf(in step.Input, c Config) message.Message {
	p := in.Promotion
	alias := p.Status.Plan.FreightAlias
	if alias == "" {
		alias = p.Spec.Freight
	}
	m := message.Message{ID: string(p.UID) + "." + in.As, Subject: c.Subject, Text: c.Message, Date: in.Date}
	if m.Subject == "" {
		m.Subject = strings.TrimSpace(fmt.Sprintf("%s/%s: %s", p.Namespace, p.Spec.Stage, alias))
	}
	body := map[string]any{
		"id": m.ID, "text": m.Text, "subject": m.Subject, "project": p.Namespace, "stage": p.Spec.Stage, "promotion": p.Name,
		"freight": p.Spec.Freight, "alias": alias, "requestedBy": promotion.Person(p.Spec.RequestedBy),
	}
	if len(c.Fields) > 0 {
		body["fields"] = c.Fields
	}
	m.Body = body
	return m
}
