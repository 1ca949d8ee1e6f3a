// Package schedule says when a time that comes again and again begins and ends:
// a cron expression, a length, and a time zone.
package schedule

import (
	"errors"
	"fmt"
	"strings"
	"time"

	cron "github.com/netresearch/go-cron"
)

// fields of an expression: minute, hour, day of month, month, day of week.
const fields = cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow

// maxChain bounds how many occurrences that overlap are followed to the end of
// the last.
const maxChain = 1_000

// Schedule is open from each instant of an expression on, for some time.
type Schedule struct {
	spec *cron.SpecSchedule
	open time.Duration
}

// Parse returns the schedule of a cron expression of five fields, in an IANA
// time zone ("" is UTC), that stays open for that long. Where clocks are put
// forward, an instant that is skipped opens at the next one; where they are put
// back, it opens once.
func Parse(expression, timeZone string, open time.Duration) (*Schedule, error) {
	if open <= 0 {
		return nil, errors.New("duration has to be longer than nothing")
	}
	zone := time.UTC
	if timeZone != "" {
		if strings.EqualFold(timeZone, "local") {
			return nil, errors.New(`time zone "Local" is another one on every machine; name it, such as Europe/Berlin`)
		}
		var err error
		if zone, err = time.LoadLocation(timeZone); err != nil {
			return nil, fmt.Errorf("time zone %q is not known; use an IANA name, such as Europe/Berlin", timeZone)
		}
	}
	if strings.Contains(expression, "TZ=") || strings.HasPrefix(strings.TrimSpace(expression), "@") {
		return nil, fmt.Errorf("cron expression %q: write the five fields, and the zone in timeZone", expression)
	}
	parsed, err := cron.MustNewParser(fields).Parse(expression)
	if err != nil {
		return nil, fmt.Errorf("cron expression %q: %w", expression, err)
	}
	spec, ok := parsed.(*cron.SpecSchedule)
	if !ok {
		return nil, fmt.Errorf("cron expression %q: not a list of instants", expression)
	}
	spec.Location = zone
	s := &Schedule{spec: spec, open: open}
	if spec.Next(time.Date(2024, 1, 1, 0, 0, 0, 0, zone)).IsZero() {
		return nil, fmt.Errorf("cron expression %q never comes", expression)
	}
	return s, nil
}

// At reports whether the schedule is open at now, and when that changes next;
// zero when it is open for as long as can be told.
func (s *Schedule) At(now time.Time) (isOpen bool, changes time.Time) {
	end := time.Time{}
	// The last occurrence that has begun, and earlier ones that may outlast it.
	for start := s.spec.Prev(now.Add(time.Second)); !start.IsZero() && now.Before(start.Add(s.open)); start = s.spec.Prev(start) {
		if !start.After(now) {
			end = start.Add(s.open)
			break
		}
	}
	if end.IsZero() {
		return false, s.spec.Next(now)
	}
	next := now
	for range maxChain {
		if next = s.spec.Next(next); next.IsZero() || next.After(end) {
			return true, end
		}
		end = next.Add(s.open)
	}
	return true, time.Time{}
}
