package notify

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/promotion"
)

// How long something has to be bad before people are told: what passes by itself
// wakes nobody.
const (
	stagePatience     = 30 * time.Second
	warehousePatience = 5 * time.Minute
	clusterPatience   = time.Minute
)

// page is the address of a page of the dashboard, below that of the server. What
// Kubernetes lets be a name needs no escape in it.
func page(project string, more ...string) string {
	return "/" + strings.Join(append([]string{"projects", project}, more...), "/")
}

// OfStage returns how a Stage is.
func OfStage(s *v1alpha1.Stage) []Occurrence {
	h := s.Status.Health
	if h == nil || h.Since == nil {
		return nil
	}
	where := s.Namespace + "/" + s.Name
	o := Occurrence{
		Key: string(s.UID) + "/" + h.Since.UTC().Format(time.RFC3339Nano), Project: s.Namespace, Stages: []string{s.Name}, At: h.Since.Time,
		Topic: "Stage/" + string(s.UID), State: StateUnsettled, Patience: stagePatience, Page: page(s.Namespace, "stages", s.Name), Reason: h.Reason, Cause: h.Message,
	}
	if len(s.Status.Current) > 0 {
		c := &s.Status.Current[0]
		o.Freight, o.Promotion, o.Version = c.Freight, c.Promotion, strings.Join(c.Artifacts().Versions(), ", ")
	}
	switch h.Status {
	case v1alpha1.HealthDegraded:
		o.State, o.Events, o.Title = StateBad, []v1alpha1.NotificationEvent{v1alpha1.EventStageDegraded}, where+" is Degraded"
		o.Text = fmt.Sprintf("%s is Degraded%s: %s. To look at it: waybill describe stage %s; to take back what it runs: waybill rollback %s", where, with(said(&o)), trimmed(h.Message), where, where)
	case v1alpha1.HealthHealthy:
		o.State, o.Events, o.Title = StateWell, []v1alpha1.NotificationEvent{v1alpha1.EventStageHealthy}, where+" is Healthy again"
		o.Text = fmt.Sprintf("%s is Healthy again%s.", where, with(said(&o)))
	}
	return []Occurrence{o}
}

func with(what string) string {
	if what == "" {
		return ""
	}
	return " with " + what
}

// OfApplication returns what drifts in an Application.
func OfApplication(a *v1alpha1.Application) []Occurrence {
	stage := a.Labels[v1alpha1.LabelStage]
	where, look := a.Namespace+"/"+a.Name, page(a.Namespace)
	base := Occurrence{Project: a.Namespace, Object: "Application " + a.Name}
	if stage != "" {
		where, look, base.Stages = a.Namespace+"/"+stage, page(a.Namespace, "stages", stage), []string{stage}
	}
	base.Page = look
	topic := func(name string, isBad bool, at time.Time, event v1alpha1.NotificationEvent) *Occurrence {
		o := base
		o.Topic, o.State, o.At = "Application/"+string(a.UID)+"/"+name, StateWell, at.Add(time.Microsecond) // after what it ends
		if isBad {
			o.State, o.At, o.Events = StateBad, at, []v1alpha1.NotificationEvent{event}
		}
		o.Key = o.Topic + "/" + string(o.State) + "/" + at.UTC().Format(time.RFC3339Nano)
		return &o
	}
	var newest time.Time
	var healed []Occurrence
	for i := range a.Status.Drifts {
		d := &a.Status.Drifts[i]
		if d.At.After(newest) {
			newest = d.At.Time
		}
		if d.Action != v1alpha1.DriftHealed {
			continue
		}
		o := base
		o.Key, o.At, o.Events = fmt.Sprintf("%s/%s/%s/%s/%s/%s", a.UID, d.At.UTC().Format(time.RFC3339Nano), d.Kind, d.Namespace, d.Name, d.Field), d.At.Time, []v1alpha1.NotificationEvent{v1alpha1.EventDriftHealed}
		o.Title, o.By = fmt.Sprintf("%s: %s %s was changed back", where, d.Kind, d.Name), d.Manager
		o.Text = fmt.Sprintf("In %s %s; it is as Git says again.", where, driftText(d))
		healed = append(healed, o)
	}
	drift := topic("drift", a.Status.Drifting, newest, v1alpha1.EventDriftFound)
	if len(a.Status.Drifts) > 0 {
		d := &a.Status.Drifts[0]
		drift.Title, drift.Cause, drift.By = where+" differs from Git", driftText(d), d.Manager
		drift.Text = fmt.Sprintf("%s differs from Git and is left so for now: %s. To look at it: waybill drift %s", where, drift.Cause, where)
	}
	out := []Occurrence{*drift}
	contested := topic("contested", false, newest, v1alpha1.EventDriftContested)
	if c := meta.FindStatusCondition(a.Status.Conditions, "Contested"); c != nil && c.Status == metav1.ConditionTrue {
		contested = topic("contested", true, c.LastTransitionTime.Time, v1alpha1.EventDriftContested)
		contested.IsCut, contested.Cause, contested.Title = true, c.Message, where+" is fought over"
		contested.Text = fmt.Sprintf("In %s %s.", where, trimmed(c.Message))
	}
	return append(append(out, *contested), healed...)
}

// driftText says what was changed, and by which field manager.
func driftText(d *v1alpha1.Drift) string {
	by := ""
	if d.Manager != "" {
		by = fmt.Sprintf(" by %q", d.Manager)
	}
	if d.Field == "" {
		return fmt.Sprintf("%s %s was deleted%s", d.Kind, d.Name, by)
	}
	return fmt.Sprintf("%s of %s %s was changed%s", d.Field, d.Kind, d.Name, by)
}

// OfFreight returns that there is new Freight.
func OfFreight(f *v1alpha1.Freight) []Occurrence {
	artifacts := v1alpha1.Artifacts{Images: f.Images, Commits: f.Commits, Charts: f.Charts}
	o := Occurrence{
		Key: string(f.UID) + "/created", Events: []v1alpha1.NotificationEvent{v1alpha1.EventFreightCreated}, Project: f.Namespace,
		At: f.CreationTimestamp.Time, IsCut: true, Page: page(f.Namespace, "freight", f.Name),
		Freight: f.Name, Alias: f.Alias, Version: strings.Join(artifacts.Versions(), ", "), Object: "Warehouse " + f.Origin.Name,
	}
	o.Title = fmt.Sprintf("%s: new Freight %s", f.Namespace, said(&o))
	o.Text = fmt.Sprintf("Warehouse %s of %s has new Freight: %s.", f.Origin.Name, f.Namespace, said(&o))
	return []Occurrence{o}
}

// OfFreeze returns that somebody made a Freeze; isGone: that it is lifted. What
// policy makes, a rollback tells.
func OfFreeze(z *v1alpha1.Freeze, isGone bool, goneAt time.Time) []Occurrence {
	if z.Spec.By == v1alpha1.PolicyUser {
		return nil
	}
	o := Occurrence{
		Key: string(z.UID) + "/made", Project: z.Namespace, Stages: []string{z.Spec.Stage}, At: z.CreationTimestamp.Time, IsCut: true,
		Topic: "Freeze/" + string(z.UID), State: StateBad, Page: page(z.Namespace), By: promotion.Person(z.Spec.By), Object: "Freeze " + z.Name, Cause: z.Spec.Reason,
		Events: []v1alpha1.NotificationEvent{v1alpha1.EventFreezeCreated},
	}
	what := freezeWord(z)
	where := z.Namespace + "/" + z.Spec.Stage
	if z.Spec.Stage == "*" {
		where = "all of " + z.Namespace
	}
	until := ""
	if z.Spec.Until != nil {
		until = " until " + z.Spec.Until.UTC().Format("2006-01-02 15:04Z")
	}
	o.Title = fmt.Sprintf("%s: %s", where, what)
	o.Text = fmt.Sprintf("%s: %s by %s%s: %s.", where, what, o.By, until, trimmed(z.Spec.Reason))
	if isGone {
		o.Key, o.State, o.At, o.IsCut, o.By = string(z.UID)+"/gone", StateWell, goneAt, false, ""
		o.Events = []v1alpha1.NotificationEvent{v1alpha1.EventFreezeEnded}
		o.Title, o.Text = fmt.Sprintf("%s: %s is over", where, what), fmt.Sprintf("%s: the %s of %s is over (%s).", where, what, promotion.Person(z.Spec.By), trimmed(z.Spec.Reason))
	} else if z.Spec.Until != nil {
		o.End = &OfFreeze(z, true, z.Spec.Until.Time)[0]
	}
	return []Occurrence{o}
}

func freezeWord(z *v1alpha1.Freeze) string {
	switch {
	case len(z.Spec.Freight) > 0:
		return "rejection of " + strings.Join(z.Spec.Freight, ", ")
	case z.Spec.Scope == v1alpha1.FreezeAutomatic:
		return "hold"
	case z.Spec.Scope == v1alpha1.FreezeHealing:
		return "pause of healing"
	default:
		return "freeze"
	}
}

// OfWarehouse returns whether a Warehouse learns what is new.
func OfWarehouse(w *v1alpha1.Warehouse) []Occurrence {
	ready := meta.FindStatusCondition(w.Status.Conditions, v1alpha1.ConditionReady)
	if ready == nil {
		return nil
	}
	var reasons, causes []string
	for i := range w.Status.Subscriptions {
		if s := &w.Status.Subscriptions[i]; s.Error != "" && (s.LastSuccess == nil || !s.LastSuccess.Equal(s.LastPoll)) {
			reasons, causes = append(reasons, s.Reason), append(causes, s.Error)
		}
	}
	if meta.IsStatusConditionTrue(w.Status.Conditions, v1alpha1.ConditionStalled) && len(causes) == 0 {
		reasons, causes = []string{ready.Reason}, []string{ready.Message}
	}
	where := w.Namespace + "/" + w.Name
	o := Occurrence{
		Project: w.Namespace, At: ready.LastTransitionTime.Time, IsCut: true, Topic: "Warehouse/" + string(w.UID), State: StateWell, Patience: warehousePatience,
		Page: page(w.Namespace, "sources"), Object: "Warehouse " + w.Name,
		Events: []v1alpha1.NotificationEvent{v1alpha1.EventWarehouseRecovered},
		Title:  "Warehouse " + where + " learns again what is new", Text: "Warehouse " + where + " learns again what is new.",
	}
	o.Key = o.Topic + "/" + string(o.State) + "/" + ready.LastTransitionTime.UTC().Format(time.RFC3339)
	if len(causes) > 0 {
		o.State, o.Events = StateBad, []v1alpha1.NotificationEvent{v1alpha1.EventWarehouseFailing}
		o.Key = o.Topic + "/" + string(o.State) + "/" + ready.LastTransitionTime.UTC().Format(time.RFC3339)
		o.Reason, o.Cause = cmp.Or(reasons[0], ready.Reason), strings.Join(causes, "; ")
		o.Title = "Warehouse " + where + " fails"
		o.Text = fmt.Sprintf("Warehouse %s does not learn what is new: %s. What it knows stays; it asks again by itself. To ask at once: waybill refresh %s", where, trimmed(o.Cause), where)
	}
	return []Occurrence{o}
}

// OfCluster returns whether a Cluster answers, for a Project of which Stages deploy
// to it.
func OfCluster(c *v1alpha1.Cluster, project string, stages []string) []Occurrence {
	ready := meta.FindStatusCondition(c.Status.Conditions, v1alpha1.ConditionReady)
	if ready == nil {
		return nil
	}
	o := Occurrence{
		Project: project, Stages: stages, At: ready.LastTransitionTime.Time, IsCut: true, Topic: "Cluster/" + string(c.UID), State: StateWell, Patience: clusterPatience,
		Page: "/clusters", Object: "Cluster " + c.Name, Reason: ready.Reason, Cause: ready.Message,
		Events: []v1alpha1.NotificationEvent{v1alpha1.EventClusterReachable},
		Title:  "Cluster " + c.Name + " answers again", Text: fmt.Sprintf("Cluster %s, to which %s deploys, answers again.", c.Name, project),
	}
	if ready.Status == metav1.ConditionFalse {
		o.State, o.Events = StateBad, []v1alpha1.NotificationEvent{v1alpha1.EventClusterUnreachable}
		o.Title = "Cluster " + c.Name + " does not answer"
		o.Text = fmt.Sprintf("Cluster %s, to which %s deploys, does not answer: %s. To look at it: waybill cluster test %s", c.Name, project, trimmed(ready.Message), c.Name)
	}
	o.Key = o.Topic + "/" + project + "/" + string(o.State) + "/" + ready.LastTransitionTime.UTC().Format(time.RFC3339)
	return []Occurrence{o}
}

// FreezeGone returns that a Freeze is lifted of which no more is left than what
// people were told when it was made.
func FreezeGone(f *Fact, topic string, now time.Time) Occurrence {
	o := Occurrence{
		Key: strings.TrimPrefix(topic, "Freeze/") + "/gone", Project: f.Project, Stages: f.Stages, At: now, Topic: topic, State: StateWell,
		Events: []v1alpha1.NotificationEvent{v1alpha1.EventFreezeEnded}, Page: page(f.Project), Object: f.Object,
		Title: f.Subject + " is over", Text: f.Subject + " is over.",
	}
	if f.Stage != "" {
		o.Stages = []string{f.Stage}
	}
	return o
}
