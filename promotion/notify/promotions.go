package notify

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/promotion"
)

// OfPromotion returns what a Promotion shows.
func OfPromotion(p *v1alpha1.Promotion) []Occurrence {
	base := Occurrence{
		Project: p.Namespace, Stages: []string{p.Spec.Stage}, Page: page(p.Namespace, "promotions", p.Name),
		Promotion: p.Name, Freight: p.Spec.Freight, By: promotion.Person(p.Spec.RequestedBy),
	}
	base.Alias, base.Version = contents(p)
	what, where := said(&base), base.Project+"/"+p.Spec.Stage
	isRollback := p.Spec.Kind == v1alpha1.KindRollback
	var out []Occurrence
	add := func(at time.Time, key, title, text string, events ...v1alpha1.NotificationEvent) *Occurrence {
		o := base
		o.Key, o.At, o.Events, o.Title, o.Text = string(p.UID)+"/"+key, at, events, where+": "+title, text
		out = append(out, o)
		return &out[len(out)-1]
	}
	if at, key, why := asked(p); key != "" {
		o := add(at, key, what+" waits for approval",
			fmt.Sprintf("%s waits for approval to go to %s: %s. To look at it and to decide: waybill diff %[4]s/%[5]s, waybill approve %[4]s/%[5]s", what, where, why, p.Namespace, p.Name),
			v1alpha1.EventApprovalRequested)
		o.Page, o.Cause = page(p.Namespace, "review", p.Name), why
		if isRollback {
			o.Title, o.Text = where+": a rollback waits for approval", strings.Replace(o.Text, what+" waits for approval to go to "+where, "The rollback of "+where+" waits for approval", 1)
		}
	}
	if p.Status.StartedAt != nil {
		title, text := what+" is promoted", fmt.Sprintf("%s is on its way to %s, as %s asked.", what, where, base.By)
		if isRollback {
			title, text = "is rolled back", fmt.Sprintf("%s is being rolled back%s, as %s asked%s.", where, from(what), base.By, because(p.Spec.Reason))
		}
		add(p.Status.StartedAt.Time, "started", title, text, v1alpha1.EventPromotionStarted)
	}
	if p.Status.FinishedAt != nil {
		ended(p, what, where, add)
	}
	return out
}

// ended adds how a Promotion ended, by the one word that is for it.
func ended(p *v1alpha1.Promotion, what, where string, add func(at time.Time, key, title, text string, events ...v1alpha1.NotificationEvent) *Occurrence) {
	isRollback := p.Spec.Kind == v1alpha1.KindRollback
	var o *Occurrence
	at, message := p.Status.FinishedAt.Time, p.Status.Message
	switch phase := p.Status.Phase; {
	case phase == v1alpha1.PhaseSucceeded && isRollback:
		o = add(at, "rolled-back", "rolled back", fmt.Sprintf("%s is rolled back%s and runs %s again%s.", where, from(what), restored(p), because(p.Spec.Reason)), v1alpha1.EventRolledBack)
		message = p.Spec.Reason
	case phase == v1alpha1.PhaseSucceeded:
		o = add(at, "succeeded", what+" runs", fmt.Sprintf("%s runs in %s: %s.", what, where, trimmed(message)), v1alpha1.EventPromotionSucceeded)
	case phase == v1alpha1.PhaseFailed && isRollback:
		o = add(at, "failed", "the rollback failed", fmt.Sprintf("The rollback of %s failed: %s. To look at it: waybill describe promotion %s/%s", where, trimmed(message), p.Namespace, p.Name), v1alpha1.EventPromotionFailed)
	case phase == v1alpha1.PhaseFailed:
		events := []v1alpha1.NotificationEvent{v1alpha1.EventPromotionFailed}
		if strings.HasPrefix(p.Status.Reason, "Verification") {
			events = []v1alpha1.NotificationEvent{v1alpha1.EventVerificationFailed, v1alpha1.EventPromotionFailed}
		}
		o = add(at, "failed", what+" failed", fmt.Sprintf("The promotion of %s to %s failed: %s. To look at it: waybill describe promotion %s/%s", what, where, trimmed(message), p.Namespace, p.Name), events...)
	case phase == v1alpha1.PhaseAborted:
		o = add(at, "aborted", what+" aborted", fmt.Sprintf("The promotion of %s to %s was stopped: %s.", what, where, trimmed(message)), v1alpha1.EventPromotionAborted)
	default:
		return // superseded; or taken back, which its rollback tells
	}
	o.Reason, o.Cause = p.Status.Reason, message
}

// asked returns since when a Promotion waits for an approval, a key for what is
// asked, and what is missing; no key when it waits for none.
func asked(p *v1alpha1.Promotion) (at time.Time, key, why string) {
	if p.Status.Plan == nil || p.Status.Plan.Hash == "" {
		return at, "", ""
	}
	hash := strings.TrimPrefix(p.Status.Plan.Hash, "sha256:")
	if step := promotion.AskedByStep(p); step != nil {
		for i := range p.Status.Steps {
			if st := &p.Status.Steps[i]; st.As == step.Step && st.StartedAt != nil {
				return st.StartedAt.Time, "asked/" + step.Step + "/" + hash, promotion.OneLine(st.Message, maxCause)
			}
		}
		return at, "", ""
	}
	isApproval := func(g v1alpha1.GateVerdict) bool { return g.Gate == v1alpha1.GateApproval && !g.Open && !g.Bypassed }
	i := slices.IndexFunc(p.Status.Gates, isApproval)
	if !promotion.IsPending(p) || i < 0 || p.Status.Plan.At == nil {
		return at, "", ""
	}
	why = p.Status.Gates[i].Reason
	if who, _, isSplit := strings.Cut(p.Status.Gates[i].OpensBy, ": waybill"); isSplit {
		why += ", and it needs " + who
	}
	return p.Status.Plan.At.Time, "asked/" + hash, why
}

// contents are alias and version of what is promoted.
func contents(p *v1alpha1.Promotion) (alias, version string) {
	if p.Status.Plan == nil {
		return "", ""
	}
	for i := range p.Status.Plan.Collection {
		if f := &p.Status.Plan.Collection[i]; f.Freight == p.Spec.Freight {
			version = strings.Join(f.Artifacts().Versions(), ", ")
		}
	}
	return p.Status.Plan.FreightAlias, version
}

// restored names what a Rollback brought back.
func restored(p *v1alpha1.Promotion) string {
	var all []string
	if p.Status.Plan != nil {
		for i := range p.Status.Plan.Collection {
			all = append(all, p.Status.Plan.Collection[i].Artifacts().Versions()...)
		}
	}
	if len(all) == 0 {
		return "what it ran before"
	}
	return strings.Join(all, ", ")
}

// said is what people call the Freight of an occurrence.
func said(o *Occurrence) string {
	switch {
	case o.Version != "" && o.Alias != "":
		return o.Version + " (" + o.Alias + ")"
	case o.Version != "":
		return o.Version
	case o.Alias != "":
		return o.Alias
	case o.Freight != "":
		return "Freight " + o.Freight
	default:
		return ""
	}
}

func from(what string) string {
	if what == "" {
		return ""
	}
	return " from " + what
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ", because: " + trimmed(reason)
}

// maxCause bounds a sentence that others wrote, in bytes.
const maxCause = 1024

// trimmed is a sentence without its full stop, so that another can follow.
func trimmed(sentence string) string {
	if sentence = promotion.OneLine(sentence, maxCause); sentence == "" {
		return "no reason is known"
	}
	return strings.TrimRight(sentence, ". ")
}
