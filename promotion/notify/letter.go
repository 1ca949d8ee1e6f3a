package notify

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/history"
	"github.com/waybill-dev/waybill/promotion"
)

// maxListed bounds how many facts of a summary are spelled out.
const maxListed = 5

// eventSummary is the type of what tells of several facts at once.
const eventSummary = "Summary"

// Letter is what is sent for one row of the outbox, or for several at once.
type Letter struct {
	ID, Subject, Text string
	// Body for a webhook: a CloudEvent in its JSON form.
	Body CloudEvent
	Date time.Time
}

// ContentType of a Letter's Body.
const ContentType = "application/cloudevents+json; charset=utf-8"

// CloudEvent is an event as CloudEvents 1.0 writes it in JSON.
type CloudEvent struct {
	SpecVersion string    `json:"specversion"`
	ID          string    `json:"id"`
	Source      string    `json:"source"`
	Type        string    `json:"type"`
	Subject     string    `json:"subject,omitempty"`
	Time        time.Time `json:"time"`
	ContentType string    `json:"datacontenttype"`
	Data        any       `json:"data"`
}

// SummaryFact is the data of what tells of several facts at once.
type SummaryFact struct {
	Event        string    `json:"event"`
	Text         string    `json:"text"`
	Subject      string    `json:"subject"`
	Project      string    `json:"project"`
	Notification string    `json:"notification"`
	At           time.Time `json:"at"`
	// Count of the facts, of which Facts are the first.
	Count int    `json:"count"`
	Facts []Fact `json:"facts"`
}

// SummaryID names the one message that tells of what is in several rows.
func SummaryID(rows []history.Notice) string {
	words := []string{"summary"}
	for i := range rows {
		words = append(words, rows[i].ID)
	}
	return id(words...)
}

// Write returns what is sent for rows, which are of one channel: a row of its own,
// or all with the same batch together.
func Write(rows []history.Notice) (Letter, error) {
	facts := make([]Fact, 0, min(len(rows), maxListed))
	for i := range rows[:min(len(rows), maxListed)] {
		var f Fact
		if err := json.Unmarshal(rows[i].Body, &f); err != nil {
			return Letter{}, fmt.Errorf("read notice %q: %w", rows[i].ID, err)
		}
		facts = append(facts, f)
	}
	first := &facts[0]
	if len(rows) == 1 && rows[0].Batch == "" {
		text := first.Text
		if first.URL != "" {
			text += "\n" + first.URL
		}
		return Letter{ID: rows[0].ID, Subject: first.Subject, Text: text, Date: first.At, Body: event(rows[0].ID, first.Project, first.Event, first.Stage, first.At, first)}, nil
	}
	lines := make([]string, 0, len(facts)+1)
	for i := range facts {
		lines = append(lines, promotion.OneLine(facts[i].Text, maxCause))
	}
	if more := len(rows) - len(facts); more > 0 {
		lines = append(lines, fmt.Sprintf("... and %d more.", more))
	}
	s := SummaryFact{
		Event: eventSummary, Text: strings.Join(lines, "\n"), Subject: fmt.Sprintf("%s: %d things happened", first.Project, len(rows)), Project: first.Project,
		Notification: first.Notification, At: first.At, Count: len(rows), Facts: facts,
	}
	return Letter{ID: rows[0].Batch, Subject: s.Subject, Text: s.Text, Date: s.At, Body: event(rows[0].Batch, s.Project, s.Event, "", s.At, s)}, nil
}

// Test returns a message that shows that a notification reaches people.
func Test(n *v1alpha1.Notification, project, by, id, publicURL string, now time.Time) Letter {
	f := Fact{
		Event: "Test", Project: project, Notification: n.Name, At: now.UTC().Truncate(time.Second), By: by,
		Subject: fmt.Sprintf("%s: a test of notification %s", project, n.Name),
		Text:    fmt.Sprintf("This is a test of notification %s of %s, for which %s asked. Nothing has happened.", n.Name, project, by),
	}
	text := f.Text
	if publicURL != "" {
		f.URL = strings.TrimRight(publicURL, "/") + page(project)
		text += "\n" + f.URL
	}
	return Letter{ID: id, Subject: f.Subject, Text: text, Date: f.At, Body: event(id, project, f.Event, "", f.At, f)}
}

func event(id, project, kind, stage string, at time.Time, data any) CloudEvent {
	return CloudEvent{
		SpecVersion: "1.0", ID: id, Source: "/projects/" + project, Type: "dev.waybill." + kind, Subject: stage, Time: at,
		ContentType: "application/json", Data: data,
	}
}
