package cli

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/waybill-dev/waybill/api/rest/model"
)

// isWebhooks reports whether KIND means webhook receivers, which are no objects
// of their own but part of a Project.
func isWebhooks(word string) bool {
	return slices.Contains([]string{"webhook", "webhooks", "hook", "hooks"}, strings.ToLower(word))
}

// getWebhooks prints a Project's webhook receivers, or, for those that names
// say, what they were sent.
func (a *App) getWebhooks(cmd *cobra.Command, names []string, out *output) error {
	c, x, err := a.client()
	if err != nil {
		return err
	}
	project, err := a.needProject(cmd, x, nil)
	if err != nil {
		return err
	}
	list, err := c.Webhooks(cmd.Context(), project)
	if err != nil {
		return err
	}
	if len(names) > 0 {
		var named []model.Webhook
		for _, n := range names {
			i := slices.IndexFunc(list.Items, func(w model.Webhook) bool { return w.Name == n })
			if i < 0 {
				return notFound(fmt.Sprintf("Project %q has no webhook receiver %q", project, n))
			}
			named = append(named, list.Items[i])
		}
		list.Items = named
	}
	switch {
	case out.isMachine():
		return out.encode(a.Stdout, list)
	case out.format == "name":
		for _, w := range list.Items {
			if err := a.print("webhook/%s", w.Name); err != nil {
				return err
			}
		}
		return nil
	case len(list.Items) == 0:
		a.say("There are no webhook receivers in %s; spec.webhookReceivers of the Project defines them.", project)
		return nil
	}
	if err := a.printReceivers(list.Items); err != nil {
		return err
	}
	if len(names) == 0 {
		return nil
	}
	return a.printDeliveries(list.Items)
}

func (a *App) printReceivers(items []model.Webhook) error {
	t := table{heads: []string{"NAME", "SENDER", "READY", "WOKE", "IGNORED", "REFUSED", "LAST", "URL OR MESSAGE"}}
	for _, w := range items {
		ready := cell{text: "no", style: red}
		if w.Ready {
			ready = cell{text: "yes", style: green}
		}
		last := ""
		if len(w.Deliveries) > 0 {
			last = a.age(w.Deliveries[0].At) + " ago"
		}
		t.add(text(w.Name), text(w.Sender), ready, text(fmt.Sprint(w.Counts.Woke)), text(fmt.Sprint(w.Counts.Ignored)),
			text(fmt.Sprint(w.Counts.Refused+w.Counts.Malformed+w.Counts.Limited)), text(last), text(firstOf(w.Message, w.URL, w.Path)))
	}
	return a.printTable(t)
}

func (a *App) printDeliveries(items []model.Webhook) error {
	t := table{heads: []string{"RECEIVER", "AT", "EVENT", "RESULT", "REPOSITORIES", "WOKEN OR WHY NOT"}}
	for _, w := range items {
		for _, d := range w.Deliveries {
			result := cell{text: string(d.Result)}
			switch d.Result {
			case model.Woke:
				result.style = green
			case model.Refused, model.Malformed:
				result.style = red
			}
			t.add(text(w.Name), text(d.At.UTC().Format(time.RFC3339)), text(d.Event), result,
				text(strings.Join(d.Repositories, " ")), text(firstOf(strings.Join(d.Woken, " "), d.Detail)))
		}
	}
	if len(t.rows) == 0 {
		a.say("Nothing was sent to it since the server started.")
		return nil
	}
	if err := a.print(""); err != nil {
		return err
	}
	return a.printTable(t)
}
