package manifest

import (
	"encoding/json"
	"fmt"
	"path"
	"slices"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/credentials"
	"github.com/waybill-dev/waybill/promotion/notify"
)

// lintNotifications finds notifications that would tell nothing, or not in the words
// that were meant.
func lintNotifications(d *Document, p *v1alpha1.Project) []Finding {
	var out []Finding
	seen := map[string]int{}
	for i := range p.Spec.Notifications {
		n := &p.Spec.Notifications[i]
		field := fmt.Sprintf("spec.notifications[%d]", i)
		if first, twice := seen[n.Name]; twice {
			out = append(out, d.Finding(Error, field+".name", fmt.Sprintf("%q is the name of spec.notifications[%d] as well", n.Name, first)))
		} else {
			seen[n.Name] = i
		}
		for j, e := range n.Events {
			if !slices.Contains(notify.Events(), e) {
				out = append(out, d.Finding(Error, fmt.Sprintf("%s.events[%d]", field, j), fmt.Sprintf("there is no event %q; there are %s", e, notify.EventList())))
			}
		}
		for j, s := range n.Stages {
			if _, err := path.Match(s, ""); err != nil {
				out = append(out, d.Finding(Error, fmt.Sprintf("%s.stages[%d]", field, j), fmt.Sprintf("%q is no name of a Stage, nor a pattern with *", s)))
			}
		}
		if err := notify.CheckMessage(n.Message); err != nil {
			out = append(out, d.Finding(Error, field+".message", invalid(err)))
		}
	}
	return out
}

// lintChannels finds notifications whose channel is none of those that the files
// define for the Project. Where they define none, the channels are elsewhere.
func lintChannels(docs []Document) []Finding {
	channels := map[string][]string{}
	for i := range docs {
		if docs[i].Kind == "Secret" && isChannel(&docs[i]) {
			channels[docs[i].Namespace] = append(channels[docs[i].Namespace], docs[i].Name)
		}
	}
	var out []Finding
	for i := range docs {
		p, isProject := docs[i].Object.(*v1alpha1.Project)
		if !isProject || len(channels[docs[i].Name]) == 0 {
			continue
		}
		for j := range p.Spec.Notifications {
			if name := p.Spec.Notifications[j].Channel; !slices.Contains(channels[docs[i].Name], name) {
				out = append(out, docs[i].Finding(Warning, fmt.Sprintf("spec.notifications[%d].channel", j),
					fmt.Sprintf("these files define no channel %q for Project %q: make a Secret of that name with the label %s: message, or correct the name", name, docs[i].Name, credentials.TypeLabel)))
			}
		}
	}
	return out
}

// isChannel reports whether a Secret says where messages go.
func isChannel(d *Document) bool {
	var s struct {
		Metadata struct {
			Labels map[string]string `json:"labels"`
		} `json:"metadata"`
	}
	return json.Unmarshal(d.JSON, &s) == nil && s.Metadata.Labels[credentials.TypeLabel] == credentials.Message
}
