package importer

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/waybill-dev/waybill/api/v1alpha1"
	"github.com/waybill-dev/waybill/internal/schedule"
)

// instant is DTSTART of RFC 5545, with or without a zone.
var instant = regexp.MustCompile(`^(?:DTSTART|DTEND)?[:;]?(?:TZID=([A-Za-z0-9_+/-]+):)?([0-9]{8}T[0-9]{6})(Z?)$`)

// weekdays of RFC 5545 as cron writes them.
var weekdays = strings.NewReplacer("SU", "0", "MO", "1", "TU", "2", "WE", "3", "TH", "4", "FR", "5", "SA", "6")

// readRecurrence reads a promotion window of Kargo; nil when cron cannot say it.
func readRecurrence(f field, n int) *v1alpha1.PromotionWindow {
	w := v1alpha1.PromotionWindow{Name: nameOf(f.at("name").text()), Scope: v1alpha1.FreezeAll}
	if w.Name == "" {
		w.Name = fmt.Sprintf("window-%d", n+1)
	}
	f.at("projectSelector").mapped()
	switch kind := f.at("kind").text(); kind {
	case "Allow":
		w.Kind = v1alpha1.WindowAllow
	case "Deny":
		w.Kind = v1alpha1.WindowDeny
	default:
		f.drop("kind is neither Allow nor Deny")
		return nil
	}
	start, zone, startsWell := parseInstant(f.at("dtstart").text())
	end, _, endsWell := parseInstant(f.at("dtend").text())
	if !startsWell || !endsWell || !end.After(start) || end.Sub(start) > 31*24*time.Hour {
		f.drop("dtstart and dtend cannot be read: write it into spec.windows of the Project (schedule, duration)")
		return nil
	}
	w.TimeZone, w.Duration = zone, metav1.Duration{Duration: end.Sub(start)}
	cron, ok := cronOf(f.at("rrule").text(), start)
	if ok {
		_, err := schedule.Parse(cron, zone, w.Duration.Duration)
		ok = err == nil
	}
	if !ok {
		f.drop("the rule is none that cron can say: write it into spec.windows of the Project (schedule, duration)")
		return nil
	}
	w.Schedule = cron
	if !windowStages(f.at("stageSelector"), &w) {
		f.drop("the Stages it is for are chosen by label or regular expression: name them in spec.windows of the Project")
		return nil
	}
	f.at("rrule").approximate("it is %q for %s; a window holds from the first day on", cron, w.Duration.Duration)
	return &w
}

func windowStages(f field, w *v1alpha1.PromotionWindow) bool {
	if f.at("matchLabels").has() || f.at("matchExpressions").has() {
		return false
	}
	name := f.at("name").text()
	glob, isGlob := strings.CutPrefix(name, "glob:")
	switch {
	case name == "":
		return true
	case isGlob && !strings.ContainsAny(glob, "?[{\\"):
		w.Stages = []string{glob}
	case strings.Contains(name, ":"):
		return false
	default:
		w.Stages = []string{name}
	}
	return true
}

func parseInstant(text string) (at time.Time, zone string, ok bool) {
	m := instant.FindStringSubmatch(strings.TrimSpace(text))
	if m == nil {
		return time.Time{}, "", false
	}
	at, err := time.Parse("20060102T150405", m[2])
	return at, m[1], err == nil
}

// cronOf writes a rule of RFC 5545 that begins at an instant as cron does.
func cronOf(rule string, start time.Time) (string, bool) {
	minute, hour, day, month, weekday := fmt.Sprint(start.Minute()), fmt.Sprint(start.Hour()), "*", "*", "*"
	frequency := ""
	for _, part := range strings.Split(strings.TrimPrefix(strings.TrimSpace(rule), "RRULE:"), ";") {
		name, value, _ := strings.Cut(part, "=")
		switch name {
		case "FREQ":
			frequency = value
		case "BYDAY":
			weekday = weekdays.Replace(value)
		case "BYHOUR":
			hour = value
		case "BYMINUTE":
			minute = value
		case "BYMONTHDAY":
			day = value
		case "BYMONTH":
			month = value
		case "WKST", "":
		case "INTERVAL":
			if value != "1" {
				return "", false
			}
		case "BYSECOND":
			if value != "0" {
				return "", false
			}
		default:
			return "", false
		}
	}
	switch frequency {
	case "DAILY":
	case "WEEKLY":
		if weekday == "*" {
			weekday = fmt.Sprint(int(start.Weekday()))
		}
	case "MONTHLY":
		if day == "*" && weekday == "*" {
			day = fmt.Sprint(start.Day())
		}
	case "YEARLY":
		if month == "*" {
			month = fmt.Sprint(int(start.Month()))
		}
		if day == "*" && weekday == "*" {
			day = fmt.Sprint(start.Day())
		}
	default:
		return "", false
	}
	if weekday != "*" && (day != "*" || strings.ContainsAny(weekday, "+-") || frequency == "MONTHLY" || frequency == "YEARLY") {
		return "", false // cron takes either day, and knows no first Monday
	}
	return strings.Join([]string{minute, hour, day, month, weekday}, " "), !strings.Contains(day, "-")
}
