package promotion

import (
	"fmt"
	"path"
	"time"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/schedule"
)

// Window is a window of the Project as it stands at the instant of the
// Observation. It is worked out once for all Stages and Freight.
type Window struct {
	// Name, Kind, Scope, Stages and Reason are those of the definition.
	Name   string
	Kind   v1alpha1.WindowKind
	Scope  v1alpha1.FreezeScope
	Stages []string
	Reason string
	// IsOpen at that instant.
	IsOpen bool
	// Changes is when it opens or closes next; zero: never.
	Changes time.Time
	// Problem says why nobody can tell; then it stops everything it is for.
	Problem string
}

// Windows returns how the windows of a Project stand at now, in their order.
func Windows(specs []v1alpha1.PromotionWindow, now time.Time) []Window {
	var out []Window
	for i := range specs {
		s := &specs[i]
		w := Window{Name: s.Name, Kind: s.Kind, Scope: s.Scope, Stages: s.Stages, Reason: s.Reason}
		if parsed, err := schedule.Parse(s.Schedule, s.TimeZone, s.Duration.Duration); err != nil {
			w.Problem = err.Error()
		} else {
			w.IsOpen, w.Changes = parsed.At(now)
		}
		out = append(out, w)
	}
	return out
}

// CheckWindows returns what is wrong with the windows of a Project, by name.
func CheckWindows(specs []v1alpha1.PromotionWindow) []Problem {
	var out []Problem
	for i := range specs {
		s := &specs[i]
		if _, err := schedule.Parse(s.Schedule, s.TimeZone, s.Duration.Duration); err != nil {
			out = append(out, Problem{ReasonInvalidWindow, fmt.Sprintf("spec.windows[%d] %q: %v; until it is corrected nothing starts that it is for", i, s.Name, err)})
		}
	}
	return out
}

// ReasonInvalidWindow is why a Project is not ready of which a window cannot be
// read.
const ReasonInvalidWindow = "InvalidWindow"

// isFor reports whether the window is for promotions into stage that are
// automatic or not.
func (w *Window) isFor(stage string, automatic bool) bool {
	if w.Scope == v1alpha1.FreezeAutomatic && !automatic {
		return false
	}
	for _, pattern := range w.Stages {
		if matched, err := path.Match(pattern, stage); err == nil && matched {
			return true
		}
	}
	return len(w.Stages) == 0
}

// stop is one thing that keeps the gate freeze closed.
type stop struct {
	reason, opensBy string
	// until is when it ends by itself; zero: it does not.
	until time.Time
}

// outlasts reports whether s keeps the gate closed longer than other.
func (s *stop) outlasts(other *stop) bool {
	if other == nil || s.until.IsZero() {
		return other == nil || !other.until.IsZero()
	}
	return !other.until.IsZero() && s.until.After(other.until)
}

// windowStops returns what the Project's windows stop now, and the earliest
// instant at which one that stops nothing now may do so.
func windowStops(o *Observation, ask Ask) (stops []stop, closes time.Time) {
	edit := "the end of it, or a change of spec.windows of Project " + o.Stage.Namespace
	var allow struct {
		any    bool
		isOpen bool
		opens  time.Time // the earliest of those that are shut
		shuts  time.Time // the latest of those that are open; zero when one never shuts
		names  []string
	}
	for i := range o.Windows {
		w := &o.Windows[i]
		switch {
		case !w.isFor(o.Stage.Name, ask.Automatic):
		case w.Problem != "":
			stops = append(stops, stop{reason: fmt.Sprintf("window %q cannot be read: %s", w.Name, w.Problem), opensBy: "a correction of spec.windows of Project " + o.Stage.Namespace})
		case w.Kind == v1alpha1.WindowDeny && w.IsOpen:
			stops = append(stops, stop{reason: fmt.Sprintf("window %q denies promotions%s%s", w.Name, untilInstant(w.Changes), because(w.Reason)), opensBy: edit, until: w.Changes})
		case w.Kind == v1alpha1.WindowDeny:
			closes = earlier(closes, w.Changes)
		case w.IsOpen:
			if w.Changes.IsZero() || allow.isOpen && allow.shuts.IsZero() {
				allow.shuts = time.Time{}
			} else if w.Changes.After(allow.shuts) {
				allow.shuts = w.Changes
			}
			allow.any, allow.isOpen = true, true
		default:
			allow.any, allow.opens = true, earlier(allow.opens, w.Changes)
			allow.names = append(allow.names, w.Name)
		}
	}
	switch {
	case allow.isOpen:
		closes = earlier(closes, allow.shuts)
	case allow.any:
		stops = append(stops, stop{
			reason:  fmt.Sprintf("promotions start only in the window %s, which opens %s", quoteJoin(sorted(allow.names), " or "), stamp(allow.opens)),
			opensBy: "the window, or a change of spec.windows of Project " + o.Stage.Namespace, until: allow.opens,
		})
	}
	return stops, closes
}

func untilInstant(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return " until " + stamp(t)
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}
