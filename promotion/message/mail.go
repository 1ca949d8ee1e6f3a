package message

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/smtp"
	"net/textproto"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/internal/outbound"
	"github.com/waybill-dev/waybill/promotion/steps/step"
)

// mailTime bounds the whole conversation with a mail server.
const mailTime = 60 * time.Second

// mail sends m as an e-mail.
func (c *Channel) mail(ctx context.Context, out Outbound, m Message) error {
	ctx, cancel := context.WithTimeout(ctx, mailTime)
	defer cancel()
	text, err := c.letter(m)
	if err != nil {
		return err
	}
	if err := c.deliver(ctx, out, text); err != nil {
		return c.mailError(err)
	}
	return nil
}

// letter is the e-mail as it is sent.
func (c *Channel) letter(m Message) ([]byte, error) {
	to := make([]string, len(c.to))
	for i, a := range c.to {
		to[i] = a.String()
	}
	subject := strings.Join(strings.Fields(m.Subject), " ") // a line of its own would be another header
	var b bytes.Buffer
	for _, h := range [][2]string{
		{"From", c.from.String()}, {"To", strings.Join(to, ", ")}, {"Subject", mime.QEncoding.Encode("utf-8", subject)},
		{"Date", m.Date.UTC().Format(time.RFC1123Z)}, {"Message-ID", "<" + m.ID + "@waybill.dev>"},
		{"Auto-Submitted", "auto-generated"}, {"MIME-Version", "1.0"},
		{"Content-Type", "text/plain; charset=utf-8"}, {"Content-Transfer-Encoding", "quoted-printable"},
	} {
		fmt.Fprintf(&b, "%s: %s\r\n", h[0], h[1])
	}
	b.WriteString("\r\n")
	w := quotedprintable.NewWriter(&b)
	if _, err := w.Write([]byte(m.Text)); err != nil {
		return nil, fmt.Errorf("encode the message: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("encode the message: %w", err)
	}
	return b.Bytes(), nil
}

// deliver speaks SMTP. Either every recipient gets the letter or none.
func (c *Channel) deliver(ctx context.Context, out Outbound, text []byte) error {
	host, _, _ := net.SplitHostPort(c.host) // parse has put it together
	conn, err := out.DialContext(ctx, "tcp", c.host)
	if err != nil {
		return err //nolint:wrapcheck // the caller names the server
	}
	defer func() { _ = conn.Close() }() // what matters was answered before
	if at, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(at)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	config := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	if len(c.caCert) > 0 {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(c.caCert) {
			return step.Terminal("ChannelInvalid", errors.New("key caCert holds no PEM certificate"))
		}
	}
	if c.tls == tlsImplicit {
		conn = tls.Client(conn, config)
	}
	s, err := smtp.NewClient(conn, host)
	if err != nil {
		return err //nolint:wrapcheck // as above
	}
	if c.tls == tlsStart {
		if err := s.StartTLS(config); err != nil {
			return fmt.Errorf("starttls: %w", err)
		}
	}
	if c.username != "" {
		if err := s.Auth(smtp.PlainAuth("", c.username, c.password.Reveal(), host)); err != nil {
			return fmt.Errorf("sign in: %w", err)
		}
	}
	return c.hand(s, text)
}

// hand gives the letter to the server that answers.
func (c *Channel) hand(s *smtp.Client, text []byte) error {
	if err := s.Mail(c.from.Address); err != nil {
		return fmt.Errorf("sender: %w", err)
	}
	for _, a := range c.to {
		if err := s.Rcpt(a.Address); err != nil {
			return fmt.Errorf("recipient %q: %w", a.Address, err)
		}
	}
	w, err := s.Data()
	if err != nil {
		return err //nolint:wrapcheck // the caller names the server
	}
	if _, err := w.Write(text); err != nil {
		return err //nolint:wrapcheck // as above
	}
	if err := w.Close(); err != nil { // here the server takes it
		return err //nolint:wrapcheck // as above
	}
	_ = s.Quit() // the letter is delivered, whatever is answered to this
	return nil
}

// mailError tells what no repetition mends.
func (c *Channel) mailError(err error) error {
	var terminal *step.TerminalError
	if errors.As(err, &terminal) {
		return c.masked(err)
	}
	named := fmt.Errorf("channel %q: mail server %q: %w", c.name, c.host, err)
	var answer *textproto.Error
	var address *outbound.AddressError
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(err, &address):
		return c.masked(step.Terminal("DestinationRefused", named))
	case errors.As(err, &answer) && answer.Code >= 500, errors.As(err, &certificate):
		return c.masked(step.Terminal("MessageRefused", named))
	default:
		return c.masked(step.Reasoned("HostUnreachable", named))
	}
}
