package notify

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/history"
	"github.com/waybill-dev/waybill/internal/expression"
	"github.com/waybill-dev/waybill/promotion"
)

// Fact is what people are told of one occurrence: what a row of the outbox holds,
// what a webhook gets as data, and what expressions see as event.
type Fact struct {
	// Event in one word.
	Event string `json:"event"`
	// Text in sentences, and Subject in a few words.
	Text    string `json:"text"`
	Subject string `json:"subject"`
	Project string `json:"project"`
	// Notification that tells it.
	Notification string    `json:"notification"`
	At           time.Time `json:"at"`
	Stage        string    `json:"stage,omitempty"`
	Stages       []string  `json:"stages,omitempty"`
	Promotion    string    `json:"promotion,omitempty"`
	Freight      string    `json:"freight,omitempty"`
	Alias        string    `json:"alias,omitempty"`
	Version      string    `json:"version,omitempty"`
	Object       string    `json:"object,omitempty"`
	By           string    `json:"by,omitempty"`
	Reason       string    `json:"reason,omitempty"`
	Cause        string    `json:"cause,omitempty"`
	// URL of the page that shows it, when the server knows where people reach it.
	URL string `json:"url,omitempty"`
}

// ID is what a notification of a Project sends an occurrence with.
func ID(project, notification, key string) string {
	return id(project, notification, key)
}

func id(words ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(words, "\x00")))
	return hex.EncodeToString(sum[:16])
}

// MarkID names the row that says since when a notification with these events and
// Stages is there.
func MarkID(project string, n *v1alpha1.Notification) string {
	words := []string{"since", project, n.Name}
	for _, e := range n.Events {
		words = append(words, string(e))
	}
	return id(append(append(words, "of"), n.Stages...)...)
}

// Compose returns the row of the outbox by which n tells of o with that word.
func Compose(n *v1alpha1.Notification, o *Occurrence, event v1alpha1.NotificationEvent, publicURL string) history.Notice {
	row := Row(n, o)
	row.Event = string(event)
	f := Fact{
		Event: string(event), Text: promotion.Shorten(o.Text, promotion.MaxMessage/4), Subject: promotion.OneLine(o.Title, maxSubject), Project: o.Project, Notification: n.Name, At: o.At.UTC(),
		Stages: o.Stages, Promotion: o.Promotion, Freight: o.Freight, Alias: o.Alias, Version: o.Version, Object: o.Object, By: o.By, Reason: o.Reason,
		Cause: promotion.OneLine(o.Cause, maxCause),
	}
	if len(o.Stages) == 1 {
		f.Stage, f.Stages = o.Stages[0], nil
	}
	if publicURL != "" {
		f.URL = strings.TrimRight(publicURL, "/") + o.Page
	}
	if n.Message != "" {
		text, err := worded(n.Message, &f)
		if err != nil {
			text = fmt.Sprintf("%s (The message of notification %q cannot be made: %v.)", f.Text, n.Name, err)
		}
		f.Text = promotion.Shorten(text, promotion.MaxMessage/4)
	}
	row.Body, _ = json.Marshal(f) // plain values always encode
	return row
}

// maxSubject bounds the subject of an e-mail, in bytes.
const maxSubject = 200

// Row returns the row of the outbox for o without what is sent.
func Row(n *v1alpha1.Notification, o *Occurrence) history.Notice {
	return history.Notice{
		ID: ID(o.Project, n.Name, o.Key), Project: o.Project, Notification: n.Name, Channel: n.Channel, At: o.At.UTC().Truncate(time.Microsecond),
		Topic: o.Topic, State: string(o.State),
	}
}

// scope is what a message sees of a fact.
func scope(f *Fact) expression.Scope {
	event := map[string]any{}
	raw, _ := json.Marshal(f) // as above
	for _, name := range variables() {
		event[name] = ""
	}
	event["stages"] = []any{}
	_ = json.Unmarshal(raw, &event) // what was just encoded
	return expression.Scope{Variables: map[string]any{"event": event}, Functions: expression.Standard(), Now: f.At}
}

// CheckMessage says what is wrong with the message of a notification.
func CheckMessage(message string) error {
	functions := make([]string, 0, len(expression.Standard()))
	for name := range expression.Standard() {
		functions = append(functions, name)
	}
	found, err := expression.Check(message, []string{"event"}, functions)
	if err != nil {
		return err //nolint:wrapcheck // names the expression
	}
	for _, r := range found {
		if r.Variable == "event" && r.Member != "" && !slices.Contains(variables(), r.Member) {
			return fmt.Errorf("there is no event.%s; there are %s", r.Member, strings.Join(variables(), ", "))
		}
	}
	return nil
}

// variables are the members of event.
func variables() []string {
	return []string{"event", "text", "subject", "project", "notification", "at", "stage", "stages", "promotion", "freight", "alias", "version", "object", "by", "reason", "cause", "url"}
}

func worded(message string, f *Fact) (string, error) {
	t, err := expression.Parse(message)
	if err != nil {
		return "", err //nolint:wrapcheck // the caller names the notification
	}
	v, err := t.Eval(scope(f))
	if err != nil {
		return "", err //nolint:wrapcheck // as above
	}
	return v.Text(), nil
}
